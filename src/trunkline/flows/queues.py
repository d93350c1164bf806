"""How much may wait: what leaves within ten hours for a rated sender, a million for their time."""

from datetime import datetime, timedelta

from trunkline.store.outbox import queued_segments
from trunkline.store.schedule import count_scheduled
from trunkline.store.store import Store

# Twilio: a sender's queue holds what its rate lets through in ten hours.
QUEUE_SECONDS = 36_000
# A full queue is counted anew only so often, however often it is knocked at.
RECOUNT_SECONDS = 1.0
# Others fill a queue, too; what is remembered of it holds no longer than this.
SHARED_SECONDS = 10.0
BUDGETS_MAX = 50_000  # About 10 MB; past it all are counted anew.


class QueueBudgets:
    """Remembers how much a queue can take for sure, so that it is not counted at every message.

    Between two counts a queue only gets shorter by itself, so nothing is accepted beyond the limit
    but what is accepted in the moment of counting. Of several *nodes* each remembers its part for
    a moment: by what others accept meanwhile the limit may be passed, at most by that part of each.
    """

    def __init__(self) -> None:
        self.nodes = 1
        self._left: dict[tuple[str, str, float], tuple[int, datetime]] = {}

    async def has_room(
        self,
        store: Store,
        queue: tuple[str, str],
        *,
        segments: int,
        per_second: float,
        now: datetime,
    ) -> bool:
        """Tell whether *segments* more may wait in a queue (lane, flow), and count them if so."""
        key = (*queue, per_second)  # Another rate is another limit.
        left, counted_at = self._left.get(key, (0, datetime.min.replace(tzinfo=now.tzinfo)))
        is_fresh = timedelta() <= now - counted_at < timedelta(seconds=RECOUNT_SECONDS)
        is_recent = timedelta() <= now - counted_at < timedelta(seconds=SHARED_SECONDS)
        if (left < segments or (self.nodes > 1 and not is_recent)) and not is_fresh:
            waiting = await store.read(lambda db: queued_segments(db, *queue))
            left, counted_at = int(per_second * QUEUE_SECONDS) - waiting, now
            left = left // self.nodes if left > self.nodes * segments else left
        if len(self._left) >= BUDGETS_MAX:
            self._left.clear()
        has_room = left >= segments
        self._left[key] = (left - segments if has_room else left, counted_at)
        return has_room


# Twilio: so many messages of an account may wait for their time.
SCHEDULED_MAX = 1_000_000


class ScheduleBudgets:
    """Remembers how much an account may schedule for sure: counting a million takes a moment.

    What other nodes schedule meanwhile is not counted, so the limit may be passed by that.
    """

    def __init__(self) -> None:
        self._left: dict[str, tuple[int, datetime]] = {}

    async def has_room(self, store: Store, account_sid: str, *, now: datetime) -> bool:
        """Tell whether one more message of an account may wait for its time, and count it if so."""
        known = self._left.get(account_sid)
        if known is None or not timedelta() <= now - known[1] < timedelta(seconds=SHARED_SECONDS):
            most = SCHEDULED_MAX
            count = await store.read(lambda db: count_scheduled(db, account_sid, most=most))
            known = (most - count, now)
        left, counted_at = known
        if len(self._left) >= BUDGETS_MAX:
            self._left.clear()
        self._left[account_sid] = (max(left - 1, 0), counted_at)
        return left > 0
