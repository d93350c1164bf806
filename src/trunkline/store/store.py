"""The connection to the database: reads beside each other, writes grouped into one commit.

Rule 1: only the writer's thread writes and checkpoints, and its connection closes last.
        (SQLite before 3.51.3 can corrupt a WAL when two connections do so at one moment.)
Rule 2: what `write` returned for is on disk; nothing waits for the network inside a work.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, SingletonThreadPool

T = TypeVar("T")

GROUP_MAX = 200  # Works in one commit; more only makes the first of them wait longer.
READERS = 3  # Reads are short and share two or more cores with the event loop.
BUSY_SECONDS = 10  # A reader may meet a checkpoint; the writer has the file to itself.
# Where readers never pause, SQLite itself never begins its log anew.
LOG_BYTES_MAX = 67_108_864
LOG_WAIT_MS = 250  # How long writes may wait for readers then; if that fails, the log grows on.


class Store(Protocol):
    """Where everything is kept. Works and queries are plain synchronous functions."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* returned, once it is on disk; raise what it raised, with it undone."""

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Return what *query* returned on a consistent view of the data."""


Work = Callable[[Connection], Any]


class SqliteStore:
    """A Store on one SQLite file in WAL mode with full synchronisation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = _engine(path, reading=False)
        self._reading = _engine(path, reading=True)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._connection: Connection | None = None
        self._log_path = path.with_name(path.name + "-wal")
        self._log_limit = LOG_BYTES_MAX
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take works; the schema must be in place."""
        self._connection = self.engine.connect()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in the next group commit."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_groups())
        return await future

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run *query* on a reader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._query, query)

    async def close(self) -> None:
        """Finish the works that wait, close the readers, and close the writer last."""
        if self._writing is not None:
            await self._writing
        self._readers.shutdown(wait=True)
        self._reading.dispose()
        self._writer.shutdown(wait=True)
        if self._connection is not None:
            self._connection.close()
        self.engine.dispose()

    def _query(self, query: Callable[[Connection], T]) -> T:
        with self._reading.connect() as db, db.begin():
            return query(db)

    async def _write_groups(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
            outcome = await self._attempt([work for work, _ in group])
            if isinstance(outcome, BaseException) and len(group) > 1:
                # Each alone, so that the one that failed fails alone.
                for work, future in group:
                    _settle([future], await self._attempt([work]))
            else:
                _settle([future for _, future in group], outcome)
        self._writing = None

    async def _attempt(self, works: Sequence[Work]) -> list[Any] | BaseException:
        outcomes = await asyncio.gather(self._run(works), return_exceptions=True)
        return outcomes[0]

    async def _run(self, works: Sequence[Work]) -> list[Any]:
        # A closed writer raises here at once; whoever waits for its work is told of it, too.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, self._commit, works)

    def _commit(self, works: Sequence[Work]) -> list[Any]:
        assert self._connection is not None, "the store has not been started"
        with self._connection.begin():
            results = [work(self._connection) for work in works]
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


def _settle(futures: Sequence[asyncio.Future[Any]], outcome: list[Any] | BaseException) -> None:
    """Give the callers their results, or the error; who no longer waits gets neither."""
    if isinstance(outcome, BaseException):
        for future in futures:
            if not future.done():
                future.set_exception(outcome)
        return
    for future, result in zip(futures, outcome, strict=True):
        if not future.done():
            future.set_result(result)


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
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA cache_size=-65536")

    @event.listens_for(engine, "begin")
    def begin(db: Connection) -> None:
        db.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
