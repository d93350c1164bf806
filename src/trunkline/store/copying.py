"""Moves everything from a SQLite file into an empty PostgreSQL database, table by table.

Rules: a batch and the note of how far it came are one commit, so that whoever was interrupted goes
on; values are carried as they are stored, and counted and summed up on both sides at the end.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from sqlalchemy import JSON, Connection, Engine, Table, delete, func, inspect, select, text

from trunkline.store.media import SHELVES, MediaFiles
from trunkline.store.tables import commits, compatibility, media_bytes, metadata, nodes, records

BATCH_MAX = 2_000  # Rows in one commit; a second's work is lost when it is interrupted.
NOTES = "trunkline_move"  # Where the target says how far the move came; gone when it is done.
MEDIA = "media"
# What is only true of the process that wrote it, and of the database that it is in.
LEFT_BEHIND = frozenset({commits.name, nodes.name, media_bytes.name, compatibility.name})

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """How much is done of one thing."""

    what: str
    done: int
    total: int


Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Sum:
    """How many rows there are, and what they add up to."""

    rows: int
    digest: int


def begin(target: Engine) -> None:
    """Make a database ready to be moved into; raises ValueError where there is something in it."""
    with target.connect() as db, db.begin():
        if is_unfinished(db):
            return
        if db.execute(select(func.count()).select_from(records)).scalar_one():
            raise ValueError(
                "The database that the setting database names has an installation in it already;"
                " name an empty one."
            )
        for table in moved_tables():  # What migrations put there comes along.
            db.execute(delete(table))
        db.execute(
            text(
                f"CREATE TABLE {NOTES}"
                " (name TEXT PRIMARY KEY, after TEXT NOT NULL, is_done BOOLEAN NOT NULL)"
            )
        )


def is_unfinished(db: Connection) -> bool:
    """Tell whether a database is being moved into, or was until somebody was interrupted."""
    return bool(inspect(db).has_table(NOTES))


def end(target: Engine) -> None:
    """Note that the move is done: from now on a server may start on the database."""
    with target.connect() as db, db.begin():
        db.execute(text(f"DROP TABLE {NOTES}"))


def copy_rows(source: Connection, target: Engine, *, progress: Progress) -> None:
    """Copy every table, each from where the last attempt left it."""
    for table in moved_tables():
        total = source.execute(select(func.count()).select_from(table)).scalar_one()
        with target.connect() as db, db.begin():
            after, is_done = _noted(db, table.name)
            copied = db.execute(select(func.count()).select_from(table)).scalar_one()
        progress(Step(table.name, copied, total))
        while not is_done:
            rows = _read(source, table, after)
            is_done = len(rows) < BATCH_MAX
            after = _key(table, rows[-1]) if rows else after
            with target.connect() as db, db.begin():
                _insert(db, table, rows)
                _note(db, table.name, after, is_done=is_done)
            copied += len(rows)
            progress(Step(table.name, copied, total))


def copy_media(
    source: MediaFiles, target: MediaFiles, *, engine: Engine, progress: Progress
) -> int:
    """Copy the bytes of all media; return how many there are."""
    with engine.connect() as db, db.begin():
        noted, _ = _noted(db, MEDIA)
    count = 0
    for number in range(SHELVES):
        digests = source.shelf(number)
        count += len(digests)
        if number >= (noted[0] if noted else 0):
            for digest in digests:
                target.put(source.path(digest).read_bytes())
            with engine.connect() as db, db.begin():
                _note(db, MEDIA, (number + 1,), is_done=number + 1 == SHELVES)
        progress(Step(MEDIA, number + 1, SHELVES))
    return count


def moved_tables() -> list[Table]:
    """Return the tables whose rows are moved."""
    return [table for table in metadata.sorted_tables if table.name not in LEFT_BEHIND]


def sum_up(db: Connection, table: Table, *, told: Callable[[int], None]) -> Sum:
    """Return what all rows of a table add up to, in whatever order a database has them."""
    rows, digest = 0, 0
    after: Key = ()
    while batch := _read(db, table, after):
        for row in batch:
            octets = hashlib.blake2b(msgspec.msgpack.encode(row), digest_size=8).digest()
            digest = (digest + int.from_bytes(octets)) % 2**64
        rows, after = rows + len(batch), _key(table, batch[-1])
        told(rows)
    return Sum(rows, digest)


def _read(db: Connection, table: Table, after: Key) -> list[list[Any]]:
    """Return the next rows behind a key, their values as they are stored."""
    raw = db.connection.driver_connection
    is_file = isinstance(raw, sqlite3.Connection)
    shown = [f'"{c.name}"' for c in table.columns]
    if not is_file:  # As the text that it came as.
        shown = [
            f'"{c.name}"::text' if isinstance(c.type, JSON) else f'"{c.name}"' for c in table.c
        ]
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
    marks = ", ".join(["?" if is_file else "%s"] * len(after))
    beyond = f"WHERE ({keys}) > ({marks})" if after else ""
    statement = (
        f"SELECT {', '.join(shown)} FROM {table.name} {beyond}"  # noqa: S608 - our own names
        f" ORDER BY {keys} LIMIT {BATCH_MAX}"
    )
    return [_carried(row) for row in db.exec_driver_sql(statement, tuple(after))]


def _carried(row: Sequence[Any]) -> list[Any]:
    """Return a row as both databases can have it: PostgreSQL has no NUL in texts."""
    return [v.replace("\0", "\ufffd") if isinstance(v, str) else v for v in row]


def _insert(db: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    raw = db.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
    with raw.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _key(table: Table, row: Sequence[Any]) -> Key:
    names = [column.name for column in table.columns]
    return tuple(row[names.index(column.name)] for column in table.primary_key)


def _noted(db: Connection, name: str) -> tuple[Key, bool]:
    query = text(f"SELECT after, is_done FROM {NOTES} WHERE name = :name")  # noqa: S608
    row = db.execute(query, {"name": name}).first()
    return (tuple(msgspec.json.decode(row.after)), row.is_done) if row else ((), False)


def _note(db: Connection, name: str, after: Key, *, is_done: bool) -> None:
    statement = text(
        f"INSERT INTO {NOTES} VALUES (:name, :after, :is_done) ON CONFLICT (name)"  # noqa: S608
        " DO UPDATE SET after = excluded.after, is_done = excluded.is_done"
    )
    values = {"name": name, "after": msgspec.json.encode(after).decode(), "is_done": is_done}
    db.execute(statement, values)
