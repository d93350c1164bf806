"""The timers of one session beside those of its requests (SMPP 3.4 §7.2).

Rules: each PDU heard proves that the peer is there, whichever it is, since some peers never answer
an enquire_link; part of a PDU proves nothing. Deadlines are sums of the same two numbers wherever
they are compared, so that a tick at a deadline is never too early for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto


class Due(Enum):
    """What a timer asks for."""

    SESSION_INIT = auto()
    INACTIVITY = auto()
    ENQUIRE = auto()
    SILENT = auto()


@dataclass(slots=True)
class Liveness:
    """When something was last heard or done; None for a number of seconds turns the timer off."""

    began_at: float
    response_seconds: float
    enquire_seconds: float | None
    inactivity_seconds: float | None
    session_init_seconds: float | None
    is_bound: bool = False
    _heard_at: float = field(init=False)
    _active_at: float = field(init=False)
    _enquired_at: float | None = field(init=False, default=None)
    _is_silent: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._heard_at = self._active_at = self.began_at

    def bind(self, now: float) -> None:
        """Start the timers of a bound session."""
        self.is_bound = True
        self.session_init_seconds = None
        self._heard_at = self._active_at = now

    def unbind(self) -> None:
        """Stop all timers: whoever is told that the session ended closes the connection."""
        self.is_bound = False

    def hear(self, now: float) -> None:
        """Take notice of a whole PDU from the peer."""
        self._heard_at = now
        self._enquired_at = None
        self._is_silent = False

    def act(self, now: float) -> None:
        """Take notice of a PDU of either end that is more than a sign of life."""
        self._active_at = now

    def due(self, now: float) -> list[Due]:
        """Return what is due, and start its timer again; a session not bound in time is told once.

        Whoever is told ENQUIRE sends an enquire_link.
        """
        found = [due for due, at in self._deadlines() if at <= now]
        for due in found:
            self._restart(due, now=now)
        return found

    def next_deadline(self) -> float | None:
        """Return when something is due next."""
        return min((at for _, at in self._deadlines()), default=None)

    def _deadlines(self) -> Iterator[tuple[Due, float]]:
        if not self.is_bound:
            if self.session_init_seconds is not None:
                yield Due.SESSION_INIT, self.began_at + self.session_init_seconds
            return
        if self.inactivity_seconds is not None:
            yield Due.INACTIVITY, self._active_at + self.inactivity_seconds
        if self.enquire_seconds is None or self._is_silent:
            return
        if self._enquired_at is None:
            yield Due.ENQUIRE, self._heard_at + self.enquire_seconds
        else:
            yield Due.SILENT, self._enquired_at + self.response_seconds

    def _restart(self, due: Due, *, now: float) -> None:
        match due:
            case Due.SESSION_INIT:
                self.session_init_seconds = None
            case Due.INACTIVITY:
                self._active_at = now
            case Due.ENQUIRE:
                self._enquired_at = now
            case Due.SILENT:
                self._is_silent = True
