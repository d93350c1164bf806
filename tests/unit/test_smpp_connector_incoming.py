"""What carriers send, as values."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.smsc import receipt
from trunkline.carriers.smpp.errors import VERDICTS, Action, verdict_of
from trunkline.carriers.smpp.incoming import Reader, address_of
from trunkline.carriers.smpp.settings import parse
from trunkline.domain.errors import ERRORS
from trunkline.domain.text import Encoding, encode_segment
from trunkline.smpp.encoding import pack_septets
from trunkline.smpp.pdu import DeliverSm
from trunkline.smpp.receipt import ESM_CLASS_INTERMEDIATE
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.tlv import MESSAGE_STATE, RECEIPTED_MESSAGE_ID, Tlv

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def reader(**settings: str) -> Reader:
    return Reader(parse({"host": "a", "system_id": "b", **settings}))


def body(octets: bytes, data_coding: int = 0, **settings: str) -> str:
    read = reader(**settings)
    pdu = DeliverSm(short_message=octets, data_coding=data_coding)
    return read.incoming_of([read.segment_of(pdu)], ref="r", at=NOON).body


@pytest.mark.parametrize(
    ("stat", "err", "expected"),
    [
        ("DELIVRD", "000", (True, None)),
        ("EXPIRED", "000", (False, 30003)),
        ("UNDELIV", "000", (False, 30008)),
        ("UNDELIV", "0A1", (False, 30007)),
        ("UNDELIV", "a1", (False, 30007)),
        ("UNDELIV", "001", (False, 30003)),
        ("REJECTD", "999", (False, 30007)),
        ("DELETED", "000", (False, 30008)),
        ("ENROUTE", "000", (None, None)),
        ("ACCEPTD", "000", (None, None)),
        ("UNKNOWN", "000", (None, None)),
        ("WHATEVER", "000", (None, None)),
    ],
)
def test_receipts_mean_what_state_and_error_say(stat, err, expected):
    read = reader(network_error_map="001=30003,0A1=30007")
    found = read.receipt_of(receipt("1", stat, err=err), at=NOON)
    assert found
    assert (found.delivered, found.error_code) == expected
    assert (found.detail["stat"], found.at) == (stat, NOON)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (b"\x03\x00\x01", 30005),
        (b"\x03\x00\x1b", 30003),
        (b"\x01\x00\x1b", 30008),
        (b"\3\0\x22", 30006),
    ],
)
def test_the_network_says_why(network, expected):
    """The carrier's own table comes before that of GSM networks."""
    pdu = DeliverSm(
        esm_class=4,
        tlvs=(
            RECEIPTED_MESSAGE_ID.make("7"),
            MESSAGE_STATE.make(5),
            Tlv(0x0423, network),
        ),
    )
    found = reader(network_error_map="34=30006").receipt_of(pdu, at=NOON)
    assert found
    assert found.error_code == expected
    assert found.carrier_ref == "7"


def test_an_intermediate_receipt_decides_nothing():
    pdu = receipt("1")
    found = reader().receipt_of(
        DeliverSm(esm_class=ESM_CLASS_INTERMEDIATE, short_message=pdu.short_message), at=NOON
    )
    assert found
    assert found.delivered is None


def test_ids_are_looked_up_in_every_form():
    """The TLV and the text may write one number in two ways."""
    pdu = receipt("0A1F")
    both = DeliverSm(
        esm_class=4,
        short_message=pdu.short_message,
        tlvs=(RECEIPTED_MESSAGE_ID.make("2591"),),
    )
    found = reader().receipt_of(both, at=NOON)
    assert found
    assert (found.carrier_ref, found.aliases) == ("2591", ("0A1F",))
    hexadecimal = reader(id_style="hex_in_receipt").receipt_of(pdu, at=NOON)
    assert hexadecimal
    assert hexadecimal.carrier_ref == "2591"


