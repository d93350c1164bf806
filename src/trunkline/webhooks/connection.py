"""One connection to a receiver: requests go out over it one at a time, each with its limits."""

import asyncio
from typing import Protocol, cast

from trunkline.webhooks.answer import Failure
from trunkline.webhooks.failures import BODY_BROKEN, LOST, READING_TIME, TIME_USED_UP
from trunkline.webhooks.request import Origin
from trunkline.webhooks.wire import Reader, Reply


class Keeper(Protocol):
    """Whoever keeps connections wants to know which there are."""

    def opened(self, connection: "Connection") -> None:
        """Take note of a connection that came up."""

    def lost(self, connection: "Connection") -> None:
        """Forget a connection that is gone."""


class Connection(asyncio.Protocol):
    """Makes one exchange at a time; between them it waits, and closes itself after a while."""

    def __init__(self, origin: Origin, keeper: Keeper) -> None:
        self.origin = origin
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._is_free = True
        self._was_used = self._has_heard = False
        self._read_seconds = 0.0
        self._ends_at = 0.0
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def is_free(self) -> bool:
        """Whether a request may be sent: the connection stands, and its last answer is over."""
        return self._is_free and self._transport is not None and not self._transport.is_closing()

    def exchange(
        self, request: bytes, *, size_max: int, read_seconds: float, ends_at: float
    ) -> asyncio.Future[Reply]:
        """Send *request*; the result comes in any case, at *ends_at* of the loop's time at last.

        *read_seconds* is the longest that nothing may come.
        """
        transport = self._transport
        assert self._is_free, "the connection is in use"
        assert transport is not None, "the connection is gone"
        self._is_free = self._has_heard = False
        self._reader.expect(size_max)
        self._read_seconds, self._ends_at = read_seconds, ends_at
        self._watch(min(self._loop.time() + read_seconds, ends_at))
        waiter = self._waiter = self._loop.create_future()
        try:
            transport.write(request)
        except (OSError, RuntimeError):
            # uvloop says so where asyncio waits: the other end has closed.
            self._give_up(LOST)
        return waiter

    def rest(self) -> None:
        """Let a free connection wait for its next request, as long as its server will keep it."""
        self._watch(self._loop.time() + self._reader.idle_seconds)

    def drop(self) -> None:
        """Close at once; what is under way ends without an answer."""
        self._is_free = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: whoever had the connection opened sends its first request at once."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._keeper.opened(self)

    def data_received(self, data: bytes) -> None:
        """Read on; what nobody asked for ends the connection."""
        if self._waiter is None:
            self.drop()
            return
        self._has_heard = True
        self._due_at = min(self._loop.time() + self._read_seconds, self._ends_at)
        if self._reader.feed(data):
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is under way: with its answer, if closing is how that ends."""
        self._is_free = False
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._waiter is not None:
            if exc is None and self._reader.end():
                self._settle()
            else:
                self._give_up(LOST if self._reader.reply.status is None else BODY_BROKEN)
        self._reader.close()
        self._keeper.lost(self)

    def _settle(self) -> None:
        """Hand the reply over; the connection is free again if nothing is left of the exchange."""
        waiter, self._waiter = self._waiter, None
        transport = self._transport
        is_sent = transport is not None and not transport.get_write_buffer_size()
        if self._reader.is_reusable and is_sent and self._reader.idle_seconds:
            self._is_free = self._was_used = True
        else:
            self.drop()
        if waiter is not None and not waiter.done():
            waiter.set_result(self._reader.reply)

    def _give_up(self, failure: Failure) -> None:
        """End the exchange with *failure*, and the connection with it."""
        waiter, self._waiter = self._waiter, None
        reply = self._reader.reply
        reply.failure = failure
        reply.is_stale = failure is LOST and self._was_used and not self._has_heard
        self.drop()
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)

    def _watch(self, due_at: float) -> None:
        """Have the time looked at, at *due_at* or before.

        An earlier look costs nothing: the timer of one request serves the next ones too.
        """
        self._due_at = due_at
        if self._timer is not None:
            if self._timer_at <= due_at:
                return
            self._timer.cancel()
        self._timer_at = due_at
        self._timer = self._loop.call_at(due_at, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        if now < self._due_at:
            self._watch(self._due_at)
        elif self._waiter is None:
            self.drop()
        else:
            self._give_up(TIME_USED_UP if now >= self._ends_at else READING_TIME)
