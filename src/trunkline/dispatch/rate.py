"""Token buckets of many senders, each kept as the moment at which it will be full again.

Rules: costs are seconds, what is taken divided by the rate, so a bucket needs no other figure. A
bucket holds BURST_SECONDS; what costs more than that needs a full one and leaves it in debt. Over
any stretch of time a sender so gets its rate, and once BURST_SECONDS or its largest cost besides.
"""

from heapq import heappop, heappush, heapreplace
from math import inf

# Carriers count segments by the second, so what was not used of the last one is all there is.
BURST_SECONDS = 1.0
# Senders that sent in the last seconds; at 250 bytes each about 25 MB. Beyond it the bucket that is
# nearest to full is forgotten, which gives its sender a second's worth at most.
BUCKETS_MAX = 100_000


class Buckets:
    """Says when a sender may go next; times are of one clock that never goes back."""

    def __init__(self, size_max: int = BUCKETS_MAX) -> None:
        self._size_max = size_max
        self._full_at: dict[str, float] = {}
        # One entry a bucket, no later than it is full; corrected when it comes up.
        self._next_full: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._full_at)

    def ready_at(self, sender: str, seconds: float) -> float:
        """Return from when on *seconds* may be taken; minus infinity from a full bucket."""
        return self._full_at.get(sender, -inf) - max(BURST_SECONDS - seconds, 0.0)

    def spend(self, sender: str, seconds: float, *, now: float) -> None:
        """Take *seconds* out of a bucket, whether it has as much or not."""
        full_at = self._full_at.get(sender)
        self._full_at[sender] = max(now, full_at or now) + seconds
        if full_at is None:
            heappush(self._next_full, (now + seconds, sender))
        self._tidy(now)

    def _tidy(self, now: float) -> None:
        """Forget the buckets that are full, and the nearest to it when there are too many."""
        nearest = self._next_full
        while nearest and (nearest[0][0] <= now or len(nearest) > self._size_max):
            noted, sender = nearest[0]
            full_at = self._full_at[sender]
            if full_at <= now or full_at == noted:
                heappop(nearest)
                del self._full_at[sender]
            else:
                heapreplace(nearest, (full_at, sender))
