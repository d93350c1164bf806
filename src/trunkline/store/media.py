"""The bytes of pictures, sounds and files, on disk under their SHA-256.

Rule: bytes go when no medium names them and nobody put them there lately; who puts them there once
more says so by the file's time, and then has IDLE_SECONDS to commit the medium that names them.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, tuple_, update

from trunkline.store.hosts import host_of
from trunkline.store.rows import values_of
from trunkline.store.tables import media_fetches

# From the bytes to the commit it takes a few requests of 15 s each.
IDLE_SECONDS = 600.0
SHELVES = 256  # The first two digits of a digest.

_PARTIAL, _ASIDE = ".part", ".gone"


class MediaFiles:
    """A directory of files that are named by what they hold, so that one picture is kept once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def put(self, content: bytes) -> str:
        """Keep *content* and return its digest; on disk when this returns. Blocks."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.path(digest)
        if _touched(path):
            return digest
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: many messages may bring the same picture at the same moment.
        descriptor, name = tempfile.mkstemp(suffix=_PARTIAL, dir=self.directory)
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)  # What a full disk cut short must not fill it more.
        _sync_directory(path.parent)
        return digest

    def find(self, digest: str) -> Path | bytes | None:
        """Return the file that holds the content, or the bytes; None where it is gone. Blocks."""
        path = self.path(digest)
        return path if path.is_file() else None

    def path(self, digest: str) -> Path:
        """Return where the content with this digest lies, whether it is there or not."""
        return self.directory / digest[:2] / digest

    def shelf(self, number: int) -> list[str]:
        """Return the digests of what lies on one of SHELVES. Blocks."""
        folder = self.directory / f"{number:02x}"
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        return [name for name in names if not name.endswith((_PARTIAL, _ASIDE))]

    def next_shelf(self, number: int) -> int | None:
        """Return the first of SHELVES from *number* on that may hold something. Blocks."""
        return number if number < SHELVES else None

    def discard(self, digests: Iterable[str]) -> set[str]:
        """Remove content that no medium names; return what is gone. Blocks.

        What was put there within IDLE_SECONDS stays: its medium may be about to be committed.
        """
        old = self._time() - IDLE_SECONDS
        return {digest for digest in digests if _discarded(self.path(digest), old)}

    def discard_leftovers(self) -> int:
        """Remove what a crash left half written or half removed; return how many files. Blocks."""
        if not self.directory.is_dir():
            return 0
        old, count = self._time() - IDLE_SECONDS, 0
        for pattern in ("*" + _PARTIAL, "*/*" + _ASIDE):
            for path in self.directory.glob(pattern):
                count += _is_before(path, old) and _discarded(path, old)
        return count

    def _time(self) -> float:
        """Return the time as the file system has it, which is what files are marked with."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.directory) as file:
            return os.fstat(file.fileno()).st_mtime


def _touched(path: Path) -> bool:
    """Mark a file as wanted now; tell whether it is there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _discarded(path: Path, old: float) -> bool:
    """Remove a file that was not marked since *old*; tell whether it is gone."""
    if not path.exists():
        return True
    if not _is_before(path, old):
        return False
    # Out of the way first: who marks it from now on does not find it, and writes it anew.
    aside = path.with_name(path.name + _ASIDE)
    path.replace(aside)
    if _is_before(aside, old):
        aside.unlink()
        return True
    aside.replace(path)
    return False


def _is_before(path: Path, moment: float) -> bool:
    return path.stat().st_mtime < moment


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFetch:
    """Media of a message that must be fetched before it goes on its way."""

    message_sid: str
    account_sid: str
    urls: tuple[str, ...]
    due_at: datetime
    attempts: int = 0

    @property
    def host(self) -> str:
        """The host that serves the first of them."""
        return host_of(self.urls[0])


COLUMNS = [media_fetches.c[f.name] for f in fields(MediaFetch)]
_HERE = media_fetches.c.message_sid == bindparam("b_sid")


def insert_fetches(db: Connection, rows: list[MediaFetch]) -> None:
    """Queue fetches."""
    if rows:
        values = [values_of(row) | {"host": row.host} for row in rows]
        db.execute(insert(media_fetches), values)


def load_due_fetches(
    db: Connection, now: datetime, *, limit: int, passing_over: Iterable[tuple[str, str]] = ()
) -> list[MediaFetch]:
    """Return due fetches, oldest first; those from some hosts for some accounts not."""
    turn = tuple_(media_fetches.c.host, media_fetches.c.account_sid)
    query = (
        select(*COLUMNS)
        .where(media_fetches.c.due_at <= now, turn.not_in(list(passing_over)))
        .order_by(media_fetches.c.due_at)
        .limit(limit)
    )
    return [_fetch(row._mapping) for row in db.execute(query)]


def next_due_fetch(db: Connection, now: datetime) -> datetime | None:
    """Return when the next fetch that is not due yet will be."""
    query = select(media_fetches.c.due_at).where(media_fetches.c.due_at > now)
    return db.execute(query.order_by(media_fetches.c.due_at).limit(1)).scalar()


def delete_fetch(db: Connection, message_sid: str) -> None:
    """Take a fetch out of the queue."""
    db.execute(delete(media_fetches).where(_HERE), [{"b_sid": message_sid}])


def postpone_fetch(db: Connection, message_sid: str, due_at: datetime) -> None:
    """Let a fetch wait."""
    change: dict[str, Any] = {"due_at": due_at, "attempts": media_fetches.c.attempts + 1}
    db.execute(update(media_fetches).where(_HERE).values(**change), [{"b_sid": message_sid}])


def _fetch(values: Any) -> MediaFetch:
    return MediaFetch(**{**values, "urls": tuple(values["urls"])})
