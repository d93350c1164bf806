"""Which scheduled messages are read when their time has come: every account's."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.databases import DATABASES
from trunkline.app import open_store
from trunkline.store.schedule import Scheduled, insert_scheduled, load_scheduled
from trunkline.store.store import Database

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANY, FEW, NONE = ("AC" + digit * 32 for digit in "012")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a store in which one account has much to send, one little, one nothing yet."""
    store = open_store(tmp_path, **DATABASES.settings(tmp_path))
    rows = [
        *(waiting(MANY, number, minutes=-60) for number in range(100)),
        *(waiting(FEW, number, minutes=-1) for number in range(100, 103)),
        waiting(NONE, 103, minutes=1),
    ]
    await store.write(lambda db: insert_scheduled(db, rows))
    yield store
    await store.close()


def waiting(account_sid: str, number: int, *, minutes: int) -> Scheduled:
    """Return a message that is due so many minutes after noon."""
    due_at = NOON + timedelta(minutes=minutes)
    return Scheduled(account_sid=account_sid, message_sid=f"SM{number:032}", due_at=due_at)


async def due(store: Database, *, limit: int) -> list[int]:
    """Return the numbers of what is read."""
    rows = await store.read(lambda db: load_scheduled(db, NOON, limit=limit))
    return [int(row.message_sid[2:]) for row in rows]


async def test_what_one_account_sends_hides_nobody_elses(store: Database) -> None:
    """Each has a share of a look, in the order of their times."""
    assert await due(store, limit=10) == [0, 1, 2, 3, 4, 100, 101, 102]
    assert await due(store, limit=2) == [0, 100]


async def test_all_that_is_due_is_read_where_there_is_room(store: Database) -> None:
    """And nothing that is not."""
    assert await due(store, limit=200) == list(range(103))
    # Of more accounts than there is room for, those come first that have waited longest.
    assert await due(store, limit=1) == [0]
