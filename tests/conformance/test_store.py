"""What every Store must do: commit in groups, fail alone, read beside writes, and lose nothing."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.databases import DATABASES
from trunkline.app import StartupError, open_store
from trunkline.store.opening import unopened_store
from trunkline.store.schema import current_version, known_versions, upgrade
from trunkline.store.store import Database, SqliteStore
from trunkline.store.tables import metadata


def reopened(data_dir: Path) -> Database:
    """Return a started store on the database of a data directory."""
    return open_store(data_dir, **DATABASES.settings(data_dir))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a started store with one table to play with."""
    store = reopened(tmp_path)
    with store.engine.connect() as db, db.begin():
        db.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
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


async def test_what_write_returned_for_is_on_disk(store: Database, tmp_path: Path) -> None:
    """Another connection, as after a crash, sees it."""
    assert await store.write(put(1)) == 1
    other = unopened_store(tmp_path, DATABASES.settings(tmp_path).get("database"))
    with other.engine.connect() as db, db.begin():
        assert db.execute(text("SELECT n FROM t")).all() == [(1,)]
    await other.close()


async def test_works_that_wait_together_commit_together(store: Database) -> None:
    """A hundred callers cost a few commits."""
    commits: list[object] = []
    event.listen(store.engine, "commit", commits.append)
    results = await asyncio.gather(*(store.write(put(n)) for n in range(100)))
    assert results == list(range(100))
    assert len(commits) <= 3
    assert await store.read(count) == 100


async def test_a_bad_work_fails_alone(store: Database) -> None:
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


async def test_a_work_that_hides_a_failed_statement_changes_nothing(store: Database) -> None:
    """What it did besides is kept whole, or not at all and the caller is told."""

    def careless(db: Connection) -> int:
        put(1)(db)
        with pytest.raises(IntegrityError):
            put(1)(db)
        return 1

    (outcome,) = await asyncio.gather(store.write(careless), return_exceptions=True)
    assert await store.read(count) == (1 if outcome == 1 else 0)
    assert await store.write(put(2)) == 2


async def test_a_query_sees_one_moment(store: Database) -> None:
    """What is committed between two statements of a query is for the next query."""
    has_looked, may_go_on = threading.Event(), threading.Event()

    def twice(db: Connection) -> tuple[int, int]:
        first = count(db)
        has_looked.set()
        assert may_go_on.wait(10)
        return first, count(db)

    looking = asyncio.ensure_future(store.read(twice))
    await asyncio.to_thread(has_looked.wait, 10)
    await store.write(put(1))
    may_go_on.set()
    assert await looking == (0, 0)
    assert await store.read(count) == 1


async def test_readers_cannot_write(store: Database) -> None:
    """Only the writer's connection may."""
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        await store.read(put(1))
    assert await store.read(count) == 0


async def test_a_caller_that_leaves_does_not_stop_the_group(store: Database) -> None:
    """A cancelled write is committed or not, and the others are."""
    first = asyncio.ensure_future(store.write(put(1)))
    second = asyncio.ensure_future(store.write(put(2)))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 2
    assert await store.read(count) == 2


@pytest.mark.sqlite
async def test_it_is_fully_synchronised(store: Database) -> None:
    """WAL with synchronous=FULL: a commit survives the loss of power."""

    def settings(db: Connection) -> tuple[object, object]:
        return (
            db.exec_driver_sql("PRAGMA journal_mode").scalar(),
            db.exec_driver_sql("PRAGMA synchronous").scalar(),
        )

    assert await store.write(settings) == ("wal", 2)


@pytest.mark.sqlite
async def test_the_log_stays_short_where_readers_never_pause(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite alone would never begin it anew."""
    assert isinstance(store, SqliteStore)
    log, limit = store.path.with_name(store.path.name + "-wal"), 1_000_000
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
            longest = max(longest, log.stat().st_size)

    async def read() -> None:
        while await store.read(count) < 200:
            continue

    await asyncio.gather(write(), read(), read(), read())
    assert longest < 4 * limit


async def test_close_finishes_what_waits(store: Database) -> None:
    """Writes that were begun before the end are committed."""
    waiting = [asyncio.ensure_future(store.write(put(n))) for n in range(10)]
    await asyncio.sleep(0)
    await store.close()
    assert [await w for w in waiting] == list(range(10))


async def test_a_migrated_schema_is_the_declared_one(tmp_path: Path) -> None:
    """No difference between the tables as declared and as the migrations make them."""
    store = unopened_store(tmp_path, DATABASES.settings(tmp_path, has_schema=False).get("database"))
    upgrade(store.engine)
    with store.engine.connect() as db:
        assert compare_metadata(MigrationContext.configure(db), metadata) == []
        assert current_version(db) == known_versions()[0]
    await store.close()


async def change_version(data_dir: Path, *, oldest: str) -> None:
    """Leave word as a version of this program does that we do not know."""
    store = reopened(data_dir)
    with store.engine.connect() as db, db.begin():
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        db.execute(text("UPDATE compatibility SET oldest = :oldest"), {"oldest": oldest})
    await store.close()


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """A version that we do not know is left alone, with one sentence."""
    await change_version(tmp_path, oldest="9999")
    with pytest.raises(StartupError, match="newer version"):
        reopened(tmp_path)


async def test_a_newer_database_that_has_room_for_us_is_used(tmp_path: Path) -> None:
    """While a newer version takes over, nodes of the older one may still be started."""
    await change_version(tmp_path, oldest=known_versions()[0])
    store = reopened(tmp_path)
    assert await store.write(current_version) == "9999"
    await store.close()


@pytest.mark.sqlite
def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """So is something else under the database's name."""
    (tmp_path / "trunkline.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StartupError, match="cannot be used"):
        open_store(tmp_path)


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Whoever writes too late gets an error, and does not wait for ever."""
    store = reopened(tmp_path)
    await store.close()
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError):
            await store.write(lambda db: None)
