"""Lanes: one ordered queue of one carrier each, emptied by one owner."""

import asyncio
import contextlib
import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from trunkline.carriers.port import (
    NOT_OURS,
    NOT_OURS_SECONDS,
    Answered,
    Carrier,
    Deferred,
    Handler,
    Happening,
    Incoming,
    InDoubt,
    LateTaken,
    Receipt,
    Submission,
    SubmitResult,
    Taken,
)
from trunkline.dispatch.schedule import Schedule
from trunkline.flows import handover, inbound, receipts
from trunkline.flows.platform import Platform
from trunkline.runtime import BATCH_MAX, Bell, Inbox
from trunkline.store.leases import Lease, LeaseLost
from trunkline.store.outbox import (
    OutboxRow,
    awaited,
    find_outbox,
    flows_of,
    give_up_answers,
    load_due,
    next_due,
)

# Messages that are handed over and not recorded yet, about 8 MB. The carrier's window is the true
# limit; this one bounds what a carrier without a window is given, and what a full disk keeps here.
UNDER_WAY_MAX = 4000
# Flows that one look asks for: each costs a seek. With more, the others take turns.
FLOWS_MAX = 500
# Messages of one claim. All later steps of a crowd are as large as what was claimed together, and
# a single text that comes meanwhile waits for each of them; this is some milliseconds of work.
# Measured beside a long queue: 100 took 500 ms longer, and sent a quarter more.
CLAIM_MAX = 30
# Messages that are answered and not recorded yet; while there are so many nothing is claimed, for
# it is our disk or processor that others wait for, and what is claimed only waits there as well.
UNRECORDED_MAX = 30
# However clocks jump and whoever writes, the database is looked at after this.
LOOK_SECONDS = 5.0
# Deferred messages that keep the next ones to the same recipient waiting; past it, and after a
# restart, those may overtake.
RESTING_MAX = 5000
# Answers that are under way when a lane closes are waited for.
CLOSE_SECONDS = 3.0

log = structlog.get_logger()


