"""What is done to a database as a whole: brought up to date, checked, saved, moved.

Rule: whoever calls holds the data directory where a file is changed or given up; whatever cannot
be done is a ValueError with a sentence for people.
"""

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError

from trunkline.config import Config
from trunkline.runtime import SystemClock
from trunkline.store.condition import open_file
from trunkline.store.consistency import Fault, bytes_named, faults
from trunkline.store.copying import (
    Progress,
    Step,
    begin,
    copy_media,
    copy_rows,
    end,
    is_unfinished,
    moved_tables,
    sum_up,
)
from trunkline.store.media import SHELVES, MediaFiles
from trunkline.store.media_bucket import open_media
from trunkline.store.media_rows import MediaRows
from trunkline.store.opening import (
    FILE,
    advised,
    is_full,
    place_of,
    require_fit,
    require_whole,
    unopened_store,
)
from trunkline.store.postgres_engine import open_engine, parse_address
from trunkline.store.schema import current_version, is_newer, known_versions, upgrade
from trunkline.store.store import SqliteStore

__all__ = ["Moved", "Progress", "Step", "check", "dump_command", "migrate", "move", "save"]

MOVED = ".moved"  # What the name of a file ends with whose rows are elsewhere now.
_LOOKING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was moved: rows by table, and media."""

    rows: dict[str, int]
    media: int


def migrate(config: Config) -> tuple[str, str]:
    """Bring the schema up to date; return which version it had ("" for none), and has."""
    where = place_of(config.data_dir, config.database)
    with (
        _explained(where),
        _disposed(unopened_store(config.data_dir, config.database).engine) as it,
    ):
        if config.database is not None:
            require_fit(it)
        with it.connect() as db:
            before = current_version(db) or ""
        if is_newer(it):
            raise ValueError(
                f"The database {where} has version {before}, which this program does not know."
            )
        upgrade(it)
        with it.connect() as db:
            after = current_version(db) or ""
    return before, after


def check(config: Config, now: datetime) -> list[Fault]:
    """Return what is wrong in a database, which may be in use."""
    where = place_of(config.data_dir, config.database)
    with _explained(where), _looking(config) as db:
        require_whole(db, where)
        _require_ours(current_version(db))
        return [*faults(db, now), *_missing_bytes(config, db)]


def _require_ours(version: str | None) -> None:
    """Raise ValueError for a schema whose rows this program cannot judge."""
    known = known_versions()
    if version is not None and version not in known:
        raise ValueError(
            f"The schema has version {version}, which a newer version of Trunkline made; this one"
            f" knows {known[0]}. Check the database with the newer one."
        )
    if version != known[0]:
        raise ValueError(
            f"The schema has version {version or 'none'}, and this program needs {known[0]};"
            " run `trunkline db migrate` first."
        )


def save(config: Config, path: Path) -> None:
    """Write a copy of a database, which may be in use, to a file that is not there yet."""
    if path.exists():
        raise ValueError(f"{path} is there already; name another file, or remove it.")
    partial = path.with_name(path.name + ".part")
    # SQLite leaves its journal beside what it could not end.
    leavings = partial, partial.with_name(partial.name + "-journal")
    try:
        _remove(leavings)
        with _explained(place_of(config.data_dir, config.database)):
            if config.database is None:
                _save_file(_file(config), partial)
            else:
                _dump(config.database, partial)
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):  # What could not be written has been told of.
            _remove(leavings)


def dump_command(database: str, path: Path) -> list[str]:
    """Return what saves a PostgreSQL database to a file; the password is not in it."""
    plain: dict[str, str] = {
        name: str(value)
        for name, value in conninfo_to_dict(parse_address(database).conninfo).items()
        if name not in {"password", "client_encoding"}
    }
    place = make_conninfo(**plain)
    return ["pg_dump", "--format=custom", f"--file={path}", f"--dbname={place}"]


def move(config: Config, progress: Progress) -> Moved:
    """Move everything from the data directory's file into the database of the settings.

    Goes on where it was interrupted; the file stays, under a name that no server opens.
    """
    if config.database is None:
        raise ValueError("Name the database to move to: the setting database, or --database.")
    target = open_engine(parse_address(config.database))
    with _explained(place_of(config.data_dir, config.database)), _disposed(target):
        require_fit(target)
        upgrade(target)
        if not _has_source(config, target):
            return Moved(rows={}, media=0)
        begin(target)
        with _disposed(SqliteStore(config.data_dir / FILE).engine) as engine:
            upgrade(engine)
            with engine.connect() as source:
                copy_rows(source, target, progress=progress)
                rows = _compared(source, target, progress=progress)
        media = _move_media(config, target, progress=progress)
        path = config.data_dir / FILE
        path.rename(path.with_name(FILE + MOVED))
        end(target)
    return Moved(rows=rows, media=media)


def _has_source(config: Config, target: Engine) -> bool:
    """Tell whether there is a file to move; one that was moved needs but the last word."""
    path = config.data_dir / FILE
    if path.exists():
        return True
    with target.connect() as db:
        is_at_its_end = is_unfinished(db)
    if is_at_its_end and path.with_name(FILE + MOVED).exists():
        end(target)
        return False
    raise ValueError(f"There is no database in {config.data_dir} that could be moved.")


def _compared(source: Connection, target: Engine, *, progress: Progress) -> dict[str, int]:
    """Return how many rows each table has, once they are known to be the same on both sides."""
    counts = {}
    with target.connect() as db, db.begin():
        for table in moved_tables():
            here = sum_up(source, table, told=lambda rows: None)
            told = partial(_tell, progress, what=f"{table.name} compared", total=here.rows)
            there = sum_up(db, table, told=told)
            if here != there:
                raise ValueError(
                    f"The table {table.name} has {here.rows} rows in the file and {there.rows} in"
                    " the database, or other ones: one of them was used meanwhile. Make the"
                    " database anew, and move again."
                )
            counts[table.name] = there.rows
    return counts


def _tell(progress: Progress, rows: int, *, what: str, total: int) -> None:
    progress(Step(what, rows, total))


def _move_media(config: Config, target: Engine, *, progress: Progress) -> int:
    directory = config.data_dir / "media"
    files, rows = MediaFiles(directory), MediaRows(directory, target)
    count = copy_media(files, rows, engine=target, progress=progress)
    for number in range(SHELVES):
        if missing := set(files.shelf(number)) - set(rows.shelf(number)):
            raise ValueError(f"{len(missing)} media did not arrive; move again.")
    return count


def _missing_bytes(config: Config, db: Connection) -> Iterator[Fault]:
    engine = None if config.database is None else db.engine
    try:
        files = open_media(
            config.data_dir / "media",
            engine=engine,
            bucket=config.media_bucket,
            now=lambda: SystemClock().now().timestamp(),
        )
        held = {digest for number in range(SHELVES) for digest in files.shelf(number)}
    except ConnectionError as error:
        raise ValueError(f"{error}: see the setting media_bucket") from error
    lost = [sid for sid, digest in bytes_named(db) if digest not in held]
    if lost:
        yield Fault("media: the bytes are not there", len(lost), lost[0])


@contextlib.contextmanager
def _looking(config: Config) -> Iterator[Connection]:
    """Yield a connection on which nothing can be changed, and which sees one moment."""
    if config.database is None:
        engine = open_file(_file(config))
    else:
        engine = open_engine(parse_address(config.database), opening=_LOOKING)
    with _disposed(engine), engine.connect() as db, db.begin():
        if config.database is None:
            db.exec_driver_sql("BEGIN")  # Python's driver begins with the first change only.
        yield db


def _file(config: Config) -> Path:
    path = config.data_dir / FILE
    if not path.exists():
        raise ValueError(f"There is no database in {config.data_dir}.")
    return path


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _save_file(source: Path, path: Path) -> None:
    path.touch(exist_ok=False)  # The system says better than SQLite why it cannot be there.
    with _disposed(open_file(source)) as engine, engine.connect() as db:
        # Damage that only the copy meets is told as trouble with the copy.
        db.exec_driver_sql("SELECT count(*) FROM sqlite_schema")
        try:
            # The rows as they are now, and nothing of those that were removed before.
            db.exec_driver_sql("VACUUM INTO ?", (str(path),))
        except DatabaseError as error:
            if is_full(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise


def _dump(database: str, path: Path) -> None:
    if shutil.which("pg_dump") is None:
        command = " ".join(dump_command(database, path))
        raise ValueError(f"pg_dump is not on this machine; run it where it is: {command}")
    password = conninfo_to_dict(parse_address(database).conninfo).get("password")
    secret = {"PGPASSWORD": str(password)} if password else {}
    done = subprocess.run(  # noqa: S603 - the program is PostgreSQL's own
        dump_command(database, path),
        env={**os.environ, **secret},
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason was given"]
        raise ValueError(f"pg_dump failed: {said[-1]}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _disposed(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    """Make a sentence of what a database says no with."""
    try:
        yield
    except (DatabaseError, psycopg.Error) as error:
        raise ValueError(f"The database {where} cannot be used: {advised(error)}.") from error
