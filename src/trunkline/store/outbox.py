"""What the lanes have still to hand over, and how the carrier names what it took."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    Insert,
    Integer,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from trunkline.domain.ids import micros, position_of
from trunkline.store.prepared import Prepared
from trunkline.store.rows import by_account
from trunkline.store.tables import carrier_refs, outbox
from trunkline.store.upserts import upsert


class Doubt(IntEnum):
    """Whether the bytes of a message may have left: with its answer still to come, or given up."""

    NONE = 0
    UNDER_WAY = 1
    WAITING = 2


class OutboxRow(Struct, frozen=True, kw_only=True):
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


class CarrierRef(Struct, frozen=True, kw_only=True):
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


COLUMNS = [outbox.c[name] for name in OutboxRow.__struct_fields__]
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
_HERE = and_(
    outbox.c.account_sid == bindparam("b_account_sid"),
    outbox.c.message_sid == bindparam("b_sid"),
    outbox.c.lane == bindparam("b_lane"),
)
_KEY = ("b_account_sid", "b_sid", "b_lane")
_DELETE = Prepared(delete(outbox).where(_HERE), _KEY)
_MARK = Prepared(
    update(outbox).where(_HERE).values(in_doubt=bindparam("b_doubt")), ("b_doubt", *_KEY)
)
_GIVE_UP = Prepared(
    update(outbox)
    .where(_HERE, outbox.c.in_doubt == literal_column(str(int(Doubt.UNDER_WAY))))
    .values(in_doubt=literal_column(str(int(Doubt.WAITING)))),
    _KEY,
)
_MOVE = Prepared(
    update(outbox).where(_HERE).values(lane=bindparam("b_target")), ("b_target", *_KEY)
)
_POSTPONE = Prepared(
    update(outbox)
    .where(_HERE)
    .values(
        due_at=bindparam("b_due"),
        in_doubt=bindparam("b_doubt"),
        attempts=outbox.c.attempts + literal_column("1"),
    ),
    ("b_due", "b_doubt", *_KEY),
)
_INSERT = Prepared(insert(outbox), [column.name for column in outbox.c])


# What a reference stands for, and what of it tells one segment from another.
_IDENTITY = ("message_sid", "segment_index")
_OF_A_SEGMENT = ("account_sid", *_IDENTITY, "segment_count", "delivered")


def _upsert_ref() -> Insert:
    statement = upsert(carrier_refs)
    new = {name: statement.excluded[name] for name in _OF_A_SEGMENT}
    other = or_(*(carrier_refs.c[name] != statement.excluded[name] for name in _IDENTITY))
    return statement.on_conflict_do_update(index_elements=["carrier", "ref"], set_=new, where=other)


_INSERT_REF = Prepared(_upsert_ref(), [column.name for column in carrier_refs.c])
_CLAIM_REF = Prepared(
    upsert(carrier_refs).on_conflict_do_nothing(index_elements=["carrier", "ref"]),
    [column.name for column in carrier_refs.c],
)
_SETTLE_REF = Prepared(
    update(carrier_refs)
    .where(
        carrier_refs.c.carrier == bindparam("b_carrier"), carrier_refs.c.ref == bindparam("b_ref")
    )
    .values(delivered=bindparam("b_delivered")),
    ("b_delivered", "b_carrier", "b_ref"),
)


def insert_outbox(db: Connection, rows: Sequence[OutboxRow]) -> None:
    """Queue messages in their lanes."""
    _INSERT.run(db, [_values(row) for row in rows])


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


def load_any(
    db: Connection, lane: str, *, after: OutboxRow | None = None, limit: int
) -> list[OutboxRow]:
    """Return rows of a lane, due or not, behind *after* in the order in which a lane reads them."""
    place = (outbox.c.flow, outbox.c.due_at, outbox.c.position)
    query = select(*COLUMNS).where(outbox.c.lane == lane)
    if after is not None:
        there = (after.flow, after.due_at, position_of(after.message_sid))
        query = query.where(tuple_(*place) > tuple_(*map(_literal, place, there)))
    query = query.order_by(*place).limit(limit)
    return [_row(row._mapping) for row in db.execute(query)]


def _literal(column: Column[Any], value: Any) -> ColumnElement[Any]:
    return literal(value, column.type)


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
    here = and_(
        outbox.c.lane == rows.lane, outbox.c.flow == rows.flow, outbox.c.sender == rows.sender
    )
    key = (outbox.c.account_sid, outbox.c.message_sid)
    found = db.execute(select(*key).where(here).limit(limit).with_for_update()).all()
    _MOVE.run(db, [(rows.target, row[0], row[1], rows.lane) for row in found])
    return len(found)


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


def mark_in_doubt(db: Connection, rows: Iterable[OutboxRow]) -> bool:
    """Write down that the bytes of these rows are about to leave; tell whether all are there."""
    keys = [(int(Doubt.UNDER_WAY), *_key(row)) for row in rows]
    return _MARK.run(db, keys) == len(keys)


def awaited(db: Connection, lane: str, *, limit: int) -> list[tuple[str, str]]:
    """Return the keys of a lane's rows whose answers were awaited when they were written.

    This walks through the whole lane, which takes seconds where a million rows wait.
    """
    here = (outbox.c.lane == lane) & (outbox.c.in_doubt == int(Doubt.UNDER_WAY))
    query = select(outbox.c.account_sid, outbox.c.message_sid).where(here).limit(limit)
    return [(row[0], row[1]) for row in db.execute(query)]


def give_up_answers(db: Connection, lane: str, keys: Iterable[tuple[str, str]]) -> None:
    """Note that nobody awaits answers to these rows of a lane any more."""
    _GIVE_UP.run(db, [(*key, lane) for key in keys])


def delete_outbox(db: Connection, rows: Iterable[OutboxRow]) -> None:
    """Take rows out of their lanes."""
    _DELETE.run(db, [_key(row) for row in rows])


def postpone_outbox(db: Connection, rows: Iterable[tuple[OutboxRow, datetime, Doubt]]) -> None:
    """Let rows wait until a time, with what is to be thought of their last attempt."""
    _POSTPONE.run(db, [(micros(at), int(doubt), *_key(row)) for row, at, doubt in rows])


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
    _INSERT_REF.run(db, [_ref_values(ref) for ref in refs])


def claim_ref(db: Connection, ref: CarrierRef) -> bool:
    """Remember a reference unless it is known; tell whether it was not.

    Of several nodes that claim one at the same moment, one is told so.
    """
    return _CLAIM_REF.run(db, [_ref_values(ref)]) == 1


def find_refs(db: Connection, carrier: str, refs: Iterable[str]) -> dict[str, CarrierRef]:
    """Return what a carrier's names stand for."""
    query = select(carrier_refs).where(
        carrier_refs.c.carrier == carrier, carrier_refs.c.ref.in_(list(refs))
    )
    return {row.ref: _ref(row._mapping) for row in db.execute(query)}


