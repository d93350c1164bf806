"""What carriers brought that matches nothing of ours: kept, shown, and matched when it can be."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, tuple_

from trunkline.store.prepared import Lookup
from trunkline.store.tables import carrier_refs, strays

# A carrier that sends nothing but nonsense must not fill the disk: about 50 MB.
STRAYS_MAX = 100_000
SWEPT_AT_ONCE = 1000  # More than one batch brings.

RECEIPT, TEXT = "receipt", "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """One receipt or text; refs are the ways in which its reference may have been written."""

    sid: str
    carrier: str
    kind: str
    refs: tuple[str, ...] = ("",)
    at: datetime
    doc: Mapping[str, Any] = field(default_factory=dict)


_REFS = Lookup(
    select(strays.c.ref).where(
        strays.c.carrier == bindparam("b_carrier"),
        strays.c.ref.in_(bindparam("keys", expanding=True)),
    ),
    ["b_carrier"],
)


def insert_strays(db: Connection, batch: Iterable[Stray]) -> None:
    """Keep strays; past STRAYS_MAX the oldest go."""
    rows = [
        {
            "sid": stray.sid,
            "ref": ref,
            "carrier": stray.carrier,
            "kind": stray.kind,
            "at": stray.at,
            "doc": dict(stray.doc),
        }
        for stray in batch
        for ref in stray.refs
    ]
    if not rows:
        return
    db.execute(insert(strays), rows)
    if db.execute(select(func.count()).select_from(strays)).scalar_one() > STRAYS_MAX:
        oldest = select(strays.c.sid).order_by(strays.c.sid).limit(SWEPT_AT_ONCE)
        db.execute(delete(strays).where(strays.c.sid.in_(oldest.scalar_subquery())))


def take_strays(db: Connection, carrier: str, refs: Sequence[str]) -> dict[str, list[Stray]]:
    """Return and forget the receipts that wait for one of *refs*, oldest first, by reference."""
    if not _REFS.run(db, (carrier,), keys=refs):
        return {}
    query = (
        select(strays)
        .where(strays.c.carrier == carrier, strays.c.ref.in_(list(refs)), strays.c.kind == RECEIPT)
        .order_by(strays.c.sid)
    )
    found: dict[str, list[Stray]] = {}
    for row in db.execute(query):
        found.setdefault(row.ref, []).append(_stray(row._mapping))
    sids = [stray.sid for group in found.values() for stray in group]
    if sids:
        db.execute(delete(strays).where(strays.c.sid.in_(sids)))
    return found


def known_strays(db: Connection, carrier: str, refs: Collection[str]) -> set[str]:
    """Return which of a carrier's references are kept here."""
    query = select(strays.c.ref).where(strays.c.carrier == carrier, strays.c.ref.in_(list(refs)))
    return set(db.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class Met:
    """A receipt that is kept here, and the message whose segment its name is; None if none's."""

    sid: str
    carrier: str
    ref: str
    message_sid: str | None


def page_met(db: Connection, *, after: tuple[str, str], limit: int) -> list[Met]:
    """Return the receipts behind a SID and a name, oldest first."""
    page = (
        select(strays.c.sid, strays.c.carrier, strays.c.ref)
        .where(strays.c.kind == RECEIPT, tuple_(strays.c.sid, strays.c.ref) > tuple_(*after))
        .order_by(strays.c.sid, strays.c.ref)
        .limit(limit)
        .subquery()
    )
    same = and_(carrier_refs.c.carrier == page.c.carrier, carrier_refs.c.ref == page.c.ref)
    query = (
        select(page, carrier_refs.c.message_sid)
        .outerjoin(carrier_refs, same)
        .order_by(page.c.sid, page.c.ref)
    )
    return [Met(*row) for row in db.execute(query)]


def page_strays(
    db: Connection, *, kind: str | None = None, limit: int, before: str | None = None
) -> list[Stray]:
    """Return the newest strays before the SID *before*, newest first; each once."""
    newest = select(strays.c.sid).distinct().order_by(strays.c.sid.desc()).limit(limit)
    if kind is not None:
        newest = newest.where(strays.c.kind == kind)
    if before is not None:
        newest = newest.where(strays.c.sid < before)
    query = select(strays).where(strays.c.sid.in_(newest.scalar_subquery()))
    found: dict[str, Stray] = {}
    for row in db.execute(query.order_by(strays.c.sid.desc(), strays.c.ref)):
        found.setdefault(row.sid, _stray(row._mapping))
    return list(found.values())


def _stray(values: Any) -> Stray:
    kept = {name: values[name] for name in ("sid", "carrier", "kind", "at", "doc")}
    return Stray(**kept, refs=(values["ref"],))
