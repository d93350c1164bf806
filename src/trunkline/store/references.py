"""Questions about the references that carriers gave to our segments."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, func, select

from trunkline.domain.ids import instant, position_at, sid_micros
from trunkline.store.tables import carrier_refs


def known_refs(db: Connection, carrier: str, refs: Collection[str]) -> set[str]:
    """Return those of *refs* that stand for a segment of ours."""
    query = select(carrier_refs.c.ref).where(
        carrier_refs.c.carrier == carrier, carrier_refs.c.ref.in_(list(refs))
    )
    return set(db.execute(query).scalars())


def oldest_open(db: Connection, carrier: str, *, since: datetime) -> datetime | None:
    """Return when the oldest message was made that a carrier took and that is open.

    None when there is none that was made at *since* or later. All references of the carrier are
    looked at, so this is for starts and for once in a while.
    """
    position = func.substr(carrier_refs.c.message_sid, 3)
    query = select(func.min(position)).where(
        carrier_refs.c.carrier == carrier,
        carrier_refs.c.delivered.is_(None),
        position >= position_at(since),
    )
    found = db.execute(query).scalar()
    return None if found is None else instant(sid_micros(f"SM{found}"))
