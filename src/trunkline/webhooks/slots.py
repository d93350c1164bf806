"""Bounded room for requests under way: so many in all, so many to one host."""

import asyncio
from collections import deque
from dataclasses import dataclass


class _Gate:
    """Let so many in at once, the others in the order they came.

    asyncio.Semaphore does the same; a gate that is open costs a fifth of it.
    """

    __slots__ = ("_free", "_queue")

    def __init__(self, places: int) -> None:
        self._free = places
        self._queue: deque[asyncio.Future[None]] = deque()

    def enter(self) -> bool:
        """Go in if that is possible at once."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Go in when it is possible; whoever is cancelled is not inside."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # The turn came at the very moment.
            raise

    def leave(self) -> None:
        """Go out, and let the next one in."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


@dataclass(slots=True)
class _Room:
    """One host's places, and how many requests hold or await one."""

    gate: _Gate
    requests: int = 0


class Slots:
    """Hand out places; a host that answers slowly fills its own places, not everybody's."""

    def __init__(self, total_max: int, *, per_host_max: int) -> None:
        self._total = _Gate(total_max)
        self._per_host_max = per_host_max
        self._rooms: dict[str, _Room] = {}

    async def take(self, host: str) -> None:
        """Wait for a place, first among the host's, so that waiting costs nobody else.

        `leave` must follow.
        """
        room = self._rooms.get(host)
        if room is None:
            room = self._rooms[host] = _Room(_Gate(self._per_host_max))
        room.requests += 1
        is_inside = False
        try:
            if not room.gate.enter():
                await room.gate.wait()
            is_inside = True
            if not self._total.enter():
                await self._total.wait()
        except asyncio.CancelledError:
            self._forget(host, room, was_inside=is_inside)
            raise

    def leave(self, host: str) -> None:
        """Give a place back."""
        self._total.leave()
        self._forget(host, self._rooms[host], was_inside=True)

    def _forget(self, host: str, room: _Room, *, was_inside: bool) -> None:
        if was_inside:
            room.gate.leave()
        room.requests -= 1
        if not room.requests:
            del self._rooms[host]
