"""What every Store must do: commit in groups, fail alone, read beside writes, and lose nothing."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import OperationalError

from trunkline.app import StartupError, open_store
from trunkline.store.schema import current_version, known_versions, upgrade
from trunkline.store.store import SqliteStore
from trunkline.store.tables import metadata


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """Yield a started store with one table to play with."""
    store = SqliteStore(tmp_path / "test.db")
    with store.engine.connect() as db, db.begin():
        db.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    store.start()
    yield store
    await store.close()


def put(n: int) -> Callable[[Connection], int]:
    """Return a work that stores *n*."""

    def work(db: Connection) -> int:
        db.execute(text("INSERT INTO t VALUES (:n)"), {"n": n})
        return n

    return work


def count(db: Connection) -> int:
    """Return how many rows there are."""
    return int(db.execute(text("SELECT count(*) FROM t")).scalar_one())


async def test_what_write_returned_for_is_on_disk(store: SqliteStore) -> None:
    """Another connection, as after a crash, sees it."""
    assert await store.write(put(1)) == 1
    with sqlite3.connect(store.path) as other:
        assert other.execute("SELECT n FROM t").fetchall() == [(1,)]


async def test_works_that_wait_together_commit_together(store: SqliteStore) -> None:
    """A hundred callers cost a few commits."""
    commits: list[object] = []
    event.listen(store.engine, "commit", commits.append)
    results = await asyncio.gather(*(store.write(put(n)) for n in range(100)))
    assert results == list(range(100))
    assert len(commits) <= 3
    assert await store.read(count) == 100


async def test_a_bad_work_fails_alone(store: SqliteStore) -> None:
    """The others of its group are committed, each once."""

    def bad(db: Connection) -> None:
        db.execute(text("INSERT INTO t VALUES (1000)"))
        raise ValueError("no")

    works = [put(1), bad, put(2), put(1), put(3)]
    results = await asyncio.gather(
        *(store.write(work) for work in works),
        return_exceptions=True,
    )
    assert [type(r).__name__ for r in results] == [
        "int",
        "ValueError",
        "int",
        "IntegrityError",
        "int",
    ]
    assert await store.read(count) == 3


async def test_readers_cannot_write(store: SqliteStore) -> None:
    """Only the writer's connection may."""
    with pytest.raises(OperationalError):
        await store.read(put(1))
    assert await store.read(count) == 0


async def test_a_caller_that_leaves_does_not_stop_the_group(store: SqliteStore) -> None:
    """A cancelled write is committed or not, and the others are."""
    first = asyncio.ensure_future(store.write(put(1)))
    second = asyncio.ensure_future(store.write(put(2)))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 2
    assert await store.read(count) == 2


async def test_it_is_fully_synchronised(store: SqliteStore) -> None:
    """WAL with synchronous=FULL: a commit survives the loss of power."""

    def settings(db: Connection) -> tuple[object, object]:
        return (
            db.exec_driver_sql("PRAGMA journal_mode").scalar(),
            db.exec_driver_sql("PRAGMA synchronous").scalar(),
        )

    assert await store.write(settings) == ("wal", 2)


async def test_the_log_stays_short_where_readers_never_pause(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite alone would never begin it anew."""
    limit = 1_000_000
    monkeypatch.setattr("trunkline.store.store.LOG_BYTES_MAX", limit)
    store._log_limit = limit
    longest = 0

    def grow(db: Connection) -> None:
        db.execute(text("INSERT INTO t VALUES (NULL)"))
        db.execute(text("CREATE TABLE IF NOT EXISTS big (octets BLOB)"))
        db.execute(text("INSERT INTO big VALUES (zeroblob(50000))"))

    async def write() -> None:
        nonlocal longest
        for _ in range(200):
            await store.write(grow)
            longest = max(longest, (store.path.parent / "test.db-wal").stat().st_size)

    async def read() -> None:
        while await store.read(count) < 200:
            continue

    await asyncio.gather(write(), read(), read(), read())
    assert longest < 4 * limit


async def test_close_finishes_what_waits(store: SqliteStore) -> None:
    """Writes that were begun before the end are committed."""
    waiting = [asyncio.ensure_future(store.write(put(n))) for n in range(10)]
    await asyncio.sleep(0)
    await store.close()
    assert [await w for w in waiting] == list(range(10))


def test_a_migrated_schema_is_the_declared_one(tmp_path: Path) -> None:
    """No difference between the tables as declared and as the migrations make them."""
    engine = create_engine(f"sqlite:///{tmp_path / 'schema.db'}")
    upgrade(engine)
    with engine.connect() as db:
        assert compare_metadata(MigrationContext.configure(db), metadata) == []
        assert current_version(db) == known_versions()[0]


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """A version that we do not know is left alone, with one sentence."""
    await open_store(tmp_path).close()
    with sqlite3.connect(tmp_path / "trunkline.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StartupError, match="newer version"):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """So is something else under the database's name."""
    (tmp_path / "trunkline.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StartupError, match="cannot be used"):
        open_store(tmp_path)


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Whoever writes too late gets an error, and does not wait for ever."""
    store = SqliteStore(tmp_path / "closed.db")
    upgrade(store.engine)
    store.start()
    await store.close()
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError):
            await store.write(lambda db: None)
