"""What the lanes have still to hand over, and how the carrier names what it took."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from trunkline.domain.ids import position_of
from trunkline.store.rows import rows_of, values_of
from trunkline.store.tables import carrier_refs, outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A message that waits in a lane. in_doubt: its bytes may have left before a crash."""

    lane: str
    message_sid: str
    account_sid: str
    due_at: datetime
    expires_at: datetime
    in_doubt: bool = False
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierRef:
    """Which segment of which message a carrier calls *ref*."""

    carrier: str
    ref: str
    account_sid: str
    message_sid: str
    segment_index: int
    segment_count: int
    delivered: bool | None = None


COLUMNS = [outbox.c[f.name] for f in fields(OutboxRow)]
_HERE = (outbox.c.lane == bindparam("b_lane")) & (outbox.c.message_sid == bindparam("b_sid"))


def insert_outbox(db: Connection, rows: Sequence[OutboxRow]) -> None:
    """Queue messages in their lanes."""
    if rows:
        values = [values_of(row) | {"position": position_of(row.message_sid)} for row in rows]
        db.execute(insert(outbox), values)


def load_due(db: Connection, lane: str, now: datetime, *, limit: int) -> list[OutboxRow]:
    """Return the next rows of a lane in sending order. Only the lane's owner calls this."""
    query = (
        select(*COLUMNS)
        .where(outbox.c.lane == lane, outbox.c.due_at <= now)
        .order_by(outbox.c.due_at, outbox.c.position)
        .limit(limit)
    )
    return [_row(row._mapping) for row in db.execute(query)]


def next_due(db: Connection, lane: str) -> datetime | None:
    """Return when the next row of a lane is due."""
    query = select(outbox.c.due_at).where(outbox.c.lane == lane).order_by(outbox.c.due_at).limit(1)
    return db.execute(query).scalar()


def mark_in_doubt(db: Connection, rows: Iterable[OutboxRow]) -> None:
    """Write down that the bytes of these rows are about to leave."""
    keys = _keys(rows)
    if keys:
        db.execute(update(outbox).where(_HERE).values(in_doubt=1), keys)


def delete_outbox(db: Connection, rows: Iterable[OutboxRow]) -> None:
    """Take rows out of their lanes."""
    keys = _keys(rows)
    if keys:
        db.execute(delete(outbox).where(_HERE), keys)


def postpone_outbox(db: Connection, rows: Iterable[tuple[OutboxRow, datetime]]) -> None:
    """Let rows wait; nothing of them left us, so they are not in doubt."""
    values = [{"b_lane": r.lane, "b_sid": r.message_sid, "b_due": at} for r, at in rows]
    if values:
        change = {"due_at": bindparam("b_due"), "in_doubt": 0, "attempts": outbox.c.attempts + 1}
        db.execute(update(outbox).where(_HERE).values(**change), values)


def lanes_in_use(db: Connection) -> list[str]:
    """Return the names of the lanes that have rows."""
    return list(db.execute(select(outbox.c.lane).distinct()).scalars())


def outbox_size(db: Connection) -> int:
    """Return how many messages wait."""
    return db.execute(select(func.count()).select_from(outbox)).scalar_one()


def insert_refs(db: Connection, refs: Sequence[CarrierRef]) -> None:
    """Remember what the carrier calls our segments; the same name again changes nothing."""
    if refs:
        db.execute(upsert(carrier_refs).on_conflict_do_nothing(), rows_of(refs))


def find_refs(db: Connection, carrier: str, refs: Iterable[str]) -> dict[str, CarrierRef]:
    """Return what a carrier's names stand for."""
    query = select(carrier_refs).where(
        carrier_refs.c.carrier == carrier, carrier_refs.c.ref.in_(list(refs))
    )
    return {row.ref: _ref(row._mapping) for row in db.execute(query)}


def refs_of(db: Connection, message_sids: Iterable[str]) -> dict[str, list[CarrierRef]]:
    """Return the segments that carriers took, by message."""
    found: dict[str, list[CarrierRef]] = {}
    query = select(carrier_refs).where(carrier_refs.c.message_sid.in_(list(message_sids)))
    for row in db.execute(query):
        found.setdefault(row.message_sid, []).append(_ref(row._mapping))
    return found


def settle_refs(db: Connection, refs: Iterable[CarrierRef]) -> None:
    """Store what receipts said of segments."""
    rows = [{"b_carrier": r.carrier, "b_ref": r.ref, "b_delivered": r.delivered} for r in refs]
    if rows:
        here = (carrier_refs.c.carrier == bindparam("b_carrier")) & (
            carrier_refs.c.ref == bindparam("b_ref")
        )
        db.execute(
            update(carrier_refs).where(here).values(delivered=bindparam("b_delivered")), rows
        )


def _keys(rows: Iterable[OutboxRow]) -> list[dict[str, Any]]:
    return [{"b_lane": row.lane, "b_sid": row.message_sid} for row in rows]


def _row(values: Any) -> OutboxRow:
    return OutboxRow(**{**values, "in_doubt": bool(values["in_doubt"])})


def _ref(values: Any) -> CarrierRef:
    delivered = values["delivered"]
    return CarrierRef(**{**values, "delivered": None if delivered is None else bool(delivered)})