class Lane:
    """Hands the messages of one lane over, some batches at a time, in the order of each pair."""

    def __init__(self, platform: Platform, carrier: Carrier, index: int, *, lease: Lease) -> None:
        self.name = f"{carrier.name}/{index}"
        self.index = index
        self.lease = lease
        self.bell = Bell()
        self.inbox: Inbox[OutboxRow] = Inbox(self.bell)
        self._platform = platform
        self._carrier = carrier
        self._namespace = platform.switchboard.namespace(carrier.name)
        self._schedule = Schedule(platform.switchboard.policy(carrier.name).sender_rates)
        self._stepping = asyncio.Lock()
        self._is_closing = False
        # What was claimed since the lane was opened; None once the answers that a lane before this
        # one awaited are given up.
        self._claimed: set[str] | None = set()
        self._giving_up: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0  # Segments.
        self._ended: list[handover.Handed] = []
        self._recording: asyncio.Task[None] | None = None
        self._turn = ""
        self._knows_flows = False  # Whether of all that is due something is in memory.
        self._behind: set[str] = set()  # Flows that may have more on disk than is in memory.
        self._reading: asyncio.Task[None] | None = None
        self._passed_by: set[str] = set()  # Flows of which something came while we read.
        self._look_at = platform.clock.now()
        self._due_at: datetime | None = None  # When something on disk will be due.
        self._resting: list[tuple[datetime, str, OutboxRow]] = []
        self._bugs: list[BaseException] = []
        self._looked_at, self._seconds = platform.clock.now(), 0.0

    async def step(self) -> int:
        """Start handing one batch over; return how many messages that were."""
        async with self._stepping:
            if bugs := self._record_again():
                raise BaseExceptionGroup("handing over failed", bugs)
            if self._is_closing or not self.lease.is_valid():
                return 0
            try:
                if self._claimed is not None:
                    self._go_on_giving_up()
                self._wake_rested()
                return await self._start()
            except LeaseLost:
                # The lane is another node's; whoever opened it here closes it.
                self._platform.tenure.forfeit(self.lease)
                return 0

    async def next_due(self) -> datetime | None:
        """Return when the next message may go that may not now.

        While there is no room that is none: the bell is rung when there is some again.
        """
        if not self._has_room():
            return None
        now = self._platform.clock.now()
        elapsed = self._elapsed(now)
        by_rate = self._schedule.next_at(elapsed)
        dues = [
            self._due_at,
            None if by_rate is None else now + timedelta(seconds=by_rate - elapsed),
            self._resting[0][0] if self._resting else None,
        ]
        return min((at for at in dues if at is not None), default=None)

    async def answered_late(self, sids: Collection[str]) -> None:
        """Let go on what rests behind messages that were answered after all and wait no more."""
        keys = [(row.account_sid, sid) for _, sid, row in self._resting if sid in sids]
        if not keys:
            return
        there = await self._platform.store.read(lambda db: find_outbox(db, keys))
        settled = {sid for _, sid in keys} - set(there)
        rows = [row for _, sid, row in self._resting if sid in settled]
        self._resting = [entry for entry in self._resting if entry[1] not in settled]
        heapq.heapify(self._resting)
        for row in rows:
            self._schedule.done(row)
        self.bell.ring()

    async def settle(self) -> None:
        """Return once everything that was started is recorded, or failed to be."""
        while tasks := [*self._tasks, *self._others()]:
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Start nothing more, and wait for the answers under way, but not for ever."""
        self._is_closing = True
        if self._giving_up is not None:
            self._giving_up.cancel()
        async with self._stepping:
            bugs = self._record_again()
            if bugs:
                trouble = BaseExceptionGroup("handing over failed", bugs)
                log.error("answers were late to be recorded", lane=self.name, exc_info=trouble)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.settle()
        self._platform.recent.expect_no_more(self._namespace, _owners(self._ended))

    def _others(self) -> list[asyncio.Task[None]]:
        others = (self._recording, self._giving_up, self._reading)
        return [task for task in others if task is not None and not task.done()]

    def _go_on_giving_up(self) -> None:
        """Start to give up answers; raise what that met, so that it is tried again."""
        if self._giving_up is None:
            self._giving_up = asyncio.create_task(self._give_up_answers())
        elif self._giving_up.done():
            task, self._giving_up = self._giving_up, None
            task.result()

    async def _give_up_answers(self) -> None:
        """Give up the answers that a lane before this one awaited, while texts leave."""
        store = self._platform.store
        # Of what is found so many may be ours; as many of others go with each look.
        limit = 2 * UNDER_WAY_MAX
        found = await store.read(lambda db: awaited(db, self.name, limit=limit))
        await store.write(lambda db: self._give_up(db, found))
        if len(found) < limit:
            self._claimed = None

    def _give_up(self, db: Connection, found: Iterable[tuple[str, str]]) -> None:
        self.lease.hold(db)
        # What was claimed since then is ours, and its answer is awaited.
        mine = self._claimed or ()
        give_up_answers(db, self.name, [key for key in found if key[1] not in mine])

    async def _start(self) -> int:
        if not self._has_room():
            return 0
        now = self._platform.clock.now()
        self._take_in()
        if self._should_look(now):
            await self._look(now)
        else:
            await self._begin_reading(now)
        # Asked again: what was handed over last has been put into the carrier's window meanwhile.
        room = self._room()
        if room <= 0:
            return 0
        rows = self._schedule.take(self._elapsed(now), segments=room)
        if not rows and self._reading is not None:
            await self._finish_reading()
            rows = self._schedule.take(self._elapsed(now), segments=room)
        if not rows:
            return 0
        if self._claimed is not None:
            self._claimed |= {row.message_sid for row in rows}
        load = None
        try:
            load = await handover.claim(self._platform, self._carrier.name, rows, lease=self.lease)
        finally:
            for row in rows:
                if load is None or row.message_sid not in load.rows:
                    self._schedule.done(row)
        self._under_way += _segments(load.rows.values())
        task = asyncio.create_task(self._hand_over(load))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return len(rows)

    def _has_room(self) -> bool:
        return self._room() > 0 and self.lease.is_valid()

    def _room(self) -> int:
        """Return how many segments may be claimed now.

        Of what is with the carrier, or answered and not recorded, there is no more than the carrier
        may have: so much would be in doubt after a crash.
        """
        if len(self._ended) >= UNRECORDED_MAX:
            return 0
        left = min(self._carrier.capacity(self.index), UNDER_WAY_MAX) - self._under_way
        return min(self._carrier.room(self.index), left, CLAIM_MAX)

    def _elapsed(self, now: datetime) -> float:
        """Return seconds that never go back: a clock that is set back must not stop a sender."""
        self._seconds += max(0.0, (now - self._looked_at).total_seconds())
        self._looked_at = now
        return self._seconds

    def _take_in(self) -> None:
        """Take into memory what was just written, where nothing older waits on disk."""
        rows = self.inbox.take()
        self._knows_flows &= not self.inbox.take_news()
        if self._knows_flows:
            self._passed_by |= self._behind.intersection(row.flow for row in rows)
            rows = [row for row in rows if row.flow not in self._behind]
            if self._schedule.add(rows) < len(rows):
                self._behind |= {row.flow for row in rows if not self._schedule.knows(row)}

    def _should_look(self, now: datetime) -> bool:
        is_due = self._due_at is not None and self._due_at <= now
        is_fresh = timedelta(0) <= now - self._look_at < timedelta(seconds=LOOK_SECONDS)
        return is_due or not is_fresh or not self._knows_flows

    async def _look(self, now: datetime) -> None:
        """Take into memory what is due, a little of each flow."""
        await self._finish_reading()
        store = self._platform.store
        flows, self._knows_flows = await store.read(self._next_flows)
        limits = self._schedule.limits(flows)

        def query(db: Connection) -> tuple[list[OutboxRow], datetime | None]:
            due_at = next_due(db, self.name, now, flows=flows)
            return load_due(db, self.name, now, limits=limits), due_at

        rows, self._due_at = await store.read(query)
        self._look_at = now
        self._behind = set(flows)
        self._add(rows, limits)

    async def _begin_reading(self, now: datetime) -> None:
        """Read on in flows that have few rows here, and may have more on disk.

        What is here goes on its way meanwhile.
        """
        if self._reading is not None and self._reading.done():
            await self._finish_reading()
        if self._reading is None and (limits := self._schedule.limits(self._behind)):
            self._passed_by.clear()
            self._reading = asyncio.create_task(self._read_on(now, limits))

    async def _finish_reading(self) -> None:
        if self._reading is not None:
            reading, self._reading = self._reading, None
            await reading

    async def _read_on(self, now: datetime, limits: Mapping[str, int]) -> None:
        store = self._platform.store
        rows = await store.read(lambda db: load_due(db, self.name, now, limits=limits))
        self._add(rows, limits)
        # What came while we read, and was left to the disk, may not be in what we read.
        self._behind |= self._passed_by
        self.bell.ring()

    def _add(self, rows: Sequence[OutboxRow], limits: Mapping[str, int]) -> None:
        """Take in what was read of some flows, so much of each; note which have no more."""
        self._schedule.add(rows)
        found = Counter(row.flow for row in rows)
        cut = {row.flow for row in rows if not self._schedule.knows(row)}
        self._behind -= {flow for flow in limits if found[flow] < limits[flow]} - cut

    def _next_flows(self, db: Connection) -> tuple[list[str], bool]:
        """Return the urgent flows, and of the least urgent ones some others than last time.

        Tell also whether those are all.
        """
        found = flows_of(db, self.name, limit=FLOWS_MAX)
        if len(found) < FLOWS_MAX:
            return found, True
        level = found[-1][0]
        urgent = [flow for flow in found if flow < level]
        turn = max(self._turn, level)
        part = flows_of(db, self.name, after=turn, limit=FLOWS_MAX)
        if len(part) < FLOWS_MAX:
            part += flows_of(db, self.name, after=level, limit=FLOWS_MAX - len(part))
        self._turn = part[-1]
        return list(dict.fromkeys(urgent + part)), False

    async def _hand_over(self, load: handover.Load) -> None:
        """Submit a batch; each message is recorded when all of its segments are answered."""
        answers: dict[str, dict[int, tuple[Submission, SubmitResult]]] = {
            sid: {} for sid in load.rows
        }
        left = Counter(submission.message_sid for submission in load.submissions)

        def answered(index: int, result: SubmitResult) -> None:
            submission = load.submissions[index]
            sid = submission.message_sid
            if index in answers[sid]:
                return
            answers[sid][index] = (submission, result)
            left[sid] -= 1
            if not left[sid]:
                self._end(load, sid, answers=answers[sid])

        for sid in load.rows:
            if not left[sid]:
                # All of it was taken before, and it only was not written down as finished.
                self._end(load, sid, answers={})
        submitting = self._submit(load.submissions, answered=answered)
        (results,) = await asyncio.gather(submitting, return_exceptions=True)
        if isinstance(results, BaseException):
            self._bugs.append(results)
            results = [InDoubt("an unexpected error of ours")] * len(load.submissions)
        for index, result in enumerate(results):
            answered(index, result)
        self.bell.ring()

    async def _submit(
        self, batch: Sequence[Submission], *, answered: Answered
    ) -> Sequence[SubmitResult]:
        """Submit a batch, unless the lane is not ours any more, or may not be."""
        if not self.lease.is_valid():
            return [Deferred(NOT_OURS_SECONDS, NOT_OURS)] * len(batch)
        return await self._carrier.submit(self.index, batch, answered=answered)

    def _end(
        self,
        load: handover.Load,
        sid: str,
        *,
        answers: Mapping[int, tuple[Submission, SubmitResult]],
    ) -> None:
        """Let what was answered be recorded, together with what else is answered meanwhile."""
        in_order = tuple(answers[index] for index in sorted(answers))
        handed = handover.Handed(load.rows[sid], load.messages[sid], in_order)
        self._platform.recent.expect_refs(self._namespace, _owners([handed]))
        self._ended.append(handed)
        if self._recording is None:
            self._recording = asyncio.create_task(self._record())

    async def _record(self) -> None:
        """Record what was answered. What cannot be stays here: it is known to us alone."""
        while self._ended and not self._bugs:
            ended = self._ended[:BATCH_MAX]
            (postponed,) = await asyncio.gather(self._keep(ended), return_exceptions=True)
            if isinstance(postponed, BaseException):
                self._bugs.append(postponed)
                break
            del self._ended[: len(ended)]
            self._platform.recent.expect_no_more(self._namespace, _owners(ended))
            self._under_way -= _segments(handed.row for handed in ended)
            for handed in ended:
                self._rest(handed.row, postponed.get(handed.row.message_sid))
            self.bell.ring()
        self._recording = None
        self.bell.ring()

    async def _keep(
        self, ended: Sequence[handover.Handed]
    ) -> Mapping[str, tuple[datetime, OutboxRow]]:
        """Record what was answered; where the lane is another's by now, what was taken alone."""
        platform, carrier = self._platform, self._carrier.name
        try:
            return await handover.submitted(platform, carrier, ended, lease=self.lease)
        except LeaseLost:
            late = [
                LateTaken(submission=submission, carrier_ref=result.carrier_ref)
                for handed in ended
                for submission, result in handed.answers
                if isinstance(result, Taken)
            ]
            if late:
                await handover.record_late(platform, self._namespace, late)
            return {}

    def _rest(self, row: OutboxRow, postponed: tuple[datetime, OutboxRow] | None) -> None:
        """Forget a row, or keep it as under way until it is due again."""
        if postponed is not None and len(self._resting) < RESTING_MAX:
            heapq.heappush(self._resting, (postponed[0], row.message_sid, postponed[1]))
            return
        self._schedule.done(row)
        if postponed is not None:
            self._due_at = min(self._due_at or postponed[0], postponed[0])

    def _record_again(self) -> list[BaseException]:
        """Try again to record what could not be recorded; return what went wrong, for the log."""
        bugs, self._bugs = self._bugs, []
        if self._ended and self._recording is None:
            self._recording = asyncio.create_task(self._record())
        return bugs

    def _wake_rested(self) -> None:
        now = self._platform.clock.now()
        while self._resting and self._resting[0][0] <= now:
            row = heapq.heappop(self._resting)[2]
            self._schedule.done(row)
            self._schedule.add([row])


