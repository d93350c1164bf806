"""What the lanes have still to hand over, and how the carrier names what it took."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    CTE,
    Connection,
    Integer,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from trunkline.domain.ids import position_of
from trunkline.store.rows import rows_of, values_of
from trunkline.store.tables import carrier_refs, outbox


class Doubt(IntEnum):
    """Whether the bytes of a message may have left: with its answer still to come, or given up."""

    NONE = 0
    UNDER_WAY = 1
    WAITING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A message that waits in a lane.

    flow takes turns with other flows of the lane: the priority, 0 for the most urgent, and a
    digest of account and sender. tried names the carriers that would not have it.
    """

    lane: str
    message_sid: str
    account_sid: str
    flow: str
    sender: str
    recipient: str
    segments: int
    tried: tuple[str, ...] = ()
    due_at: datetime
    expires_at: datetime
    in_doubt: Doubt = Doubt.NONE
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


@dataclass(frozen=True, slots=True)
class Misplaced:
    """The rows of a sender that wait in one lane and belong into another."""

    lane: str
    flow: str
    sender: str
    target: str


COLUMNS = [outbox.c[f.name] for f in fields(OutboxRow)]
_DUE = (
    select(*COLUMNS)
    .where(
        outbox.c.lane == bindparam("b_lane"),
        outbox.c.flow == bindparam("b_flow"),
        outbox.c.due_at <= bindparam("b_now"),
    )
    .order_by(outbox.c.due_at, outbox.c.position)
    .limit(bindparam("b_limit", type_=Integer))
)
_NEXT_DUE = select(func.min(outbox.c.due_at)).where(
    outbox.c.lane == bindparam("b_lane"),
    outbox.c.flow == bindparam("b_flow"),
    outbox.c.due_at > bindparam("b_now"),
)
_HERE = (outbox.c.lane == bindparam("b_lane")) & (outbox.c.message_sid == bindparam("b_sid"))


# What a reference stands for, and what of it tells one segment from another.
_IDENTITY = ("message_sid", "segment_index")
_OF_A_SEGMENT = ("account_sid", *_IDENTITY, "segment_count", "delivered")


def insert_outbox(db: Connection, rows: Sequence[OutboxRow]) -> None:
    """Queue messages in their lanes."""
    if rows:
        db.execute(insert(outbox), [_values(row) for row in rows])


def flows_of(db: Connection, lane: str, *, after: str = "", limit: int) -> list[str]:
    """Return the flows of a lane behind *after*, urgent ones first.

    Each is found by a seek of its own, however many rows the flows have.
    """
    flows = _all_flows(lane, after=after)
    query = select(flows.c.flow).where(flows.c.flow.is_not(None)).limit(limit)
    return list(db.execute(query).scalars())


def _all_flows(lane: str, *, after: str = "") -> CTE:
    here = outbox.c.lane == lane
    flows = (
        select(func.min(outbox.c.flow).label("flow"))
        .where(here, outbox.c.flow > after)
        .cte("flows", recursive=True)
    )
    following = (
        select(func.min(outbox.c.flow)).where(here, outbox.c.flow > flows.c.flow).scalar_subquery()
    )
    return flows.union_all(select(following).where(flows.c.flow.is_not(None)))


def load_due(
    db: Connection, lane: str, now: datetime, *, limits: Mapping[str, int]
) -> list[OutboxRow]:
    """Return the next rows of some flows of a lane, each flow's in sending order.

    *limits* says how many of each. Only the lane's owner calls this.
    """
    found: list[OutboxRow] = []
    for flow, limit in limits.items():
        values = {"b_lane": lane, "b_flow": flow, "b_now": now, "b_limit": limit}
        found += [_row(row._mapping) for row in db.execute(_DUE, values)]
    return found


def load_any(db: Connection, lane: str, *, after: str = "", limit: int) -> list[OutboxRow]:
    """Return rows of a lane, due or not, behind the message *after* in the order of SIDs."""
    query = (
        select(*COLUMNS)
        .where(outbox.c.lane == lane, outbox.c.message_sid > after)
        .order_by(outbox.c.message_sid)
        .limit(limit)
    )
    return [_row(row._mapping) for row in db.execute(query)]


def next_due(db: Connection, lane: str, now: datetime, *, flows: Iterable[str]) -> datetime | None:
    """Return when the next row of a lane's flows will be due that is not yet."""
    values = [{"b_lane": lane, "b_flow": flow, "b_now": now} for flow in flows]
    dues = [db.execute(_NEXT_DUE, each).scalar() for each in values]
    return min((due for due in dues if due is not None), default=None)


def senders_of(db: Connection, lane: str) -> list[tuple[str, str]]:
    """Return the flows of a lane, each with its sender; a seek or two for each."""
    flows = _all_flows(lane)
    sender = (
        select(outbox.c.sender)
        .where(outbox.c.lane == lane, outbox.c.flow == flows.c.flow)
        .limit(1)
        .scalar_subquery()
    )
    query = select(flows.c.flow, sender).where(flows.c.flow.is_not(None))
    return [(row[0], row[1]) for row in db.execute(query)]


def rename_lane(db: Connection, rows: Misplaced, *, limit: int) -> int:
    """Put rows as they are into the lane where they belong; return how many that were."""
    some = (
        select(outbox.c.message_sid)
        .where(
            outbox.c.lane == rows.lane,
            outbox.c.flow == rows.flow,
            outbox.c.sender == rows.sender,
        )
        .limit(limit)
    )
    here = (outbox.c.lane == rows.lane) & outbox.c.message_sid.in_(some.scalar_subquery())
    return db.execute(update(outbox).where(here).values(lane=rows.target)).rowcount


