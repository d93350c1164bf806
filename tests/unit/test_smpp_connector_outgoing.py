"""Submissions as PDUs: what a handset reads, by every carriage and charset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.smpp_carrier import long_message, submission
from trunkline.carriers.smpp.outgoing import (
    RECIPIENTS_MAX,
    REFERENCES_PER_RECIPIENT,
    Packer,
    References,
    ton_npi_of,
    validity_period,
)
from trunkline.carriers.smpp.settings import parse
from trunkline.domain.text import Encoding, decode_segment, encode_segment, split
from trunkline.smpp.concatenation import Carriage, Reassembly, Text, message_octets, segment_of
from trunkline.smpp.encoding import fill_bits_after, unpack_septets
from trunkline.smpp.fields import SHORT_MESSAGE_MAX
from trunkline.smpp.pdu import SubmitSm
from trunkline.smpp.tlv import Tlv
from trunkline.smpp.udh import render_udh
from trunkline.smpp.wire import decode, encode


def packer(**settings: str) -> Packer:
    return Packer(parse({"host": "a", "system_id": "b", **settings}))


def message(body: str, **fields: object):
    parts = split(body)
    return long_message(*parts.segments, encoding=parts.encoding.value, **fields)


def pdus_of(body: str, **settings: str) -> list[SubmitSm]:
    return [parcel.pdu for parcel in packer(**settings).pack(message(body))]


def read(pdus: list[SubmitSm]) -> str:
    """Put a text together as an SMSC does that takes GSM with a septet an octet."""
    for pdu in pdus:
        assert decode(encode(pdu, 1))[1] == pdu
    reassembly = Reassembly(60)
    found: list[Text] = []
    for pdu in pdus:
        segment = segment_of(pdu)
        if segment.place is None:
            return decode_segment(segment.octets, coding_of(pdu))
        found += reassembly.add(segment, now=0)
    return decode_segment(found[0].octets, coding_of(pdus[0]))


def coding_of(pdu: SubmitSm) -> Encoding:
    return Encoding.UCS2 if pdu.data_coding == 8 else Encoding.GSM7


BODIES = ["", "Hello €", "x" * 160, "[{€}]" * 60, "Żółć " * 80, "👋🏽" * 70]


@pytest.mark.parametrize("by", list(Carriage))
@pytest.mark.parametrize("body", BODIES)
def test_what_is_sent_is_what_is_read(body, by):
    """Every carriage brings every text whole."""
    pdus = pdus_of(body, segmentation=by.value)
    assert read(pdus) == body
    assert len(pdus) == (1 if by is Carriage.MESSAGE_PAYLOAD else len(split(body).segments))


@given(body=st.text(max_size=400), by=st.sampled_from(list(Carriage)))
def test_any_text_is_carried(body, by):
    body = body.encode("utf-16", "replace").decode("utf-16")
    encoding = split(body).encoding
    expected = decode_segment(encode_segment(body, encoding), encoding)
    assert read(pdus_of(body, segmentation=by.value)) == expected


def test_a_short_text_has_no_header():
    (pdu,) = pdus_of("Hi")
    assert (pdu.short_message, pdu.esm_class, pdu.tlvs) == (b"Hi", 0, ())


def test_packed_septets_begin_at_a_septet_behind_the_header():
    body = "abc€" * 60
    texts = []
    for pdu in pdus_of(body, default_charset="gsm_packed"):
        segment = segment_of(pdu)
        header = len(render_udh(segment.elements))
        octets = unpack_septets(segment.octets, fill_bits=fill_bits_after(header))
        assert len(pdu.short_message) <= 140
        texts.append(decode_segment(octets, Encoding.GSM7).rstrip("@"))
    assert "".join(texts) == body


def test_latin1_is_sent_as_such_and_the_rest_in_ucs2():
    """One character that does not fit takes its whole message along."""
    (pdu,) = pdus_of("Grüße", default_charset="latin1", gsm_data_coding="3")
    assert (pdu.short_message, pdu.data_coding) == ("Grüße".encode("latin-1"), 3)
    (pdu,) = pdus_of("Grüße", default_charset="ascii")
    assert (pdu.short_message, pdu.data_coding) == ("Grüße".encode("utf-16-be"), 8)
    long = pdus_of("x" * 200 + "€", default_charset="latin1")
    assert [pdu.data_coding for pdu in long] == [8, 8]
    assert read(long) == "x" * 200 + "€"
    (pdu,) = pdus_of("Hi", default_charset="ucs2", ucs2_data_coding="0")
    assert (pdu.short_message, pdu.data_coding) == ("Hi".encode("utf-16-be"), 0)


def test_what_is_too_long_for_its_field_goes_into_the_payload():
    """A segment of 153 septets has 306 octets in UCS-2."""
    first, second = pdus_of("x" * 200, default_charset="ucs2")
    assert first.short_message == b""
    assert len(message_octets(first)) == 6 + 306 > SHORT_MESSAGE_MAX
    assert len(second.short_message) == 6 + 94


@pytest.mark.parametrize(
    ("body", "settings", "expected"),
    [
        ("x" * 70, {"default_charset": "ucs2"}, False),
        ("x" * 71, {"default_charset": "ucs2"}, True),
        ("x" * 200, {"default_charset": "ucs2"}, True),
        ("x" * 200, {"default_charset": "ucs2", "segmentation": "sar"}, True),
        ("x" * 200, {"default_charset": "ucs2", "segmentation": "message_payload"}, False),
        ("ł" * 200, {"default_charset": "ucs2"}, False),
        ("x" * 160, {"default_charset": "latin1"}, False),
        ("x" * 69 + "€", {"default_charset": "latin1"}, False),
        ("x" * 70 + "€", {"default_charset": "latin1"}, True),
        ("x" * 70 + "é", {"default_charset": "ascii"}, True),
        ("x" * 160, {}, False),
        ("x" * 160, {"default_charset": "gsm_packed"}, False),
    ],
)
def test_what_is_split_for_another_alphabet_may_be_too_long(body, settings, expected):
    """A segment has 140 octets on the air, whatever the wire has room for."""
    assert packer(**settings).is_too_long(message(body)) is expected


def test_the_rest_of_a_message_keeps_its_places():
    """What was taken before is not sent again; the reference and the numbers stay."""
    pack = packer()
    whole = message("x" * 400)
    before = [segment_of(parcel.pdu).place for parcel in pack.pack(whole)]
    rest = [segment_of(parcel.pdu).place for parcel in packer().pack(whole[1:])]
    assert rest == before[1:]
    part = packer(segmentation="message_payload").pack(whole[2:])
    assert [segment_of(parcel.pdu).place for parcel in part] == before[2:]


def test_references_differ_between_texts_to_one_recipient():
    """A handset that gets several long texts at once must not mix them."""
    references = References()
    recent: list[int] = []
    for n in range(500):
        reference = references.choose(f"SM{n}", "+1", width=256)
        assert reference not in recent[-(REFERENCES_PER_RECIPIENT - 1) :]
        assert references.choose(f"SM{n}", "+1", width=256) == reference
        recent.append(reference)
    assert References().choose("SM0", "+1", width=256) == recent[0]


def test_references_take_bounded_room():
    references = References()
    for n in range(RECIPIENTS_MAX + 5):
        references.choose("SM1", f"+{n}", width=256)
    assert len(references._recent) == RECIPIENTS_MAX


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("+14155550123", (1, 1)),
        ("12345", (3, 0)),
        ("14155550123", (1, 1)),
        ("ACME", (5, 0)),
        ("7-Eleven", (5, 0)),
    ],
)
def test_types_of_numbers_follow_from_addresses(address, expected):
    assert ton_npi_of(address) == expected


def test_fields_are_what_the_settings_say():
    pack = packer(
        source_ton_npi="0/1",
        recipient_ton_npi="2/8",
        number_format="plus",
        service_type="CMT",
        validity_period="93784",
        registered_delivery="failure",
    )
    (parcel,) = pack.pack([submission(sender="ACME", priority=7)])
    pdu = parcel.pdu
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == (0, 1, "ACME")
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi) == (2, 8)
    assert pdu.destination_addr == "+14155550123"
    assert (pdu.service_type, pdu.priority_flag, pdu.registered_delivery) == ("CMT", 3, 2)
    assert pdu.validity_period == "000001020304000R"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, ""),
        (1, "000000000001000R"),
        (86_400, "000001000000000R"),
        (2_592_000, "000030000000000R"),
    ],
)
def test_validity_is_a_relative_time(seconds, expected):
    assert validity_period(seconds) == expected


def test_optional_parameters_go_along_and_the_nearest_wins():
    """The message's own before those for its sender, those before those for all."""
    pack = packer(tlvs="0x1400@ACME=text:acme;0x1400=text:all;0x1401=hex:00;0x1402@X=text:x")

    def tlvs(**fields: object) -> tuple[Tlv, ...]:
        return pack.pack([submission("Hi", **fields)])[0].pdu.tlvs

    assert tlvs() == (Tlv(0x1400, b"all"), Tlv(0x1401, b"\0"))
    assert tlvs(sender="ACME") == (Tlv(0x1400, b"acme"), Tlv(0x1401, b"\0"))
    own = tlvs(sender="ACME", tlvs=((0x1400, b"own"), (0x1500, b"new")))
    assert own == (Tlv(0x1400, b"own"), Tlv(0x1401, b"\0"), Tlv(0x1500, b"new"))
