"""Lets what is old go, in the pauses that everything else leaves."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import structlog

from trunkline.flows.erasure import erase_again
from trunkline.flows.platform import Platform
from trunkline.flows.retention import believes, tidy
from trunkline.runtime import Bell
from trunkline.store.erasure import next_erasure

EVERY_SECONDS = 3600.0  # A period has whole days; nobody misses the minutes.
FIRST_SECONDS = 60.0  # A program that starts has more urgent things to do.
# After a step nothing is done for this many times as long: a tenth of the writer at most.
PAUSE_TIMES = 10
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.05, 5.0
LOOKS_MAX = 50  # Of a step that finds nothing: some ten milliseconds of a reader.

log = structlog.get_logger()


class Retention:
    """Deletes by age, and erases once more what was erased."""

    name = "retention"

    def __init__(self, platform: Platform, *, trusts_clock: bool) -> None:
        """Take a clock that is moved on purpose at its word."""
        self.bell = Bell()
        self._platform = platform
        self._trusts_clock = trusts_clock
        self._pass: AsyncIterator[int] | None = None
        self._erasure_at: datetime | None = None
        self._rested_at = platform.clock.now()
        self._next_pass_at = self._rested_at + timedelta(seconds=FIRST_SECONDS)

    async def step(self) -> int:
        """Take one step, unless the last one was just now; return how much was dealt with."""
        began = self._platform.clock.now()
        if not self._is_rested(began):
            return 0
        moved = 0
        if self._erasure_at is not None and self._erasure_at <= began:
            moved = await erase_again(self._platform)
        moved = moved or await self._go_on(began)
        if moved:
            self._rest(began)
        return moved

    async def next_due(self) -> datetime | None:
        """Return when there will be something to do."""
        self._erasure_at = await self._platform.store.read(next_erasure)
        if self._pass is not None:
            return self._rested_at
        due = min(self._erasure_at or self._next_pass_at, self._next_pass_at)
        return max(due, self._rested_at)

    def _is_rested(self, now: datetime) -> bool:
        # A clock that was set back does not make a pause longer.
        left = self._rested_at - now
        return not timedelta() < left <= timedelta(seconds=PAUSE_SECONDS_MAX)

    def _rest(self, began: datetime) -> None:
        now = self._platform.clock.now()
        seconds = max((now - began).total_seconds() * PAUSE_TIMES, PAUSE_SECONDS)
        self._rested_at = now + timedelta(seconds=min(seconds, PAUSE_SECONDS_MAX))

    async def _go_on(self, now: datetime) -> int:
        """Go on with a pass, or begin one when it is time."""
        if self._pass is None and not self._is_time(now):
            return 0
        if self._pass is None:
            self._next_pass_at = now + timedelta(seconds=EVERY_SECONDS)
            if not await self._is_believed():
                return 0
            self._pass = tidy(self._platform)
        # Should a step fail, the next pass begins anew.
        steps, self._pass = self._pass, None
        moved: int | None = 0
        looks = 0
        while moved == 0 and looks < LOOKS_MAX:
            moved = await anext(steps, None)
            looks += 1
        if moved is None:
            return 0
        self._pass = steps
        return max(moved, 1)

    def _is_time(self, now: datetime) -> bool:
        return not timedelta() < self._next_pass_at - now <= timedelta(seconds=EVERY_SECONDS)

    async def _is_believed(self) -> bool:
        if self._trusts_clock or await believes(self._platform):
            return True
        log.warning(
            "nothing is deleted by age: the clock leapt forward by more than a day",
            clock=self._platform.clock.now().isoformat(),
        )
        return False
