"""Encodings, segments and octets."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trunkline.domain.text import (
    BODY_MAX,
    Encoding,
    Hint,
    body_length,
    count_segments,
    decode_segment,
    encode_segment,
    encoding_of,
    hint,
    smart_encode,
    split,
)

GSM7, UCS2 = Encoding.GSM7, Encoding.UCS2
FAMILY = "👨‍👩‍👧‍👦"
GSM_TEXT = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
    "\f^{}\\[~]|€"
)


def units(text, encoding):
    """Count septets or UTF-16 units the slow way."""
    if encoding is GSM7:
        return sum(2 if c in "\f^{}\\[~]|€" else 1 for c in text)
    return sum(2 if ord(c) > 0xFFFF else 1 for c in text)


@pytest.mark.parametrize(
    ("text", "encoding", "segments"),
    [
        ("", GSM7, 1),
        ("a" * 160, GSM7, 1),
        ("a" * 161, GSM7, 2),
        ("a" * 306, GSM7, 2),
        ("a" * 307, GSM7, 3),
        ("€" * 80, GSM7, 1),
        ("€" * 81, GSM7, 2),
        ("€" * 152, GSM7, 2),
        ("€" * 153, GSM7, 3),
        ("a" * 152 + "€" + "a" * 10, GSM7, 2),
        ("é" * 70, GSM7, 1),
        ("ç" * 70, UCS2, 1),
        ("ç" * 71, UCS2, 2),
        ("ç" * 134, UCS2, 2),
        ("ç" * 135, UCS2, 3),
        ("😀" * 35, UCS2, 1),
        ("😀" * 36, UCS2, 2),
        ("😀" * 66, UCS2, 2),
        ("😀" * 67, UCS2, 3),
        ("a" * BODY_MAX, GSM7, 11),
    ],
)
def test_worked_counts(text, encoding, segments):
    assert encoding_of(text) is encoding
    assert count_segments(text) == segments
    assert len(split(text).segments) == segments


def test_an_escape_pair_moves_whole_to_the_next_segment():
    parts = split("a" * 152 + "€" + "a" * 10)
    assert [len(segment) for segment in parts.segments] == [152, 11]
    assert parts.units == 164


def test_the_first_segment_gives_way_to_the_header():
    assert [len(segment) for segment in split("a" * 161).segments] == [153, 8]


def test_grapheme_clusters_stay_whole():
    parts = split("ç" * 60 + FAMILY + "ç" * 10)
    assert parts.segments == ("ç" * 60, FAMILY + "ç" * 10)


def test_cr_lf_may_be_split():
    parts = split("ç" * 66 + "\r\n" + "ç" * 10)
    assert parts.segments[0] == "ç" * 66 + "\r"


def test_a_cluster_longer_than_a_segment_is_split_between_code_points():
    text = "a" + "\u0301" * 200
    parts = split(text)
    assert [len(segment) for segment in parts.segments] == [67, 67, 67]
    assert "".join(parts.segments) == text


@given(st.text(alphabet=GSM_TEXT, max_size=700) | st.text(alphabet=GSM_TEXT + "ç😀\u0301\u200d👩"))
@settings(deadline=None)
@example("ç" * 66 + "😀" + FAMILY * 30)
def test_segments_give_the_text_back_and_fit(text):
    parts = split(text)
    assert "".join(parts.segments) == text
    assert parts.units == units(text, parts.encoding)
    single, multi = (160, 153) if parts.encoding is GSM7 else (70, 67)
    room = single if len(parts.segments) == 1 else multi
    assert all(units(segment, parts.encoding) <= room for segment in parts.segments)
    assert len(parts.segments) == count_segments(text)
    assert all(parts.segments) or text == ""


@given(st.text(alphabet="ç😀\u0301\r\n" + FAMILY, max_size=300))
@settings(deadline=None)
def test_every_segment_can_be_encoded_by_itself(text):
    joined = b"".join(encode_segment(segment, UCS2) for segment in split(text).segments)
    for segment in split(text).segments:
        assert decode_segment(encode_segment(segment, UCS2), UCS2) == segment
    assert decode_segment(joined, UCS2) == text


@given(st.text(alphabet=GSM_TEXT))
def test_gsm_text_survives_the_air(text):
    octets = encode_segment(text, GSM7)
    assert len(octets) == units(text, GSM7)
    assert decode_segment(octets, GSM7) == text


def test_septets_of_the_default_alphabet():
    assert encode_segment("@Å_é€[à", GSM7) == bytes(
        [0x00, 0x0E, 0x11, 0x05, 0x1B, 0x65, 0x1B, 0x3C, 0x7F]
    )
    assert encode_segment("Hello", GSM7) == b"Hello"
    assert encode_segment("$", GSM7) == b"\x02"
    assert len({encode_segment(c, GSM7) for c in GSM_TEXT}) == 137


def test_characters_outside_the_alphabet_become_question_marks():
    assert encode_segment("aç`\tb", GSM7) == b"a???b"


@given(st.binary(max_size=200), st.sampled_from(Encoding))
def test_anything_a_peer_sends_can_be_decoded(octets, encoding):
    assert len(decode_segment(octets, encoding)) <= len(octets)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"a\x1b", "a "),
        (b"a\x1bb", "ab"),
        (b"\x1b\x1b\x65", " e"),
        (b"a\x80\xffb", "a??b"),
        (b"\x1b\xff", "?"),
        (b"\x1b\x0a", "\f"),
    ],
)
def test_lenient_decoding_of_septets(octets, text):
    assert decode_segment(octets, GSM7) == text


def test_lenient_decoding_of_ucs2():
    assert decode_segment(b"\x00a\x00", UCS2) == "a"
    assert decode_segment(b"\xd8\x3d\x00a", UCS2) == "\ufffda"
    assert decode_segment(b"\xd8\x3d\xde\x00", UCS2) == "😀"


def test_lone_surrogates_count_one_unit_and_travel_as_replacement_characters():
    text = "a\ud83d" * 40
    parts = split(text)
    assert parts.encoding is UCS2
    assert parts.units == 80
    assert [len(segment) for segment in parts.segments] == [67, 13]
    assert encode_segment("\ud83d\ude00a", UCS2) == b"\xff\xfd\xff\xfd\x00a"
    assert body_length(text) == 80


def test_the_length_of_a_body_is_in_utf16_units():
    assert body_length("abc") == 3
    assert body_length("ç😀") == 3
    assert body_length("ç" * 1600) == 1600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Hint(GSM7, 1, 0, 160)),
        ("Hi €", Hint(GSM7, 1, 5, 155)),
        ("a" * 161, Hint(GSM7, 2, 161, 145)),
        ("ç" * 70, Hint(UCS2, 1, 70, 0)),
        ("ç" * 71, Hint(UCS2, 2, 71, 63)),
    ],
)
def test_the_hint_counts_down_to_the_next_segment(text, expected):
    assert hint(text) == expected


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("“Hi” – it’s 5…", '"Hi" - it\'s 5...'),
        ("`a´", "'a'"),
        ("‼", "!!"),
        ("¼½¾", "1/41/23/4"),
        ("a\u00a0b", "a  b"),
        ("a\tb", "a       b"),
        ("a\u2028b\u2001c", "a b c"),
        ("a\u200bb\ufeff\x00", "ab"),
        ("‹x›", ">x<"),
        ("ＡＺ０９！", "AZ09!"),
        ("ᴀʟꜱᴢ", "ALSZ"),
        ("ç ł ő 😀", "ç ł ő 😀"),
        ("•✽", "-*"),
        ("plain text\r\n", "plain text\r\n"),
    ],
)
def test_smart_encoding(text, replaced):
    assert smart_encode(text) == replaced


def test_smart_encoding_knows_270_characters_and_leaves_gsm_behind():
    changed = [chr(c) for c in range(0x10000) if smart_encode(chr(c)) != chr(c)]
    assert len(changed) == 270
    assert encoding_of("".join(map(smart_encode, changed))) is GSM7
    assert smart_encode(GSM_TEXT) == GSM_TEXT
