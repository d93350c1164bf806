"""Long texts as several short messages: how segments are carried, and how they are put together.

Rules: segments come in any order, twice, late or never; a text is told apart by both addresses,
the kind and number of its reference and its total; nothing is thrown away, so what time or room
runs out for is given back as it is. Time is a number of seconds that the caller hands in.

A segment that a whole text had already is an echo: who had no answer to it sends it again. It
makes no text, and where it came out of turn it completes none, unless all of that text comes again:
so what is sent twice on purpose is two texts. Any other segment takes the place of an echo, and an
echo takes no other's. Echoes that are left when the time of a text is over are given back with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from hashlib import sha256
from typing import NamedTuple

from trunkline.smpp.fields import SHORT_MESSAGE_MAX
from trunkline.smpp.pdu import DataSm, DeliverSm, SubmitSm
from trunkline.smpp.tlv import (
    MESSAGE_PAYLOAD,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    Tlv,
)
from trunkline.smpp.udh import (
    ESM_CLASS_UDHI,
    Concatenation,
    Element,
    ReferenceKind,
    concatenation_element,
    concatenation_of,
    makes_sense,
    parse_user_data,
    render_udh,
)

# Total and number are one octet each, in every way of carrying them.
SEGMENTS_MAX = 255
# A text has two or three segments as a rule, each of which takes half a kilobyte of memory; with
# both limits that is some 25 MB, however long the texts are.
TEXTS_MAX = 10_000
SEGMENTS_HELD_MAX = 50_000
# Whole texts are remembered to know a repeated segment; repeats come within minutes, so that this
# many texts of several segments a few minutes is what one carrier account may bring.
WHOLE_TEXTS_MAX = 10_000
FINGERPRINT_SIZE = (
    8  # Octets; told apart are the segments of two texts, not those of a whole world.
)


class Carriage(StrEnum):
    """How the segments of a text travel."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    MESSAGE_PAYLOAD = "message_payload"


class Carried(NamedTuple):
    """What one submit_sm or deliver_sm takes over: fields, TLVs and bits of esm_class to add."""

    short_message: bytes
    esm_class: int = 0
    tlvs: tuple[Tlv, ...] = ()


def carry(segments: Sequence[bytes], *, by: Carriage, reference: int) -> list[Carried]:
    """Return what carries the encoded segments of one text; one that is alone needs no reference.

    Raise ValueError for a segment that leaves no room for its header. By message_payload they are
    joined in one. A *reference* too wide for its kind loses its upper bits.
    """
    assert 0 < len(segments) <= SEGMENTS_MAX
    if by is Carriage.MESSAGE_PAYLOAD:
        return [Carried(b"", tlvs=(MESSAGE_PAYLOAD.make(b"".join(segments)),))]
    kind = ReferenceKind(by.value)
    reference &= 0xFF if kind is ReferenceKind.UDH8 else 0xFFFF
    found = []
    for number, octets in enumerate(segments, 1):
        place = Concatenation(kind, reference, total=len(segments), number=number)
        found.append(_carried(octets, place))
    return found


def _carried(octets: bytes, place: Concatenation) -> Carried:
    if place.total == 1:
        carried = Carried(octets)
    elif place.kind is ReferenceKind.SAR:
        carried = Carried(octets, tlvs=_sar_tlvs(place))
    else:
        header = render_udh([concatenation_element(place)])
        carried = Carried(header + octets, esm_class=ESM_CLASS_UDHI)
    if len(carried.short_message) > SHORT_MESSAGE_MAX:
        raise ValueError(f"a segment and its header take {SHORT_MESSAGE_MAX} octets")
    return carried


def _sar_tlvs(place: Concatenation) -> tuple[Tlv, ...]:
    return (
        SAR_MSG_REF_NUM.make(place.reference),
        SAR_TOTAL_SEGMENTS.make(place.total),
        SAR_SEGMENT_SEQNUM.make(place.number),
    )


