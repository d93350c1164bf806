"""What a page of messages costs where a scan would cost much: the database itself counts."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from tests.databases import DATABASES
from trunkline.domain.message import Direction, Message, Status
from trunkline.runtime import Chance
from trunkline.store.messages import MessageFilter, insert_messages
from trunkline.store.opening import open_store
from trunkline.store.paging import Found, Page
from trunkline.store.search import page_messages

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ACCOUNT, OTHER = "AC" + "1" * 32, "AC" + "2" * 32
OURS, SECOND, HANDSET, NOBODY = "+14155550100", "+14155550101", "+15558675310", "+19005550199"
IN, OUT, REPLY = Direction.INBOUND, Direction.OUTBOUND_API, Direction.OUTBOUND_REPLY

# What lies one upon the other, oldest first: whoever looks for one of these from the newest on
# has to pass by all that lies above it. Sender, recipient, direction, status; none is a handset.
Layer = tuple[str, str, Direction, Status]
LAYERS: Sequence[Layer] = (
    (OURS, "", OUT, Status.DELIVERED),
    (SECOND, "", OUT, Status.FAILED),
    (SECOND, "", OUT, Status.DELIVERED),
    ("", OURS, IN, Status.RECEIVED),
    (SECOND, "", REPLY, Status.DELIVERED),
    (SECOND, "", OUT, Status.QUEUED),
)
ROWS = 4_000  # In each layer.
NUMBERS = (None, OURS, SECOND, NOBODY)
SPANS: Mapping[str, Mapping[str, Any]] = {
    "at any time": {},
    "before": {"sent_before": NOON + 20 * DAY},
    "after": {"sent_from": NOON + 4 * DAY},
    "on a day": {"sent_from": NOON + 11 * DAY, "sent_before": NOON + 12 * DAY},
    "never": {"sent_from": NOON + 99 * DAY},
}
_KNOWN = text("SELECT reltuples FROM pg_class WHERE oid = 'messages'::regclass")
# On the whole way through one layer SQLite takes a dozen steps for each row and PostgreSQL reads
# hundreds of pages, and there are six.
STEPS_MAX, BLOCKS_MAX = 80_000, 700


def console_filters() -> Iterator[MessageFilter]:
    """Yield what the log of the console can be narrowed to."""
    statuses = ((), *((s,) for s in (Status.DELIVERED, Status.FAILED, Status.RECEIVED)))
    days: Sequence[Mapping[str, Any]] = (
        {},
        {"created_from": NOON + 2 * DAY, "created_before": NOON + 3 * DAY},
    )
    for number, status, direction, day in product(NUMBERS, statuses, (None, IN, OUT, REPLY), days):
        yield MessageFilter(address=number, statuses=status, direction=direction, **day)


def api_filters() -> Iterator[MessageFilter]:
    """Yield what lists of the API can be narrowed to."""
    for to, sender, span in product(NUMBERS, NUMBERS, SPANS.values()):
        yield MessageFilter(recipient=to, sender=sender, **span)


def made() -> list[Message]:
    """Return the layers, over thirty days, and a few messages of somebody else between them."""
    chance = Chance(7)
    step = 30 * DAY / (len(LAYERS) * ROWS)
    messages = []
    for n, layer in enumerate(layer for layer in LAYERS for _ in range(ROWS)):
        sender, recipient, direction, status = layer
        at = NOON + n * step
        handset = HANDSET if n % 1000 == 1 else f"+1303{n:07}"
        is_sent = status not in (Status.QUEUED, Status.FAILED)
        messages.append(
            Message(
                account_sid=OTHER if n % 500 == 0 else ACCOUNT,
                sid=chance.sid("SM", at),
                direction=direction,
                status=status,
                sender=sender or handset,
                recipient=recipient or handset,
                body="Hello",
                encoding="GSM-7",
                num_segments=1,
                carrier="test",
                created_at=at,
                updated_at=at,
                sent_at=at + timedelta(seconds=n % 7) if is_sent else None,
            )
        )
    return messages


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Yield a database that holds the layers."""
    with DATABASES.connected(tmp_path_factory.mktemp("cost")) as db:
        messages = made()
        for first in range(0, len(messages), 1_000):
            insert_messages(db, messages[first : first + 1_000])
        if db.dialect.name == "postgresql":
            db.exec_driver_sql("ANALYZE messages")
        yield db


class Cost:
    """Counts what statements cost: SQLite's steps, or the pages that PostgreSQL reads."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        self.said: list[tuple[str, Any]] = []
        self.steps = 0
        raw = db.connection.driver_connection
        self.file = raw if isinstance(raw, sqlite3.Connection) else None

    def of(self, wanted: MessageFilter, page: Page) -> tuple[Found[Message], int]:
        """Return a page and its cost."""
        self.said, self.steps = [], 0
        event.listen(self.db, "before_cursor_execute", self._note)
        if self.file:
            self.file.set_progress_handler(self._step, 100)
        found = page_messages(self.db, ACCOUNT, wanted, page)
        if self.file:
            self.file.set_progress_handler(None, 0)
        event.remove(self.db, "before_cursor_execute", self._note)
        return found, self.steps if self.file else sum(self._blocks(*each) for each in self.said)

    def _note(
        self, _: Connection, cursor: object, statement: str, values: Any, *__: object
    ) -> None:
        self.said.append((statement, values))

    def _step(self) -> int:
        self.steps += 100
        return 0

    def _blocks(self, statement: str, values: Any) -> int:
        explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
        (plan,) = self.db.exec_driver_sql(explained, values).scalar_one()
        top = (plan if isinstance(plan, dict) else json.loads(plan))["Plan"]
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


@pytest.mark.postgresql
async def test_a_server_knows_how_much_there_is_when_we_begin(tmp_path: Path) -> None:
    """A database that was restored has no statistics, and wrong plans until it has them."""
    with DATABASES.connected(tmp_path) as db:
        insert_messages(db, made()[:100])
        assert db.execute(_KNOWN).scalar_one() < 0
    store = open_store(tmp_path, DATABASES.settings(tmp_path)["database"])
    with store.engine.connect() as db, db.begin():
        assert db.execute(_KNOWN).scalar_one() == 100
    await store.close()


@pytest.mark.parametrize("filters", [console_filters, api_filters])
def test_a_page_costs_no_more_because_there_are_many_others(db: Connection, filters: Any) -> None:
    """The first page, the one behind it and the one in front of that, for all that can be asked."""
    cost = Cost(db)
    limit = STEPS_MAX if cost.file else BLOCKS_MAX
    dear = []
    for wanted in filters():
        found, spent = cost.of(wanted, Page())
        costs = [spent]
        if found.has_next:
            second, spent = cost.of(wanted, Page(after=found.items[-1].sid))
            costs.append(spent)
            costs.append(cost.of(wanted, Page(before=second.items[0].sid))[1])
        if max(costs) > limit:
            dear.append((costs, wanted))
    assert dear == []
