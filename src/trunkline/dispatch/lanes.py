"""Lanes: one ordered queue of one carrier each, emptied by one owner."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from trunkline.carriers.port import Carrier, Handler, Happening, Incoming, Receipt
from trunkline.flows import handover, inbound
from trunkline.flows.platform import Platform
from trunkline.runtime import BATCH_MAX, Bell
from trunkline.store.outbox import next_due


class Steppable(Protocol):
    """A connector that is driven a step at a time."""

    @property
    def name(self) -> str:
        """The carrier account's name."""

    async def step(self, handle: Handler) -> int:
        """Bring what is due now; return how much that was."""

    async def next_due(self) -> datetime | None:
        """Return when something will be due."""


class Lane:
    """Hands the messages of one lane over, a batch at a time, in their order."""

    def __init__(self, platform: Platform, carrier: Carrier, name: str) -> None:
        self.name = name
        self.bell = Bell()
        platform.bells.outbox.also(self.bell)
        self._platform = platform
        self._carrier = carrier

    async def step(self) -> int:
        """Hand over one batch."""
        batch = await handover.load(self._platform, self.name, limit=BATCH_MAX)
        if batch is None:
            return 0
        results = await self._carrier.submit(batch.submissions)
        await handover.submitted(self._platform, batch, results)
        return 1 + len(results)

    async def next_due(self) -> datetime | None:
        """Return when the lane's next message is due."""
        return await self._platform.store.read(lambda db: next_due(db, self.name))


class Connection:
    """Keeps the simulated network moving: its steps bring receipts and inbound texts."""

    def __init__(self, platform: Platform, carrier: Steppable) -> None:
        self.name = carrier.name
        self.bell = platform.bells.network
        self._carrier = carrier
        self._handle = handler(platform, carrier.name)

    async def step(self) -> int:
        """Bring what is due now."""
        return await self._carrier.step(self._handle)

    async def next_due(self) -> datetime | None:
        """Return when the network has something again."""
        return await self._carrier.next_due()


def handler(platform: Platform, carrier: str) -> Handler:
    """Return what a carrier's connector is to await before it acknowledges anything."""

    async def handle(happenings: Sequence[Happening]) -> None:
        receipts = [h for h in happenings if isinstance(h, Receipt)]
        texts = [h for h in happenings if isinstance(h, Incoming)]
        if receipts:
            await handover.record(platform, carrier, receipts)
        if texts:
            await inbound.receive(platform, carrier, texts)

    return handle