def _owners(ended: Iterable[handover.Handed]) -> dict[str, str]:
    """Return what a carrier calls the segments that it took, and whose each is."""
    return {
        result.carrier_ref: handed.row.message_sid
        for handed in ended
        for _, result in handed.answers
        if isinstance(result, Taken)
    }


def _segments(rows: Iterable[OutboxRow]) -> int:
    return sum(max(row.segments, 1) for row in rows)


def handler(
    platform: Platform, carrier: str, *, lanes: Mapping[int, Lane] | None = None
) -> Handler:
    """Return what a carrier's connector is to await before it acknowledges anything.

    *lanes* are those that the carrier has here at the time.
    """
    carrier = platform.switchboard.namespace(carrier)

    async def handle(happenings: Sequence[Happening]) -> None:
        late = [h for h in happenings if isinstance(h, LateTaken)]
        told = [h for h in happenings if isinstance(h, Receipt)]
        texts = [h for h in happenings if isinstance(h, Incoming)]
        if late:
            await handover.record_late(platform, carrier, late)
            sids = {each.submission.message_sid for each in late}
            for lane in list(lanes.values()) if lanes else ():
                await lane.answered_late(sids)
        if told:
            await receipts.record(platform, carrier, told)
        if texts:
            await inbound.receive(platform, carrier, texts)

    return handle