class Echo(IntEnum):
    """Whether a segment repeats one of a whole text, and where it came."""

    NONE = 0
    IN_TURN = 1  # Where it was the next that was due: a text may begin as the last one did.
    STRAY = 2  # Elsewhere: who sends it had no answer to it, most likely.


@dataclass(frozen=True, slots=True)
class Segment:
    """One short message as received: a text of its own where *place* is None."""

    source_addr: str = field(repr=False)
    destination_addr: str = field(repr=False)
    place: Concatenation | None
    elements: tuple[Element, ...] = field(repr=False)
    data_coding: int
    octets: bytes = field(repr=False)
    echo: Echo = field(default=Echo.NONE, compare=False, kw_only=True)

    @property
    def fingerprint(self) -> bytes:
        """What is remembered of it once its text is whole."""
        content = (self.elements, self.data_coding, self.octets)
        return sha256(repr(content).encode()).digest()[:FINGERPRINT_SIZE]


def segment_of(pdu: SubmitSm | DeliverSm | DataSm) -> Segment:
    """Return what a PDU carries, its header parted from its text.

    A header in the text wins over sar TLVs: it comes from the handset, they from the SMSC.
    """
    octets = message_octets(pdu)
    has_header = bool(pdu.esm_class & ESM_CLASS_UDHI)
    elements, text = parse_user_data(octets) if has_header else ((), octets)
    place = concatenation_of(elements) or _sar_place(pdu.tlvs)
    return Segment(pdu.source_addr, pdu.destination_addr, place, elements, pdu.data_coding, text)


def message_octets(pdu: SubmitSm | DeliverSm | DataSm) -> bytes:
    """Return short_message, or message_payload where it is empty; peers fill in either or both."""
    short_message = b"" if isinstance(pdu, DataSm) else pdu.short_message
    return short_message or MESSAGE_PAYLOAD.of(pdu.tlvs) or b""


def _sar_place(tlvs: Sequence[Tlv]) -> Concatenation | None:
    """Read the three sar TLVs; without all of them a text is one of its own (§5.3.2.22)."""
    reference = SAR_MSG_REF_NUM.of(tlvs)
    total = SAR_TOTAL_SEGMENTS.of(tlvs)
    number = SAR_SEGMENT_SEQNUM.of(tlvs)
    if reference is None or total is None or number is None or total > SEGMENTS_MAX:
        return None
    place = Concatenation(ReferenceKind.SAR, reference, total=total, number=number)
    return place if makes_sense(place) else None


class TextKey(NamedTuple):
    """What the segments of one text have in common."""

    source_addr: str
    destination_addr: str
    kind: ReferenceKind
    reference: int
    total: int


class Whole(NamedTuple):
    """What is remembered of a text that was whole at a time: its segments' fingerprints."""

    at: float
    fingerprints: tuple[bytes, ...]

    def has(self, segment: Segment) -> bool:
        """Say whether a segment of a text that looks alike was there already."""
        return self.fingerprints[_number(segment) - 1] == segment.fingerprint


