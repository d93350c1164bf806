"""The SMPP kind of carrier: its settings, and a carrier account at work with its lanes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from trunkline.carriers.port import (
    Answered,
    BindState,
    Handler,
    PduSeen,
    Probe,
    SegmentJournal,
    Submission,
    SubmitResult,
)
from trunkline.carriers.smpp.bind import Bind, Surroundings
from trunkline.carriers.smpp.desk import Desk
from trunkline.carriers.smpp.incoming import Reader
from trunkline.carriers.smpp.outgoing import Packer
from trunkline.carriers.smpp.rows import SETTINGS, BindType
from trunkline.carriers.smpp.sender import Sender, Tries
from trunkline.carriers.smpp.settings import check, parse
from trunkline.carriers.smpp.tap import Tap
from trunkline.carriers.smpp.texts import LongTexts
from trunkline.carriers.smpp.tls import tls_context
from trunkline.domain.carrier import Setting
from trunkline.runtime import Chance, Clock


class SmppConnector:
    """The kind of carrier that is reached over SMPP."""

    def __init__(self, *, clock: Clock, chance: Chance, journal: SegmentJournal) -> None:
        self._clock = clock
        self._chance = chance
        self._journal = journal

    @property
    def settings(self) -> Sequence[Setting]:
        """Every setting of this kind, beside those that all kinds have."""
        return SETTINGS

    def check(self, settings: Mapping[str, str]) -> None:
        """Raise Refusal 20422, which names the setting, for what cannot be used."""
        check(settings)

    def open(
        self, name: str, settings: Mapping[str, str], *, lanes: int, changed: Callable[[], None]
    ) -> "SmppCarrier":
        """Return a carrier with checked settings; nothing moves before `run`."""
        parsed = parse(settings)
        around = Surroundings(
            settings=parsed,
            context=tls_context(parsed.tls),
            clock=self._clock,
            chance=self._chance,
            tap=Tap(self._clock),
            changed=changed,
        )
        return SmppCarrier(name, around, lanes=lanes, journal=self._journal)


class SmppCarrier:
    """A carrier account at work: a lane is one connection, or one for each way."""

    def __init__(
        self, name: str, around: Surroundings, *, lanes: int, journal: SegmentJournal
    ) -> None:
        self._name = name
        self._around = around._replace(changed=self._on_phase)
        self._changed = around.changed
        self._settings = around.settings
        reader = Reader(self._settings)
        texts = LongTexts(
            name, journal, reader=reader, expiry_seconds=self._settings.reassembly_seconds
        )
        self._desk = Desk(
            name, reader=reader, texts=texts, clock=around.clock, chance=around.chance
        )
        self._down_since: datetime | None = around.clock.now()
        packer, tries = Packer(self._settings), Tries()
        self._senders = [
            Sender(
                self._settings,
                packer=packer,
                tries=tries,
                desk=self._desk,
                clock=around.clock,
                changed=self._changed,
            )
            for _ in range(lanes)
        ]
        self._submitting: list[Bind] = []
        self._receiving: list[Bind] = []
        self._add_binds()

    @property
    def name(self) -> str:
        """The carrier account's name."""
        return self._name

    @property
    def lanes(self) -> int:
        """How many lanes there are."""
        return len(self._senders)

    @property
    def down_since(self) -> datetime | None:
        """Since when no lane can submit; None while one can."""
        return self._down_since

    async def run(self, handle: Handler) -> None:
        """Keep connected until cancelled; then unbind, within seconds."""
        await self._desk.load()
        desk = asyncio.create_task(self._desk.run(handle))
        binds = [asyncio.create_task(bind.run()) for bind in self._all_binds()]
        tasks = [desk, *binds]
        try:
            # None of them ends by itself but by a bug, which is told below.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The desk last: while connections take leave, answers are still given.
            for bind in binds:
                bind.cancel()
            await asyncio.wait(binds)
            desk.cancel()
            await asyncio.wait([desk])
        for task in tasks:
            if not task.cancelled():
                task.result()

    def room(self, lane: int) -> int:
        """Say how many segments are welcome on a lane now."""
        return self._senders[lane].room()

    async def submit(
        self, lane: int, batch: Sequence[Submission], *, answered: Answered | None = None
    ) -> Sequence[SubmitResult]:
        """Hand over segments in their order; the results are in the order of *batch*."""
        return await self._senders[lane].submit(batch, answered=answered)

    def binds(self) -> Sequence[BindState]:
        """Return the state of every connection."""
        return [bind.state() for bind in self._all_binds()]

    def pdus(self) -> Sequence[PduSeen]:
        """Return what passed lately, oldest first."""
        return self._around.tap.seen()

    async def probe(self) -> Probe:
        """Send an enquire_link on a lane that is bound, or bind once more and unbind."""
        bound = next((bind for bind in self._submitting if bind.is_bound), None)
        if bound is not None:
            return await bound.probe()
        kind = "transceiver" if self._is_transceiver else "transmitter"
        around = self._around._replace(changed=_nobody_minds)
        return await Bind(around, kind, lane=0).probe()

    @property
    def _is_transceiver(self) -> bool:
        return self._settings.bind_type is BindType.TRANSCEIVER

    def _add_binds(self) -> None:
        for lane, sender in enumerate(self._senders):
            if self._is_transceiver:
                both = Bind(self._around, "transceiver", lane=lane, sender=sender, desk=self._desk)
                self._submitting.append(both)
                continue
            self._submitting.append(Bind(self._around, "transmitter", lane=lane, sender=sender))
            self._receiving.append(Bind(self._around, "receiver", lane=lane, desk=self._desk))

    def _all_binds(self) -> list[Bind]:
        return [*self._submitting, *self._receiving]

    def _on_phase(self) -> None:
        """Take notice that a connection has come to another phase."""
        if any(bind.is_bound for bind in self._submitting):
            self._down_since = None
        elif self._down_since is None:
            self._down_since = self._around.clock.now()
        self._changed()


def _nobody_minds() -> None:
    """Stand for the owner of a connection that only tries out."""
