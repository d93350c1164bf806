"""A Store on PostgreSQL: one connection writes, a few others read, each on a thread of its own.

Rule 1: what `write` returned for is on disk; nothing waits for the network inside a work but for
        the database itself.
Rule 2: a group whose COMMIT was not answered is asked for by its mark: a row that it would have
        left. Until that is known nothing of it runs again.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from trunkline.runtime import Meter
from trunkline.store.groups import Groups, Work
from trunkline.store.marks import Marks, was_kept
from trunkline.store.postgres_engine import Address, open_engine, reason, send

log = structlog.get_logger()

T = TypeVar("T")

READERS = 4  # A read waits for the server, not for us; more of them only queue there.
# A statement of ours takes milliseconds, and a list over ten million messages still less than a
# second: what takes longer holds up everybody else.
WRITE_SECONDS_MAX = 10
READ_SECONDS_MAX = 30
# A node that was stopped in the middle of a work keeps its locks no longer than this.
IDLE_SECONDS_MAX = 5
LOCK_SECONDS_MAX = 5
CONFLICT_TRIES_MAX = 3  # Whoever is undone for another goes first then, nearly always.
# How long a work waits for a database that is gone, before its caller is told: a restart of the
# server takes less, also behind PgBouncer, which looks for it every 15 seconds. A failover may
# take longer, and callers ask again.
PATIENCE_SECONDS = 20.0
# A work that may be done already is better told after a failover than never.
OUTCOME_SECONDS = 60.0
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.05, 1.0

_CONFLICTS = frozenset({"40001", "40P01", "55P03"})  # Serialisation, deadlock, lock timeout.
_LOSSES = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})  # Shut down, or idle too long.
_READ_ONLY = "25006"  # What a primary says that became a standby.
_LIMITS = f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_SECONDS_MAX * 1000};"
_READ = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
    f"SET LOCAL statement_timeout = {READ_SECONDS_MAX * 1000};{_LIMITS}"
)
_WRITE = (
    "BEGIN ISOLATION LEVEL READ COMMITTED;"
    f"SET LOCAL statement_timeout = {WRITE_SECONDS_MAX * 1000};"
    f"SET LOCAL lock_timeout = {LOCK_SECONDS_MAX * 1000};{_LIMITS}"
)
# A COMMIT that waits for a standby would be answered at the timeout, as if the standby had it.
_COMMIT = "SET LOCAL statement_timeout = 0; COMMIT"


class PostgresStore:
    """A Store on a PostgreSQL database that may have other nodes."""

    def __init__(self, address: Address) -> None:
        self.engine = open_engine(address)
        self._reading = open_engine(address, opening=_READ, connections=READERS, more=0)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._groups = Groups(self._commit, may_split=_may_split)
        self._connection: Connection | None = None
        self._marks = Marks(secrets.token_hex(8))
        self._opening = _WRITE
        self._gone, self._out_of_sight = _Absence(), _Absence()

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
        with self.engine.connect() as db, db.begin():
            level = db.exec_driver_sql("SHOW synchronous_commit").scalar_one()
            self._marks.forget_others(db)
        # A database that was set to wait for its standbys' queries as well is left to it.
        if level != "remote_apply":
            self._opening = f"{_WRITE}SET LOCAL synchronous_commit = on;"

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in the next group commit.

        Raises ConnectionError when the database cannot be reached, and nothing was done.
        """
        return await self._groups.write(work)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run *query* on a reader's thread; raises ConnectionError as `write` does."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._query, query)

    async def scrub(self) -> bool:
        """Leave it to the server: what its log and its dead rows hold goes with their time."""
        return True

    async def close(self) -> None:
        """Finish the works that wait, and close every connection."""
        self._gone.end()
        self._out_of_sight.end()
        await self._groups.close()
        self._readers.shutdown(wait=True)
        self._reading.dispose()
        self._disconnect()
        self.engine.dispose()

    def _query(self, query: Callable[[Connection], T]) -> T:
        while True:
            try:
                with self._reading.connect() as db, db.begin():
                    found = query(db)
            except DBAPIError as error:
                if not is_lost(error):
                    raise
                self._out_of_sight.wait(error)
            else:
                self._out_of_sight.forget()
                return found

    def _commit(self, works: Sequence[Work]) -> list[Any]:
        """Return what *works* returned, all of them kept."""
        tries = 0
        while True:
            try:
                results = self._attempt(works)
            except DBAPIError as error:
                tries += 1
                if is_lost(error) or sqlstate(error) == _READ_ONLY:
                    self._disconnect()
                    self._gone.wait(error)
                elif sqlstate(error) not in _CONFLICTS or tries >= CONFLICT_TRIES_MAX:
                    raise
            else:
                self._gone.forget()
                return results

    def _attempt(self, works: Sequence[Work]) -> list[Any]:
        """Run *works* in one transaction; raise what went wrong once it is known to be undone."""
        if self._connection is None:
            self._connection = self.engine.connect()
        db, is_leaving = self._connection, False
        results: list[Any] = []
        db.execution_options(opening=self._opening + self._marks.next())
        try:
            with db.begin():
                results = [work(db) for work in works]
                _require_sound(db)
                is_leaving = True
                send(db, _COMMIT)
        except DBAPIError as error:
            if not (is_leaving and is_lost(error) and self._is_kept(error)):
                raise
        finally:
            self._tidy()
        return results

    def _is_kept(self, error: DBAPIError) -> bool:
        """Find out whether the last transaction was committed although nobody said so."""
        self._disconnect()
        while True:
            try:
                return self._asked()
            except DBAPIError as further:
                log.warning("whether a commit is kept is not known yet", reason=reason(further))
                self._gone.wait_for_outcome(error)

    def _asked(self) -> bool:
        with self.engine.connect() as db:
            db.execution_options(opening=_WRITE)
            with db.begin() as asking:
                is_kept = was_kept(db, self._marks.last)
                asking.rollback()
            return is_kept

    def _tidy(self) -> None:
        """Let go of a connection on which something of a transaction is left."""
        if self._connection is not None and _status(self._connection) != TransactionStatus.IDLE:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


