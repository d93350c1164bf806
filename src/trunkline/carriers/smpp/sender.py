"""The segments of one lane on their way: a queue, a window, a pace, and what became of each.

Rules: segments leave in the order in which they came; what was not written is Deferred, what was
written and not answered is InDoubt; nobody waits longer than a response may take.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from trunkline.carriers.port import (
    NOT_OURS,
    NOT_OURS_SECONDS,
    Answered,
    Deferred,
    Happening,
    InDoubt,
    LateTaken,
    Receipt,
    Refused,
    Submission,
    SubmitResult,
    Taken,
)
from trunkline.carriers.smpp.desk import Counts, Desk
from trunkline.carriers.smpp.errors import (
    NO_MEDIA,
    NO_SUCH_CHANNEL,
    TOO_LARGE,
    UNKNOWN_ERROR,
    Action,
    verdict_of,
)
from trunkline.carriers.smpp.link import Link
from trunkline.carriers.smpp.outgoing import Packer, Parcel
from trunkline.carriers.smpp.pace import PAUSE_SECONDS, Pace
from trunkline.carriers.smpp.rows import Registered
from trunkline.carriers.smpp.settings import SmppSettings
from trunkline.runtime import Clock
from trunkline.smpp.message_id import message_id_key
from trunkline.smpp.pdu import GenericNack, Pdu, SubmitSmResp
from trunkline.smpp.status import CommandStatus, status_name
from trunkline.smpp.window import LATE_MAX

# A lane fetches what there is room for; a batch beyond two of the widest windows is a mistake.
QUEUE_MAX = 2000
# No more waits here than leaves while the lane fetches what is next: who comes meanwhile is behind
# all of it, and it is in doubt after a crash. At a rate, so much is fetched at least and at most.
AHEAD_SECONDS = 0.05
QUEUE_SECONDS = 2.0
# A lane is told of room when half of the queue has left; the other half must last until it comes.
AHEAD_FACTOR = 3
# Segments that the carrier sent back for now, and how often: some hundred octets each.
TRIES_KEPT_MAX = 10_000
UNKNOWN_TRIES_MAX = 3
RETRIES_BEFORE_FAILOVER = 5
THROTTLES_IN_A_ROW_MAX = 5
RETRY_SECONDS = 1.0
RETRY_SECONDS_MAX = 60.0


# By another carrier it may well go: what it takes depends on the alphabet.
_TOO_LONG = Refused(
    TOO_LARGE, "in the alphabet of this carrier its segments are too long", may_fail_over=True
)


class Tries:
    """How often segments of a carrier were sent back for now."""

    def __init__(self) -> None:
        self._tries: OrderedDict[tuple[str, int], int] = OrderedDict()

    def count(self, submission: Submission) -> int:
        """Count one more and return how many there are."""
        key = (submission.message_sid, submission.segment_index)
        tries = self._tries.pop(key, 0) + 1
        self._tries[key] = tries
        if len(self._tries) > TRIES_KEPT_MAX:
            self._tries.popitem(last=False)
        return tries

    def forget(self, submission: Submission) -> None:
        """Take notice that a segment's fate is settled."""
        self._tries.pop((submission.message_sid, submission.segment_index), None)


class _Batch:
    """The results of one submit; `done` when all are there."""

    def __init__(self, size: int, answered: Answered | None) -> None:
        self.results: list[SubmitResult] = [InDoubt()] * size
        self._answered = answered
        self._left = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, indexes: Sequence[int], results: Sequence[SubmitResult]) -> None:
        for index, result in zip(indexes, results, strict=True):
            self.results[index] = result
            if self._answered:
                self._answered(index, result)
        self._left -= len(indexes)
        if not self._left and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class _Job:
    """One PDU to send, and where its results belong."""

    parcel: Parcel
    indexes: tuple[int, ...]
    batch: _Batch

    def settle(self, result: SubmitResult) -> None:
        self.batch.settle(self.indexes, [result] * len(self.indexes))