def test_text_alone_is_believed_only_where_the_settings_say_so():
    unmarked = DeliverSm(short_message=receipt("1").short_message)
    assert reader().receipt_of(unmarked, at=NOON) is None
    assert reader(trusts_text="yes").receipt_of(unmarked, at=NOON)


def test_a_receipt_without_any_id_is_told():
    found = reader().receipt_of(DeliverSm(esm_class=4, short_message=b"rubbish"), at=NOON)
    assert found
    assert (found.carrier_ref, found.aliases, found.delivered) == ("", (), None)


@pytest.mark.parametrize(
    ("address", "ton", "expected"),
    [
        ("14155550123", 1, "+14155550123"),
        ("+14155550123", 0, "+14155550123"),
        ("0014155550123", 1, "+14155550123"),
        ("14155550123", 0, "+14155550123"),
        ("3215550123", 2, "3215550123"),
        ("07700900123", 2, "07700900123"),
        ("447700900123", 2, "+447700900123"),
        ("14155550123", 2, "+14155550123"),
        ("+447700900123", 2, "+447700900123"),
        ("12345", 1, "12345"),
        ("12345", 3, "12345"),
        ("99999999999999", 0, "99999999999999"),
        ("ACME", 5, "ACME"),
        ("1234567890", 5, "1234567890"),
        ("", 0, ""),
    ],
)
def test_addresses_are_written_as_messages_have_them(address, ton, expected):
    assert address_of(address, ton) == expected


@pytest.mark.parametrize(
    ("octets", "data_coding", "settings", "expected"),
    [
        (encode_segment("[€]", Encoding.GSM7), 0, {}, "[€]"),
        (b"\0", 0, {}, "@"),
        ("ü".encode("latin-1"), 0, {"default_charset": "latin1"}, "ü"),
        ("ü".encode("latin-1"), 3, {}, "ü"),
        ("ł".encode("utf-16-be"), 0, {"default_charset": "ucs2"}, "ł"),
        ("👋".encode("utf-16-be") + b"\0", 8, {}, "👋"),
        (b"\xd8\x00\x00a", 8, {}, "?a"),
        (b"a\0b", 1, {}, "ab"),
        (b"\x00\xff", 4, {}, "00FF"),
        (b"plain", 2, {}, "plain"),
        (pack_septets(b"packed"), 0, {"default_charset": "gsm_packed"}, "packed"),
        ("привет".encode("iso8859-5"), 6, {}, "привет"),
        (b"x", 0xF0, {}, "x"),
    ],
)
def test_texts_are_decoded_as_far_as_it_goes(octets, data_coding, settings, expected):
    assert body(octets, data_coding, **settings) == expected


@given(octets=st.binary(max_size=200), data_coding=st.integers(0, 255), esm=st.integers(0, 255))
def test_no_text_is_too_strange(octets, data_coding, esm):
    """Whatever comes is read, and can be stored and shown."""
    read = reader()
    pdu = DeliverSm(short_message=octets, data_coding=data_coding, esm_class=esm)
    read.receipt_of(pdu, at=NOON)
    found = read.incoming_of([read.segment_of(pdu)], ref="r", at=NOON)
    assert "\0" not in found.body
    assert "\ufffd" not in found.body
    found.body.encode()
    assert found.encoding in {"GSM-7", "UCS-2"}
    assert found.num_segments >= 1


def test_every_status_has_a_verdict_with_a_code_that_people_know():
    for status in CommandStatus:
        if status:
            assert VERDICTS[status].error_code in ERRORS
    assert verdict_of(0xBEEF, {}).action is Action.UNKNOWN
    assert verdict_of(CommandStatus.ESME_RTHROTTLED, {}).action is Action.THROTTLE
    assert verdict_of(CommandStatus.ESME_RMSGQFUL, {}).action is Action.THROTTLE
    assert verdict_of(CommandStatus.ESME_RSYSERR, {}).action is Action.RETRY
