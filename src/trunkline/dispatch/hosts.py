"""Rows that wait, by the host they go to, so that a slow or dead host holds up only itself."""

from collections import deque
from enum import StrEnum
from typing import Generic, TypeVar

Row = TypeVar("Row")

# A host is tried with a few requests at once; answers make them more, silence fewer.
WINDOW_START = 4
WINDOW_MAX = 24  # Below the HTTP client's own limit, so that no host queues inside it.
WAITING_PER_PLACE = 2  # Rows of a host in memory per request it may have; the others stay on disk.
WAITING_QUICK_MAX = 4000  # Of a host that answers as quickly as any may; some seconds' worth.
WAITING_MAX = 10_000  # Rows in memory in all, about 20 MB; reached by a thousand dead hosts.


class Pace(StrEnum):
    """How a host dealt with a request."""

    QUICK = "quick"
    SLOW = "slow"
    SILENT = "silent"


class Hosts(Generic[Row]):
    """Says which row comes next: hosts take turns, each within its window."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Row]] = {}
        self._busy: dict[str, int] = {}
        self._windows: dict[str, int] = {}
        self._count = 0

    def add(self, host: str, row: Row) -> bool:
        """Let *row* wait; False when there are enough of its host, or of all hosts, already."""
        rows = self._waiting.setdefault(host, deque())
        if len(rows) >= self._room(host) or self._count >= WAITING_MAX:
            self._tidy(host)
            return False
        rows.append(row)
        self._count += 1
        return True

    def supplied(self) -> set[str]:
        """Return the hosts of which enough rows wait that no more need be looked for."""
        return {h for h, rows in self._waiting.items() if 2 * len(rows) >= self._room(h)}

    def take(self) -> tuple[str, Row] | None:
        """Return the next row that may be started, with its host; `done` must follow."""
        for host, rows in self._waiting.items():
            busy = self._busy.get(host, 0)
            if not rows or busy >= self._window(host):
                continue
            self._waiting[host] = self._waiting.pop(host)  # To the end of the turn.
            self._busy[host] = busy + 1
            self._count -= 1
            return host, rows.popleft()
        return None

    def done(self, host: str, pace: Pace) -> None:
        """Note that a request to *host* ended."""
        window = self._window(host)
        if pace is Pace.QUICK:
            self._windows[host] = min(window + 1, WINDOW_MAX)
        elif pace is Pace.SILENT:
            self._windows[host] = max(window // 2, 1)
        self._busy[host] -= 1
        self._tidy(host)

    def _window(self, host: str) -> int:
        return self._windows.get(host, WINDOW_START)

    def _room(self, host: str) -> int:
        # A host that answers gets more and more; one that does not has few in memory. Half of the
        # memory is no quick host's, so that a few of them leave room for all others.
        window = self._window(host)
        is_quick = window == WINDOW_MAX and self._count < WAITING_MAX // 2
        return WAITING_QUICK_MAX if is_quick else WAITING_PER_PLACE * window**2

    def _tidy(self, host: str) -> None:
        """Forget a host with nothing waiting and nothing under way."""
        if not self._waiting.get(host):
            self._waiting.pop(host, None)
            if not self._busy.get(host):
                self._busy.pop(host, None)
                self._windows.pop(host, None)
