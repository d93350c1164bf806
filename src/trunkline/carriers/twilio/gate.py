"""Lets requests through: so many at once, so many a second, none while the carrier is down."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

# Requests that fell behind by this much may go together, so that fast lanes wake up less often.
BURST_SECONDS = 0.2


class Gate:
    """The room there is for submissions; *changed* is called when there is some again."""

    def __init__(self, window: int, per_second: float, *, changed: Callable[[], None]) -> None:
        self._window = window
        self._interval = 1 / per_second if per_second else 0.0
        self._changed = changed
        self._slots = asyncio.Semaphore(window)
        self._next_at = 0.0
        self._closed_until = 0.0
        self._is_shut = False
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self.used = 0

    @property
    def window(self) -> int:
        """How many requests there may be at once."""
        return self._window

    @property
    def seconds_closed(self) -> float:
        """How long nothing goes through from now on."""
        return max(0.0, self._closed_until - _time())

    def room(self) -> int:
        """Return how many requests may come now; when it is none, *changed* will be called."""
        room = 0 if self.seconds_closed else min(self._window - self.used, self._due())
        if room <= 0:
            self._is_shut = True
            self._set_timer()
        return max(0, room)

    def close(self, seconds: float) -> None:
        """Let nothing through for so long; a longer pause that was set before stays."""
        self._closed_until = max(self._closed_until, _time() + seconds)

    def open(self) -> None:
        """End a pause."""
        self._closed_until = 0.0
        self._wake()

    def stop(self) -> None:
        """Forget the timer; nobody is told any more."""
        self._is_shut = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @contextlib.asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Wait for a place and for the time, and hold the place."""
        self.used += 1
        self._empty.clear()
        try:
            async with self._slots:
                await asyncio.sleep(self._reserve())
                yield
        finally:
            self.used -= 1
            if self.used == 0:
                self._empty.set()
            self._wake()

    async def emptied(self) -> None:
        """Return once nothing is under way and nobody waits."""
        await self._empty.wait()

    def _reserve(self) -> float:
        """Take the next moment at which a request may go and return how long it is until then."""
        now = _time()
        at = max(self._next_at, now - BURST_SECONDS)
        self._next_at = at + self._interval
        return max(0.0, at - now)

    def _due(self) -> int:
        """Return how many requests the rate lets through at this moment."""
        if not self._interval:
            return self._window
        now = _time()
        at = max(self._next_at, now - BURST_SECONDS)
        return 0 if at > now else int((now - at) / self._interval) + 1

    def _set_timer(self) -> None:
        """Look again when a pause ends or the rate allows; a place that is left wakes by itself."""
        at = max(self._closed_until, self._next_at)
        if self._timer is None and at > _time():
            self._timer = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        if self._is_shut and self.room() > 0:
            self._is_shut = False
            self._changed()


def _time() -> float:
    return asyncio.get_running_loop().time()


class Turns:
    """Lets one at a time through of those with the same key, in the order in which they came."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def taken(self, key: str) -> AsyncIterator[None]:
        """Wait for the key's turn and keep it."""
        lock, count = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = lock, count + 1
        try:
            async with lock:
                yield
        finally:
            lock, count = self._locks.pop(key)
            if count > 1:
                self._locks[key] = lock, count - 1