class Sender:
    """What submits for one lane, over whatever connection the lane has at the moment."""

    def __init__(
        self,
        settings: SmppSettings,
        *,
        packer: Packer,
        tries: Tries,
        desk: Desk,
        clock: Clock,
        changed: Callable[[], None],
        may_send: Callable[[], bool],
    ) -> None:
        self._may_send = may_send
        self._settings = settings
        self._packer = packer
        self._tries = tries
        self._desk = desk
        self._clock = clock
        self._changed = changed
        self._link: Link | None = None
        self._pace: Pace | None = None
        self._queue: deque[_Job] = deque()
        self._flying: dict[int, _Job] = {}
        self._late: OrderedDict[int, Parcel] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._throttles_in_a_row = 0
        self._had_room = False
        self._left_since = 0  # What left since the lane was told of room.
        self._left_at = 0.0
        self._ahead: int | None = None  # How many segments are to wait here, so far as is known.
        self._settling: set[asyncio.Task[None]] = set()
        self.counts = Counts()

    @property
    def flying(self) -> int:
        """Say how many PDUs wait for their answers."""
        return len(self._flying)

    def per_second(self) -> float | None:
        """Return the rate that the carrier lets through at present."""
        if self._pace is None:
            return self._settings.messages_per_second or None
        return self._pace.per_second(self._now())

    def attach(self, link: Link) -> None:
        """Send over a connection that is bound."""
        self._link = link
        if self._pace is None:
            # Kept from connection to connection: the carrier has not forgotten either.
            self._pace = Pace(self._settings.messages_per_second, now=self._now())
        self._late.clear()
        self.pump()
        self._left_since = 0

    def detach(self, reason: str) -> None:
        """Send no more; what was not written goes back."""
        self._link = None
        self._put_back(Deferred(self._settings.reconnect_seconds, reason))
        self._watch_room()

    def room(self) -> int:
        """Say how many segments are welcome: none until half of what can be is free."""
        now = self._now()
        if self._link is None or self._pace is None or not self._link.is_bound:
            return 0
        if self._pace.is_paused(now):
            return 0
        queue_max = self._queue_max(self._pace.per_second(now))
        used = len(self._queue) + len(self._flying)
        free = min(2 * self._settings.window - used, queue_max - len(self._queue))
        return free if 2 * free >= queue_max else 0

    def _queue_max(self, rate: float | None) -> int:
        """Return how many segments may wait here, by what was seen to leave meanwhile."""
        most = 2 * self._settings.window
        if rate is None:
            return most  # It leaves within a round trip or two.
        low, high = (min(most, max(1, ceil(rate * s))) for s in (AHEAD_SECONDS, QUEUE_SECONDS))
        return min(max(self._ahead or low, low), high)

    def _learn(self) -> None:
        """Let so much wait here that it lasts while the lane fetches what is next.

        What left meanwhile says how much that is; if all of it left, more was wanted. What was idle
        for long had nothing to send.
        """
        now = self._now()
        if self._pace is None or not (self._queue or self._left_since):
            return
        before = self._queue_max(self._pace.per_second(now))
        if self._queue:
            self._ahead = max(AHEAD_FACTOR * self._left_since, before // 2)
        elif now - self._left_at <= QUEUE_SECONDS:
            self._ahead = 2 * before

    async def submit(
        self, batch: Sequence[Submission], *, answered: Answered | None = None
    ) -> list[SubmitResult]:
        """Send segments in their order and return what became of each, which *answered* is told."""
        gathered = _Batch(len(batch), answered)
        if not batch:
            return []
        self._learn()
        for job in self._jobs(batch, gathered):
            self._enqueue(job)
        self.pump()
        self._left_since = 0
        try:
            await gathered.done
        except asyncio.CancelledError:
            self._queue = deque(job for job in self._queue if job.batch is not gathered)
            raise
        return gathered.results

    def pump(self) -> None:
        """Send what may be sent now."""
        now = self._now()
        while self._queue and self._link and self._pace and self._link.room:
            wait = self._pace.wait(now)
            if wait > 0:
                break
            if not self._may_send():
                self._put_back(Deferred(NOT_OURS_SECONDS, NOT_OURS))
                break
            self._pace.spend(now)
            self._send(self._queue.popleft(), link=self._link)
        self._wake_when_allowed(now)
        self._watch_room()

    def answered(self, number: int, pdu: Pdu, *, command_status: int) -> None:
        """Take the answer to a request in flight."""
        job = self._flying.pop(number, None)
        if job is None:
            return
        if command_status or isinstance(pdu, GenericNack):
            # A generic_nack takes nothing, whatever its status says.
            self._refused(job, command_status or CommandStatus.ESME_RUNKNOWNERR)
            return
        self._throttles_in_a_row = 0
        self.counts.taken += 1
        refs = self._refs(job.parcel, pdu)
        for submission in job.parcel.submissions:
            self._tries.forget(submission)
        carried = self._carried(refs)
        if carried:
            task = asyncio.create_task(self._settle_after(carried, job, refs=refs))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        else:
            job.batch.settle(job.indexes, [Taken(ref) for ref in refs])

    async def _settle_after(
        self, carried: Sequence[Receipt], job: _Job, *, refs: Sequence[str]
    ) -> None:
        """Record what goes with an answer, then tell it.

        Before the caller records the references: these receipts wait for them on disk.
        """
        await self._desk.tell(carried)
        job.batch.settle(job.indexes, [Taken(ref) for ref in refs])

    def late(self, number: int, pdu: Pdu, *, command_status: int) -> None:
        """Take an answer that had been given up; a refusal decides nothing any more."""
        parcel = self._late.pop(number, None)
        if parcel is None or command_status or isinstance(pdu, GenericNack):
            return
        refs = self._refs(parcel, pdu)
        found: list[Happening] = [
            LateTaken(submission=submission, carrier_ref=ref)
            for submission, ref in zip(parcel.submissions, refs, strict=True)
        ]
        self._desk.owe([*found, *self._carried(refs)])

    def doubt(self, number: int, reason: str, *, may_be_late: bool = False) -> None:
        """Take notice that a request will not be answered in time."""
        job = self._flying.pop(number, None)
        if job is None:
            return
        if may_be_late:
            self._late[number] = job.parcel
            if len(self._late) > LATE_MAX:
                self._late.popitem(last=False)
        self.counts.in_doubt += 1
        job.settle(InDoubt(reason))

    def _put_back(self, result: Deferred) -> None:
        waiting, self._queue = self._queue, deque()
        for job in waiting:
            job.settle(result)

    def _jobs(self, batch: Sequence[Submission], gathered: _Batch) -> list[_Job]:
        """Return the PDUs of a batch; what this carrier cannot carry is refused here."""
        messages: dict[str, list[int]] = {}
        for index, submission in enumerate(batch):
            refusal = _refusal(submission)
            if refusal:
                gathered.settle([index], [refusal])
            else:
                messages.setdefault(submission.message_sid, []).append(index)
        jobs = []
        for indexes in messages.values():
            message = [batch[index] for index in indexes]
            if self._packer.is_too_long(message):
                gathered.settle(indexes, [_TOO_LONG] * len(indexes))
                continue
            left = iter(indexes)
            for parcel in self._packer.pack(message):
                mine = tuple(next(left) for _ in parcel.submissions)
                jobs.append(_Job(parcel, mine, gathered))
        return jobs

    def _enqueue(self, job: _Job) -> None:
        if self._link is None or not self._link.is_bound:
            job.settle(Deferred(self._settings.reconnect_seconds, "not bound"))
        elif len(self._queue) >= QUEUE_MAX:
            job.settle(Deferred(RETRY_SECONDS, "the queue is full"))
        else:
            self._queue.append(job)

    def _send(self, job: _Job, *, link: Link) -> None:
        try:
            number = link.request(job.parcel.pdu)
        except ValueError as error:
            # An address that no PDU has room for; nothing was written.
            job.settle(Refused(UNKNOWN_ERROR, str(error), may_fail_over=True))
            return
        self._flying[number] = job
        self._left_since += 1
        self._left_at = self._now()
        self.counts.submitted += 1

    def _refused(self, job: _Job, command_status: int) -> None:
        """Decide what a refusal means for the segment and for our pace."""
        verdict = verdict_of(command_status, self._settings.error_map)
        reason = status_name(command_status)
        if verdict.action is Action.THROTTLE:
            self._throttled(job, reason)
            return
        is_final = verdict.action is Action.PERMANENT
        tries = max(self._tries.count(submission) for submission in job.parcel.submissions)
        is_given_up = verdict.action is Action.UNKNOWN and tries >= UNKNOWN_TRIES_MAX
        if is_final or is_given_up:
            self.counts.refused += 1
            for submission in job.parcel.submissions:
                self._tries.forget(submission)
            may_fail_over = verdict.may_fail_over or is_given_up
            job.settle(Refused(verdict.error_code, reason, may_fail_over=may_fail_over))
            return
        seconds = min(RETRY_SECONDS_MAX, RETRY_SECONDS * 2.0 ** (min(tries, 10) - 1))
        may_fail_over = verdict.may_fail_over or tries >= RETRIES_BEFORE_FAILOVER
        job.settle(Deferred(seconds, reason, may_fail_over=may_fail_over))

    def _throttled(self, job: _Job, reason: str) -> None:
        self.counts.throttled += 1
        if self._pace and self._pace.slow_down(self._now()):
            self._throttles_in_a_row += 1
        is_hopeless = self._throttles_in_a_row >= THROTTLES_IN_A_ROW_MAX
        job.settle(Deferred(PAUSE_SECONDS, reason, may_fail_over=is_hopeless))

    def _refs(self, parcel: Parcel, pdu: Pdu) -> list[str]:
        """Return a reference for each segment of a PDU; only the first has one of the carrier's."""
        said = pdu.message_id if isinstance(pdu, SubmitSmResp) else ""
        first = parcel.submissions[0]
        # Some answer without an id; two such messages are still two.
        unnamed = f"unnamed:{first.message_sid}/{first.segment_index}"
        ref = message_id_key(said, self._settings.id_style) or unnamed
        return [ref, *(f"{ref}#{n}" for n in range(2, len(parcel.submissions) + 1))]

    def _carried(self, refs: Sequence[str]) -> list[Receipt]:
        """Return receipts for the segments that went along with the first in one PDU.

        The carrier's one receipt names the first segment, and decides for the message: a message is
        delivered when all of its segments are, and these are as soon as that one is. Nothing needs
        to be remembered for it, so that a restart in between loses nothing.
        """
        if self._settings.registered_delivery is not Registered.FINAL:
            return []
        now = self._clock.now()
        return [
            Receipt(
                carrier_ref=ref,
                delivered=True,
                error_code=None,
                at=now,
                detail={"carried_with": refs[0]},
            )
            for ref in refs[1:]
        ]

    def _wake_when_allowed(self, now: float) -> None:
        """Look again when the pace allows it: something waits to go, or somebody for room."""
        wait = self._pace.wait(now) if self._pace else 0.0
        is_waited_for = bool(self._queue) or (self._pace is not None and self._pace.is_paused(now))
        if wait <= 0 or not is_waited_for or self._link is None or self._timer is not None:
            return
        self._timer = asyncio.get_running_loop().call_later(wait, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.pump()

    def _watch_room(self) -> None:
        had_room, self._had_room = self._had_room, self.room() > 0
        if self._had_room and not had_room:
            self._left_since = 0
            self._changed()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _refusal(submission: Submission) -> Refused | None:
    """Return why a submission is nothing for SMPP, or None."""
    if submission.media:
        return Refused(NO_MEDIA, "SMPP carries no media", may_fail_over=True)
    if ":" in submission.recipient or ":" in submission.sender:
        return Refused(NO_SUCH_CHANNEL, "SMPP carries texts to numbers only", may_fail_over=True)
    return None
