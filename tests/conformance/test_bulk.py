"""Statements with many rows mean the same on every database, however the rows get there."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from tests.databases import DATABASES
from trunkline.app import open_store
from trunkline.store.store import Database
from trunkline.store.upserts import upsert

things = Table(
    "things",
    MetaData(),
    Column("name", String(40), primary_key=True),
    Column("state", String(40)),
    Column("count", Integer),
    Column("doc", JSON),
    Column("octets", LargeBinary),
)
BY_NAME = things.c.name == bindparam("b_name")
STRANGE = ["", "'", '"', "\\", "\\u0041", "{}", "NULL", "null", "%s %(x)s", "\t\n", "☃", "𝄞", ","]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a store with a table to play with."""
    store = open_store(tmp_path, **DATABASES.settings(tmp_path))
    with store.engine.connect() as db, db.begin():
        things.create(db)
    yield store
    await store.close()


async def kept(store: Database) -> list[tuple[Any, ...]]:
    """Return what is in the table."""
    query = select(things.c.name, things.c.state, things.c.count, things.c.doc).order_by("name")
    return await store.read(lambda db: [tuple(row) for row in db.execute(query)])


async def run(store: Database, statement: Any, rows: Sequence[dict[str, Any]]) -> int:
    """Execute a statement for some rows; return how many rows of the table it touched."""
    return await store.write(lambda db: db.execute(statement, rows).rowcount)


async def fill(store: Database, *names: str) -> None:
    """Put things into the table."""
    rows = [{"name": name, "state": "new", "count": 0, "doc": {}} for name in names]
    await store.write(lambda db: db.execute(insert(things), rows))


async def test_values_come_back_as_they_went(store: Database) -> None:
    """Whatever a text holds, and where there is no value."""
    rows = [
        {"name": f"{n:02}", "state": text, "count": n - 5, "doc": {"text": text, "list": [n, None]}}
        for n, text in enumerate(STRANGE)
    ]
    rows.append({"name": "none", "state": None, "count": None, "doc": {}})
    await store.write(lambda db: db.execute(insert(things), rows))
    assert await kept(store) == [tuple(row.values()) for row in rows]


async def test_octets_come_back_as_they_went(store: Database) -> None:
    """Octets are no text."""
    rows = [{"name": str(n), "octets": bytes([n, 0, 255])} for n in range(3)]
    await store.write(lambda db: db.execute(insert(things), rows))
    query = select(things.c.octets).order_by(things.c.name)
    octets = await store.read(lambda db: [bytes(o) for o in db.execute(query).scalars()])
    assert octets == [row["octets"] for row in rows]


async def test_updates_come_one_after_the_other(store: Database) -> None:
    """Also where two rows of a batch change the same thing, or one thing's change is another's."""
    await fill(store, "a", "b", "c")
    more = update(things).where(BY_NAME).values(count=things.c.count + bindparam("b_more"))
    names = ["a", "b", "a", "a"]
    rows = [{"b_name": name, "b_more": 1} for name in names]
    assert await run(store, more, rows) == 4
    step = (
        update(things)
        .where(BY_NAME, things.c.state == bindparam("b_old"))
        .values(state=bindparam("b_new"))
    )
    steps = [("a", "new", "old"), ("a", "old", "older"), ("b", "other", "old"), ("c", "new", "old")]
    rows = [{"b_name": n, "b_old": old, "b_new": new} for n, old, new in steps]
    assert await run(store, step, rows) == 3
    assert [row[:3] for row in await kept(store)] == [
        ("a", "older", 3),
        ("b", "new", 1),
        ("c", "old", 0),
    ]


async def test_the_last_of_two_that_conflict_stays(store: Database) -> None:
    """With what is there, and with each other."""
    await fill(store, "a")
    statement = upsert(things)
    statement = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"state": statement.excluded.state},
        where=things.c.state != statement.excluded.state,
    )
    for batch in (["a", "b"], ["b", "c", "b"]):
        rows = [
            {"name": name, "state": f"{name}{n}", "count": n, "doc": {}}
            for n, name in enumerate(batch)
        ]
        await run(store, statement, rows)
    assert [row[:3] for row in await kept(store)] == [
        ("a", "a0", 0),
        ("b", "b2", 1),
        ("c", "c1", 1),
    ]


async def test_what_is_deleted_is_counted_once(store: Database) -> None:
    """Also when it is asked for twice, or was never there."""
    await fill(store, "a", "b", "c")
    rows: list[dict[str, Any]] = [{"b_name": name} for name in ("a", "a", "x", "c")]
    assert await run(store, delete(things).where(BY_NAME), rows) == 2
    assert [row[0] for row in await kept(store)] == ["b"]


async def test_a_row_that_cannot_be_takes_the_others_along(store: Database) -> None:
    """The work fails, and nothing of it stays."""

    def work(db: Connection) -> None:
        rows: list[dict[str, Any]] = [{"name": name, "doc": {}} for name in ("a", "b", "a")]
        db.execute(insert(things), rows)

    with pytest.raises(IntegrityError):
        await store.write(work)
    assert await kept(store) == []


async def test_nul_is_no_reason_to_lose_a_row(store: Database) -> None:
    """Documents keep the character, texts of PostgreSQL have another in its place."""
    rows = [{"name": f"{n}", "state": "a\0b", "count": n, "doc": {"x": "a\0b"}} for n in range(2)]
    await store.write(lambda db: db.execute(insert(things), rows))
    found = await kept(store)
    assert [row[3] for row in found] == [{"x": "a\0b"}] * 2
    assert {row[1] for row in found} <= {"a\0b", "a\ufffdb"}