class _Absence:
    """How long the database has been gone for those who ask it, and whether they should wait."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._end = threading.Event()

    def forget(self) -> None:
        """Note that it is there."""
        self._since = None

    def end(self) -> None:
        """Let nobody wait any longer."""
        self._end.set()

    def wait(self, error: DBAPIError) -> None:
        """Wait a little; raise ConnectionError when that has gone on for too long."""
        if not self._pause(PATIENCE_SECONDS):
            raise ConnectionError(f"The database cannot be reached: {reason(error)}") from error

    def wait_for_outcome(self, error: DBAPIError) -> None:
        """Wait a little for what nobody but the database knows; TimeoutError after a while."""
        if not self._pause(OUTCOME_SECONDS):
            raise TimeoutError(
                "The database went away in the middle of a commit; whether it is kept is not known"
            ) from error

    def _pause(self, seconds_max: float) -> bool:
        now = time.monotonic()
        self._since = since = self._since or now
        elapsed = now - since
        if elapsed >= seconds_max:
            return False
        self._end.wait(min(max(PAUSE_SECONDS, elapsed / 4), PAUSE_SECONDS_MAX))
        return not self._end.is_set()


def is_lost(error: BaseException) -> bool:
    """Tell whether the database went away, or is not there, rather than found a fault."""
    if not isinstance(error, DBAPIError):
        return False
    code = sqlstate(error)
    is_nameless = code is None and isinstance(error.orig, psycopg.OperationalError)
    is_named = code is not None and (code in _LOSSES or code.startswith("08"))
    return error.connection_invalidated or is_nameless or is_named


def sqlstate(error: DBAPIError) -> str | None:
    """Return PostgreSQL's code of an error; none where it did not come from the server."""
    return error.orig.sqlstate if isinstance(error.orig, psycopg.Error) else None


def _may_split(error: BaseException) -> bool:
    """Tell whether a work may be the reason why its group failed."""
    return not isinstance(error, ConnectionError | TimeoutError)


def _status(db: Connection) -> TransactionStatus:
    if db.invalidated:
        return TransactionStatus.UNKNOWN
    raw = db.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw.info.transaction_status


def _require_sound(db: Connection) -> None:
    """Raise where a work went on after a statement had failed: COMMIT would undo everything."""
    if _status(db) == TransactionStatus.INERROR:
        raise RuntimeError("a work hid that a statement failed")
