"""Lists of messages against a plain reading of their filters: whatever index leads the search."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, event

from trunkline.domain.ids import instant, sid_micros
from trunkline.domain.message import Direction, Message, Status
from trunkline.runtime import Chance
from trunkline.store.messages import MessageFilter, insert_messages
from trunkline.store.paging import Page
from trunkline.store.schema import upgrade
from trunkline.store.search import page_messages

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCOUNT, OTHER = "AC" + "1" * 32, "AC" + "2" * 32
NUMBERS = ["+14155550100", "+14155550101", "+15558675310", "+15558675311"]
MINUTE = timedelta(minutes=1)

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
                sent_at=None if status is Status.FAILED else at + MINUTE * seed.random(),
            )
        )
    return messages


MESSAGES = made(240)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Yield a database that holds the messages."""
    path: Path = tmp_path_factory.mktemp("search") / "test.db"
    engine = create_engine(f"sqlite:///{path}")
    upgrade(engine)
    with engine.connect() as db:
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


@pytest.mark.parametrize("count_max", [0, 10, 20_000])
@pytest.mark.parametrize("wanted", FILTERS)
def test_pages_lead_through_all_that_is_wanted_and_back(
    db: Connection, monkeypatch: pytest.MonkeyPatch, wanted: MessageFilter, count_max: int
) -> None:
    """Nothing is missing, twice, or out of order, whether an index leaves few rows or many."""
    monkeypatch.setattr("trunkline.store.search.COUNT_MAX", count_max)
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


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (MessageFilter(recipient=NUMBERS[0]), "messages_by_recipient (account_sid=? AND recipient"),
        (MessageFilter(sender=NUMBERS[0]), "messages_by_sender (account_sid=? AND sender"),
        (MessageFilter(statuses=(Status.FAILED,)), "messages_by_status (account_sid=? AND status"),
        (
            MessageFilter(direction=Direction.INBOUND),
            "messages_by_direction (account_sid=? AND direction",
        ),
        (MessageFilter(created_before=NOON), "(account_sid=? AND position<?)"),
        (MessageFilter(address=NUMBERS[0]), "messages_by_recipient (account_sid=? AND recipient"),
        (
            MessageFilter(sender=NUMBERS[0], recipient="+19995550000"),
            "messages_by_recipient (account_sid=? AND recipient",
        ),
    ],
)
def test_an_index_leads_and_nothing_is_sorted(
    db: Connection, wanted: MessageFilter, index: str
) -> None:
    """As the database itself plans it."""
    statements: list[tuple[str, object]] = []

    def note(*said: object) -> None:
        statements.append((str(said[2]), said[3]))

    event.listen(db, "before_cursor_execute", note)
    page_messages(db, ACCOUNT, wanted, Page())
    event.remove(db, "before_cursor_execute", note)
    statement, values = statements[-1]
    plan = db.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, values)  # type: ignore[arg-type]
    steps = " | ".join(str(row[3]) for row in plan)
    assert index in steps
    assert "TEMP B-TREE" not in steps
