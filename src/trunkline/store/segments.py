"""Segments of texts that are not whole yet, kept so that they may be acknowledged.

Rules: a segment is on disk when `keep` returns; whoever puts texts together limits how many wait,
and forgets each text that it gives up, so that nothing here grows without end. Number 0 is no
segment: it is what is remembered of a text that is not here any more.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, text

from trunkline.domain.ids import position_at
from trunkline.runtime import Chance, Clock
from trunkline.store.store import Store
from trunkline.store.tables import inbound_segments
from trunkline.store.upserts import upsert

KEY_LENGTH_MAX = 64  # What the column holds; longer keys are for their maker to digest.

_NEW = upsert(inbound_segments)
_KEEP = _NEW.on_conflict_do_update(
    index_elements=["source", "key", "number"],
    set_={"sid": _NEW.excluded.sid, "doc": _NEW.excluded.doc},
    # The same segment again keeps its place in the order.
    where=inbound_segments.c.doc != _NEW.excluded.doc,
)


# Two nodes must not both find that a segment is the first of its text.
_LOCK_FAMILY = text("SELECT pg_advisory_xact_lock(hashtextextended(:family, 0))")
# Keys are hexadecimal digits, which every collation puts in the same order.
_FAMILY = (
    select(inbound_segments.c.key, inbound_segments.c.doc)
    .where(
        inbound_segments.c.source == bindparam("b_source"),
        inbound_segments.c.key.between(bindparam("b_first"), bindparam("b_last")),
    )
    .order_by(inbound_segments.c.sid)
)

# A row for each long text of the last minutes; a commit of all would hold up others.
FORGOTTEN_AT_ONCE = 500

Rows = list[tuple[str, bytes]]
# What is to be stored: key, number and doc; None for nothing.
Choose = Callable[[Sequence[tuple[str, bytes]]], tuple[str, int, bytes] | None]


def forget_source(db: Connection, source: str) -> None:
    """Remove all segments of a source that is no more."""
    db.execute(delete(inbound_segments).where(inbound_segments.c.source == source))


def forget_text(db: Connection, source: str, key: str, *, number: int | None = None) -> bool:
    """Remove the segments of a text, or one of them; tell whether there were any."""
    column = inbound_segments.c
    text = (column.source == source) & (column.key == key)
    if number is not None:
        text &= column.number == number
    return db.execute(delete(inbound_segments).where(text)).rowcount > 0


def take_text(db: Connection, source: str, key: str, *, count: int) -> bool:
    """Remove the segments of a text if all *count* of them are there; tell whether they were.

    Of two who try, on two nodes as well, one has them.
    """
    column = inbound_segments.c
    where = (column.source == source) & (column.key == key)
    found = db.execute(select(column.number).where(where).with_for_update()).all()
    return len(found) == count and forget_text(db, source, key)


def remember_text(db: Connection, source: str, key: str, *, sid: str, doc: bytes) -> None:
    """Keep what is remembered of a text until `forget_remembered`; the newest under a key."""
    row = {"source": source, "key": key, "number": 0, "sid": sid, "doc": doc}
    db.execute(_KEEP, row)


def forget_remembered(db: Connection, source: str, *, until: datetime) -> bool:
    """Remove what is remembered of a source's texts from before a time, some at once.

    Tell whether there may be more.
    """
    column = inbound_segments.c
    own, is_old = column.source == source, column.sid < f"SG{position_at(until)}"
    oldest = select(column.key).where(own, is_old, column.number == 0)
    found = db.execute(oldest.order_by(column.sid).limit(FORGOTTEN_AT_ONCE)).scalars().all()
    if found:
        db.execute(delete(inbound_segments).where(own, column.number == 0, column.key.in_(found)))
    return len(found) == FORGOTTEN_AT_ONCE


class StoredSegments:
    """A journal of segments in the store; *carrier* may be any source that has texts of its own."""

    def __init__(self, store: Store, *, chance: Chance, clock: Clock) -> None:
        self._store = store
        self._chance = chance
        self._clock = clock

    async def join(self, carrier: str, family: str, *, choose: Choose) -> Rows:
        """Store what *choose* makes of the segments whose keys begin with *family*; return those.

        They are as they were before; nobody else joins the family meanwhile.
        """
        sid = self._chance.sid("SG", self._clock.now())

        def work(db: Connection) -> Rows:
            if db.dialect.name != "sqlite":
                db.execute(_LOCK_FAMILY, {"family": f"{carrier}|{family}"})
            rows = _family(db, carrier, family)
            if (chosen := choose(rows)) is not None:
                key, number, doc = chosen
                assert len(key) <= KEY_LENGTH_MAX, "digest the key"
                row = {"source": carrier, "key": key, "number": number, "sid": sid, "doc": doc}
                db.execute(_KEEP, row)
            return rows

        return await self._store.write(work)

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
        await self._store.write(lambda db: forget_text(db, carrier, key))

    async def forget_remembered(self, carrier: str, until: datetime) -> None:
        """Remove what was kept under number 0 before a time."""
        while await self._store.write(lambda db: forget_remembered(db, carrier, until=until)):
            pass

    async def load(self, carrier: str) -> list[tuple[str, bytes]]:
        """Return the keys and docs of all segments that are kept, in the order they came."""
        column = inbound_segments.c
        query = (
            select(column.key, column.doc)
            .where(column.source == carrier, column.number > 0)
            .order_by(column.sid)
        )

        def read(db: Connection) -> list[tuple[str, bytes]]:
            return [(row.key, row.doc) for row in db.execute(query)]

        return await self._store.read(read)


def _family(db: Connection, source: str, family: str) -> Rows:
    rest = KEY_LENGTH_MAX - len(family)
    bounds = {"b_first": family + "0" * rest, "b_last": family + "f" * rest}
    return [(row.key, row.doc) for row in db.execute(_FAMILY, {"b_source": source, **bounds})]
