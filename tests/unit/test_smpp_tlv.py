"""Optional parameters: known ones are typed, all of them survive."""

import pytest

from trunkline.smpp.tlv import (
    ADDITIONAL_STATUS_INFO_TEXT,
    ALERT_ON_MESSAGE_DELIVERY,
    CALLBACK_NUM,
    DEST_ADDR_SUBUNIT,
    DLT_ENTITY_ID,
    ITS_SESSION_INFO,
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    PARAMETERS,
    QOS_TIME_TO_LIVE,
    RECEIPTED_MESSAGE_ID,
    USER_MESSAGE_REFERENCE,
    USSD_SERVICE_OP,
    NetworkErrorCode,
    Tlv,
    decode_tlvs,
    encode_tlvs,
    network_error_code_of,
)


@pytest.mark.parametrize(
    ("tlv", "octets"),
    [
        (DEST_ADDR_SUBUNIT.make(1), "0005 0001 01"),
        (QOS_TIME_TO_LIVE.make(3600), "0017 0004 00000E10"),
        (ADDITIONAL_STATUS_INFO_TEXT.make("no"), "001D 0003 6E6F00"),
        (RECEIPTED_MESSAGE_ID.make("0A"), "001E 0003 304100"),
        (USER_MESSAGE_REFERENCE.make(258), "0204 0002 0102"),
        (CALLBACK_NUM.make(b"\x01\x01\x01\x39"), "0381 0004 01010139"),
        (NETWORK_ERROR_CODE.make(b"\x03\x00\x21"), "0423 0003 030021"),
        (MESSAGE_PAYLOAD.make(b"Hi"), "0424 0002 4869"),
        (MESSAGE_STATE.make(2), "0427 0001 02"),
        (USSD_SERVICE_OP.make(2), "0501 0001 02"),
        (ALERT_ON_MESSAGE_DELIVERY.make(b""), "130C 0000"),
        (ITS_SESSION_INFO.make(b"\x01\x02"), "1383 0002 0102"),
        (DLT_ENTITY_ID.make("1101"), "1400 0004 31313031"),
    ],
)
def test_octets_are_those_of_the_specification(tlv, octets):
    wire = bytes.fromhex(octets)
    assert encode_tlvs([tlv]) == wire
    assert decode_tlvs(wire, 0) == (tlv,)


def test_values_are_read_back():
    tlvs = (RECEIPTED_MESSAGE_ID.make("0A"), MESSAGE_STATE.make(2), MESSAGE_PAYLOAD.make(b"Hi"))
    assert RECEIPTED_MESSAGE_ID.of(tlvs) == "0A"
    assert MESSAGE_STATE.of(tlvs) == 2
    assert MESSAGE_PAYLOAD.of(tlvs) == b"Hi"
    assert USSD_SERVICE_OP.of(tlvs) is None


def test_of_duplicates_all_stay_and_the_first_is_read():
    tlvs = (CALLBACK_NUM.make(b"1234"), Tlv(0x3FFF, b"?"), CALLBACK_NUM.make(b"5678"))
    assert decode_tlvs(encode_tlvs(tlvs), 0) == tlvs
    assert CALLBACK_NUM.of(tlvs) == b"1234"


@pytest.mark.parametrize(
    ("value", "expected"), [(b"0A", "0A"), (b"0A\0", "0A"), (b"0A\0\0junk", "0A"), (b"", "")]
)
def test_strings_are_read_with_and_without_their_nul(value, expected):
    assert RECEIPTED_MESSAGE_ID.of([Tlv(0x001E, value)]) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(b"\0\0\0\x02", 2), (b"", None), (b"\0" * 9, None)]
)
def test_integers_are_read_in_any_width(value, expected):
    assert MESSAGE_STATE.of([Tlv(0x0427, value)]) == expected


def test_a_network_error_code_has_two_halves():
    assert network_error_code_of([Tlv(0x0423, b"\x03\x01\x02")]) == NetworkErrorCode(3, 0x102)
    assert network_error_code_of([Tlv(0x0423, b"\x03\x01")]) is None
    assert network_error_code_of([]) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: MESSAGE_STATE.make(256),
        lambda: MESSAGE_STATE.make(-1),
        lambda: RECEIPTED_MESSAGE_ID.make("7" * 65),
        lambda: RECEIPTED_MESSAGE_ID.make("7\0"),
        lambda: CALLBACK_NUM.make(b"123"),
        lambda: ITS_SESSION_INFO.make(b"123"),
    ],
)
def test_what_does_not_fit_is_not_made(make):
    with pytest.raises(ValueError, match="takes"):
        make()


# SMPP 3.4 §5.3.2, table 5-7, in its order.
TAGS_OF_3_4 = """
0005 0006 0007 0008 000D 000E 000F 0010 0017 0019 001D 001E 0030 0201 0202 0203 0204 0205 020A 020B
020C 020D 020E 020F 0210 0302 0303 0304 0381 0420 0421 0422 0423 0424 0425 0426 0427 0501 1201 1203
1204 130C 1380 1383
"""


def test_every_parameter_of_the_specification_is_known():
    assert {int(tag, 16) for tag in TAGS_OF_3_4.split()} <= PARAMETERS.keys()
    assert all(parameter.tag == tag for tag, parameter in PARAMETERS.items())
    assert len({parameter.name for parameter in PARAMETERS.values()}) == len(PARAMETERS)
