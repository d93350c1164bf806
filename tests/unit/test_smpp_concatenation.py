"""Long texts: cut up for the way, and put together whatever happens on it."""

import random

import pytest

from trunkline.smpp.concatenation import Carriage, Reassembly, Segment, Text, carry, segment_of
from trunkline.smpp.pdu import DataSm, DeliverSm
from trunkline.smpp.tlv import (
    MESSAGE_PAYLOAD,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
)
from trunkline.smpp.udh import Concatenation, Element, ReferenceKind

EXPIRY = 300.0
OCTETS = [b"one ", b"two ", b"three"]


def segment(
    number: int,
    total: int = 3,
    *,
    reference: int = 7,
    kind: ReferenceKind = ReferenceKind.UDH8,
    source: str = "15550100",
    destination: str = "15550199",
    octets: bytes | None = None,
) -> Segment:
    text = OCTETS[(number - 1) % 3] if octets is None else octets
    place = Concatenation(kind, reference, total=total, number=number)
    return Segment(source, destination, place, (), 0, text)


def received(carried_by: Carriage, segments: list[bytes], reference: int = 0x1234) -> list[Segment]:
    """Send segments by deliver_sm and read them again."""
    return [
        segment_of(DeliverSm(short_message=c.short_message, esm_class=c.esm_class, tlvs=c.tlvs))
        for c in carry(segments, by=carried_by, reference=reference)
    ]


@pytest.mark.parametrize("by", [Carriage.UDH8, Carriage.UDH16, Carriage.SAR])
def test_what_is_carried_arrives(by):
    found = received(by, OCTETS)
    reference = 0x34 if by is Carriage.UDH8 else 0x1234
    kind = ReferenceKind(by.value)
    assert [s.place for s in found] == [Concatenation(kind, reference, 3, n) for n in (1, 2, 3)]
    assert [s.octets for s in found] == OCTETS
    assert Reassembly(EXPIRY).add(segment(1, 1), now=0)[0].is_whole


def test_headers_have_the_octets_of_the_standard():
    """3GPP TS 23.040 §9.2.3.24.1 and .8."""
    in_8, in_16 = (carry(OCTETS, by=b, reference=0x1234) for b in (Carriage.UDH8, Carriage.UDH16))
    assert in_8[1].short_message == bytes.fromhex("05 00 03 34 03 02") + OCTETS[1]
    assert in_16[1].short_message == bytes.fromhex("06 08 04 1234 03 02") + OCTETS[1]
    assert in_8[1].esm_class == in_16[1].esm_class == 0x40


def test_one_payload_carries_all():
    (carried,) = carry(OCTETS, by=Carriage.MESSAGE_PAYLOAD, reference=0)
    assert MESSAGE_PAYLOAD.of(carried.tlvs) == b"one two three"
    found = segment_of(DataSm(tlvs=carried.tlvs))
    assert (found.octets, found.place) == (b"one two three", None)


@pytest.mark.parametrize("by", [Carriage.UDH8, Carriage.UDH16, Carriage.SAR])
def test_a_segment_that_is_alone_needs_no_reference(by):
    (carried,) = carry([b"Hi"], by=by, reference=1)
    assert carried == (b"Hi", 0, ())


def test_a_segment_leaves_room_for_its_header():
    assert len(carry([b"x" * 248] * 2, by=Carriage.UDH8, reference=1)) == 2
    with pytest.raises(ValueError, match="254"):
        carry([b"x" * 249] * 2, by=Carriage.UDH8, reference=1)
    with pytest.raises(AssertionError):
        carry([b"x"] * 256, by=Carriage.UDH8, reference=1)


def test_a_header_wins_over_sar_tlvs():
    sar = (SAR_MSG_REF_NUM.make(9), SAR_TOTAL_SEGMENTS.make(2), SAR_SEGMENT_SEQNUM.make(1))
    octets = bytes.fromhex("05 00 03 A7 02 01") + b"Hi"
    found = segment_of(DeliverSm(esm_class=0x40, short_message=octets, tlvs=sar))
    assert found.place == Concatenation(ReferenceKind.UDH8, 0xA7, 2, number=1)
    assert found.elements == (Element(0, b"\xa7\x02\x01"),)
    no_header = segment_of(DeliverSm(short_message=octets, tlvs=sar))
    assert no_header.place == Concatenation(ReferenceKind.SAR, 9, 2, number=1)
    assert no_header.octets == octets


