"""The connections there are: those that wait are used again, and their number is bounded."""

import asyncio
from functools import partial
from typing import Final

from trunkline.webhooks.answer import Failure
from trunkline.webhooks.connection import Connection
from trunkline.webhooks.dialling import Dialler
from trunkline.webhooks.failures import LOST
from trunkline.webhooks.request import Origin

# A quarter of the 1,024 open files that a process commonly gets.
CONNECTIONS_MAX: Final = 256
# Four hosts that never answer leave most of the room to the others; of those that wait, too.
CONNECTIONS_PER_HOST_MAX: Final = 32


class Connections:
    """Keep connections by where they lead; whoever borrows one gives it back."""

    def __init__(self, dialler: Dialler) -> None:
        self.dialler = dialler
        self._open: set[Connection] = set()
        # The last that came is the first that goes: it is the least likely to be closed.
        self._idle: dict[Origin, list[Connection]] = {}
        self._by_age: dict[Connection, None] = {}
        self._dialling = 0
        self._is_closed = False
        self._gone = asyncio.Event()

    def borrow(self, origin: Origin) -> Connection | None:
        """Return a connection to *origin* that waits, if there is one."""
        while waiting := self._idle.get(origin):
            connection = waiting.pop()
            del self._by_age[connection]
            if not waiting:
                del self._idle[origin]
            if connection.is_free:
                return connection
        return None

    async def open(
        self, origin: Origin, *, connect_seconds: float, ends_at: float
    ) -> Connection | Failure:
        """Return a new connection to *origin*, or why there is none."""
        if self._is_closed:
            return LOST
        if len(self._open) + self._dialling >= CONNECTIONS_MAX and self._by_age:
            oldest = next(iter(self._by_age))
            self._take_out(oldest)
            oldest.drop()
        self._dialling += 1
        try:
            found = await self.dialler.dial(
                origin,
                partial(Connection, origin, self),
                connect_seconds=connect_seconds,
                ends_at=ends_at,
            )
        finally:
            self._dialling -= 1
        is_gone = isinstance(found, Connection) and not found.is_free
        return LOST if is_gone else found

    def give_back(self, connection: Connection) -> None:
        """Let a connection wait for the next request; one that is still in use is closed."""
        waiting = self._idle.get(connection.origin)
        if not connection.is_free or (waiting and len(waiting) >= CONNECTIONS_PER_HOST_MAX):
            connection.drop()
            return
        if waiting is None:
            waiting = self._idle[connection.origin] = []
        waiting.append(connection)
        self._by_age[connection] = None
        connection.rest()

    async def close(self) -> None:
        """Close every connection, and those that are being opened as soon as they are."""
        self._is_closed = True
        for connection in tuple(self._open):
            connection.drop()
        if self._open:
            self._gone.clear()
            await self._gone.wait()

    def opened(self, connection: Connection) -> None:
        """Count a connection."""
        self._open.add(connection)
        if self._is_closed:
            connection.drop()

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""
        if connection in self._by_age:
            self._take_out(connection)
        self._open.discard(connection)
        if not self._open:
            self._gone.set()

    def _take_out(self, connection: Connection) -> None:
        del self._by_age[connection]
        waiting = self._idle[connection.origin]
        waiting.remove(connection)
        if not waiting:
            del self._idle[connection.origin]
