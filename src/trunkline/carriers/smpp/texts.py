"""Long inbound texts: their segments are kept on disk until the text has been told.

Rule 1: a segment is in the journal before it is acknowledged; a text leaves the journal after it
        was recorded. Its reference follows from its journal key, so that a crash in between, and
        another node that tells it as well, repeat no text.
Rule 2: segments of one text may come to several nodes. The journal decides which text a segment
        joins, and what is in memory follows it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from trunkline.carriers.port import Incoming, KeptPart, SegmentJournal
from trunkline.carriers.smpp.incoming import Reader
from trunkline.smpp.concatenation import Reassembly, Segment, Text, TextKey, key_of
from trunkline.smpp.udh import Concatenation, Element, ReferenceKind

# Half of a key says which texts look alike, the other half which of them it is. Once there was the
# second half alone.
HALF = 32
_Rows = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSegment:
    """One segment as it stands in the journal; began_at is when its text began.

    is_echo: a text that was told already had it, so that alone it is no text.
    """

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
    is_echo: bool = False


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
        """Take up what is in the journal; return the texts that are whole already."""
        texts = _texts(await self._journal.load(self._carrier))
        for old_key, text in texts.items():
            if len(old_key) == HALF:
                await self._rekey(old_key, text)
            if not text.is_whole:
                self._reassembly.know(text.key, text)
        return [self._ready(text) for text in texts.values() if text.is_whole]

    async def add(self, segment: Segment, *, at: datetime) -> list[Ready]:
        """Take a segment, which is on disk when this returns; return the texts that it completes.

        What raises has changed nothing: the segment may come again.
        """
        now = at.timestamp()
        self._reassembly.know(key_of(segment), _waiting(await self._join(segment, now=now)))
        return [self._ready(text) for text in self._reassembly.add(segment, now=now)]

    async def expire(self, now: datetime) -> list[Ready]:
        """Return the texts whose missing segments are waited for no longer.

        A text that another node has told is in the journal no more; what came to others is in it.
        """
        rows = await self._journal.load(self._carrier)
        texts = _texts(rows)
        for key in _echoes(rows):
            # Of a text that was told, and came no further a second time.
            if texts[key].began_at + self._expiry_seconds <= now.timestamp():
                await self._journal.forget(self._carrier, key)
                del texts[key]
        ended = self._reassembly.expire(now.timestamp())
        return [
            self._ready(_merged(text, kept))
            for text in ended
            if (kept := texts.get(_journal_key(text.key, text.began_at)))
        ]

    def seconds_left(self, now: datetime) -> float | None:
        """Return in how many seconds `expire` has something to do; None while nothing waits."""
        deadline = self._reassembly.next_deadline()
        return None if deadline is None else max(0.0, deadline - now.timestamp())

    async def forget(self, told: Iterable[Ready]) -> None:
        """Remove texts that were recorded."""
        for ready in told:
            await self._journal.forget(self._carrier, ready.journal_key)

    async def _join(self, segment: Segment, *, now: float) -> Iterable[Text]:
        """Store a segment with the text it belongs to; return the texts that it may belong to."""
        is_echo = self._reassembly.was_whole(segment)

        def choose(rows: _Rows) -> KeptPart | None:
            texts = _texts(rows).values()
            if any(segment in text.segments for text in texts):
                return None
            waiting = _waiting(texts)
            known = Reassembly(self._expiry_seconds, texts=[waiting] if waiting else [])
            return _part(segment, known.began_at(segment, now=now), is_echo=is_echo)

        family = _family(key_of(segment))
        rows = await self._journal.join(self._carrier, family, choose=choose)
        return _texts(rows).values()

    async def _rekey(self, old_key: str, text: Text) -> None:
        """Let a text that an older version kept be found by those that look alike."""
        for segment in text.segments:
            part = _part(segment, text.began_at)
            await self._journal.keep(self._carrier, part.key, number=part.number, doc=part.doc)
        await self._journal.forget(self._carrier, old_key)

    def _ready(self, text: Text) -> Ready:
        key = _journal_key(text.key, text.began_at)
        at = datetime.fromtimestamp(text.began_at, UTC)
        ref = f"{self._carrier}:{key[HALF:]}"
        return Ready(key, self._reader.incoming_of(text.segments, ref=ref, at=at))


def _journal_key(key: TextKey, began_at: float) -> str:
    """Return a name of one text; its reference is used again, but at another instant."""
    return _family(key) + sha256(repr((*key, began_at)).encode()).hexdigest()[:HALF]


def _family(key: TextKey) -> str:
    return sha256(repr(tuple(key)).encode()).hexdigest()[:HALF]


def _part(segment: Segment, began_at: float, *, is_echo: bool = False) -> KeptPart:
    """Return a segment as the journal has it."""
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
        is_echo=is_echo,
    )
    return KeptPart(_journal_key(key_of(segment), began_at), place.number, _ENCODER.encode(kept))


def _texts(rows: _Rows) -> dict[str, Text]:
    """Return the texts of a journal by their keys; what cannot be read is passed over."""
    found: dict[str, list[KeptSegment]] = {}
    for key, doc in rows:
        kept = _decoded(doc)
        if kept:
            found.setdefault(key, []).append(kept)
    return {key: _text(segments) for key, segments in found.items()}


def _echoes(rows: _Rows) -> list[str]:
    """Return the keys of the texts that consist of echoes alone."""
    found: dict[str, bool] = {}
    for key, doc in rows:
        kept = _decoded(doc)
        if kept:
            found[key] = found.get(key, True) and kept.is_echo
    return [key for key, is_echo in found.items() if is_echo]


def _waiting(texts: Iterable[Text]) -> Text | None:
    """Return the text that a further segment may join: the youngest that is not whole."""
    return max((t for t in texts if not t.is_whole), key=lambda t: t.began_at, default=None)


def _merged(text: Text, kept: Text) -> Text:
    """Return a text with what came to other nodes."""
    segments = {_number(segment): segment for segment in (*kept.segments, *text.segments)}
    return Text(text.key, text.began_at, tuple(segments[n] for n in sorted(segments)))


def _number(segment: Segment) -> int:
    assert segment.place
    return segment.place.number


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
