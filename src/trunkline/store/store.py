"""The connection to the database: reads beside each other, writes grouped into one commit.

Rule 1: only the writer's thread writes and checkpoints, and its connection closes last.
        (SQLite before 3.51.3 can corrupt a WAL when two connections do so at one moment.)
Rule 2: what `write` returned for is on disk; nothing waits for the network inside a work.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, SingletonThreadPool

from trunkline.runtime import Meter
from trunkline.store.groups import Groups, Work

T = TypeVar("T")

READERS = 3  # Reads are short and share two or more cores with the event loop.
BUSY_SECONDS = 10  # A reader may meet a checkpoint; the writer has the file to itself.
# Where readers never pause, SQLite itself never begins its log anew.
LOG_BYTES_MAX = 67_108_864
LOG_WAIT_MS = 250  # How long writes may wait for readers then; if that fails, the log grows on.


class Store(Protocol):
    """Where everything is kept. Works and queries are plain synchronous functions."""

    @property
    def waiting(self) -> int:
        """How many works wait for the commit after the one that is under way."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* returned, once it is on disk; raise what it raised, with it undone."""

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Return what *query* returned on a consistent view of the data."""

    async def scrub(self) -> bool:
        """Keep nothing of what was erased beside the data; False while something holds that up."""


class Database(Store, Protocol):
    """A Store as whoever opens it sees it."""

    meter: Meter

    @property
    def engine(self) -> Engine:
        """Connections for what must happen before works are taken, or beside them."""

    def start(self) -> None:
        """Begin to take works; the schema must be in place."""

    async def close(self) -> None:
        """Finish the works that wait, and let go of every connection."""


class SqliteStore:
    """A Store on one SQLite file in WAL mode with full synchronisation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = _engine(path, reading=False)
        self._reading = _engine(path, reading=True)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._groups = Groups(self._commit, run=self._run)
        self._connection: Connection | None = None
        self._log_path = path.with_name(path.name + "-wal")
        self._log_limit = LOG_BYTES_MAX

    @property
    def meter(self) -> Meter:
        """Where commits are counted."""
        return self._groups.meter

    @meter.setter
    def meter(self, meter: Meter) -> None:
        self._groups.meter = meter

    @property
    def waiting(self) -> int:
        """How many works wait for the commit after the one that is under way."""
        return self._groups.waiting

    def start(self) -> None:
        """Begin to take works; the schema must be in place."""
        self._connection = self.engine.connect()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in the next group commit."""
        return await self._groups.write(work)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run *query* on a reader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._query, query)

    async def scrub(self) -> bool:
        """Begin the log anew, with the next commit; False while a reader needs what is in it."""
        self._log_limit = 0
        await self.write(lambda db: None)
        return self._log_limit <= LOG_BYTES_MAX

    async def close(self) -> None:
        """Finish the works that wait, close the readers, and close the writer last."""
        await self._groups.close()
        self._readers.shutdown(wait=True)
        self._reading.dispose()
        if self._connection is not None:
            self._connection.close()
        self.engine.dispose()

    def _query(self, query: Callable[[Connection], T]) -> T:
        with self._reading.connect() as db, db.begin():
            return query(db)

    def _run(self, works: Sequence[Work]) -> list[Any]:
        """Return what *works* returned; the transaction waits to be committed."""
        assert self._connection is not None, "the store has not been started"
        with contextlib.ExitStack() as undoing:
            transaction = self._connection.begin()
            undoing.callback(transaction.rollback)
            results = [work(self._connection) for work in works]
            undoing.pop_all()
        return results

    def _commit(self, results: list[Any]) -> list[Any]:
        """Put on disk what the works did that returned *results*."""
        assert self._connection is not None, "the store has not been started"
        transaction = self._connection.get_transaction()
        assert transaction is not None, "nothing was run"
        with transaction:
            pass
        self._shorten_log(self._connection)
        return results

    def _shorten_log(self, db: Connection) -> None:
        """Begin the log anew when it became long; what is committed is so, whether or not."""
        size = self._log_path.stat().st_size if self._log_path.exists() else 0
        if size <= self._log_limit:
            return
        raw = db.connection.cursor()
        try:
            raw.execute(f"PRAGMA busy_timeout={LOG_WAIT_MS}")
            (is_busy, *_) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            is_busy = 1  # A full disk, for example; the next commits will tell.
        finally:
            raw.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
            raw.close()
        self._log_limit = size + LOG_BYTES_MAX if is_busy else LOG_BYTES_MAX


def _engine(path: Path, *, reading: bool) -> Engine:
    pool = SingletonThreadPool if reading else NullPool
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=pool,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        hide_parameters=True,  # Texts and numbers stay out of the logs of failed statements.
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        if reading:
            connection.execute("PRAGMA query_only=ON")
        else:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA journal_size_limit=67108864")
            # What is deleted is overwritten; no cost was to be measured.
            connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA cache_size=-65536")

    @event.listens_for(engine, "begin")
    def begin(db: Connection) -> None:
        db.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