@pytest.mark.parametrize(
    "tlvs",
    [
        (SAR_MSG_REF_NUM.make(9), SAR_TOTAL_SEGMENTS.make(2)),
        (SAR_MSG_REF_NUM.make(9), SAR_TOTAL_SEGMENTS.make(2), SAR_SEGMENT_SEQNUM.make(3)),
        (SAR_MSG_REF_NUM.make(9), SAR_TOTAL_SEGMENTS.make(0), SAR_SEGMENT_SEQNUM.make(0)),
    ],
)
def test_sar_tlvs_that_make_no_sense_are_ignored(tlvs):
    assert segment_of(DeliverSm(short_message=b"Hi", tlvs=tlvs)).place is None


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 1, 2)])
def test_segments_may_come_in_any_order(order):
    reassembly = Reassembly(EXPIRY)
    found = [reassembly.add(segment(number), now=number) for number in order]
    assert found[:2] == [[], []]
    (text,) = found[2]
    assert text.octets == b"one two three"
    assert text.is_whole
    assert reassembly.waiting() == []


@pytest.mark.parametrize(
    "other",
    [
        {"reference": 8},
        {"kind": ReferenceKind.UDH16},
        {"kind": ReferenceKind.SAR},
        {"source": "15550101"},
        {"destination": "15550198"},
        {"total": 4},
    ],
)
def test_texts_do_not_mix(other):
    reassembly = Reassembly(EXPIRY)
    reassembly.add(segment(1), now=0)
    reassembly.add(segment(2), now=0)
    assert reassembly.add(segment(3, **other), now=0) == []
    assert len(reassembly.waiting()) == 2


def test_a_repeated_segment_changes_nothing():
    reassembly = Reassembly(EXPIRY)
    assert [reassembly.add(segment(1), now=n) for n in range(3)] == [[], [], []]
    reassembly.add(segment(2), now=3)
    assert [text.octets for text in reassembly.add(segment(3), now=4)] == [b"one two three"]


def test_a_segment_repeated_behind_its_text_comes_to_nothing():
    """The SMSC sends a segment again when our answer to it was lost."""
    reassembly = Reassembly(EXPIRY)
    for number in (1, 2, 3):
        reassembly.add(segment(number), now=0)
    assert reassembly.add(segment(3), now=EXPIRY) == []
    assert reassembly.expire(2 * EXPIRY) == []
    assert reassembly.waiting() == []


def test_a_text_repeated_to_its_end_is_a_text():
    reassembly = Reassembly(EXPIRY)
    found = [reassembly.add(segment(number), now=0) for number in (1, 2, 3, 1, 2, 3)]
    assert [len(texts) for texts in found] == [0, 0, 1, 0, 0, 1]


def test_a_used_reference_begins_a_new_text():
    reassembly = Reassembly(EXPIRY)
    reassembly.add(segment(1), now=0)
    reassembly.add(segment(2), now=0)
    (old,) = reassembly.add(segment(1, octets=b"uno "), now=9)
    assert old.octets == b"one two "
    assert not old.is_whole
    assert [(t.octets, t.began_at) for t in reassembly.waiting()] == [(b"uno ", 9)]


def test_time_gives_back_what_there_is():
    reassembly = Reassembly(EXPIRY)
    assert reassembly.next_deadline() is None
    reassembly.add(segment(3), now=10)
    reassembly.add(segment(1, reference=8), now=20)
    reassembly.add(segment(1), now=30)
    assert reassembly.next_deadline() == 10 + EXPIRY
    assert reassembly.expire(9 + EXPIRY) == []
    (text,) = reassembly.expire(10 + EXPIRY)
    assert [s.octets for s in text.segments] == [b"one ", b"three"]
    assert reassembly.next_deadline() == 20 + EXPIRY
    assert len(reassembly.expire(20 + EXPIRY)) == 1


