"""The loop that every worker runs in."""

from datetime import datetime
from typing import Protocol

import structlog

from trunkline.runtime import Bell, Clock

IDLE_SECONDS_MAX = 5.0  # However a clock jumps, a worker looks again after this.
TROUBLE_SECONDS = 1.0  # After an unexpected error; the rows are still there.

log = structlog.get_logger()


class Worker(Protocol):
    """Does what is due."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    @property
    def bell(self) -> Bell:
        """Rung when there may be something to do."""

    async def step(self) -> int:
        """Do what is due now; return how much that was."""

    async def next_due(self) -> datetime | None:
        """Return when something will be due that is not yet."""


async def run(worker: Worker, clock: Clock) -> None:
    """Keep a worker working until it is cancelled; a bug stops it for a moment, not for good."""
    while True:
        try:
            if await worker.step():
                continue
            due = await worker.next_due()
        except Exception:
            log.exception("worker failed", worker=worker.name)
            await clock.sleep(TROUBLE_SECONDS)
            continue
        seconds = IDLE_SECONDS_MAX
        if due is not None:
            seconds = min(seconds, max(0.0, (due - clock.now()).total_seconds()))
        await worker.bell.wait(clock, seconds)
