"""The SMPP connector under test: a carrier at a scripted SMSC, and what it brought."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from tests.smsc import ScriptedSmsc
from trunkline.carriers.port import Choose, Happening, Incoming, Receipt, Submission
from trunkline.carriers.smpp.connector import SmppCarrier, SmppConnector
from trunkline.runtime import Chance, Clock, SystemClock
from trunkline.smpp.concatenation import Whole

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUICK = {
    "system_id": "esme",
    "password": "much longer than eight",
    "connect_seconds": "2",
    "response_seconds": "2",
    "enquire_seconds": "0",
    "reconnect_seconds": "0.02",
    "reconnect_seconds_max": "0.05",
}


@dataclass
class MemoryJournal:
    """Segments of unfinished texts; `kept` is what a disk would hold."""

    kept: dict[tuple[str, str, int], bytes] = field(default_factory=dict)
    is_broken: bool = False

    async def join(
        self, carrier: str, family: str, *, choose: Choose
    ) -> Sequence[tuple[str, bytes]]:
        """Store what is chosen."""
        before = [
            (key, doc)
            for (c, key, _), doc in self.kept.items()
            if c == carrier and key.startswith(family)
        ]
        chosen = choose(before)
        if chosen:
            await self.keep(carrier, chosen.key, number=chosen.number, doc=chosen.doc)
        return before

    async def keep(self, carrier: str, key: str, *, number: int, doc: bytes) -> None:
        """Store one segment, behind the others unless it was there."""
        if self.is_broken:
            raise OSError("no space left")
        if self.kept.get((carrier, key, number)) != doc:
            self.kept.pop((carrier, key, number), None)
            self.kept[carrier, key, number] = doc

    @property
    def segments(self) -> list[bytes]:
        """What is kept of texts that are not told."""
        return [doc for (_, _, number), doc in self.kept.items() if number]

    async def forget(self, carrier: str, key: str) -> None:
        """Remove the segments of a text."""
        for place in [p for p in self.kept if p[:2] == (carrier, key)]:
            del self.kept[place]

    async def forget_remembered(self, carrier: str, until: datetime) -> None:
        """Remove what is remembered of texts that were told before a time."""
        remembered = {p: doc for p, doc in self.kept.items() if p[0] == carrier and not p[2]}
        for place, doc in remembered.items():
            if msgspec.json.decode(doc, type=Whole).at < until.timestamp():
                del self.kept[place]

    async def load(self, carrier: str) -> list[tuple[str, bytes]]:
        """Return the segments that are kept."""
        return [(key, doc) for (c, key, n), doc in self.kept.items() if c == carrier and n]


@dataclass
class Working:
    """A carrier at work; `failures` is how many calls of handle still fail."""

    smsc: ScriptedSmsc
    carrier: SmppCarrier
    calls: list[Sequence[Happening]] = field(default_factory=list)
    failures: int = 0
    poison: str = ""

    async def handle(self, happenings: Sequence[Happening]) -> None:
        """Record, or fail as told."""
        self.smsc.ring()
        if self.failures:
            self.failures -= 1
            raise OSError("the store is away")
        if self.poison and any(self.poison in str(happening) for happening in happenings):
            raise OSError("the store dislikes it")
        self.calls.append(list(happenings))

    @property
    def happenings(self) -> list[Happening]:
        """Everything that was recorded."""
        return [happening for call in self.calls for happening in call]

    @property
    def receipts(self) -> list[Receipt]:
        """The receipts among it."""
        return [h for h in self.happenings if isinstance(h, Receipt)]

    @property
    def texts(self) -> list[Incoming]:
        """The texts among it."""
        return [h for h in self.happenings if isinstance(h, Incoming)]

    async def bound(self, count: int = 1) -> None:
        """Wait until so many connections are bound, at both ends."""
        await self.smsc.until(
            lambda: (
                len(self.smsc.bound) == count
                and sum(state.phase == "bound" for state in self.carrier.binds()) == count
            )
        )


@contextlib.asynccontextmanager
async def carrier_at(
    smsc: ScriptedSmsc,
    settings: Mapping[str, str] | None = None,
    *,
    lanes: int = 1,
    journal: MemoryJournal | None = None,
    clock: Clock | None = None,
    waits: bool = True,
    may_send: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Working]:
    """Run a carrier at *smsc*; leave it in good order afterwards."""
    connector = SmppConnector(
        clock=clock or SystemClock(), chance=Chance(7), journal=journal or MemoryJournal()
    )
    found = {**QUICK, "hosts": f"127.0.0.1:{smsc.port}", **(settings or {})}
    connector.check(found)
    carrier = connector.open(
        "acme", found, lanes=range(lanes), changed=smsc.ring, may_send=lambda lane: may_send()
    )
    working = Working(smsc, carrier)
    running = asyncio.create_task(carrier.run(working.handle))
    try:
        if waits:
            await working.bound(len(carrier.binds()))
        yield working
    finally:
        running.cancel()
        await asyncio.wait([running])
    if not running.cancelled():
        running.result()


def submission(text: str = "Hello", **fields: object) -> Submission:
    """Return one segment; *fields* replace what it has."""
    values: dict[str, object] = {
        "account_sid": "AC1",
        "message_sid": "SM1",
        "segment_index": 0,
        "segment_count": 1,
        "sender": "+12025550100",
        "recipient": "+14155550123",
        "text": text,
        "encoding": "GSM-7",
        **fields,
    }
    return Submission(**values)  # type: ignore[arg-type]


def numbered(count: int, **fields: object) -> list[Submission]:
    """Return messages of one segment each."""
    return [submission(f"text {n}", message_sid=f"SM{n}", **fields) for n in range(count)]


def long_message(*texts: str, **fields: object) -> list[Submission]:
    """Return the segments of one message."""
    return [
        submission(text, segment_index=index, segment_count=len(texts), **fields)
        for index, text in enumerate(texts)
    ]