def load_expired(db: Connection, now: datetime, *, limit: int) -> list[OutboxRow]:
    """Return rows of any lane whose time ran out, but for those whose answers may still come."""
    query = (
        select(*COLUMNS)
        .where(outbox.c.expires_at <= now, outbox.c.in_doubt != int(Doubt.UNDER_WAY))
        .order_by(outbox.c.expires_at)
        .limit(limit)
    )
    return [_row(row._mapping) for row in db.execute(query)]


def first_expiry(db: Connection) -> datetime | None:
    """Return when the next row of any lane runs out of time."""
    return db.execute(select(func.min(outbox.c.expires_at))).scalar()


def waiting_in(db: Connection, lane: str, message_sids: Iterable[str]) -> set[str]:
    """Return which of these messages wait in a lane."""
    query = select(outbox.c.message_sid).where(
        outbox.c.lane == lane, outbox.c.message_sid.in_(list(message_sids))
    )
    return set(db.execute(query).scalars())


def queued_segments(db: Connection, lane: str, flow: str) -> int:
    """Return how many segments of a flow wait in a lane."""
    query = select(func.coalesce(func.sum(outbox.c.segments), 0)).where(
        outbox.c.lane == lane, outbox.c.flow == flow
    )
    return int(db.execute(query).scalar_one())


def move_outbox(db: Connection, moves: Iterable[tuple[OutboxRow, OutboxRow]]) -> None:
    """Put rows into other lanes: of each pair the first is what is there, the second what will be.

    What of a row left us before stays with the carrier that got it.
    """
    pairs = list(moves)
    delete_outbox(db, [before for before, _ in pairs])
    insert_outbox(db, [after for _, after in pairs])


def mark_in_doubt(db: Connection, rows: Iterable[OutboxRow]) -> None:
    """Write down that the bytes of these rows are about to leave."""
    keys = _keys(rows)
    if keys:
        db.execute(update(outbox).where(_HERE).values(in_doubt=int(Doubt.UNDER_WAY)), keys)


def give_up_answers(db: Connection, lane: str) -> None:
    """Note that no answer is awaited in a lane: whoever awaited one is gone."""
    here = (outbox.c.lane == lane) & (outbox.c.in_doubt == int(Doubt.UNDER_WAY))
    db.execute(update(outbox).where(here).values(in_doubt=int(Doubt.WAITING)))


def delete_outbox(db: Connection, rows: Iterable[OutboxRow]) -> None:
    """Take rows out of their lanes."""
    keys = _keys(rows)
    if keys:
        db.execute(delete(outbox).where(_HERE), keys)


def postpone_outbox(db: Connection, rows: Iterable[tuple[OutboxRow, datetime, Doubt]]) -> None:
    """Let rows wait until a time, with what is to be thought of their last attempt."""
    values = [
        {"b_lane": row.lane, "b_sid": row.message_sid, "b_due": at, "b_doubt": int(doubt)}
        for row, at, doubt in rows
    ]
    if values:
        change = {
            "due_at": bindparam("b_due"),
            "in_doubt": bindparam("b_doubt"),
            "attempts": outbox.c.attempts + 1,
        }
        db.execute(update(outbox).where(_HERE).values(**change), values)


def lanes_in_use(db: Connection) -> list[str]:
    """Return the names of the lanes that have rows; each is found by a seek of its own."""
    lanes = select(func.min(outbox.c.lane).label("lane")).cte("lanes", recursive=True)
    following = (
        select(func.min(outbox.c.lane)).where(outbox.c.lane > lanes.c.lane).scalar_subquery()
    )
    lanes = lanes.union_all(select(following).where(lanes.c.lane.is_not(None)))
    return list(db.execute(select(lanes.c.lane).where(lanes.c.lane.is_not(None))).scalars())


def outbox_size(db: Connection) -> int:
    """Return how many messages wait."""
    return db.execute(select(func.count()).select_from(outbox)).scalar_one()


def insert_refs(db: Connection, refs: Sequence[CarrierRef]) -> None:
    """Remember what the carrier calls our segments.

    A carrier that uses a name again means the newer segment; the same one again changes nothing.
    """
    if refs:
        statement = upsert(carrier_refs)
        new = {name: statement.excluded[name] for name in _OF_A_SEGMENT}
        other = or_(*(carrier_refs.c[name] != statement.excluded[name] for name in _IDENTITY))
        db.execute(
            statement.on_conflict_do_update(
                index_elements=["carrier", "ref"], set_=new, where=other
            ),
            rows_of(refs),
        )


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


def find_outbox(
    db: Connection, message_sids: Iterable[str], *, lanes: Iterable[str]
) -> dict[str, OutboxRow]:
    """Return the rows of messages that wait in one of some lanes."""
    query = select(*COLUMNS).where(
        outbox.c.lane.in_(list(lanes)), outbox.c.message_sid.in_(list(message_sids))
    )
    return {row.message_sid: _row(row._mapping) for row in db.execute(query)}


def _keys(rows: Iterable[OutboxRow]) -> list[dict[str, Any]]:
    return [{"b_lane": row.lane, "b_sid": row.message_sid} for row in rows]


def _row(values: Any) -> OutboxRow:
    tried = tuple(filter(None, values["tried"].split(",")))
    return OutboxRow(**{**values, "in_doubt": Doubt(values["in_doubt"]), "tried": tried})


def _values(row: OutboxRow) -> dict[str, Any]:
    return values_of(row) | {
        "position": position_of(row.message_sid),
        "tried": ",".join(row.tried),
        "in_doubt": int(row.in_doubt),
    }


def _ref(values: Any) -> CarrierRef:
    delivered = values["delivered"]
    return CarrierRef(**{**values, "delivered": None if delivered is None else bool(delivered)})
