"""Receipts and texts for customers who bind to us: kept until somebody takes them.

Rules: a row goes when it was acknowledged, when it is too old, or when there are too many for one
customer, the oldest first. New rows are due at once, so that they leave in the order they came.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from trunkline.domain.ids import position_at
from trunkline.store.rows import rows_of
from trunkline.store.tables import deliveries

PREFIX = "DL"
# Of one customer: some 50 MB, and at ten a second what comes in three hours away.
DELIVERIES_MAX = 100_000

RECEIPT, TEXT = "receipt", "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One receipt or text that a customer is owed."""

    sid: str
    account_sid: str
    message_sid: str
    system_id: str
    kind: str
    doc: Mapping[str, Any]
    due_at: datetime
    attempts: int = 0
    created_at: datetime


_POSTPONE = (
    update(deliveries)
    .where(deliveries.c.sid == bindparam("b_sid"))
    .values(due_at=bindparam("b_due_at"), attempts=deliveries.c.attempts + 1)
)

_DELAY = (
    update(deliveries)
    .where(deliveries.c.sid == bindparam("b_sid"))
    .values(due_at=bindparam("b_due_at"))
)


def insert_deliveries(db: Connection, rows: Sequence[DeliveryRow]) -> None:
    """Keep rows."""
    if rows:
        db.execute(insert(deliveries), rows_of(rows))


def load_deliveries(
    db: Connection, account_sid: str, system_id: str, *, now: datetime, limit: int
) -> list[DeliveryRow]:
    """Return what is due for a customer, the first to leave first."""
    query = (
        select(deliveries)
        .where(_of(account_sid, system_id), deliveries.c.due_at <= now)
        .order_by(deliveries.c.due_at, deliveries.c.sid)
        .limit(limit)
    )
    return [DeliveryRow(**row._mapping) for row in db.execute(query)]


def count_deliveries(db: Connection, account_sid: str, system_id: str) -> int:
    """Return how much waits for a customer."""
    query = select(func.count()).where(_of(account_sid, system_id))
    return int(db.execute(query).scalar_one())


def delete_deliveries(db: Connection, sids: Iterable[str]) -> None:
    """Remove what was taken."""
    rows = [{"b_sid": sid} for sid in sids]
    if rows:
        db.execute(delete(deliveries).where(deliveries.c.sid == bindparam("b_sid")), rows)


def postpone_deliveries(db: Connection, dues: Iterable[tuple[str, datetime]]) -> None:
    """Let rows, named by their SIDs, wait until a time; one attempt more was made."""
    rows = [{"b_sid": sid, "b_due_at": due_at} for sid, due_at in dues]
    if rows:
        db.execute(_POSTPONE, rows)


def delay_deliveries(db: Connection, sids: Iterable[str], due_at: datetime) -> None:
    """Let rows wait until a time, as if no attempt had been made."""
    rows = [{"b_sid": sid, "b_due_at": due_at} for sid in sids]
    if rows:
        db.execute(_DELAY, rows)


def forget_customer(db: Connection, account_sid: str, system_id: str) -> None:
    """Remove everything that waits for a customer."""
    db.execute(delete(deliveries).where(_of(account_sid, system_id)))


def sweep_deliveries(db: Connection, before: datetime, *, limit: int = DELIVERIES_MAX) -> int:
    """Remove what came before a time, and what a customer has beyond the limit; return how much."""
    column = deliveries.c
    old = delete(deliveries).where(column.sid < PREFIX + position_at(before))
    swept = db.execute(old).rowcount
    who = (column.account_sid, column.system_id)
    counts = select(*who, func.count().label("many")).group_by(*who)
    for row in db.execute(counts.having(func.count() > limit)).all():
        oldest = (
            select(column.sid)
            .where(_of(row.account_sid, row.system_id))
            .order_by(column.sid)
            .limit(row.many - limit)
        )
        superfluous = delete(deliveries).where(column.sid.in_(oldest.scalar_subquery()))
        swept += db.execute(superfluous).rowcount
    return swept


def _of(account_sid: str, system_id: str) -> ColumnElement[bool]:
    """Choose one customer's: a system_id that was removed may be another account's later."""
    return and_(deliveries.c.system_id == system_id, deliveries.c.account_sid == account_sid)
