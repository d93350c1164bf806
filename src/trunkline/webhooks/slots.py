"""Bounded room for requests under way: so many in all, so many to one host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Room:
    """One host's places, and how many requests hold or await one."""

    places: asyncio.Semaphore
    requests: int = 0


class Slots:
    """Hand out places; a host that answers slowly fills its own places, not everybody's."""

    def __init__(self, total_max: int, *, per_host_max: int) -> None:
        self._total = asyncio.Semaphore(total_max)
        self._per_host_max = per_host_max
        self._rooms: dict[str, _Room] = {}

    @asynccontextmanager
    async def taken(self, host: str) -> AsyncIterator[None]:
        """Hold a place for *host*; wait for the host's first, so that waiting costs nobody else."""
        room = self._rooms.setdefault(host, _Room(asyncio.Semaphore(self._per_host_max)))
        room.requests += 1
        try:
            async with room.places, self._total:
                yield
        finally:
            room.requests -= 1
            if not room.requests:
                del self._rooms[host]
