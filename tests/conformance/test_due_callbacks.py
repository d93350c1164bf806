"""Which due webhooks are read: each account's at each host, whatever others have there."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.databases import DATABASES
from trunkline.app import open_store
from trunkline.domain.ids import AT_ONCE
from trunkline.store import callbacks
from trunkline.store.callbacks import (
    CallbackRow,
    insert_callbacks,
    load_due_callbacks,
    shard_of,
)
from trunkline.store.hosts import Turn
from trunkline.store.store import Database

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANY, FEW = "AC" + "0" * 32, "AC" + "1" * 32


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a store without webhooks."""
    store = open_store(tmp_path, **DATABASES.settings(tmp_path))
    yield store
    await store.close()


def webhook(number: int, **fields: Any) -> CallbackRow:
    """Return a webhook of a message of its own."""
    host = fields.pop("host", "app.example")
    known: dict[str, Any] = {
        "sid": f"CB{number:032}",
        "account_sid": MANY,
        "message_sid": f"SM{number:032}",
        "kind": "status",
        "url": f"https://{host}/status",
        "parameters": {"MessageStatus": "sent"},
        "token": "token",
        "due_at": AT_ONCE,
        "created_at": NOON + timedelta(microseconds=number),
    }
    return CallbackRow(**(known | fields))


async def kept(store: Database, rows: Sequence[CallbackRow]) -> None:
    await store.write(lambda db: insert_callbacks(db, rows))


async def due(store: Database, **options: Any) -> list[int]:
    """Return the numbers of what is read."""

    def query(db: Connection) -> list[CallbackRow]:
        return load_due_callbacks(db, NOON, **({"limit": 1000} | options))

    return [int(row.sid[2:]) for row in await store.read(query)]


async def test_what_one_account_has_at_a_host_hides_nobody_elses(store: Database) -> None:
    """A look brings a little of each, so that the last of a long queue is not waited for."""
    await kept(store, [webhook(n) for n in range(2000)])
    await kept(store, [webhook(5000, account_sid=FEW), webhook(6000, host="other.example")])
    found = await due(store, limit=30)
    assert (5000 in found, 6000 in found) == (True, True)
    assert found[:10] == list(range(10))
    assert len(found) == 12


async def test_what_is_known_is_not_read_again(store: Database) -> None:
    """What follows it is, as much as was asked for."""
    await kept(store, [webhook(n) for n in range(50)])
    known = {Turn("app.example", MANY): {webhook(n).sid for n in range(0, 40, 2)}}
    assert await due(store, limit=5, known=known) == [1, 3, 5, 7, 9]
    assert await due(store, limit=30, known=known) == [*range(1, 40, 2), *range(40, 50)]


async def test_turns_that_are_supplied_are_passed_over(store: Database) -> None:
    """An account at a host, not the account and not the host."""
    elsewhere = webhook(2, host="other.example")
    await kept(store, [webhook(1), elsewhere, webhook(3, account_sid=FEW)])
    assert await due(store, supplied={Turn("app.example", MANY)}) == [3, 2]


async def test_turns_that_came_last_come_first_next_time(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once around, however many there are, and whatever has just come to its end."""
    monkeypatch.setattr(callbacks, "TURNS_MAX", 3)
    accounts = [f"AC{n:032}" for n in range(10)]
    await kept(store, [webhook(n, account_sid=account) for n, account in enumerate(accounts)])
    await kept(store, [webhook(20, host="", url="nonsense"), webhook(21, host="z.example")])
    assert await due(store) == [20, *range(10), 21]
    assert await due(store, limit=4, after=Turn("app.example", accounts[5])) == [6, 7, 8, 9]
    assert await due(store, limit=6, after=Turn("app.example", accounts[8])) == [9, 21, 20, 0, 1, 2]
    assert await due(store, after=Turn("b.example", FEW)) == [21, 20, *range(10)]


async def test_of_a_message_the_first_is_due_alone(store: Database) -> None:
    """Parked ones and those that are not due yet are nobody's turn; the former hold nothing up."""
    message = {"message_sid": f"SM{'a' * 32}"}
    await kept(store, [webhook(1, **message), webhook(2, **message)])
    later = {"due_at": NOON + timedelta(seconds=1)}
    await kept(store, [webhook(3, message_sid="SM3", due_at=None), webhook(4, message_sid="SM3")])
    await kept(store, [webhook(5, message_sid="SM5", **later), webhook(6, message_sid="SM5")])
    await kept(store, [webhook(7, account_sid=FEW, due_at=None)])
    assert await due(store) == [1, 4]


async def test_a_node_reads_what_is_its_own(store: Database) -> None:
    """The accounts of its shards."""
    await kept(store, [webhook(1), webhook(2, account_sid=FEW)])
    assert shard_of(MANY) != shard_of(FEW)
    assert await due(store, shards={shard_of(FEW)}) == [2]
