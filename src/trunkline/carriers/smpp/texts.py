"""Long inbound texts: their segments are kept on disk until the text has been told.

Rule 1: a segment is in the journal before it is acknowledged; a text leaves the journal after it
        was recorded. Its reference follows from its journal key, so that a crash in between, and
        another node that tells it as well, repeat no text.
Rule 2: segments of one text may come to several nodes. The journal decides which text a segment
        joins, and what is in memory follows it.
Rule 3: of the last text that was told, of those that look alike, the journal keeps what knows its
        segments again, for as long as one may be repeated: after a restart and on other nodes, too.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from trunkline.carriers.port import Incoming, KeptPart, SegmentJournal
from trunkline.carriers.smpp.incoming import Reader
from trunkline.smpp.concatenation import (
    Echo,
    Reassembly,
    Segment,
    Text,
    TextKey,
    Whole,
    key_of,
    whole_of,
)
from trunkline.smpp.udh import Concatenation, Element, ReferenceKind

# Half of a key says which texts look alike, the other half which of them it is. Once there was the
# second half alone.
HALF = 32
TOLD = "0" * HALF  # Instead of the other half: what is remembered of a text that was told.
_Rows = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSegment:
    """One segment as it stands in the journal; began_at is when its text began.

    moved_at: when it came, if it was the first of its text that is no echo, behind echoes.
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
    echo: Echo = Echo.NONE
    moved_at: float | None = None


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(KeptSegment)
_WHOLE_DECODER = msgspec.json.Decoder(Whole)


@dataclass(frozen=True, slots=True)
class Ready:
    """A text to tell, its key in the journal, and what is to be remembered of it, if anything."""

    journal_key: str
    incoming: Incoming
    whole: Whole | None = None


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
        # When to look for what may be forgotten: a whole text, and echoes that nothing followed.
        self._sweep_at: float | None = None
        self._remembers_until = 0.0

    async def load(self, at: datetime) -> list[Ready]:
        """Take up what is in the journal; return the texts that are whole already."""
        now, rows = at.timestamp(), await self._journal.load(self._carrier)
        texts = _texts(rows)
        self._remember(now)
        for old_key, text in texts.items():
            if len(old_key) == HALF:
                await self._rekey(old_key, text)
            if not text.is_whole:
                self._reassembly.know(text.key, text)
        return [self._ready(text, now) for text in texts.values() if text.is_whole]

    async def add(self, segment: Segment, *, at: datetime) -> list[Ready]:
        """Take a segment, which is on disk when this returns; return the texts that it completes.

        What raises has changed nothing: the segment may come again.
        """
        now, key = at.timestamp(), key_of(segment)
        remembered = self._reassembly.whole(key)

        def choose(rows: _Rows) -> KeptPart | None:
            if _is_of_another(segment, rows):
                return None
            text = self._known(key, rows, remembered=remembered, now=now).joined(segment, now=now)
            return _part(text, _number(segment)) if text else None

        rows = await self._journal.join(self._carrier, _family(key), choose=choose)
        if _is_of_another(segment, rows):
            return []
        known = self._known(key, rows, remembered=remembered, now=now)
        self._reassembly.know(key, next(iter(known.waiting()), None))
        if whole := known.whole(key):
            self._reassembly.remember(key, whole)
        self._remember(now)
        return [self._ready(text, now) for text in self._reassembly.add(segment, now=now)]

    async def expire(self, at: datetime) -> list[Ready]:
        """Return the texts whose missing segments are waited for no longer.

        A text that another node has told is in the journal no more; what came to others is in it.
        """
        now, rows = at.timestamp(), await self._journal.load(self._carrier)
        texts = _texts(rows)
        if self._sweep_at is not None and self._sweep_at <= now:
            await self._sweep(texts, now=now)
        return [
            self._ready(_merged(text, kept), now)
            for text in self._reassembly.expire(now)
            if (kept := texts.get(_journal_key(text.key, text.began_at)))
        ]

    def seconds_left(self, now: datetime) -> float | None:
        """Return in how many seconds `expire` has something to do; None while nothing waits.

        No more than a text is waited for: one that begins meanwhile is not over before that.
        """
        deadlines = (self._reassembly.next_deadline(), self._sweep_at)
        deadline = min((at for at in deadlines if at is not None), default=None)
        if deadline is None:
            return None
        return min(max(0.0, deadline - now.timestamp()), self._expiry_seconds)

    async def forget(self, told: Iterable[Ready]) -> None:
        """Remove texts that were recorded, and remember the whole ones."""
        for ready in told:
            if ready.whole:
                key, doc = ready.journal_key[:HALF] + TOLD, _ENCODER.encode(ready.whole)
                await self._journal.keep(self._carrier, key, number=0, doc=doc)
            await self._journal.forget(self._carrier, ready.journal_key)

    def _known(
        self, key: TextKey, rows: _Rows, *, remembered: Whole | None, now: float
    ) -> Reassembly:
        """Return what is known of texts that look alike, here and in the journal.

        Echoes that waited as long as a text does wait no more, and are about to be removed.
        """
        texts = _texts(rows).values()
        waiting = _waiting(texts)
        is_old = waiting and waiting.is_echo and waiting.began_at + self._expiry_seconds <= now
        known = Reassembly(self._expiry_seconds, texts=[waiting] if waiting and not is_old else [])
        untold = [whole_of(text, at=now) for text in texts if text.is_whole]
        told = [*_wholes(rows).values(), *filter(None, [remembered]), *untold]
        fresh = [whole for whole in told if whole.at + 2 * self._expiry_seconds > now]
        if fresh:
            known.remember(key, max(fresh, key=lambda whole: whole.at))
        return known

    def _remember(self, now: float) -> None:
        """Take notice that something may be remembered, which is to be forgotten in time."""
        self._remembers_until = now + 2 * self._expiry_seconds
        if self._sweep_at is None:
            self._sweep_at = self._remembers_until

    async def _sweep(self, texts: dict[str, Text], *, now: float) -> None:
        """Remove what is of no use any more; nothing joins echoes that are as old as that."""
        over = now - 2 * self._expiry_seconds
        await self._journal.forget_remembered(self._carrier, datetime.fromtimestamp(over, UTC))
        useless = [key for key, text in texts.items() if text.is_echo and text.began_at <= over]
        await asyncio.gather(*(self._journal.forget(self._carrier, key) for key in useless))
        is_over = self._remembers_until <= now and len(useless) == len(texts)
        self._sweep_at = None if is_over else now + self._expiry_seconds

    async def _rekey(self, old_key: str, text: Text) -> None:
        """Let a text that an older version kept be found by those that look alike."""
        for segment in text.segments:
            part = _part(text, _number(segment))
            await self._journal.keep(self._carrier, part.key, number=part.number, doc=part.doc)
        await self._journal.forget(self._carrier, old_key)

    def _ready(self, text: Text, now: float) -> Ready:
        key = _journal_key(text.key, text.began_at)
        at = datetime.fromtimestamp(text.waits_since, UTC)
        ref = f"{self._carrier}:{key[HALF:]}"
        incoming = self._reader.incoming_of(text.segments, ref=ref, at=at)
        return Ready(key, incoming, whole_of(text, at=now) if text.is_whole else None)


