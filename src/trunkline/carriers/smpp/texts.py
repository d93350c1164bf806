"""Long inbound texts: their segments are kept on disk until the text has been told.

Rule: a segment is in the journal before it is acknowledged; a text leaves the journal after it was
recorded. Its reference follows from its journal key, so that a crash in between repeats no text.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from trunkline.carriers.port import Incoming, SegmentJournal
from trunkline.carriers.smpp.incoming import Reader
from trunkline.smpp.concatenation import Reassembly, Segment, Text, TextKey
from trunkline.smpp.udh import Concatenation, Element, ReferenceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSegment:
    """One segment as it stands in the journal; began_at is when its text began."""

    began_at: float
    source_addr: str
    destination_addr: str
    kind: ReferenceKind
    reference: int
    total: int
    number: int
    elements: tuple[tuple[int, bytes], ...]
    data_coding: int
    octets: bytes


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(KeptSegment)


@dataclass(frozen=True, slots=True)
class Ready:
    """A text to tell, and its key in the journal."""

    journal_key: str
    incoming: Incoming


class LongTexts:
    """The unfinished texts of one carrier; times are those that people see, in seconds."""

    def __init__(
        self, carrier: str, journal: SegmentJournal, *, reader: Reader, expiry_seconds: float
    ) -> None:
        self._carrier = carrier
        self._journal = journal
        self._reader = reader
        self._expiry_seconds = expiry_seconds
        self._reassembly = Reassembly(expiry_seconds)

    async def load(self) -> list[Ready]:
        """Take up what an earlier run left; return the texts that were whole already."""
        found: dict[str, list[KeptSegment]] = {}
        for key, doc in await self._journal.load(self._carrier):
            kept = _decoded(doc)
            if kept:
                found.setdefault(key, []).append(kept)
        texts = [_text(segments) for segments in found.values()]
        waiting = [text for text in texts if not text.is_whole]
        self._reassembly = Reassembly(self._expiry_seconds, texts=waiting)
        return [self._ready(text) for text in texts if text.is_whole]

    async def add(self, segment: Segment, *, at: datetime) -> list[Ready]:
        """Take a segment, which is on disk when this returns; return the texts that it completes.

        What raises has changed nothing: the segment may come again.
        """
        now = at.timestamp()
        began_at = self._reassembly.began_at(segment, now=now)
        if not self._reassembly.is_repeat(segment):
            await self._keep(segment, began_at=began_at)
        return [self._ready(text) for text in self._reassembly.add(segment, now=now)]

    def expire(self, now: datetime) -> list[Ready]:
        """Return the texts whose missing segments are waited for no longer."""
        return [self._ready(text) for text in self._reassembly.expire(now.timestamp())]

    def seconds_left(self, now: datetime) -> float | None:
        """Return in how many seconds `expire` has something to do; None while nothing waits."""
        deadline = self._reassembly.next_deadline()
        return None if deadline is None else max(0.0, deadline - now.timestamp())

    async def forget(self, told: Iterable[Ready]) -> None:
        """Remove texts that were recorded."""
        for ready in told:
            await self._journal.forget(self._carrier, ready.journal_key)

    async def _keep(self, segment: Segment, *, began_at: float) -> None:
        place = segment.place
        assert place, "a text of its own is not kept"
        kept = KeptSegment(
            began_at=began_at,
            source_addr=segment.source_addr,
            destination_addr=segment.destination_addr,
            kind=place.kind,
            reference=place.reference,
            total=place.total,
            number=place.number,
            elements=tuple((e.identifier, e.data) for e in segment.elements),
            data_coding=segment.data_coding,
            octets=segment.octets,
        )
        key = _journal_key(_key_of(kept), began_at)
        doc = _ENCODER.encode(kept)
        await self._journal.keep(self._carrier, key, number=place.number, doc=doc)

    def _ready(self, text: Text) -> Ready:
        key = _journal_key(text.key, text.began_at)
        at = datetime.fromtimestamp(text.began_at, UTC)
        ref = f"{self._carrier}:{key}"
        return Ready(key, self._reader.incoming_of(text.segments, ref=ref, at=at))


def _journal_key(key: TextKey, began_at: float) -> str:
    """Return a short name of one text; its reference is used again, but at another instant."""
    return sha256(repr((*key, began_at)).encode()).hexdigest()[:32]


def _decoded(doc: bytes) -> KeptSegment | None:
    try:
        return _DECODER.decode(doc)
    except msgspec.DecodeError:
        return None


def _key_of(kept: KeptSegment) -> TextKey:
    return TextKey(kept.source_addr, kept.destination_addr, kept.kind, kept.reference, kept.total)


def _text(segments: Iterable[KeptSegment]) -> Text:
    ordered = sorted(segments, key=lambda kept: kept.number)
    first = ordered[0]
    return Text(_key_of(first), first.began_at, tuple(map(_segment, ordered)))


def _segment(kept: KeptSegment) -> Segment:
    place = Concatenation(kept.kind, kept.reference, total=kept.total, number=kept.number)
    elements = tuple(Element(identifier, data) for identifier, data in kept.elements)
    return Segment(
        kept.source_addr, kept.destination_addr, place, elements, kept.data_coding, kept.octets
    )
