"""Lists of messages against a plain reading of their filters: whatever index leads the search."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from tests.databases import DATABASES
from trunkline.domain.ids import instant, sid_micros
from trunkline.domain.message import Direction, Message, Status
from trunkline.runtime import Chance
from trunkline.store.messages import MessageFilter, insert_messages
from trunkline.store.paging import Page
from trunkline.store.search import page_messages

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCOUNT, OTHER = "AC" + "1" * 32, "AC" + "2" * 32
NUMBERS = ["+14155550100", "+14155550101", "+15558675310", "+15558675311"]
MINUTE = timedelta(minutes=1)
LATE = timedelta(hours=13)

FILTERS = [
    MessageFilter(),
    *(MessageFilter(recipient=number) for number in (NUMBERS[0], "+19995550000")),
    MessageFilter(sender=NUMBERS[2]),
    MessageFilter(sender=NUMBERS[0], recipient=NUMBERS[2]),
    *(MessageFilter(statuses=(status,)) for status in (Status.FAILED, Status.CANCELED)),
    MessageFilter(statuses=(Status.FAILED, Status.DELIVERED)),
    MessageFilter(direction=Direction.INBOUND),
    MessageFilter(direction=Direction.OUTBOUND_API, statuses=(Status.DELIVERED,)),
    MessageFilter(sent_from=NOON + 20 * MINUTE),
    MessageFilter(sent_before=NOON + 30 * MINUTE),
    MessageFilter(sent_from=NOON + 20 * MINUTE, sent_before=NOON + 30 * MINUTE),
    MessageFilter(sender=NUMBERS[1], sent_from=NOON + 20 * MINUTE),
    MessageFilter(sender=NUMBERS[1], statuses=(Status.FAILED,)),
    MessageFilter(recipient=NUMBERS[1], sent_before=NOON + 40 * MINUTE),
    MessageFilter(sent_from=NOON + LATE),
    MessageFilter(sent_before=NOON),
    MessageFilter(created_from=NOON + 10 * MINUTE, created_before=NOON + 40 * MINUTE),
    MessageFilter(address=NUMBERS[0]),
    MessageFilter(address=NUMBERS[2], statuses=(Status.FAILED,), created_from=NOON + 5 * MINUTE),
    MessageFilter(created_from=datetime(1, 1, 1, tzinfo=UTC), statuses=(Status.SENT,)),
    MessageFilter(created_before=datetime(9999, 1, 1, tzinfo=UTC), sender=NUMBERS[0]),
]


def made(count: int) -> list[Message]:
    """Return messages of two accounts, oldest first."""
    seed = random.Random(3)
    chance = Chance(3)
    messages = []
    for n in range(count):
        at = NOON + n * MINUTE / 4
        sender, recipient = seed.sample(NUMBERS, 2)
        status = seed.choice([Status.DELIVERED, Status.DELIVERED, Status.FAILED, Status.SENT])
        messages.append(
            Message(
                account_sid=seed.choice([ACCOUNT, ACCOUNT, OTHER]),
                sid=chance.sid(seed.choice(["SM", "MM"]), at),
                direction=seed.choice([Direction.INBOUND, Direction.OUTBOUND_API]),
                status=status,
                sender=sender,
                recipient=recipient,
                body=str(n),
                encoding="GSM-7",
                num_segments=1,
                num_media=0,
                carrier="test",
                created_at=at,
                updated_at=at,
                sent_at=None if status is Status.FAILED else at + delay(seed, n),
            )
        )
    return messages


def delay(seed: random.Random, n: int) -> timedelta:
    """Return how long a message was on its way; once in a while not as it should be."""
    if n % 50 == 7:
        return LATE
    return -2 * MINUTE if n % 50 == 13 else MINUTE * seed.random()


MESSAGES = made(240)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Yield a database that holds the messages."""
    with DATABASES.connected(tmp_path_factory.mktemp("search")) as db:
        insert_messages(db, MESSAGES)
        yield db


def is_wanted(message: Message, wanted: MessageFilter) -> bool:
    """Read a filter plainly."""
    made_at = instant(sid_micros(message.sid))
    sent_at = message.sent_at
    return all(
        (
            message.account_sid == ACCOUNT,
            wanted.recipient in (None, message.recipient),
            wanted.sender in (None, message.sender),
            wanted.direction in (None, message.direction),
            not wanted.statuses or message.status in wanted.statuses,
            wanted.address in (None, message.sender, message.recipient),
            wanted.created_from is None or made_at >= wanted.created_from,
            wanted.created_before is None or made_at < wanted.created_before,
            wanted.sent_from is None or (sent_at is not None and sent_at >= wanted.sent_from),
            wanted.sent_before is None or (sent_at is not None and sent_at < wanted.sent_before),
        )
    )


@pytest.mark.parametrize(("rows_first", "few_max"), [(500, 1_000), (0, 3), (0, 0)])
@pytest.mark.parametrize("wanted", FILTERS)
def test_pages_lead_through_all_that_is_wanted_and_back(
    db: Connection,
    monkeypatch: pytest.MonkeyPatch,
    wanted: MessageFilter,
    rows_first: int,
    few_max: int,
) -> None:
    """Nothing is missing, twice, or out of order, whether an index leaves few rows or many."""
    monkeypatch.setattr("trunkline.store.search.ROWS_FIRST", rows_first)
    monkeypatch.setattr("trunkline.store.search.FEW_MAX", few_max)
    expected = [m.sid for m in reversed(MESSAGES) if is_wanted(m, wanted)]
    seen, page = [], Page(size=7)
    while True:
        found = page_messages(db, ACCOUNT, wanted, page)
        seen += [m.sid for m in found.items]
        if not found.has_next:
            break
        page = replace(page, after=seen[-1])
    assert seen == expected
    page = Page(size=7, before=expected[-1]) if expected else page
    back = expected[-1:]
    while page.before is not None:
        found = page_messages(db, ACCOUNT, wanted, page)
        back = [m.sid for m in found.items] + back
        page = Page(size=7, before=back[0] if found.has_previous else None)
    assert back == expected