def _journal_key(key: TextKey, began_at: float) -> str:
    """Return a name of one text; its reference is used again, but at another instant."""
    return _family(key) + sha256(repr((*key, began_at)).encode()).hexdigest()[:HALF]


def _family(key: TextKey) -> str:
    return sha256(repr(tuple(key)).encode()).hexdigest()[:HALF]


def _part(text: Text, number: int) -> KeptPart:
    """Return a segment of a text as the journal has it."""
    segment = text.at(number)
    assert segment
    assert segment.place, "a text of its own is not kept"
    place = segment.place
    kept = KeptSegment(
        began_at=text.began_at,
        source_addr=segment.source_addr,
        destination_addr=segment.destination_addr,
        kind=place.kind,
        reference=place.reference,
        total=place.total,
        number=place.number,
        elements=tuple((e.identifier, e.data) for e in segment.elements),
        data_coding=segment.data_coding,
        octets=segment.octets,
        echo=segment.echo,
        moved_at=None if segment.echo else text.moved_at,
    )
    return KeptPart(_journal_key(text.key, text.began_at), number, _ENCODER.encode(kept))


def _texts(rows: _Rows) -> dict[str, Text]:
    """Return the texts of a journal by their keys; what cannot be read is passed over."""
    found: dict[str, list[KeptSegment]] = {}
    for key, doc in rows:
        kept = None if key.endswith(TOLD) else _decoded(doc)
        if kept:
            found.setdefault(key, []).append(kept)
    return {key: _text(segments) for key, segments in found.items()}


def _wholes(rows: _Rows) -> dict[str, Whole]:
    """Return what is remembered of texts that were told, by the keys in the journal."""
    return {key: _WHOLE_DECODER.decode(doc) for key, doc in rows if key.endswith(TOLD)}


def _waiting(texts: Iterable[Text]) -> Text | None:
    """Return the text that a further segment may join: the youngest that is not whole."""
    return max((t for t in texts if not t.is_whole), key=lambda t: t.began_at, default=None)


def _is_of_another(segment: Segment, rows: _Rows) -> bool:
    """Tell whether a segment repeats one of a text that was given up and not told yet."""
    texts = _texts(rows).values()
    waiting = _waiting(texts)
    others = [t for t in texts if t is not waiting and not (t.is_whole or t.is_echo)]
    return any(segment in text.segments for text in others)


def _merged(text: Text, kept: Text) -> Text:
    """Return a text with what came to other nodes."""
    segments = {_number(segment): segment for segment in (*text.segments, *kept.segments)}
    return replace(text, segments=tuple(segments[n] for n in sorted(segments)))


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
    moved_at = min((k.moved_at for k in ordered if k.moved_at is not None), default=None)
    return Text(_key_of(first), first.began_at, tuple(map(_segment, ordered)), moved_at)


def _segment(kept: KeptSegment) -> Segment:
    return Segment(
        kept.source_addr,
        kept.destination_addr,
        Concatenation(kept.kind, kept.reference, total=kept.total, number=kept.number),
        tuple(Element(identifier, data) for identifier, data in kept.elements),
        kept.data_coding,
        kept.octets,
        echo=kept.echo,
    )
