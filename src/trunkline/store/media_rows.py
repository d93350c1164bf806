"""The bytes of media in a database that several nodes share, in pieces, under their SHA-256.

The rule about bytes that no medium names is that of files; a piece's time is the server's.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnClause,
    Connection,
    Engine,
    delete,
    func,
    literal_column,
    select,
    update,
)

from trunkline.store.media import IDLE_SECONDS, SHELVES, MediaFiles
from trunkline.store.tables import media_bytes
from trunkline.store.upserts import upsert

# A row is read and written as a whole, in the memory of the server, of a pooler and of ours.
PIECE_BYTES_MAX = 1_000_000

_NOW: ColumnClause[int] = literal_column(
    "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
)
_LONG_AGO = _NOW - literal_column(str(int(IDLE_SECONDS * 1_000_000)))
_column = media_bytes.c


class MediaRows(MediaFiles):
    """Content in rows; nothing of it stays on a node's disk, where nobody would erase it."""

    def __init__(self, directory: Path, engine: Engine) -> None:
        super().__init__(directory)
        self._engine = engine

    def put(self, content: bytes) -> str:
        """Keep *content* and return its digest; on disk when this returns. Blocks."""
        digest = hashlib.sha256(content).hexdigest()
        with self._engine.connect() as db, db.begin():
            touch = update(media_bytes).where(_column.digest == digest).values(kept_at=_NOW)
            if not db.execute(touch).rowcount:
                # Row by row: together the pieces of the largest medium would be one message.
                for row in _pieces(digest, content):
                    statement = upsert(media_bytes).values(**row, kept_at=_NOW)
                    db.execute(
                        statement.on_conflict_do_update(
                            index_elements=["digest", "number"], set_={"kept_at": _NOW}
                        )
                    )
        return digest

    def find(self, digest: str) -> bytes | None:
        """Return the content with this digest; None where it is gone. Blocks."""
        query = select(_column.octets).where(_column.digest == digest).order_by(_column.number)
        with self._engine.connect() as db, db.begin():
            pieces = list(db.execute(query).scalars())
        return b"".join(pieces) if pieces else None

    def shelf(self, number: int) -> list[str]:
        """Return the digests of what is on one of the SHELVES. Blocks."""
        first = f"{number:02x}"
        query = select(_column.digest).where(
            _column.digest >= first, _column.digest < first + "g", _column.number == 0
        )
        with self._engine.connect() as db, db.begin():
            return list(db.execute(query.order_by(_column.digest)).scalars())

    def next_shelf(self, number: int) -> int | None:
        """Return the first of SHELVES from *number* on that holds something. Blocks."""
        if number >= SHELVES:
            return None
        query = select(func.min(_column.digest)).where(_column.digest >= f"{number:02x}")
        with self._engine.connect() as db, db.begin():
            first = db.execute(query).scalar()
        return None if first is None else int(first[:2], 16)

    def discard(self, digests: Iterable[str]) -> set[str]:
        """Remove content that no medium names, as files are; return what is gone. Blocks."""
        wanted = list(digests)
        with self._engine.connect() as db, db.begin():
            db.execute(delete(media_bytes).where(_column.digest.in_(_old(db, wanted))))
            left = select(_column.digest).where(_column.digest.in_(wanted), _column.number == 0)
            return set(wanted) - set(db.execute(left).scalars())

    def discard_leftovers(self) -> int:
        """Find nothing: a transaction leaves nothing half done."""
        return 0


def _pieces(digest: str, content: bytes) -> Iterator[dict[str, Any]]:
    # What is empty has a piece, too: that is how one knows that it is there.
    for number, start in enumerate(range(0, max(1, len(content)), PIECE_BYTES_MAX)):
        octets = content[start : start + PIECE_BYTES_MAX]
        yield {"digest": digest, "number": number, "octets": octets}


def _old(db: Connection, digests: list[str]) -> list[str]:
    """Return which contents nobody put there lately; until the end nobody else can touch them."""
    query = (
        select(_column.digest)
        .where(_column.digest.in_(digests), _column.number == 0, _column.kept_at < _LONG_AGO)
        .with_for_update()
    )
    return list(db.execute(query).scalars())
