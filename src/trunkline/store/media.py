"""The bytes of pictures, sounds and files, on disk under their SHA-256."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from trunkline.store.hosts import host_of
from trunkline.store.rows import values_of
from trunkline.store.tables import media_fetches


class MediaFiles:
    """A directory of files that are named by what they hold, so that one picture is kept once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def put(self, content: bytes) -> str:
        """Keep *content* and return its digest; on disk when this returns. Blocks."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.path(digest)
        if path.exists():
            return digest
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: many messages may bring the same picture at the same moment.
        descriptor, name = tempfile.mkstemp(suffix=".part", dir=self.directory)
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

    def path(self, digest: str) -> Path:
        """Return where the content with this digest lies, whether it is there or not."""
        return self.directory / digest[:2] / digest


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
    db: Connection, now: datetime, *, limit: int, passing_over: Iterable[str] = ()
) -> list[MediaFetch]:
    """Return due fetches, oldest first; some hosts' not."""
    query = (
        select(*COLUMNS)
        .where(media_fetches.c.due_at <= now, media_fetches.c.host.not_in(passing_over))
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
