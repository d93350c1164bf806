"""What is scheduled leaves at its time."""

from datetime import datetime

from trunkline.flows.platform import Platform
from trunkline.flows.scheduling import release
from trunkline.runtime import Bell
from trunkline.store.schedule import next_scheduled


class Schedule:
    """Moves messages on whose time has come. None of those that wait is in memory.

    Nobody has to ring: what is scheduled now is due in a quarter of an hour at the earliest, and a
    worker looks again within seconds.
    """

    name = "schedule"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.bell = Bell()

    async def step(self) -> int:
        """Let what is due go on its way; return how much that was."""
        return await release(self._platform)

    async def next_due(self) -> datetime | None:
        """Return when the next message will be due."""
        now = self._platform.clock.now()
        return await self._platform.store.read(lambda db: next_scheduled(db, now))
