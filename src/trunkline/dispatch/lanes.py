"""Lanes: one ordered queue of one carrier each, emptied by one owner."""

import asyncio
import contextlib
import heapq
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from trunkline.carriers.port import (
    Carrier,
    Handler,
    Happening,
    Incoming,
    InDoubt,
    LateTaken,
    Receipt,
    SubmitResult,
)
from trunkline.dispatch.schedule import Schedule
from trunkline.flows import handover, inbound, receipts
from trunkline.flows.platform import Platform
from trunkline.runtime import BATCH_MAX, Bell
from trunkline.store.outbox import OutboxRow, flows_of, load_due, next_due

# While answers to some batches are awaited others are on their way; the carrier's window is the
# true limit, this one only bounds what a carrier without a window is given.
BATCHES_MAX = 8
# Flows that one look asks for: each costs a seek. With more, the others take turns.
FLOWS_MAX = 500
# Deferred messages that keep the next ones to the same recipient waiting; past it, and after a
# restart, those may overtake.
RESTING_MAX = 5000
# Answers that are under way when a lane closes are waited for.
CLOSE_SECONDS = 3.0


class Lane:
    """Hands the messages of one lane over, some batches at a time, in the order of each pair."""

    def __init__(self, platform: Platform, carrier: Carrier, index: int) -> None:
        self.name = f"{carrier.name}/{index}"
        self.bell = Bell()
        self._platform = platform
        self._carrier = carrier
        self._index = index
        self._schedule = Schedule(platform.switchboard.policy(carrier.name).sender_rates)
        self._stepping = asyncio.Lock()
        self._is_closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows: list[str] = []
        self._turn = ""
        self._resting: list[tuple[datetime, str, OutboxRow]] = []
        self._unrecorded: list[tuple[handover.Load, Sequence[SubmitResult]]] = []
        self._bugs: list[BaseException] = []
        self._looked_at, self._seconds = platform.clock.now(), 0.0

    async def step(self) -> int:
        """Start handing one batch over; return how many messages that were."""
        async with self._stepping:
            await self._record_again()
            if self._is_closing:
                return 0
            self._wake_rested()
            return await self._start()

    async def next_due(self) -> datetime | None:
        """Return when the next message may go that may not now."""
        now, flows = self._platform.clock.now(), list(self._flows)
        due = await self._platform.store.read(lambda db: next_due(db, self.name, now, flows=flows))
        elapsed = self._elapsed(now)
        by_rate = self._schedule.next_at(elapsed)
        dues = [
            due,
            None if by_rate is None else now + timedelta(seconds=by_rate - elapsed),
            self._resting[0][0] if self._resting else None,
        ]
        return min((at for at in dues if at is not None), default=None)

    async def settle(self) -> None:
        """Return once everything that was started is recorded, or failed to be."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Start nothing more, and wait for the answers under way, but not for ever."""
        self._is_closing = True
        async with self._stepping:
            pass
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.settle()

    async def _start(self) -> int:
        room = min(self._carrier.room(self._index), BATCH_MAX)
        if room <= 0 or len(self._tasks) >= BATCHES_MAX:
            return 0
        now = self._platform.clock.now()
        await self._look(now)
        rows = self._schedule.take(self._elapsed(now), segments=room)
        if not rows:
            return 0
        load = None
        try:
            load = await handover.claim(self._platform, self._carrier.name, rows)
        finally:
            for row in rows:
                if load is None or row.message_sid not in load.rows:
                    self._schedule.done(row)
        if load.submissions:
            task = asyncio.create_task(self._hand_over(load))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif load.rows:
            await self._record(load, [])
        return len(rows)

    def _elapsed(self, now: datetime) -> float:
        """Return seconds that never go back: a clock that is set back must not stop a sender."""
        self._seconds += max(0.0, (now - self._looked_at).total_seconds())
        self._looked_at = now
        return self._seconds

    async def _look(self, now: datetime) -> None:
        """Take into memory what is due, a little of each flow."""

        def flows(db: Connection) -> list[str]:
            found = flows_of(db, self.name, limit=FLOWS_MAX)
            if len(found) == FLOWS_MAX:
                after = max(self._turn, found[-1])
                found += flows_of(db, self.name, after=after, limit=FLOWS_MAX)
            return found

        store = self._platform.store
        self._flows = await store.read(flows)
        self._turn = self._flows[-1] if len(self._flows) == 2 * FLOWS_MAX else ""
        limits = self._schedule.limits(self._flows)
        if limits:
            rows = await store.read(lambda db: load_due(db, self.name, now, limits=limits))
            self._schedule.add(rows)

    async def _hand_over(self, load: handover.Load) -> None:
        submitting = self._carrier.submit(self._index, load.submissions)
        (results,) = await asyncio.gather(submitting, return_exceptions=True)
        if isinstance(results, BaseException):
            self._bugs.append(results)
            results = [InDoubt("an unexpected error of ours")] * len(load.submissions)
        (trouble,) = await asyncio.gather(self._record(load, results), return_exceptions=True)
        if isinstance(trouble, BaseException):
            # What the carrier answered is known to us alone: it must not be asked again.
            self._bugs.append(trouble)
            self._unrecorded.append((load, results))
        self.bell.ring()

    async def _record(self, load: handover.Load, results: Sequence[SubmitResult]) -> None:
        postponed = await handover.submitted(self._platform, load, results)
        for sid, row in load.rows.items():
            if sid in postponed and len(self._resting) < RESTING_MAX:
                due_at, waiting = postponed[sid]
                heapq.heappush(self._resting, (due_at, sid, waiting))
            else:
                self._schedule.done(row)

    async def _record_again(self) -> None:
        """Record what could not be recorded; raise what went wrong, for the log."""
        if self._bugs:
            bugs, self._bugs = self._bugs, []
            raise BaseExceptionGroup("handing over failed", bugs)
        while self._unrecorded:
            await self._record(*self._unrecorded[0])
            del self._unrecorded[0]

    def _wake_rested(self) -> None:
        now = self._platform.clock.now()
        while self._resting and self._resting[0][0] <= now:
            row = heapq.heappop(self._resting)[2]
            self._schedule.done(row)
            self._schedule.add([row])


def handler(platform: Platform, carrier: str) -> Handler:
    """Return what a carrier's connector is to await before it acknowledges anything."""
    carrier = platform.switchboard.namespace(carrier)

    async def handle(happenings: Sequence[Happening]) -> None:
        late = [h for h in happenings if isinstance(h, LateTaken)]
        told = [h for h in happenings if isinstance(h, Receipt)]
        texts = [h for h in happenings if isinstance(h, Incoming)]
        if late:
            await handover.record_late(platform, carrier, late)
        if told:
            await receipts.record(platform, carrier, told)
        if texts:
            await inbound.receive(platform, carrier, texts)

    return handle