def refs_of(db: Connection, keys: Iterable[tuple[str, str]]) -> dict[str, list[CarrierRef]]:
    """Return the segments that carriers took of messages, given by account and SID, by message."""
    found: dict[str, list[CarrierRef]] = {}
    for account_sid, sids in by_account(keys).items():
        query = select(carrier_refs).where(
            carrier_refs.c.account_sid == account_sid, carrier_refs.c.message_sid.in_(sids)
        )
        for row in db.execute(query):
            found.setdefault(row.message_sid, []).append(_ref(row._mapping))
    return found


def settle_refs(db: Connection, refs: Iterable[CarrierRef]) -> None:
    """Store what receipts said of segments."""
    _SETTLE_REF.run(db, [(_verdict(r.delivered), r.carrier, r.ref) for r in refs])


def find_outbox(
    db: Connection, keys: Iterable[tuple[str, str]], *, to_change: bool = False
) -> dict[str, OutboxRow]:
    """Return the rows of messages, given by account and SID, that wait in any lane.

    What is read to be changed is nobody else's until the commit.
    """
    found: dict[str, OutboxRow] = {}
    for account_sid, sids in by_account(keys).items():
        query = select(*COLUMNS).where(
            outbox.c.account_sid == account_sid, outbox.c.message_sid.in_(sids)
        )
        if to_change:
            query = query.order_by(outbox.c.message_sid).with_for_update()
        found |= {row.message_sid: _row(row._mapping) for row in db.execute(query)}
    return found


def _key(row: OutboxRow) -> tuple[str, str, str]:
    return (row.account_sid, row.message_sid, row.lane)


def _values(row: OutboxRow) -> tuple[Any, ...]:
    """Return the values of a row, in the order of the table's columns."""
    return (
        row.account_sid,
        row.message_sid,
        row.lane,
        row.flow,
        row.sender,
        row.recipient,
        row.segments,
        ",".join(row.tried),
        micros(row.due_at),
        micros(row.expires_at),
        int(row.in_doubt),
        row.attempts,
        position_of(row.message_sid),
    )


def _ref(values: Any) -> CarrierRef:
    delivered = values["delivered"]
    return CarrierRef(**{**values, "delivered": None if delivered is None else bool(delivered)})


def _ref_values(ref: CarrierRef) -> tuple[Any, ...]:
    """Return the values of a reference, in the order of the table's columns."""
    return (
        ref.carrier,
        ref.ref,
        ref.account_sid,
        ref.message_sid,
        ref.segment_index,
        ref.segment_count,
        _verdict(ref.delivered),
    )


def _verdict(delivered: bool | None) -> int | None:
    return None if delivered is None else int(delivered)


def _row(values: Any) -> OutboxRow:
    tried = tuple(filter(None, values["tried"].split(",")))
    return OutboxRow(**{**values, "in_doubt": Doubt(values["in_doubt"]), "tried": tried})
