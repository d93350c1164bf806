"""Messages by the million, without the hours that sending them would take.

A few hundred messages go their way through Trunkline itself; then every row that they left is
written again and again, with other keys, other times and other handsets. So the rows are what this
version writes, whatever its tables look like.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

import psycopg
from sqlalchemy import Column, Engine, Table, create_engine

from bench.site import Site
from trunkline.domain.ids import render_sid, sid_micros
from trunkline.store.tables import Instant, metadata

Row = tuple[Any, ...]
Change = Callable[[Any, int], Any]

BATCH = 10_000
# One in a hundred copies keeps its handset: it becomes the one that gets many texts.
BUSY_HANDSET_EVERY = 100
_POSITION_LENGTH = 32
# Of what is there once for many messages.
_SHARED = ("account_sid", "messaging_service_sid", "owner_sid", "parent_sid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """How many copies of each message, and how much older each is than the one before it."""

    count: int
    step: timedelta

    @property
    def step_micros(self) -> int:
        """The step in what times are stored in."""
        return self.step // timedelta(microseconds=1)


def copy_messages(site: Site, *, total: int, span: timedelta, status: str = "delivered") -> int:
    """Copy the messages of a status until there are *total*, back over a span of time.

    Nobody else may use the site's data meanwhile. Returns how many there are then.
    """
    engine = _engine(site)
    with engine.connect() as db:
        raw: Any = db.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            raw.execute("PRAGMA synchronous=OFF")  # Until the last checkpoint.
        chosen = f"SELECT sid FROM messages WHERE status = '{status}'"
        (found,) = raw.execute(f"SELECT count(*) FROM ({chosen}) AS chosen").fetchone()
        raw.commit()
        times = max(1, total // found)
        messages: int = found * times
        copies = Copies(count=times - 1, step=span / times)
        for table in message_tables():
            _copy_table(raw, table, chosen=chosen, copies=copies)
        _settle(raw)
    engine.dispose()
    return messages


def message_tables() -> list[Table]:
    """Return the tables that may have something of a message."""
    others = [table for table in metadata.tables.values() if "message_sid" in table.c]
    return [metadata.tables["messages"], *others]


def _engine(site: Site) -> Engine:
    if site.database:
        return create_engine(site.database.replace("postgresql://", "postgresql+psycopg://"))
    return create_engine(f"sqlite:///{site.directory / 'trunkline.db'}")


def _copy_table(raw: Any, table: Table, *, chosen: str, copies: Copies) -> None:
    changes = [_change_of(column, copies) for column in table.columns]
    key = "sid" if table.name == "messages" else "message_sid"
    rows = _rows(raw, table, where=f"{key} IN ({chosen})")
    copied = (
        tuple(change(value, number) for change, value in zip(changes, row, strict=True))
        # Oldest first, so that keys come in their order as they do in life.
        for number in range(copies.count, 0, -1)
        for row in rows
    )
    while batch := list(islice(copied, BATCH)):
        _insert(raw, table, batch)
        raw.commit()
    raw.commit()


def _change_of(column: "Column[Any]", copies: Copies) -> Change:
    """Return what becomes of a column's value in copy *number*."""
    step = copies.step_micros
    name = column.name
    if name in _SHARED:
        return _same
    if isinstance(column.type, Instant):
        # What is due at once is so at any time.
        return lambda value, number: value - number * step if value else value
    if name in ("sid", "position") or name.endswith("_sid"):
        return lambda value, number: _older(value, number * step)
    if name == "ref":
        return lambda value, number: f"{number:x}-{value}"
    if name == "recipient":
        return _other_handset
    return _same


def _same(value: Any, _: int) -> Any:
    return value


def _older(sid: str | None, by_micros: int) -> str | None:
    """Return a SID, or the part of it that orders, as one that was made earlier."""
    if not sid:
        return sid
    prefix = sid[: len(sid) - _POSITION_LENGTH]
    at = sid_micros("XX" + sid[len(prefix) :]) - by_micros
    return render_sid(prefix, at, digits=sid[-18:])


def _other_handset(number: str, copy: int) -> str:
    if copy % BUSY_HANDSET_EVERY == 0:
        return number
    return f"+1303{(int(number[-7:]) + copy * 7919) % 10_000_000:07}"


def _rows(raw: Any, table: Table, *, where: str) -> list[Row]:
    cursor = raw.cursor()
    # As text, because documents are to be written as they are.
    names = ", ".join(
        f"CAST({c.name} AS TEXT)" if str(c.type) == "JSON" else c.name for c in table.columns
    )
    cursor.execute(f"SELECT {names} FROM {table.name} WHERE {where}")
    return list(cursor.fetchall())


def _insert(raw: Any, table: Table, rows: Sequence[Row]) -> None:
    cursor = raw.cursor()
    if isinstance(raw, sqlite3.Connection):
        marks = ", ".join("?" * len(table.columns))
        cursor.executemany(f"INSERT INTO {table.name} VALUES ({marks})", rows)
        return
    names = ", ".join(column.name for column in table.columns)
    with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copying:
        for row in rows:
            copying.write_row(row)


def _settle(raw: Any) -> None:
    """Leave the data as a server in use has them: counted, and nothing but the tables on disk."""
    if isinstance(raw, sqlite3.Connection):
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        assert isinstance(raw, psycopg.Connection)
        raw.autocommit = True
        raw.execute("VACUUM ANALYZE")
        raw.execute("CHECKPOINT")
