"""Segments of texts that are not whole yet, kept so that they may be acknowledged.

Rules: a segment is on disk when `keep` returns; whoever puts texts together limits how many wait,
and forgets each text that it gives up, so that nothing here grows without end.
"""

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from trunkline.runtime import Chance, Clock
from trunkline.store.store import Store
from trunkline.store.tables import inbound_segments

KEY_LENGTH_MAX = 64  # What the column holds; longer keys are for their maker to digest.

_NEW = upsert(inbound_segments)
_KEEP = _NEW.on_conflict_do_update(
    index_elements=["source", "key", "number"],
    set_={"sid": _NEW.excluded.sid, "doc": _NEW.excluded.doc},
    # The same segment again keeps its place in the order.
    where=inbound_segments.c.doc != _NEW.excluded.doc,
)


def forget_source(db: Connection, source: str) -> None:
    """Remove all segments of a source that is no more."""
    db.execute(delete(inbound_segments).where(inbound_segments.c.source == source))


class StoredSegments:
    """A journal of segments in the store; *carrier* may be any source that has texts of its own."""

    def __init__(self, store: Store, *, chance: Chance, clock: Clock) -> None:
        self._store = store
        self._chance = chance
        self._clock = clock

    async def keep(self, carrier: str, key: str, *, number: int, doc: bytes) -> None:
        """Store one segment of a text; on disk when this returns; the same again changes nothing.

        Another segment with the same number takes the place of the first.
        """
        assert len(key) <= KEY_LENGTH_MAX, "digest the key"
        sid = self._chance.sid("SG", self._clock.now())
        row = {"source": carrier, "key": key, "number": number, "sid": sid, "doc": doc}

        def work(db: Connection) -> None:
            db.execute(_KEEP, row)

        await self._store.write(work)

    async def forget(self, carrier: str, key: str) -> None:
        """Remove the segments of a text; a text that is not there is none."""
        column = inbound_segments.c
        text = (column.source == carrier) & (column.key == key)

        def work(db: Connection) -> None:
            db.execute(delete(inbound_segments).where(text))

        await self._store.write(work)

    async def load(self, carrier: str) -> list[tuple[str, bytes]]:
        """Return the keys and docs of all segments that are kept, in the order they came."""
        column = inbound_segments.c
        query = select(column.key, column.doc).where(column.source == carrier).order_by(column.sid)

        def read(db: Connection) -> list[tuple[str, bytes]]:
            return [(row.key, row.doc) for row in db.execute(query)]

        return await self._store.read(read)
