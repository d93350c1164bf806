"""The SMPP kind of carrier: its settings, and a carrier account at work with its lanes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from trunkline.carriers.port import (
    Answered,
    BindState,
    Handler,
    MaySend,
    PduSeen,
    Probe,
    SegmentJournal,
    Sharing,
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

    sharing = Sharing.LANES
    is_called = False
    takes_media = False  # SMPP 3.4 has no MMS.

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
        self,
        name: str,
        settings: Mapping[str, str],
        *,
        lanes: Sequence[int],
        changed: Callable[[], None],
        may_send: MaySend,
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
            may_send=may_send,
        )
        return SmppCarrier(name, around, lanes=lanes, journal=self._journal)


class SmppCarrier:
    """A carrier account at work: a lane is one connection, or one for each way."""

    def __init__(
        self, name: str, around: Surroundings, *, lanes: Sequence[int], journal: SegmentJournal
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
        self._packer, self._tries = Packer(self._settings), Tries()
        self._senders: dict[int, Sender] = {}
        self._submitting: dict[int, Bind] = {}
        self._receiving: dict[int, Bind] = {}
        self._running: dict[Bind, asyncio.Task[None]] = {}
        self._is_running = False
        self._news = asyncio.Event()
        for lane in lanes:
            self.take_lane(lane)

    @property
    def name(self) -> str:
        """The carrier account's name."""
        return self._name

    @property
    def lanes(self) -> Sequence[int]:
        """The numbers of the lanes that are at work here."""
        return tuple(self._senders)

    @property
    def down_since(self) -> datetime | None:
        """Since when no lane can submit; None while one can."""
        return self._down_since

    async def run(self, handle: Handler) -> None:
        """Keep connected until cancelled; then unbind, within seconds."""
        await self._desk.load()
        desk = asyncio.create_task(self._desk.run(handle))
        self._is_running = True
        for bind in self._all_binds():
            self._start(bind)
        try:
            await self._watch(desk)
        finally:
            # The desk last: while connections take leave, answers are still given.
            self._is_running = False
            ends = await asyncio.gather(
                *(self._stop(bind) for bind in list(self._running)), return_exceptions=True
            )
            desk.cancel()
            await asyncio.wait([desk])
        for bug in filter(None, ends):
            raise bug
        if not desk.cancelled():
            desk.result()

    def take_lane(self, lane: int) -> None:
        """Put one more lane to work: connect it."""
        sender = self._senders[lane] = Sender(
            self._settings,
            packer=self._packer,
            tries=self._tries,
            desk=self._desk,
            clock=self._around.clock,
            changed=self._changed,
            may_send=partial(self._around.may_send, lane),
        )
        around, desk = self._around, self._desk
        if self._is_transceiver:
            both = Bind(around, "transceiver", lane=lane, sender=sender, desk=desk)
            self._submitting[lane] = both
        else:
            self._submitting[lane] = Bind(around, "transmitter", lane=lane, sender=sender)
            self._receiving[lane] = Bind(around, "receiver", lane=lane, desk=desk)
        if self._is_running:
            # Whoever had the lane may have left texts that are not whole.
            desk.load_soon()
            for bind in self._binds_of(lane):
                self._start(bind)

    async def leave_lane(self, lane: int) -> None:
        """Unbind one lane, within seconds; what waits there is Deferred."""
        await asyncio.gather(*(self._stop(bind) for bind in self._binds_of(lane)))
        for lanes in (self._senders, self._submitting, self._receiving):
            lanes.pop(lane, None)
        self._on_phase()

    def room(self, lane: int) -> int:
        """Say how many segments are welcome on a lane now."""
        sender = self._senders.get(lane)
        return 0 if sender is None else sender.room()

    def capacity(self, lane: int) -> int:
        """Say how many segments a lane may have in hand."""
        return 2 * self._settings.window

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
        bound = next((bind for bind in self._submitting.values() if bind.is_bound), None)
        if bound is not None:
            return await bound.probe()
        kind = "transceiver" if self._is_transceiver else "transmitter"
        around = self._around._replace(changed=_nobody_minds)
        return await Bind(around, kind, lane=0).probe()

    @property
    def _is_transceiver(self) -> bool:
        return self._settings.bind_type is BindType.TRANSCEIVER

    def _start(self, bind: Bind) -> None:
        self._running[bind] = asyncio.create_task(bind.run())
        self._news.set()

    async def _stop(self, bind: Bind) -> None:
        """Unbind a connection and return when it is gone; raise what ended it before."""
        task = self._running.pop(bind, None)
        if task is None:
            return
        task.cancel()
        self._news.set()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _watch(self, desk: asyncio.Task[None]) -> None:
        """Return when one of our parts ends by itself, which only a bug can make it do."""
        while not desk.done() and not any(task.done() for task in self._running.values()):
            self._news.clear()
            news = asyncio.create_task(self._news.wait())
            try:
                parts = [desk, news, *self._running.values()]
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()

    def _binds_of(self, lane: int) -> list[Bind]:
        return [binds[lane] for binds in (self._submitting, self._receiving) if lane in binds]

    def _all_binds(self) -> list[Bind]:
        return [*self._submitting.values(), *self._receiving.values()]

    def _on_phase(self) -> None:
        """Take notice that a connection has come to another phase."""
        if any(bind.is_bound for bind in self._submitting.values()):
            self._down_since = None
        elif self._down_since is None:
            self._down_since = self._around.clock.now()
        self._changed()


def _nobody_minds() -> None:
    """Stand for the owner of a connection that only tries out."""
