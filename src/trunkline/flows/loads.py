"""How long the senders of pools have to do yet, so that a pool of many sends as often as fast."""

from collections.abc import Callable, Iterable

from trunkline.domain.carrier import SenderType, sender_type_of
from trunkline.runtime import uptime

# About 10 MB; past it all senders count as idle once.
SENDERS_MAX = 50_000


class SenderLoads:
    """Remembers until when each sender is busy with what this node let wait for it.

    A guess that spreads messages: what other nodes or other ways let wait is not in it. *time*
    never goes back, in seconds.
    """

    def __init__(self, time: Callable[[], float] = uptime) -> None:
        self._time = time
        self._until: dict[str, float] = {}
        self._types: dict[str, SenderType] = {}

    def seconds(self, senders: Iterable[str], *, prefix: str = "") -> dict[str, float]:
        """Return for how many seconds some senders are busy yet, in the channel of *prefix*.

        Of those that are idle, who was busy last has the least below zero; who never was is left
        out.
        """
        until, now = self._until, self._time()
        return {s: until[prefix + s] - now for s in senders if prefix + s in until}

    def add(self, sender: str, seconds: float, *, seconds_max: float) -> bool:
        """Let a sender be busy for longer, unless that is beyond *seconds_max*."""
        now = self._time()
        until = max(self._until.get(sender, now), now) + seconds
        if until - now > seconds_max:
            return False
        if len(self._until) >= SENDERS_MAX:
            self._until.clear()
            self._types.clear()
        self._until[sender] = until
        return True

    def type_of(self, sender: str) -> SenderType:
        """Return what kind of sender an address is."""
        known = self._types.get(sender)
        if known is None:
            known = self._types[sender] = sender_type_of(sender)
        return known
