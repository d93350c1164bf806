"""How much waits, and since when, for whoever watches the platform: each look is bounded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from trunkline.domain.ids import instant, sid_micros
from trunkline.store.condition import oldest_webhook
from trunkline.store.outbox import lanes_in_use
from trunkline.store.tables import callbacks, outbox

# Rows that one look counts in all; an index is read for them, about 0.2 s for as many.
COUNTED_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for one carrier."""

    messages: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Depths:
    """What waits."""

    queues: Mapping[str, Queue] = field(default_factory=dict)
    webhooks_waiting: int = 0
    webhooks_parked: int = 0
    webhook_due_at: datetime | None = None


def measure_depths(db: Connection, now: datetime) -> Depths:
    """Return what waits; what is over COUNTED_MAX is not counted."""
    return Depths(
        queues=_queues(db),
        webhooks_waiting=_webhooks(db, callbacks.c.due_at.is_not(None)),
        webhooks_parked=_webhooks(db, callbacks.c.due_at.is_(None)),
        webhook_due_at=oldest_webhook(db, now),
    )


def _queues(db: Connection) -> dict[str, Queue]:
    found: dict[str, Queue] = {}
    left = COUNTED_MAX
    for lane in lanes_in_use(db):
        # Both columns stand in the index that lanes read, so no row is looked up.
        rows = select(outbox.c.position).where(outbox.c.lane == lane).limit(left).subquery()
        count, position = db.execute(select(func.count(), func.min(rows.c.position))).one()
        if not count:
            continue
        carrier = lane.rpartition("/")[0]
        queue = Queue(count, instant(sid_micros("SM" + position)))
        before = found.get(carrier)
        found[carrier] = _together(before, queue) if before else queue
        left = max(1, left - count)
    return found


def _together(one: Queue, other: Queue) -> Queue:
    return Queue(one.messages + other.messages, min(one.oldest_at, other.oldest_at))


def _webhooks(db: Connection, condition: ColumnElement[bool]) -> int:
    rows = select(callbacks.c.sid).where(condition).limit(COUNTED_MAX).subquery()
    return db.execute(select(func.count()).select_from(rows)).scalar_one()