@dataclass(frozen=True, slots=True)
class Text:
    """The segments of one text that are there, by number; the first came at *began_at*.

    moved_at: when the first came that is no echo, where echoes came before it.
    """

    key: TextKey = field(repr=False)
    began_at: float
    segments: tuple[Segment, ...]
    moved_at: float | None = None

    @property
    def is_whole(self) -> bool:
        """Say whether no segment is missing, and none is there by mistake."""
        is_full = len(self.segments) == self.key.total
        return is_full and (self.is_echo or all(s.echo is not Echo.STRAY for s in self.segments))

    @property
    def is_echo(self) -> bool:
        """Say whether all that came of it was in a whole text already."""
        return all(segment.echo for segment in self.segments)

    @property
    def waits_since(self) -> float:
        """Say from when on its missing segments are waited for."""
        return self.began_at if self.moved_at is None else self.moved_at

    @property
    def octets(self) -> bytes:
        """Return all octets in order; decode them together, characters may span segments."""
        return b"".join(segment.octets for segment in self.segments)

    def at(self, number: int) -> Segment | None:
        """Return the segment that has a place."""
        return next((s for s in self.segments if _number(s) == number), None)

    def marked(self, segment: Segment, *, by: Whole | None) -> Segment:
        """Return a segment that may join, marked as an echo if it was in a whole text."""
        if by is None or not by.has(segment):
            return segment
        number = _number(segment)
        before = self.at(number - 1)
        is_due = number == 1 or (before is not None and before.echo is not Echo.STRAY)
        return replace(segment, echo=Echo.IN_TURN if is_due else Echo.STRAY)

    def is_over_by(self, segment: Segment) -> bool:
        """Say whether a marked segment is one of the next text with the same reference."""
        there = self.at(_number(segment))
        return there is not None and not (there.echo or segment.echo or there == segment)

    def with_(self, segment: Segment, *, now: float) -> "Text":
        """Return the text with a marked segment that does not end it; itself if that is nothing."""
        there = self.at(_number(segment))
        is_better = there is not None and (
            segment.echo < there.echo if segment.echo else bool(there.echo)
        )
        if there is not None and not is_better:
            return self
        others = [s for s in self.segments if s is not there]
        is_turn = bool(self.segments) and self.is_echo and not segment.echo
        return replace(
            self,
            segments=tuple(sorted((*others, segment), key=_number)),
            moved_at=now if is_turn else self.moved_at,
        )


class _Shelf:
    """Texts by their keys, as they came here, and how many segments they have."""

    def __init__(self, *, texts_max: int, segments_max: int) -> None:
        self.texts: dict[TextKey, Text] = {}
        self._texts_max = texts_max
        self._segments_max = segments_max
        self._segments = 0

    def put(self, text: Text) -> None:
        before = self.texts.get(text.key)
        self._segments += len(text.segments) - (len(before.segments) if before else 0)
        self.texts[text.key] = text

    def pop(self, key: TextKey) -> Text | None:
        text = self.texts.pop(key, None)
        self._segments -= len(text.segments) if text else 0
        return text

    def is_overfull(self) -> bool:
        return len(self.texts) > self._texts_max or self._segments > self._segments_max

    def oldest(self) -> TextKey:
        return next(iter(self.texts))

    def until(self, over: float) -> list[TextKey]:
        """Return the keys of the texts that wait since *over* or longer, oldest first.

        Of those that were known elsewhere first, some stand behind younger ones.
        """
        found = [text for text in self.texts.values() if text.waits_since <= over]
        return [text.key for text in sorted(found, key=lambda text: text.waits_since)]


