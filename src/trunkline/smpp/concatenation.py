"""Long texts as several short messages: how segments are carried, and how they are put together.

Rules: segments come in any order, twice, late or never; a text is told apart by both addresses,
the kind and number of its reference and its total; nothing is thrown away, so what time or room
runs out for is given back as it is. Time is a number of seconds that the caller hands in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
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


@dataclass(frozen=True, slots=True)
class Segment:
    """One short message as received: a text of its own where *place* is None."""

    source_addr: str = field(repr=False)
    destination_addr: str = field(repr=False)
    place: Concatenation | None
    elements: tuple[Element, ...] = field(repr=False)
    data_coding: int
    octets: bytes = field(repr=False)


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


@dataclass(frozen=True, slots=True)
class Text:
    """The segments of one text that are there, by number; the first came at *began_at*."""

    key: TextKey = field(repr=False)
    began_at: float
    segments: tuple[Segment, ...]

    @property
    def is_whole(self) -> bool:
        """Say whether no segment is missing."""
        return len(self.segments) == self.key.total

    @property
    def octets(self) -> bytes:
        """Return all octets in order; decode them together, characters may span segments."""
        return b"".join(segment.octets for segment in self.segments)


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
        """Return the keys of the texts that began by *over*, oldest first.

        Of those that were known elsewhere first, some stand behind younger ones.
        """
        found = [text for text in self.texts.values() if text.began_at <= over]
        return [text.key for text in sorted(found, key=lambda text: text.began_at)]


class Reassembly:
    """The texts that wait for segments, and the whole ones that may still be repeated.

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
    ) -> None:
        self._expiry_seconds = expiry_seconds
        self._waiting = _Shelf(texts_max=texts_max, segments_max=segments_max)
        self._whole = _Shelf(texts_max=whole_texts_max, segments_max=segments_max)
        for text in sorted(texts, key=lambda text: text.began_at):
            self._waiting.put(text)

    def add(self, segment: Segment, *, now: float) -> list[Text]:
        """Take a segment and return the texts that are ready by it: mostly one or none.

        A repeated segment changes nothing. One that differs from the segment with its number
        belongs to a new text with a used reference: the old one is given up, and so are the oldest
        when there is no room left.
        """
        key = key_of(segment)
        waiting = self._waiting.texts.get(key)
        if waiting is None:
            return self._join(Text(key, now, ()), segment, now=now)
        if segment in waiting.segments:
            return []
        if _number(segment) not in map(_number, waiting.segments):
            return self._join(waiting, segment, now=now)
        return self._given_up(key) + self._join(Text(key, now, ()), segment, now=now)

    def began_at(self, segment: Segment, *, now: float) -> float:
        """Return when the text began that `add` would put a segment into: *now* for a new one."""
        waiting = self._waiting.texts.get(key_of(segment))
        if waiting is None:
            return now
        taken = {_number(other) for other in waiting.segments}
        is_new = segment not in waiting.segments and _number(segment) in taken
        return now if is_new else waiting.began_at

    def is_repeat(self, segment: Segment) -> bool:
        """Say whether a segment was already there, in a text that waits or in a whole one."""
        key = key_of(segment)
        known = (self._waiting.texts.get(key), self._whole.texts.get(key))
        return any(segment in text.segments for text in known if text)

    def was_whole(self, segment: Segment) -> bool:
        """Say whether a segment was already there in a text that is whole."""
        whole = self._whole.texts.get(key_of(segment))
        return whole is not None and segment in whole.segments

    def know(self, key: TextKey, text: Text | None) -> None:
        """Let wait under a key what waits there elsewhere as well; None: nothing does."""
        if text is None:
            self._waiting.pop(key)
        else:
            self._waiting.put(text)

    def expire(self, now: float) -> list[Text]:
        """Give up the texts whose time is over, oldest first; forget whole ones of twice that age.

        Twice, because a repeat must find them from its first segment to its own end.
        """
        over = self._waiting.until(now - self._expiry_seconds)
        texts = [text for key in over for text in self._given_up(key)]
        for key in self._whole.until(now - 2 * self._expiry_seconds):
            self._whole.pop(key)
        return texts

    def next_deadline(self) -> float | None:
        """Return when to call expire, or None while nothing waits."""
        oldest = min((text.began_at for text in self._waiting.texts.values()), default=None)
        return None if oldest is None else oldest + self._expiry_seconds

    def waiting(self) -> list[Text]:
        """Return the texts that wait, oldest first."""
        return list(self._waiting.texts.values())

    def _join(self, text: Text, segment: Segment, *, now: float) -> list[Text]:
        joined = sorted((*text.segments, segment), key=_number)
        text = replace(text, segments=tuple(joined))
        if text.is_whole:
            self._waiting.pop(text.key)
            self._remember(text, now=now)
            return [text]
        self._waiting.put(text)
        found: list[Text] = []
        while self._waiting.is_overfull():
            found += self._given_up(self._waiting.oldest())
        return found

    def _given_up(self, key: TextKey) -> list[Text]:
        """Return what there is of a text, but nothing of one that only repeats a whole one.

        A text repeated to its end is a text again: senders with one fixed reference exist.
        """
        text = self._waiting.pop(key)
        whole = self._whole.texts.get(key)
        is_repeat = text and whole and set(text.segments) <= set(whole.segments)
        return [text] if text and not is_repeat else []

    def _remember(self, text: Text, *, now: float) -> None:
        self._whole.pop(text.key)
        self._whole.put(replace(text, began_at=now))
        while self._whole.is_overfull():
            self._whole.pop(self._whole.oldest())


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
