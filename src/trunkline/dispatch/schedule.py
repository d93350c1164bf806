"""A lane's memory of what waits: whose turn is next, within the rates of senders.

Rules: urgent rows come first; then accounts take turns, then the senders of an account; within a
sender the oldest row comes first. Of one pair of addresses a single row is under way at any time,
so that its texts arrive in their order; the sender's other pairs go on meanwhile.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from math import ceil

from trunkline.dispatch.rate import Buckets
from trunkline.domain.carrier import PRIORITY_MAX, SenderType, sender_type_of
from trunkline.domain.ids import position_of
from trunkline.store.outbox import OutboxRow

ROWS_MAX = 10_000  # Rows of a lane in memory, about 10 MB; the others stay on disk.
FLOW_ROWS_MAX = 1_000  # Two batches, so that a lane with one flow reads while it sends.
# A sender with a rate needs no more in memory than it may send until the lane has read again.
AHEAD_SECONDS = 5.0
READ_MAX = 1_000  # Rows of one look, so that nobody's text waits behind a long one.
FLOW_ROWS_MIN = 4  # Some, so that a pair with a row under way does not hide the next ones.

_PRIORITIES = tuple(str(digit) for digit in range(PRIORITY_MAX + 1))

# The order of sending, which is the table's: when a row is due, then when its SID was made.
_Entry = tuple[datetime, str, str, OutboxRow]
_QueueKey = tuple[str, str, str]
_Pair = tuple[str, str, str]


@dataclass(slots=True)
class _Flow:
    """How many rows of a flow are here, and how many may wait."""

    rows_max: int
    known: int = 0
    waiting: int = 0


@dataclass(slots=True)
class _Queue:
    """What waits of one sender of one account at one priority.

    Rows that came up while another of their pair was under way are held; when that one is done,
    the first of them is put back among the rows.
    """

    key: _QueueKey  # The priority, the account and the sender.
    rate: float | None
    rows: list[_Entry] = field(default_factory=list)
    held: dict[str, list[_Entry]] = field(default_factory=dict)  # By recipient.

    def hold(self) -> None:
        """Put the first row aside."""
        entry = self.rows.pop(0)
        insort(self.held.setdefault(entry[-1].recipient, []), entry)

    def release(self, recipient: str) -> None:
        """Put the first of the rows that are held for a recipient, if any, back among the rows."""
        held = self.held.get(recipient)
        if held:
            insort(self.rows, held.pop(0))
            self._tidy(recipient)

    def waits_behind(self, entry: _Entry) -> bool:
        """Tell whether something waits here that belongs behind *entry*."""
        held = self.held.get(entry[-1].recipient, [])
        return any(last > entry for last in self.rows[-1:] + held[-1:])

    def remove(self, row: OutboxRow) -> None:
        """Take a row out, wherever it is."""
        entry = _entry(row)
        place = bisect_left(self.rows, entry)
        if place < len(self.rows) and self.rows[place] == entry:
            del self.rows[place]
        else:
            self.held[row.recipient].remove(entry)
            self._tidy(row.recipient)

    def _tidy(self, recipient: str) -> None:
        if not self.held[recipient]:
            del self.held[recipient]


class Schedule:
    """Says which rows are handed over next; `done` must follow for every row that it gives out.

    rates are segments a second of one sender, by its type; a type that is missing has no limit.
    """

    def __init__(self, rates: Mapping[SenderType, float]) -> None:
        self._rates = dict(rates)
        self._buckets = Buckets()
        self.clear()

    def clear(self) -> None:
        """Forget all rows; what senders have used of their rates stays known."""
        self._waiting: dict[str, OutboxRow] = {}
        self._under_way: dict[str, OutboxRow] = {}
        self._busy: dict[_Pair, str] = {}  # The SID of the row that is under way.
        self._flows: dict[str, _Flow] = {}
        self._queues: dict[_QueueKey, _Queue] = {}
        # By priority: the accounts in turn, and of each the senders in turn that may have a row.
        self._turns: dict[str, OrderedDict[str, OrderedDict[str, _Queue]]] = {
            priority: OrderedDict() for priority in _PRIORITIES
        }
        # Queues of senders that wait for their rates; the list has one entry for each sender.
        self._resting: dict[str, dict[_QueueKey, _Queue]] = {}
        self._wakes: list[tuple[float, str]] = []

    def known(self) -> dict[str, int]:
        """Return by flow how many rows are in memory, waiting or under way."""
        return {name: flow.known for name, flow in self._flows.items()}

    def limits(self, flows: Iterable[str]) -> dict[str, int]:
        """Return how many rows to read from the head of each flow: the known ones and some more.

        The flows share the memory, the urgent and the neediest of them first; those that are too
        many for one look are left to the next. One that has half of its share waiting is not read:
        what it has would only be found again.
        """
        names, free = list(flows), self._free()
        share = max(ROWS_MAX // max(len(names), 1), FLOW_ROWS_MIN)
        found = {name: self._flows.get(name) or _Flow(FLOW_ROWS_MAX) for name in names}
        hungry = [
            name
            for name, flow in found.items()
            if 2 * flow.waiting < min(flow.rows_max, share, max(free, 1))
        ]
        hungry.sort(key=lambda name: (name[0], found[name].waiting))
        del hungry[free:]
        portion = max(min(free, READ_MAX) // max(len(hungry), 1), 1)
        limits: dict[str, int] = {}
        left = READ_MAX
        for name in hungry:
            flow = found[name]
            new = min(portion, flow.rows_max - flow.waiting, share - flow.waiting)
            limits[name] = flow.known + new
            left -= limits[name]
            if left <= 0:
                break
        return limits

    def add(self, rows: Iterable[OutboxRow]) -> int:
        """Let rows wait, each flow's in sending order; return how many were new.

        Rows that are known are passed over, and so is what a flow has no room for: a flow may have
        as many waiting as there is room left for others, so that none of them fills the memory.
        What belongs before those that wait comes in even so, or they would overtake it.
        """
        before = len(self._waiting)
        for row in rows:
            sid = row.message_sid
            if sid not in self._waiting and sid not in self._under_way:
                self._add(row)
        return len(self._waiting) - before

    def knows(self, row: OutboxRow) -> bool:
        """Tell whether a row is here, waiting or under way."""
        return row.message_sid in self._waiting or row.message_sid in self._under_way

    def take(self, now: float, *, segments: int) -> list[OutboxRow]:
        """Return the rows whose turn it is, of about as many segments, and at least one if any may.

        now is of a clock that never goes back. What has expired is given out in its turn, too.
        """
        self._wake(now)
        taken: list[OutboxRow] = []
        room = max(segments, 1)
        for turns in self._turns.values():
            while room > 0 and (row := self._next(turns, now)):
                taken.append(row)
                room -= _size(row)
        return taken

    def done(self, row: OutboxRow) -> None:
        """Forget a row: it is finished, moved away or postponed, and new if it is added again."""
        sid = row.message_sid
        known = self._under_way.pop(sid, None) or self._waiting.get(sid)
        if known is None:
            return
        if sid in self._waiting:
            self._withdraw(known)
        if self._busy.get(_pair(known)) == sid:
            del self._busy[_pair(known)]
            self._release(known)
        flow = self._flows[known.flow]
        flow.known -= 1
        if not flow.known:
            del self._flows[known.flow]

    def next_at(self, now: float) -> float | None:
        """Return when a sender that waits for its rate may go again; None if there is none."""
        while self._wakes and not self._resting[self._wakes[0][1]]:
            del self._resting[heappop(self._wakes)[1]]
        return max(self._wakes[0][0], now) if self._wakes else None

    def _free(self) -> int:
        return ROWS_MAX - len(self._waiting) - len(self._under_way)

    def _room(self, flow: _Flow) -> int:
        return min(flow.rows_max, self._free())

    def _add(self, row: OutboxRow) -> None:
        queue = self._queues.get(_key(row)) or _Queue(
            _key(row), self._rates.get(sender_type_of(row.sender))
        )
        flow = self._flows.get(row.flow) or _Flow(_rows_max(queue.rate))
        entry = _entry(row)
        is_ahead = self._free() > 0 and queue.waits_behind(entry)
        if flow.waiting >= self._room(flow) and not is_ahead:
            return
        self._flows[row.flow], self._queues[queue.key] = flow, queue
        flow.known += 1
        flow.waiting += 1
        self._waiting[row.message_sid] = row
        insort(queue.rows, entry)
        self._place(queue)

    def _place(self, queue: _Queue) -> None:
        """Give a queue with rows a turn, or let it rest with its sender; twice changes nothing."""
        priority, account, sender = queue.key
        if sender in self._resting:
            self._resting[sender][queue.key] = queue
        else:
            self._turns[priority].setdefault(account, OrderedDict())[sender] = queue

    def _displace(self, queue: _Queue) -> None:
        """Take the turn from a queue without rows, and forget it when nothing is held either."""
        priority, account, sender = queue.key
        self._resting.get(sender, {}).pop(queue.key, None)
        senders = self._turns[priority].get(account, OrderedDict())
        senders.pop(sender, None)
        if not senders:
            self._turns[priority].pop(account, None)
        if not queue.held:
            del self._queues[queue.key]

    def _wake(self, now: float) -> None:
        while self._wakes and self._wakes[0][0] <= now:
            for queue in self._resting.pop(heappop(self._wakes)[1]).values():
                self._place(queue)

    def _next(
        self, turns: OrderedDict[str, OrderedDict[str, _Queue]], now: float
    ) -> OutboxRow | None:
        """Return a row of the first account that may have one; that account comes last then."""
        while turns:
            account, senders = next(iter(turns.items()))
            row = self._next_of(senders, now)
            if senders:
                turns.move_to_end(account)
            else:
                turns.pop(account, None)
            if row is not None:
                return row
        return None

    def _next_of(self, senders: OrderedDict[str, _Queue], now: float) -> OutboxRow | None:
        """Return a row of the first sender that may have one; that sender comes last then."""
        while senders:
            sender, queue = next(iter(senders.items()))
            if not self._may_go(queue, now):
                senders.pop(sender)
                continue
            row = queue.rows[0][-1]
            senders.move_to_end(sender)
            self._start(queue, row, now=now)
            return row
        return None

    def _may_go(self, queue: _Queue, now: float) -> bool:
        """Tell whether the first row that is not held may go now.

        If not, the queue waits among the resting ones, or until something of it is released.
        """
        while queue.rows and _pair(queue.rows[0][-1]) in self._busy:
            queue.hold()
        if not queue.rows:
            return False
        sender = queue.key[-1]
        if sender not in self._resting and queue.rate is not None:
            seconds = _size(queue.rows[0][-1]) / queue.rate
            ready_at = self._buckets.ready_at(sender, seconds)
            if ready_at > now:
                self._resting[sender] = {}
                heappush(self._wakes, (ready_at, sender))
        if sender in self._resting:
            self._resting[sender][queue.key] = queue
            return False
        return True

    def _start(self, queue: _Queue, row: OutboxRow, *, now: float) -> None:
        self._busy[_pair(row)] = row.message_sid
        self._under_way[row.message_sid] = row
        self._withdraw(row)
        if queue.rate is not None:
            self._buckets.spend(row.sender, _size(row) / queue.rate, now=now)

    def _withdraw(self, row: OutboxRow) -> None:
        """Let a row no longer wait."""
        del self._waiting[row.message_sid]
        self._flows[row.flow].waiting -= 1
        queue = self._queues[_key(row)]
        queue.remove(row)
        if _pair(row) not in self._busy:
            queue.release(row.recipient)
        if not queue.rows:
            self._displace(queue)

    def _release(self, row: OutboxRow) -> None:
        """Let the rows go on that waited for another one of their pair."""
        for priority in _PRIORITIES:
            queue = self._queues.get((priority, row.account_sid, row.sender))
            if queue and row.recipient in queue.held:
                queue.release(row.recipient)
                self._place(queue)


def _entry(row: OutboxRow) -> _Entry:
    return (row.due_at, position_of(row.message_sid), row.message_sid, row)


def _key(row: OutboxRow) -> _QueueKey:
    return (row.flow[0], row.account_sid, row.sender)


def _pair(row: OutboxRow) -> _Pair:
    return (row.account_sid, row.sender, row.recipient)


def _size(row: OutboxRow) -> int:
    return max(row.segments, 1)


def _rows_max(rate: float | None) -> int:
    if rate is None:
        return FLOW_ROWS_MAX
    return min(max(ceil(rate * AHEAD_SECONDS), FLOW_ROWS_MIN), FLOW_ROWS_MAX)
