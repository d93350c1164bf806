"""Where everything that a carrier brings is recorded, and acknowledged afterwards.

Rules: what came on any connection in one turn of the loop is recorded by one call; one call is
under way at a time; what cannot be recorded is refused for now, and comes again. What nobody sends
twice (a late answer, a text whose segments were acknowledged) is tried again from here.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

import structlog

from trunkline.carriers.port import Handler, Happening, LateTaken, Receipt
from trunkline.carriers.smpp.incoming import Reader
from trunkline.carriers.smpp.texts import LongTexts, Ready
from trunkline.runtime import Chance, Clock
from trunkline.smpp.pdu import DataSm, DeliverSm, Pdu, empty_answer
from trunkline.smpp.status import CommandStatus

# As many as a store's group commit gains by; what waits beyond is bounded by the sessions.
BATCH_MAX = 500
# Late answers and texts that the store would not have: beyond, the oldest are given up.
OWED_MAX = 10_000
RETRY_SECONDS = 1.0
# Between a deadline and the look at it, so that rounding cannot make the look come too early.
GRACE_SECONDS = 0.001

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(slots=True)
class Counts:
    """What passed on one connection since it was first opened."""

    submitted: int = 0
    taken: int = 0
    refused: int = 0
    throttled: int = 0
    in_doubt: int = 0
    receipts: int = 0
    texts: int = 0
    errors: int = 0
    last_receipt_at: datetime | None = None


class Answerer(Protocol):
    """The connection that a request came on."""

    def respond(self, sequence_number: int, pdu: Pdu, *, command_status: int = 0) -> None:
        """Answer a request of the peer."""


@dataclass(slots=True)
class Asked:
    """A request that waits to be recorded."""

    link: Answerer
    number: int
    pdu: DeliverSm | DataSm
    counts: Counts

    def answer(self, command_status: int = 0) -> None:
        """Acknowledge it, or refuse it for now."""
        answer = empty_answer(self.pdu)
        self.link.respond(self.number, answer, command_status=command_status)


@dataclass(slots=True)
class _Item:
    """One thing to record, and where it came from: a request, the journal, or ourselves."""

    happening: Happening
    asked: Asked | None = None
    ready: Ready | None = None


@dataclass(slots=True)
class _Owed:
    """What is recorded from here, as often as it takes."""

    items: deque[_Item] = field(default_factory=lambda: deque(maxlen=OWED_MAX))

    def take(self) -> list[_Item]:
        found = list(self.items)
        self.items.clear()
        return found


class Desk:
    """The one place of a carrier where what it brings is read, recorded and acknowledged."""

    def __init__(
        self, carrier: str, *, reader: Reader, texts: LongTexts, clock: Clock, chance: Chance
    ) -> None:
        self._carrier = carrier
        self._reader = reader
        self._texts = texts
        self._clock = clock
        self._chance = chance
        self._handle: Handler | None = None
        self._queue: deque[Asked] = deque()
        self._owed = _Owed()
        self._bell = asyncio.Event()
        self._is_to_load = False
        self._waits_for_segments = asyncio.Event()

    def put(self, asked: Asked) -> None:
        """Take a request; it is answered once it was recorded."""
        self._queue.append(asked)
        self._bell.set()

    def owe(self, happenings: Iterable[Happening]) -> None:
        """Record what no carrier will send again."""
        self._owed.items.extend(map(_Item, happenings))
        self._bell.set()

    async def tell(self, happenings: Sequence[Happening]) -> None:
        """Record something now; what cannot be is owed."""
        if await self._trouble(happenings) is not None:
            self._owe_later(list(map(_Item, happenings)))

    async def load(self) -> None:
        """Take up the texts that somebody had begun to receive."""
        ready = await self._texts.load(self._clock.now())
        self._owed.items.extend(_Item(text.incoming, ready=text) for text in ready)
        self._waits_for_segments.set()

    def load_soon(self) -> None:
        """Take up the texts that another node had begun to receive, and receives no more."""
        self._is_to_load = True
        self._bell.set()

    async def run(self, handle: Handler) -> None:
        """Record what comes, until cancelled."""
        self._handle = handle
        await asyncio.gather(self._work(), self._expire())

    async def _work(self) -> None:
        while True:
            if self._owed.items or self._queue:
                self._bell.set()
            await self._bell.wait()
            self._bell.clear()
            await self._round()

    async def _round(self) -> None:
        if self._is_to_load:
            self._is_to_load = isinstance(await self._outcome(self.load()), BaseException)
        items = self._owed.take()
        asked = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
        for one in asked:
            items += await self._read(one)
        if not items:
            return
        trouble = await self._trouble([item.happening for item in items])
        for item in items:
            if trouble is not None and len(items) > 1:
                # Each alone, so that the one that failed fails alone.
                await self._settle(item, is_told=await self._trouble([item.happening]) is None)
            else:
                await self._settle(item, is_told=trouble is None)

    async def _read(self, asked: Asked) -> list[_Item]:
        """Return what a request brings; a segment is acknowledged here, it is in the journal."""
        now = self._clock.now()
        receipt = self._reader.receipt_of(asked.pdu, at=now)
        if receipt:
            return [_Item(receipt, asked)]
        segment = self._reader.segment_of(asked.pdu)
        if segment.place is None or segment.place.total == 1:
            ref = f"{self._carrier}:{self._chance.uuid()}"
            return [_Item(self._reader.incoming_of([segment], ref=ref, at=now), asked)]
        ready = await self._outcome(self._texts.add(segment, at=now))
        if isinstance(ready, BaseException):
            asked.answer(CommandStatus.ESME_RX_T_APPN)
            return []
        asked.answer()
        asked.counts.texts += 1
        self._waits_for_segments.set()
        return [_Item(text.incoming, ready=text) for text in ready]

    async def _settle(self, item: _Item, *, is_told: bool) -> None:
        if item.asked:
            item.asked.answer(0 if is_told else CommandStatus.ESME_RX_T_APPN)
            if is_told:
                self._count(item.asked.counts, item.happening)
        elif not is_told:
            self._owe_later([item])
        elif item.ready:
            # What cannot be forgotten now is told again after a restart, under the same name.
            await self._outcome(self._texts.forget([item.ready]))

    def _count(self, counts: Counts, happening: Happening) -> None:
        if isinstance(happening, Receipt):
            counts.receipts += 1
            counts.last_receipt_at = happening.at
        elif not isinstance(happening, LateTaken):
            counts.texts += 1

    def _owe_later(self, items: list[_Item]) -> None:
        def owe() -> None:
            self._owed.items.extend(items)
            self._bell.set()

        asyncio.get_running_loop().call_later(RETRY_SECONDS, owe)

    async def _expire(self) -> None:
        """Tell of texts whose missing segments are waited for no longer."""
        while True:
            left = self._texts.seconds_left(self._clock.now())
            if left is None:
                self._waits_for_segments.clear()
                await self._waits_for_segments.wait()
                continue
            await self._clock.sleep(left + GRACE_SECONDS)
            ready = await self._outcome(self._texts.expire(self._clock.now()))
            if isinstance(ready, BaseException):
                await self._clock.sleep(RETRY_SECONDS)
                continue
            self._owed.items.extend(_Item(text.incoming, ready=text) for text in ready)
            self._bell.set()

    async def _trouble(self, happenings: Sequence[Happening]) -> BaseException | None:
        assert self._handle, "nothing is bound before run"
        found = await self._outcome(self._handle(happenings))
        return found if isinstance(found, BaseException) else None

    async def _outcome(self, work: Awaitable[T]) -> T | BaseException:
        """Return what *work* returns, or the exception that it raises, which is logged."""
        (found,) = await asyncio.gather(work, return_exceptions=True)
        if isinstance(found, BaseException):
            log.error(
                "what a carrier brought was not recorded", carrier=self._carrier, exc_info=found
            )
        return found