class Reassembly:
    """The texts that wait for segments, and what is remembered of whole ones.

    What must survive a restart is `waiting()`: hand it to a new Reassembly as *texts*.
    """

    def __init__(
        self,
        expiry_seconds: float,
        *,
        texts: Iterable[Text] = (),
        texts_max: int = TEXTS_MAX,
        segments_max: int = SEGMENTS_HELD_MAX,
        whole_texts_max: int = WHOLE_TEXTS_MAX,
        gives_back_echoes: bool = False,
    ) -> None:
        self._gives_back_echoes = gives_back_echoes
        self._expiry_seconds = expiry_seconds
        self._waiting = _Shelf(texts_max=texts_max, segments_max=segments_max)
        self._whole: dict[TextKey, Whole] = {}
        self._whole_texts_max = whole_texts_max
        for text in sorted(texts, key=lambda text: text.began_at):
            self._waiting.put(text)

    def add(self, segment: Segment, *, now: float) -> list[Text]:
        """Take a segment and return the texts that are ready by it: mostly one or none.

        A repeated segment changes nothing. One that differs from the segment with its number
        belongs to a new text with a used reference: the old one is given up, and so are the oldest
        when there is no room left. What the caller has marked as an echo is one.
        """
        key = key_of(segment)
        text = self.joined(segment, now=now)
        if text is None:
            return []
        waiting = self._waiting.texts.get(key)
        is_next = waiting is not None and waiting.is_over_by(self._marked(segment))
        given_up = self._given_up(key) if is_next else []
        return given_up + self._put(text, now=now)

    def joined(self, segment: Segment, *, now: float) -> Text | None:
        """Return the text that `add` would put a segment into, with it; None if that is nothing."""
        key, marked = key_of(segment), self._marked(segment)
        new = Text(key, now, ())
        waiting = self._waiting.texts.get(key, new)
        if waiting.is_over_by(marked):
            return new.with_(marked, now=now)
        text = waiting.with_(marked, now=now)
        return None if text is waiting else text

    def is_repeat(self, segment: Segment) -> bool:
        """Say whether a segment was already there, in a text that waits or in a whole one."""
        key = key_of(segment)
        waiting, whole = self._waiting.texts.get(key), self._whole.get(key)
        is_waiting = waiting is not None and segment in waiting.segments
        return is_waiting or (whole is not None and whole.has(segment))

    def know(self, key: TextKey, text: Text | None) -> None:
        """Let wait under a key what waits there elsewhere as well; None: nothing does."""
        if text is None:
            self._waiting.pop(key)
        else:
            self._waiting.put(text)

    def whole(self, key: TextKey) -> Whole | None:
        """Return what is remembered of the last text under a key that was whole."""
        return self._whole.get(key)

    def remember(self, key: TextKey, whole: Whole) -> None:
        """Know the repeated segments of a text that was whole, here or elsewhere."""
        self._whole.pop(key, None)
        self._whole[key] = whole
        while len(self._whole) > self._whole_texts_max:
            del self._whole[next(iter(self._whole))]

    def expire(self, now: float) -> list[Text]:
        """Give up the texts whose time is over, oldest first; forget whole ones of twice that age.

        Twice, because a repeat must find them from its first segment to its own end.
        """
        over = self._waiting.until(now - self._expiry_seconds)
        texts = [text for key in over for text in self._given_up(key)]
        forgotten = now - 2 * self._expiry_seconds
        for key in [key for key, whole in self._whole.items() if whole.at <= forgotten]:
            del self._whole[key]
        return texts

    def next_deadline(self) -> float | None:
        """Return when to call expire, or None while nothing waits."""
        oldest = min((text.waits_since for text in self._waiting.texts.values()), default=None)
        return None if oldest is None else oldest + self._expiry_seconds

    def waiting(self) -> list[Text]:
        """Return the texts that wait, oldest first."""
        return list(self._waiting.texts.values())

    def _marked(self, segment: Segment) -> Segment:
        """Return a segment, marked as an echo if it is one."""
        key = key_of(segment)
        waiting = self._waiting.texts.get(key) or Text(key, 0.0, ())
        return segment if segment.echo else waiting.marked(segment, by=self._whole.get(key))

    def _put(self, text: Text, *, now: float) -> list[Text]:
        if text.is_whole:
            self._waiting.pop(text.key)
            self.remember(text.key, whole_of(text, at=now))
            return [text]
        self._waiting.put(text)
        found: list[Text] = []
        while self._waiting.is_overfull():
            found += self._given_up(self._waiting.oldest())
        return found

    def _given_up(self, key: TextKey) -> list[Text]:
        """Return what there is of a text; one that consists of echoes only if that is asked for."""
        text = self._waiting.pop(key)
        return [text] if text and (self._gives_back_echoes or not text.is_echo) else []


def whole_of(text: Text, *, at: float) -> Whole:
    """Return what is remembered of a whole text."""
    return Whole(at, tuple(segment.fingerprint for segment in text.segments))


def key_of(segment: Segment) -> TextKey:
    """Return what a segment of a text has in common with the others."""
    place = segment.place
    assert place, "a text of its own is not put together"
    return TextKey(
        segment.source_addr,
        segment.destination_addr,
        place.kind,
        place.reference,
        place.total,
    )


def _number(segment: Segment) -> int:
    assert segment.place
    return segment.place.number