def test_room_gives_back_the_oldest():
    reassembly = Reassembly(EXPIRY, texts_max=2)
    reassembly.add(segment(1, reference=1), now=0)
    reassembly.add(segment(1, reference=2), now=1)
    reassembly.add(segment(2, reference=1), now=2)
    (text,) = reassembly.add(segment(1, reference=3), now=3)
    assert (text.key.reference, len(text.segments)) == (1, 2)
    assert len(reassembly.waiting()) == 2


def test_room_is_counted_in_segments_too():
    reassembly = Reassembly(EXPIRY, segments_max=3)
    for number in (1, 2):
        reassembly.add(segment(number, reference=1), now=0)
    assert reassembly.add(segment(1, reference=2), now=1) == []
    (text,) = reassembly.add(segment(2, reference=2), now=2)
    assert (text.key.reference, len(text.segments)) == (1, 2)
    assert reassembly.add(segment(1, reference=3), now=3) == []


def test_whole_texts_are_forgotten_in_time():
    reassembly = Reassembly(EXPIRY, whole_texts_max=2)
    for reference in (1, 2, 3):
        reassembly.add(segment(1, 1, reference=reference), now=0)
    reassembly.add(segment(1, 2, reference=4), now=0)
    reassembly.add(segment(2, 2, reference=4), now=0)
    reassembly.expire(2 * EXPIRY)
    reassembly.add(segment(2, 2, reference=4), now=2 * EXPIRY)
    assert [t.key.reference for t in reassembly.expire(3 * EXPIRY)] == [4]


def test_waiting_texts_can_be_kept_elsewhere():
    first = Reassembly(EXPIRY)
    first.add(segment(1, reference=8), now=5)
    first.add(segment(2), now=1)
    second = Reassembly(EXPIRY, texts=first.waiting())
    assert second.next_deadline() == 1 + EXPIRY
    second.add(segment(1), now=6)
    assert [t.octets for t in second.add(segment(3), now=7)] == [b"one two three"]


def test_a_text_of_its_own_is_not_put_together():
    with pytest.raises(AssertionError):
        Reassembly(EXPIRY).add(Segment("1", "2", None, (), 0, b"Hi"), now=0)


@pytest.mark.parametrize("seed", range(10))
def test_everything_that_comes_is_given_back(seed):
    """Shuffled, repeated and lost segments of many texts: each text comes back once."""
    chance = random.Random(seed)
    texts = [[f"{t}.{n} ".encode() for n in range(chance.randint(1, 9))] for t in range(40)]
    sent = [
        segment(number, len(octets), reference=reference, octets=piece)
        for reference, octets in enumerate(texts)
        for number, piece in enumerate(octets, 1)
    ]
    arriving = [s for s in sent if chance.random() > 0.1]
    arriving += chance.choices(arriving, k=20)
    chance.shuffle(arriving)
    reassembly = Reassembly(EXPIRY)
    found: list[Text] = []
    for now, one in enumerate(arriving):
        found += reassembly.add(one, now=float(now % 2))
    found += reassembly.expire(EXPIRY + len(arriving))
    came = {s for text in found for s in text.segments}
    assert came == set(arriving)
    for text in (t for t in found if t.is_whole):
        assert text.octets == b"".join(texts[text.key.reference])


def test_a_repeat_is_known_before_it_is_added():
    reassembly = Reassembly(EXPIRY)
    assert not reassembly.is_repeat(segment(1))
    reassembly.add(segment(1), now=0)
    assert reassembly.is_repeat(segment(1))
    assert not reassembly.is_repeat(segment(1, octets=b"other"))
    assert not reassembly.is_repeat(segment(2))
    reassembly.add(segment(2), now=1)
    reassembly.add(segment(3), now=2)
    assert reassembly.is_repeat(segment(2))


