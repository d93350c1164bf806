"""How the connection to an upstream account is doing: up, slowed or down, and since when."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from trunkline.carriers.port import BindPhase
from trunkline.carriers.twilio.gate import Gate
from trunkline.runtime import Chance, Clock

BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_SECONDS_MAX = 60.0
# One answer that says "internal error" may be about one message; so many in a row are not.
FALTERS_MAX = 3
# So many times in a row "too many requests" and another carrier may help out.
THROTTLES_MAX = 3


@dataclass(slots=True)
class Counts:
    """What happened since the connector was opened."""

    submitted: int = 0
    taken: int = 0
    refused: int = 0
    throttled: int = 0
    in_doubt: int = 0
    receipts: int = 0
    texts: int = 0
    errors: int = 0
    last_receipt_at: datetime | None = None


class Health:
    """Judges by what is reported to it; *gate* lets nothing through while it should not."""

    def __init__(self, gate: Gate, *, clock: Clock, chance: Chance) -> None:
        self._gate = gate
        self._clock = clock
        self._chance = chance
        self._falters = 0
        self._throttles = 0
        self._falls = 0
        self._knock_at = 0.0
        self.counts = Counts()
        self.down_since: datetime | None = None
        self.since = clock.now()
        self.last_error = ""
        self.has_fallen = asyncio.Event()

    @property
    def phase(self) -> BindPhase:
        """How the connection is shown."""
        is_waiting = self.down_since is not None or self._gate.seconds_closed > 0
        return BindPhase.WAITING if is_waiting else BindPhase.BOUND

    @property
    def seconds_to_knock(self) -> float:
        """While it is down: how long to wait before it is tried again."""
        return max(0.0, self._knock_at - asyncio.get_running_loop().time())

    @property
    def is_crowded(self) -> bool:
        """Whether it has been too much for them for a while."""
        return self._throttles >= THROTTLES_MAX

    def answered(self) -> None:
        """Note an answer that shows that the API works for us."""
        self._falters = self._throttles = self._falls = 0
        self.rise()

    def rise(self) -> None:
        """Let requests through again; whether they go well is not known yet."""
        if self.down_since is not None:
            self.down_since = None
            self.since = self._clock.now()
            self._gate.open()

    def throttled(self, reason: str, *, retry_after: float | None) -> float:
        """Note that it was too much; return how long nothing is sent now."""
        self._throttles += 1
        self.counts.throttled += 1
        self.last_error = reason
        seconds = self._backoff(self._throttles) if retry_after is None else retry_after
        self._gate.close(seconds)
        return seconds

    def faltered(self, reason: str) -> float:
        """Note trouble of theirs; return how long its message should wait."""
        self._falters += 1
        if self._falters >= FALTERS_MAX:
            return self.fell(reason)
        self.blamed(reason)
        return self._backoff(self._falters)

    def fell(self, reason: str) -> float:
        """Note that nothing can be sent; return how long it is until it is tried again."""
        self.blamed(reason)
        self._falls += 1
        if self.down_since is None:
            self.down_since = self.since = self._clock.now()
        seconds = self._backoff(self._falls)
        self._gate.close(seconds)
        self._knock_at = asyncio.get_running_loop().time() + seconds
        self.has_fallen.set()
        return seconds

    def blamed(self, reason: str) -> None:
        """Note trouble that holds up nothing else."""
        self.counts.errors += 1
        self.last_error = reason

    def _backoff(self, failures: int) -> float:
        # The exponent is bounded so that the power stays a small number.
        seconds = BACKOFF_FIRST_SECONDS * 2.0 ** min(failures - 1, 10)
        return min(seconds, BACKOFF_SECONDS_MAX) * (0.5 + self._chance.fraction() / 2)
