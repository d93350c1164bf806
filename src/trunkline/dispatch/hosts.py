"""Rows that wait, by the host they go to and the account whose they are.

Rules: hosts take turns, each within its window, so that a slow or dead one holds up only itself;
at one host accounts take turns, so that one with many rows holds up nobody else's.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from trunkline.store.hosts import Turn

Row = TypeVar("Row")

# A host is tried with a few requests at once; answers make them more, silence fewer.
WINDOW_START = 4
WINDOW_MAX = 24  # Below the HTTP client's own limit, so that no host queues inside it.
# Rows of a turn in memory per request its host may have; the others stay on disk.
WAITING_PER_PLACE = 2
WAITING_QUICK_MAX = 4000  # At a host that answers as quickly as any may; some seconds' worth.
WAITING_MAX = 10_000  # Rows in memory in all, about 20 MB.
REMEMBERED_MAX = 10_000  # Hosts with nothing to do whose windows are kept, about 2 MB.
ENOUGH_MAX = (
    200  # What lasts until more is read; what is here is found again, so no more than that.
)


class Pace(StrEnum):
    """How a host dealt with a request."""

    QUICK = "quick"
    SLOW = "slow"
    SILENT = "silent"


@dataclass(slots=True)
class _Host(Generic[Row]):
    """What waits for one host, by account in turn, and how many requests it has."""

    window: int
    busy: int = 0
    count: int = 0
    waiting: dict[str, deque[Row]] = field(default_factory=dict)

    def put(self, account_sid: str, row: Row) -> None:
        self.waiting.setdefault(account_sid, deque()).append(row)
        self.count += 1

    def take(self) -> Row:
        """Return the next row of the first account, which comes last then."""
        account_sid = next(iter(self.waiting))
        rows = self.waiting.pop(account_sid)
        self.count -= 1
        row = rows.popleft()
        if rows:
            self.waiting[account_sid] = rows
        return row


class Hosts(Generic[Row]):
    """Says which row comes next; `done` must follow."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host[Row]] = {}  # In turn.
        # Of hosts with nothing to do: what comes in crowds would else begin anew with each.
        self._windows: dict[str, int] = {}  # The one that was busy last is last.
        self._count = 0

    def add(self, turn: Turn, row: Row) -> bool:
        """Let *row* wait; False when there are enough of its turn, of its host, or in all."""
        host = self._hosts.get(turn.host)
        if host is None:
            host = _Host[Row](window=self._windows.get(turn.host, WINDOW_START))
        rows = host.waiting.get(turn.account_sid, ())
        if len(rows) >= self._room(host):
            return False
        if not host.count and not host.busy:
            self._windows.pop(turn.host, None)
            self._hosts[turn.host] = host
        host.put(turn.account_sid, row)
        self._count += 1
        return True

    def supplied(self) -> set[Turn]:
        """Return the turns of which enough rows wait that no more need be looked for."""
        turns = (Turn(name, each) for name, host in self._hosts.items() for each in host.waiting)
        return {turn for turn in turns if self.is_supplied(turn)}

    def is_supplied(self, turn: Turn) -> bool:
        """Tell whether enough rows of a turn wait."""
        host = self._hosts.get(turn.host)
        rows = host.waiting.get(turn.account_sid) if host else None
        if host is None or rows is None:
            return False
        return len(rows) >= min(self._room(host) / 2, ENOUGH_MAX)

    def take(self) -> tuple[str, Row] | None:
        """Return the next row that may be started, with its host; `done` must follow."""
        for name, host in self._hosts.items():
            if not host.count or host.busy >= host.window:
                continue
            self._hosts[name] = self._hosts.pop(name)  # To the end of the turn.
            host.busy += 1
            self._count -= 1
            return name, host.take()
        return None

    def done(self, name: str, pace: Pace) -> None:
        """Note that a request to a host ended; of one with nothing to do the window is kept."""
        host = self._hosts[name]
        if pace is Pace.QUICK:
            host.window = min(host.window + 1, WINDOW_MAX)
        elif pace is Pace.SILENT:
            host.window = max(host.window // 2, 1)
        host.busy -= 1
        if not host.busy and not host.count:
            del self._hosts[name]
            self._windows[name] = host.window
            if len(self._windows) > REMEMBERED_MAX:
                del self._windows[next(iter(self._windows))]

    def _room(self, host: _Host[Row]) -> int:
        """Return how many rows of one account may wait for a host.

        One that answers gets more and more; one that does not has few in memory. But a host has no
        more than is left for others, and of that an account no more than is left for others: so
        neither fills what somebody who comes later needs.
        """
        is_quick = host.window == WINDOW_MAX
        room = WAITING_QUICK_MAX if is_quick else WAITING_PER_PLACE * host.window**2
        return min(room, WAITING_MAX - self._count - host.count)