def test_the_text_that_a_segment_joins_is_known_before_it_is_added():
    reassembly = Reassembly(EXPIRY)

    def began_at(one: Segment) -> float | None:
        text = reassembly.joined(one, now=9)
        return text.began_at if text else None

    assert began_at(segment(1)) == 9
    reassembly.add(segment(1), now=5)
    assert began_at(segment(2)) == 5
    assert began_at(segment(1)) is None
    assert began_at(segment(1, octets=b"other")) == 9
    (given_up,) = reassembly.add(segment(1, octets=b"other"), now=9)
    assert given_up.began_at == 5
    assert [text.began_at for text in reassembly.waiting()] == [9]


def played(script: str, *, total: int) -> tuple[list[str], list[str]]:
    """Return the texts of segments like A1 B2 in their order, and those that time gives back."""
    reassembly = Reassembly(EXPIRY)
    ready: list[Text] = []
    for now, word in enumerate(script.split()):
        one = segment(int(word[1]), total, octets=word.encode())
        ready += reassembly.add(one, now=float(now))
    left = reassembly.expire(EXPIRY + 100)
    assert reassembly.waiting() == []
    whole, rest = [[text.octets.decode() for text in texts] for texts in (ready, left)]
    return whole, rest


@pytest.mark.parametrize(
    ("script", "whole", "left"),
    [
        # The answer to the last segment was lost, and the reference is used again.
        ("A1 A2 A2 B1 B2", ["A1A2", "B1B2"], []),
        ("A1 A2 A2 B2 B1", ["A1A2", "B1B2"], []),
        ("A1 A2 A1 B1 B2", ["A1A2", "B1B2"], []),
        ("A1 A2 A2 A1 B2 B1", ["A1A2", "A1A2", "B1B2"], []),
        ("A1 A2 B1 A1 B2", ["A1A2", "B1B2"], []),
        # The same text is sent twice on purpose, in any order, and an answer is lost, too.
        ("A1 A2 A1 A2", ["A1A2", "A1A2"], []),
        ("A1 A2 A2 A1", ["A1A2", "A1A2"], []),
        ("A1 A2 A2 A1 A2", ["A1A2", "A1A2"], []),
        # A text has a segment of the last one.
        ("A1 A2 A1 B2", ["A1A2", "A1B2"], []),
        ("A1 A2 B1 A2", ["A1A2", "B1A2"], []),
        ("A1 A2 A2 B1 A2", ["A1A2", "B1A2"], []),
        ("A1 A2 A2 B1", ["A1A2"], ["B1A2"]),
        # Echoes alone are no text.
        ("A1 A2 A2", ["A1A2"], []),
        ("A1 A2 A1", ["A1A2"], []),
    ],
)
def test_a_segment_of_a_whole_text_is_an_echo(script, whole, left):
    assert played(script, total=2) == (whole, left)


@pytest.mark.parametrize(
    ("script", "whole", "left"),
    [
        ("A1 A2 A3 A3 B1 B2 B3", ["A1A2A3", "B1B2B3"], []),
        ("A1 A2 A3 A2 A3 B1 B2 B3", ["A1A2A3", "B1B2B3"], []),
        ("A1 A2 A3 B1 B2 A3 B3", ["A1A2A3", "B1B2A3"], ["B3"]),
        ("A1 A2 A3 A3 B1 B3", ["A1A2A3"], ["B1B3"]),
        ("A1 A2 A3 A2 A3 A1 B1 B2 B3", ["A1A2A3", "A1A2A3", "B1B2B3"], []),
    ],
)
def test_echoes_of_longer_texts(script, whole, left):
    assert played(script, total=3) == (whole, left)


def test_a_text_is_waited_for_from_its_first_segment_that_is_no_echo():
    reassembly = Reassembly(EXPIRY)
    for now, octets in enumerate((b"a", b"b")):
        reassembly.add(segment(now + 1, 2, octets=octets), now=now)
    reassembly.add(segment(2, 2, octets=b"b"), now=10)
    reassembly.add(segment(1, 2, octets=b"c"), now=200)
    assert reassembly.next_deadline() == 200 + EXPIRY
    assert [t.octets for t in reassembly.add(segment(2, 2, octets=b"d"), now=400)] == [b"cd"]
