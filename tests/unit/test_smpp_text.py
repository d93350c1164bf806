"""The text of a short message: data codings, septets, headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.smpp.encoding import (
    Charset,
    Coding,
    MessageWaiting,
    coding_of,
    decode_text,
    encode_text,
    fill_bits_after,
    pack_septets,
    pack_text,
    unpack_septets,
    unpack_text,
)
from trunkline.smpp.udh import (
    Concatenation,
    Element,
    Ports,
    ReferenceKind,
    concatenation_element,
    concatenation_of,
    parse_user_data,
    ports_element,
    ports_of,
    render_udh,
)

CODINGS = {
    0x00: Coding(Charset.GSM),
    0x01: Coding(Charset.ASCII),
    0x02: Coding(Charset.BINARY),
    0x03: Coding(Charset.LATIN1),
    0x04: Coding(Charset.BINARY),
    0x06: Coding(Charset.CYRILLIC),
    0x07: Coding(Charset.HEBREW),
    0x08: Coding(Charset.UCS2),
    0x0B: Coding(Charset.GSM),
    0x0E: Coding(Charset.KOREAN),
    0x10: Coding(Charset.GSM, message_class=0),
    0x13: Coding(Charset.GSM, message_class=3),
    0x15: Coding(Charset.BINARY, message_class=1),
    0x18: Coding(Charset.UCS2, message_class=0),
    0x20: Coding(Charset.GSM, is_compressed=True),
    0x48: Coding(Charset.UCS2),
    0x80: Coding(Charset.GSM),
    0xBF: Coding(Charset.GSM),
    0xC8: Coding(Charset.GSM, waiting=MessageWaiting(True, 0, False)),
    0xD1: Coding(Charset.GSM, waiting=MessageWaiting(False, 1, True)),
    0xEA: Coding(Charset.UCS2, waiting=MessageWaiting(True, 2, True)),
    0xF0: Coding(Charset.GSM, message_class=0),
    0xF5: Coding(Charset.BINARY, message_class=1),
    0xFA: Coding(Charset.GSM, message_class=2),
}


@pytest.mark.parametrize(("data_coding", "coding"), CODINGS.items())
def test_a_data_coding_means_what_the_specifications_say(data_coding, coding):
    assert coding_of(data_coding) == coding


@pytest.mark.parametrize("data_coding", range(256))
def test_the_default_is_the_carriers(data_coding):
    """What is GSM to one carrier is Latin-1 to the next; all else stays."""
    usual, other = coding_of(data_coding), coding_of(data_coding, default=Charset.LATIN1)
    expected = Charset.LATIN1 if usual.charset is Charset.GSM else usual.charset
    assert other == usual._replace(charset=expected)


@pytest.mark.parametrize(
    ("octets", "charset", "text"),
    [
        (b"caf\xe9", Charset.LATIN1, "café"),
        (b"caf\xe9", Charset.ASCII, "caf\ufffd"),
        (b"\x00H\xd8\x3d\xde\x00", Charset.UCS2, "H😀"),
        (b"\x00H\x00", Charset.UCS2, "H"),
        (b"\xd8\x3d", Charset.UCS2, "\ufffd"),
        (b"\xbf\xe0", Charset.CYRILLIC, "Пр"),
        (b"\xf9\xec", Charset.HEBREW, "של"),
        (b"\xb0\xa1", Charset.KOREAN, "가"),
    ],
)
def test_texts_are_decoded(octets, charset, text):
    assert decode_text(octets, charset) == text


@pytest.mark.parametrize("charset", [Charset.ASCII, Charset.LATIN1, Charset.UCS2])
def test_texts_are_encoded(charset):
    assert decode_text(encode_text("Hi", charset), charset) == "Hi"
    with pytest.raises(ValueError, match="encode"):
        encode_text("\ud800", charset)


@pytest.mark.parametrize("charset", [Charset.GSM, Charset.BINARY])
def test_septets_and_binaries_are_no_business_of_a_codec(charset):
    with pytest.raises(AssertionError):
        decode_text(b"Hi", charset)
    with pytest.raises(AssertionError):
        encode_text("Hi", charset)


def test_septets_are_packed_as_in_the_standard():
    """3GPP TS 23.038 §6.1.2.1: the first septet fills the low bits of the first octet."""
    assert pack_septets(b"hellohello") == bytes.fromhex("E8329BFD4697D9EC37")
    assert unpack_septets(bytes.fromhex("E8329BFD4697D9EC37")) == b"hellohello"


def test_a_header_moves_the_text_to_a_septet_boundary():
    """3GPP TS 23.040 §9.2.3.24: six octets of header are followed by one fill bit."""
    assert [fill_bits_after(octets) for octets in (6, 7, 8, 13, 14)] == [1, 0, 6, 1, 0]
    assert pack_septets(b"A", fill_bits=1) == b"\x82"


@given(st.lists(st.integers(0, 127), max_size=160).map(bytes), st.integers(0, 6))
def test_septets_survive_packing(septets, fill_bits):
    packed = pack_septets(septets, fill_bits=fill_bits)
    assert unpack_septets(packed, count=len(septets), fill_bits=fill_bits) == septets
    assert unpack_septets(packed, fill_bits=fill_bits)[: len(septets)] == septets


@pytest.mark.parametrize("fill_bits", [0, 1])
@pytest.mark.parametrize("count", range(1, 34))
def test_padding_is_no_text(count, fill_bits):
    """3GPP TS 23.038 §6.1.2.3.1: a CR fills seven bits; many leave them zero."""
    text = b"abcdefgh" * 4 + b"a"
    text = text[:count]
    assert unpack_text(pack_text(text, fill_bits=fill_bits), fill_bits=fill_bits) == text
    assert unpack_text(pack_septets(text, fill_bits=fill_bits), fill_bits=fill_bits) == text
    assert unpack_septets(pack_text(b"abcdefg")) == b"abcdefg\r"


@given(st.binary(max_size=160), st.none() | st.integers(0, 300), st.integers(0, 6))
def test_any_octets_unpack(octets, count, fill_bits):
    found = unpack_septets(octets, count=count, fill_bits=fill_bits)
    assert all(septet < 128 for septet in found)


def test_a_header_is_parted_from_its_text():
    octets = bytes.fromhex("05 00 03 A7 02 01") + b"Hi"
    elements, text = parse_user_data(octets)
    assert elements == (Element(0, b"\xa7\x02\x01"),)
    assert text == b"Hi"
    assert concatenation_of(elements) == Concatenation(ReferenceKind.UDH8, 0xA7, 2, number=1)


def test_references_of_16_bits_and_ports_are_read():
    octets = bytes.fromhex("0C 05 04 1F90 0050 08 04 0102 03 02") + b"Hi"
    elements, text = parse_user_data(octets)
    assert text == b"Hi"
    assert concatenation_of(elements) == Concatenation(ReferenceKind.UDH16, 0x102, 3, number=2)
    assert ports_of(elements) == Ports(destination=8080, source=80)
    assert ports_of([Element(4, b"\x02\x01")]) == Ports(destination=2, source=1)
    assert ports_of([Element(5, b"\x02\x01")]) is None
    assert ports_of([ports_element(Ports(8080, 80))]) == Ports(8080, 80)


@given(
    st.lists(st.builds(Element, st.integers(0, 255), st.binary(max_size=20)), max_size=11),
    st.binary(max_size=100),
)
def test_any_header_survives(elements, text):
    assert parse_user_data(render_udh(elements) + text) == (tuple(elements), text)


@pytest.mark.parametrize(
    ("octets", "elements", "text"),
    [
        ("", (), ""),
        ("00 4869", (), "4869"),
        ("05 00 03 A7 02", (), "05 00 03 A7 02"),
        ("FF 4869", (), "FF 4869"),
        ("05 00 09 A7 02 01 4869", (), "4869"),
        ("04 24 01 0D 00 4869", (Element(0x24, b"\x0d"),), "4869"),
        ("05 00 03 A7 02 01", (Element(0, b"\xa7\x02\x01"),), ""),
    ],
    ids=["nothing", "empty", "cut off", "too long", "element too long", "odd octet", "no text"],
)
def test_a_damaged_header_is_read_as_far_as_it_goes(octets, elements, text):
    assert parse_user_data(bytes.fromhex(octets)) == (elements, bytes.fromhex(text))


@pytest.mark.parametrize("data", ["A7 00 01", "A7 02 00", "A7 02 03", "A7 02", "A7 02 01 01", ""])
def test_a_place_that_makes_no_sense_is_ignored(data):
    """3GPP TS 23.040 §9.2.3.24.1."""
    good = concatenation_element(Concatenation(ReferenceKind.UDH16, 1, 2, number=2))
    assert concatenation_of([Element(0, bytes.fromhex(data))]) is None
    assert concatenation_of([Element(0, bytes.fromhex(data)), good]) is not None


def test_a_header_has_255_octets_at_most():
    assert len(render_udh([Element(0x70, b"x" * 253)])) == 256
    with pytest.raises(ValueError, match="255"):
        render_udh([Element(0x70, b"x" * 253), Element(0x71, b"")])
