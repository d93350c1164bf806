"""The connector to the simulated phone network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from trunkline.carriers.port import (
    NOT_OURS,
    NOT_OURS_SECONDS,
    Answered,
    BindPhase,
    BindState,
    Deferred,
    Handler,
    Happening,
    MaySend,
    PduSeen,
    Probe,
    Receipt,
    Refused,
    Sharing,
    Submission,
    SubmitResult,
    Taken,
)
from trunkline.domain.carrier import Setting
from trunkline.network.network import Network
from trunkline.runtime import BATCH_MAX, Bell, Clock

# News ring the bell; this is how long a missed one could at most go unnoticed.
IDLE_SECONDS_MAX = 60.0


class SimulatedConnector:
    """Opens the way to the simulated network; *bell* is the one that the network rings."""

    sharing = Sharing.NOTHING
    is_called = False
    takes_media = True

    def __init__(self, network: Network, *, clock: Clock, bell: Bell) -> None:
        self._network = network
        self._clock = clock
        self._bell = bell

    @property
    def settings(self) -> Sequence[Setting]:
        """Return nothing: phones behave as the network's own settings say."""
        return ()

    def check(self, settings: Mapping[str, str]) -> None:
        """Accept everything that is left to set."""

    def open(
        self,
        name: str,
        settings: Mapping[str, str],
        *,
        lanes: Sequence[int],
        changed: Callable[[], None],
        may_send: MaySend,
    ) -> "SimulatedCarrier":
        """Return a carrier with as many lanes as one likes."""
        return SimulatedCarrier(
            name,
            self._network,
            lanes=lanes,
            may_send=may_send,
            clock=self._clock,
            bell=self._bell,
        )


class SimulatedCarrier:
    """A carrier whose network is in this process."""

    def __init__(
        self,
        name: str,
        network: Network,
        *,
        lanes: Sequence[int],
        may_send: MaySend,
        clock: Clock,
        bell: Bell,
    ) -> None:
        self.name = name
        self.lanes: Sequence[int] = tuple(lanes)
        self.down_since: datetime | None = None
        self._network = network
        self._may_send = may_send
        self._clock = clock
        self._bell = bell
        self._bind = BindState(lane=0, kind="simulated", phase=BindPhase.BOUND, since=clock.now())

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

        async def counted(happenings: Sequence[Happening]) -> None:
            await handle(happenings)
            told, bind = sum(isinstance(each, Receipt) for each in happenings), self._bind
            self._bind = replace(
                bind,
                receipts=bind.receipts + told,
                texts=bind.texts + len(happenings) - told,
                last_receipt_at=self._clock.now() if told else bind.last_receipt_at,
            )

        return await self._network.step(counted)

    async def next_due(self) -> datetime | None:
        """Return when the network has something for us again."""
        return await self._network.next_due()

    def take_lane(self, lane: int) -> None:
        """Put one more lane to work."""
        self.lanes = (*self.lanes, lane)

    async def leave_lane(self, lane: int) -> None:
        """Work on a lane no more."""
        self.lanes = tuple(each for each in self.lanes if each != lane)

    def room(self, lane: int) -> int:
        """Say that there is always room."""
        return BATCH_MAX

    def capacity(self, lane: int) -> int:
        """Say how many segments a lane may have in hand."""
        return BATCH_MAX

    async def submit(
        self, lane: int, batch: Sequence[Submission], *, answered: Answered | None = None
    ) -> Sequence[SubmitResult]:
        """Hand segments to the network, which answers for all of them at once."""
        if not self._may_send(lane):
            return [Deferred(NOT_OURS_SECONDS, NOT_OURS)] * len(batch)
        results = await self._network.submit(batch)
        bind = self._bind
        self._bind = replace(
            bind,
            submitted=bind.submitted + len(batch),
            taken=bind.taken + sum(isinstance(result, Taken) for result in results),
            refused=bind.refused + sum(isinstance(result, Refused) for result in results),
        )
        return results

    def binds(self) -> Sequence[BindState]:
        """Return one connection, which is always there."""
        return [self._bind]

    def pdus(self) -> Sequence[PduSeen]:
        """Return nothing: no octets pass."""
        return ()

    async def probe(self) -> Probe:
        """Say that the network is there."""
        return Probe(True, "the simulated network is part of this process")

    async def _seconds_to_wait(self) -> float:
        due = await self._network.next_due()
        if due is None:
            return IDLE_SECONDS_MAX
        return min(IDLE_SECONDS_MAX, (due - self._clock.now()).total_seconds())
