"""How fast one connection submits: at the rate agreed, and slower for a while when throttled.

Times are seconds of the event loop that the caller hands in.
"""

# Timers are late by some milliseconds; what they miss may be made up for at once, not more.
BURST_SECONDS = 0.02
# Throttled answers come by the window: those within this time are about the same haste.
PAUSE_SECONDS = 1.0
SLOWEST_PER_SECOND = 1.0
# Slowed to the half, it takes a quarter of a minute to be back.
GROWTH_PER_SECOND = 1.05
# So much faster than when it was last told off, a connection without a limit is free again.
FREE_AGAIN = 2.0
# What rounding leaves of a token is one.
NEARLY_ONE = 1.0 - 1e-6


class Pace:
    """A token bucket whose rate falls when the carrier throttles and grows back afterwards."""

    def __init__(self, per_second: float, *, now: float) -> None:
        self._limit = per_second or None
        self._slowed: tuple[float, float, float] | None = None
        self._tokens = 1.0
        self._counted_at = now
        self._paused_until = now
        self._count_began = now
        self._count = 0
        self._count_before = 0

    def per_second(self, now: float) -> float | None:
        """Return the rate at present; None is as fast as the window allows."""
        if self._slowed is None:
            return self._limit
        rate, since, until = self._slowed
        grown = rate * float(GROWTH_PER_SECOND ** min(max(0.0, now - since), 3600.0))
        if grown < until:
            return grown
        self._slowed = None
        return self._limit

    def is_paused(self, now: float) -> bool:
        """Say whether nothing may be sent for a moment after a throttled answer."""
        return now < self._paused_until

    def wait(self, now: float) -> float:
        """Return in how many seconds the next segment may go; 0 is now."""
        if now < self._paused_until:
            return self._paused_until - now
        rate = self.per_second(now)
        if rate is None:
            return 0.0
        self._refill(now, rate=rate)
        return 0.0 if self._tokens >= NEARLY_ONE else (1.0 - self._tokens) / rate

    def spend(self, now: float) -> None:
        """Take notice that a segment went."""
        self._tokens = max(0.0, self._tokens - 1.0)
        if now - self._count_began >= 1.0:
            is_recent = now - self._count_began < 2.0
            self._count_before = self._count if is_recent else 0
            self._count, self._count_began = 0, now
        self._count += 1

    def slow_down(self, now: float) -> bool:
        """Halve the rate and pause; return False for what is about a haste already punished."""
        if now < self._paused_until:
            return False
        rate = self.per_second(now) or float(max(self._count, self._count_before))
        until = self._limit or FREE_AGAIN * rate
        self._slowed = (max(SLOWEST_PER_SECOND, rate / 2), now + PAUSE_SECONDS, until)
        self._paused_until = now + PAUSE_SECONDS
        self._tokens = 1.0
        return True

    def _refill(self, now: float, *, rate: float) -> None:
        room = max(1.0, rate * BURST_SECONDS)
        self._tokens = min(room, self._tokens + (now - self._counted_at) * rate)
        self._counted_at = now
