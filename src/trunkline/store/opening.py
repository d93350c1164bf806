"""Opening of the database: what must be right before anything is written, and what to do if not."""

import contextlib
import re
import sqlite3
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DatabaseError

from trunkline.store.copying import is_unfinished
from trunkline.store.postgres import PostgresStore
from trunkline.store.postgres_engine import parse_address, reason
from trunkline.store.schema import is_newer, upgrade
from trunkline.store.store import Database, SqliteStore
from trunkline.store.tables import metadata, records

FILE = "trunkline.db"
SERVER_MIN = 14  # The oldest that its makers still mend, and the oldest that was tried.

# What libpq and the server say, and what to do.
_ADVICE = (
    ("password", "name the right user and password in the setting, or the password in ~/.pgpass"),
    (
        r'database "[^"]*" does not exist',
        "create it with createdb, or name another in the setting",
    ),
    (
        r'role "[^"]*" does not exist',
        "create the user with createuser, or name another in the setting",
    ),
    ("Connection refused", "start the server, or name its host and port in the setting"),
    ("read-write", "name the primary in the setting: this is a standby"),
)
_RESTORE = "keep a copy of the whole directory, and restore the last backup"
_PERMIT = "run this as the user whom the directory and its files belong to"
# By SQLite's primary result codes.
_FILE_ADVICE = {
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "look at the disk, its room and the system's log",
    sqlite3.SQLITE_CORRUPT: _RESTORE,
    sqlite3.SQLITE_NOTADB: _RESTORE,
    sqlite3.SQLITE_READONLY: _PERMIT,
    sqlite3.SQLITE_CANTOPEN: _PERMIT,
    sqlite3.SQLITE_BUSY: "end what else has it open",
}
_FACTS = text(
    "SELECT current_setting('server_version_num')::int / 10000 AS version,"
    " current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS is_standby"
)
# -1 is what PostgreSQL 14 and newer say of a table that was never counted.
_TABLES = text(
    "SELECT relname AS name, reltuples < 0 AS is_unknown, pg_relation_size(oid) AS bytes"
    " FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
)


def open_store(data_dir: Path, database: str | None = None) -> Database:
    """Return the store, started, with its schema brought up to date.

    Raises ValueError with one sentence that says what is wrong and what to do.
    """
    store = unopened_store(data_dir, database)
    where = place_of(data_dir, database)
    with contextlib.ExitStack() as undo:
        undo.callback(store.engine.dispose)
        try:
            _prepare(store, where, data_dir=data_dir)
        except DatabaseError as error:
            raise ValueError(f"The database {where} cannot be used: {advised(error)}.") from error
        undo.pop_all()
    return store


def _prepare(store: Database, where: str, *, data_dir: Path) -> None:
    if isinstance(store, PostgresStore):
        require_fit(store.engine)
        with store.engine.connect() as db, db.begin():
            require_whole(db, where)
        _require_moved(store.engine, data_dir / FILE)
    if is_newer(store.engine):
        raise ValueError(
            f"The database {where} was written by a newer version of Trunkline;"
            " start that version, or choose another database or --data-dir."
        )
    upgrade(store.engine)
    if isinstance(store, PostgresStore):
        _analyze(store.engine)
    store.start()


def require_whole(db: Connection, where: str) -> None:
    """Raise ValueError for a database that is being moved into."""
    if is_unfinished(db):
        raise ValueError(
            f"The database {where} is being moved into: let that end, or, if it was interrupted,"
            " call `trunkline db move` once more."
        )


def _require_moved(engine: Engine, file: Path) -> None:
    """Raise ValueError where a start would begin anew beside an installation in a file."""
    if file.is_file() and not inspect(engine).has_table(records.name):
        raise ValueError(
            f"The database that the setting database names is empty, and {file} is not moved"
            " into it: call `trunkline db move`; or, to begin anew, choose another --data-dir."
        )


def _analyze(engine: Engine) -> None:
    """Have the server count what it knows nothing of: after a restore, it is full of surprises.

    What is empty is left alone. The server looks at what changes by itself, within a minute.
    """
    with engine.connect() as db, db.begin():
        known = {row.name: row for row in db.execute(_TABLES)}
        for name in metadata.tables:
            if name in known and known[name].bytes and known[name].is_unknown:
                db.exec_driver_sql(f"ANALYZE {name}")


def unopened_store(data_dir: Path, database: str | None) -> Database:
    """Return the store that the settings name, without looking whether it is there."""
    if database is None:
        return SqliteStore(data_dir / FILE)
    try:
        return PostgresStore(parse_address(database))
    except ValueError as error:
        raise ValueError(f"The setting database cannot be used: {error}.") from error


def place_of(data_dir: Path, database: str | None) -> str:
    """Return where the database is, for people; of a URL nothing that might be a secret."""
    return f"in {data_dir}" if database is None else "that the setting database names"


def require_fit(engine: Engine) -> None:
    """Raise ValueError for a server that would not keep what it is given as it is given."""
    with engine.connect() as db, db.begin():
        problem = _unfitness(db)
    if problem:
        raise ValueError(f"The database that the setting database names cannot be used: {problem}.")


def _unfitness(db: Connection) -> str:
    facts = db.execute(_FACTS).one()
    if facts.version < SERVER_MIN:
        return f"its server is PostgreSQL {facts.version}, and {SERVER_MIN} or newer is needed"
    if facts.encoding != "UTF8":
        return (
            f"its encoding is {facts.encoding}; create it anew with"
            " createdb --encoding=UTF8 --template=template0"
        )
    if facts.is_standby:
        return "it is a standby; name the primary, or several hosts of which one is the primary"
    return ""


def advised(error: DatabaseError | psycopg.Error) -> str:
    """Return in one line what a database says of an error, and what to do where that is known."""
    said = reason(error)
    original = error.orig if isinstance(error, DatabaseError) else error
    if isinstance(original, sqlite3.Error):
        advice = _FILE_ADVICE.get(_code(original), "")
    else:
        advice = next((advice for words, advice in _ADVICE if re.search(words, said)), "")
    return f"{said}; {advice}" if advice else said


def is_full(error: DatabaseError) -> bool:
    """Tell whether SQLite had no room on a disk."""
    return isinstance(error.orig, sqlite3.Error) and _code(error.orig) == sqlite3.SQLITE_FULL


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 for what its driver says itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
