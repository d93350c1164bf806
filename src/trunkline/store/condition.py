"""What a database tells of its own condition and of what waits in it, to whoever examines it.

Rule: nothing here writes; every look is bounded, by rows or by seconds.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from urllib.parse import quote

import msgspec
from sqlalchemy import Connection, Engine, create_engine, func, select
from sqlalchemy.pool import NullPool

from trunkline.domain.ids import EPOCH, instant, position_at, sid_micros
from trunkline.store.hosts import host_of
from trunkline.store.messages import newest_sids
from trunkline.store.tables import callback_attempts, callbacks

LOOK_SECONDS_MAX = 20.0  # For one look at everything; a database of 10 GB is read in part then.
PARKED_COUNTED_MAX = 10_000  # Past this, "10,000 or more" says as much.
ATTEMPTS_MAX = 2_000  # Of each account; enough to know which of its hosts fail.
_STEPS_BETWEEN_LOOKS = 100_000  # Instructions of SQLite's, some ten milliseconds of them.
_MESSAGES = ("SM", "MM")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteFacts:
    """What SQLite says of itself and of its file."""

    version: str
    journal_mode: str
    file_bytes: int
    log_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """How the latest webhooks to a host went."""

    host: str
    attempts: int
    failures: int
    reason: str


def open_file(path: Path) -> Engine:
    """Return an engine that reads a database file and cannot change it, whoever else has it open.

    SQLite itself may make the files of its log beside it.
    """
    place = f"file:{quote(str(path))}?mode=ro"
    return create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(place, uri=True, timeout=LOOK_SECONDS_MAX),
        poolclass=NullPool,
        hide_parameters=True,
        json_deserializer=msgspec.json.decode,
    )


def sqlite_facts(db: Connection, path: Path) -> SqliteFacts:
    """Return what SQLite says of itself."""
    log = path.with_name(path.name + "-wal")
    return SqliteFacts(
        version=sqlite3.sqlite_version,
        journal_mode=str(db.exec_driver_sql("PRAGMA journal_mode").scalar()),
        file_bytes=path.stat().st_size,
        log_bytes=log.stat().st_size if log.exists() else 0,
    )


def quick_check(db: Connection, *, seconds: float = LOOK_SECONDS_MAX) -> list[str] | None:
    """Return what is wrong with the file; None when there was no time to read all of it."""
    raw = db.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    end = time.monotonic() + seconds
    raw.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
    try:
        rows = raw.execute("PRAGMA quick_check(20)").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return None
    finally:
        raw.set_progress_handler(None, 0)
    return [str(row[0]) for row in rows if row[0] != "ok"]


def newest_at(db: Connection) -> datetime | None:
    """Return when the newest row was made, by the clock that its SID was made by."""
    return max((instant(sid_micros(sid)) for sid in newest_sids(db)), default=None)


def parked(db: Connection) -> dict[str, int]:
    """Return how many webhooks are parked, by host; PARKED_COUNTED_MAX in all at most."""
    rows = (
        select(callbacks.c.host)
        .where(callbacks.c.due_at.is_(None))
        .limit(PARKED_COUNTED_MAX)
        .subquery()
    )
    query = select(rows.c.host, func.count()).group_by(rows.c.host)
    return {row[0]: row[1] for row in db.execute(query)}


def oldest_webhook(db: Connection, now: datetime) -> datetime | None:
    """Return since when the webhook that is due longest has been due."""
    query = (
        select(callbacks.c.due_at, callbacks.c.created_at)
        .where(callbacks.c.due_at <= now)
        .order_by(callbacks.c.due_at)
        .limit(1)
    )
    row = db.execute(query).first()
    # What is due at once is due since it exists.
    return None if row is None else max(row.due_at or EPOCH, row.created_at)


def host_records(
    db: Connection, accounts: Iterable[str], *, since: datetime
) -> dict[str, HostRecord]:
    """Return how the webhooks of accounts went, by host; the latest ATTEMPTS_MAX of each."""
    found: dict[str, HostRecord] = {}
    for host, reason, failed in _attempts(db, accounts, since=since):
        before = found.get(host)
        found[host] = HostRecord(
            host=host,
            attempts=1 + (before.attempts if before else 0),
            failures=failed + (before.failures if before else 0),
            # The newest come first, so the first reason is the last that was met.
            reason=(before.reason if before else "") or (reason if failed else ""),
        )
    return found


def _attempts(
    db: Connection, accounts: Iterable[str], *, since: datetime
) -> Iterator[tuple[str, str, bool]]:
    columns = callback_attempts.c
    for account_sid, prefix in product(accounts, _MESSAGES):
        # By their messages, which are about as old and stand in the key.
        query = (
            select(columns.url, columns.reason, columns.error_code)
            .where(
                columns.account_sid == account_sid,
                columns.message_sid >= prefix + position_at(since),
                columns.message_sid < prefix + "g",
            )
            .order_by(columns.message_sid.desc())
            .limit(ATTEMPTS_MAX)
        )
        for url, reason, error_code in db.execute(query):
            yield host_of(url), reason, error_code is not None
