"""How many alerts an account may have in a minute, so that a broken program fills no disk."""

import threading
from datetime import datetime, timedelta

# Each node allows so many: at 500 bytes each, a node's thirty days of nothing else take 2 GB.
ALERTS_MAX = 100
PERIOD = timedelta(minutes=1)
ACCOUNTS_MAX = 10_000  # That are remembered; about 2 MB.


class Allowance:
    """Counts what each account took in the minute that is under way for it."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[datetime, int]] = {}
        self._lock = threading.Lock()  # The store's writer takes, too.

    def take(self, account_sid: str, count: int, *, now: datetime) -> int:
        """Return how many of *count* an account may have now."""
        with self._lock:
            since, taken = self._taken.pop(account_sid, (now, 0))
            # A clock that was set back begins a minute, too.
            if not timedelta() <= now - since < PERIOD:
                since, taken = now, 0
            granted = min(count, ALERTS_MAX - taken)
            if len(self._taken) >= ACCOUNTS_MAX:
                self._taken.pop(next(iter(self._taken)))
            self._taken[account_sid] = (since, taken + granted)
        return granted
