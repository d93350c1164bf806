"""The connector to the simulated phone network."""

from collections.abc import Sequence
from datetime import datetime

from trunkline.carriers.port import Handler, Submission, SubmitResult
from trunkline.network.network import Network
from trunkline.runtime import Bell, Clock

# News ring the bell; this is how long a missed one could at most go unnoticed.
IDLE_SECONDS_MAX = 60.0


class SimulatedCarrier:
    """A carrier whose network is in this process; *bell* is the one that the network rings."""

    def __init__(self, name: str, network: Network, *, clock: Clock, bell: Bell) -> None:
        self._name = name
        self._network = network
        self._clock = clock
        self._bell = bell

    @property
    def name(self) -> str:
        """The carrier account's name."""
        return self._name

    async def run(self, handle: Handler) -> None:
        """Bring receipts and texts as they fall due, until cancelled; raise what *handle* raises.

        Nothing is lost by that: run it again.
        """
        while True:
            if await self.step(handle):
                continue
            seconds = await self._seconds_to_wait()
            if seconds > 0:
                await self._bell.wait(self._clock, seconds)

    async def step(self, handle: Handler) -> int:
        """Bring what is due now; return how many texts moved."""
        return await self._network.step(handle)

    async def next_due(self) -> datetime | None:
        """Return when the network has something for us again."""
        return await self._network.next_due()

    async def submit(self, batch: Sequence[Submission]) -> Sequence[SubmitResult]:
        """Hand segments to the network."""
        return await self._network.submit(batch)

    async def _seconds_to_wait(self) -> float:
        due = await self._network.next_due()
        if due is None:
            return IDLE_SECONDS_MAX
        return min(IDLE_SECONDS_MAX, (due - self._clock.now()).total_seconds())
