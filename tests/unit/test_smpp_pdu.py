"""PDUs on the wire: octets written out by hand from the specification, round trips, and damage."""

import struct
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.smpp.fields import (
    CSTRING_RECEIVED_MAX,
    CString,
    Destinations,
    DistributionList,
    MalformedPdu,
    Octet,
    ShortMessage,
    SmeAddress,
    UnsuccessSme,
    UnsuccessSmes,
)
from trunkline.smpp.pdu import (
    REGISTRY,
    RESPONSE_BIT,
    UNANSWERED,
    AlertNotification,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    CancelSm,
    DataSm,
    DeliverSm,
    EnquireLink,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    Unknown,
    empty_answer,
)
from trunkline.smpp.status import CommandStatus, status_name
from trunkline.smpp.tlv import (
    MESSAGE_PAYLOAD,
    SC_INTERFACE_VERSION,
    TLVS_MAX,
    USER_MESSAGE_REFERENCE,
    Tlv,
)
from trunkline.smpp.wire import (
    HEADER_SIZE,
    PDU_SIZE_MAX,
    Header,
    decode,
    decode_body,
    encode,
    parse_header,
)

# Each value stands beside the field it belongs to, in the order of the section named.
GOLDEN = [
    pytest.param(  # SMPP 3.4 §4.1.1.
        BindTransmitter(
            system_id="SMPP3TEST",
            password="secret08",
            system_type="SUBMIT1",
            interface_version=0x34,
            addr_ton=1,
            addr_npi=1,
        ),
        1,
        "0000002F 00000002 00000000 00000001"
        "534D50503354455354 00 7365637265743038 00 5355424D495431 00 34 01 01 00",
        id="bind_transmitter",
    ),
    pytest.param(  # §4.1.6 with the TLV of §5.3.2.25.
        BindTransceiverResp(system_id="smsc", tlvs=(SC_INTERFACE_VERSION.make(0x34),)),
        7,
        "0000001A 80000009 00000000 00000007 736D7363 00 0210 0001 34",
        id="bind_transceiver_resp",
    ),
    pytest.param(  # §4.1.7.
        Outbind(system_id="smsc", password="pw"),
        1,
        "00000018 0000000B 00000000 00000001 736D7363 00 7077 00",
        id="outbind",
    ),
    pytest.param(Unbind(), 3, "00000010 00000006 00000000 00000003", id="unbind"),
    pytest.param(UnbindResp(), 3, "00000010 80000006 00000000 00000003", id="unbind_resp"),
    pytest.param(GenericNack(), 0, "00000010 80000000 00000000 00000000", id="generic_nack"),
    pytest.param(EnquireLink(), 9, "00000010 00000015 00000000 00000009", id="enquire_link"),
    pytest.param(  # §4.4.1.
        SubmitSm(
            service_type="CMT",
            source_addr_ton=5,
            source_addr="ACME",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr="14155550123",
            esm_class=0x40,
            protocol_id=0x7F,
            priority_flag=2,
            schedule_delivery_time="991231235959000+",
            validity_period="000000010000000R",
            registered_delivery=1,
            replace_if_present_flag=0,
            data_coding=8,
            sm_default_msg_id=3,
            short_message=b"\x00H\x00i",
            tlvs=(USER_MESSAGE_REFERENCE.make(0x1234),),
        ),
        0x7FFFFFFF,
        "0000005D 00000004 00000000 7FFFFFFF"
        "434D54 00 05 00 41434D45 00 01 01 3134313535353530313233 00 40 7F 02"
        "3939313233313233353935393030302B 00 3030303030303031303030303030 3052 00"
        "01 00 08 03 04 00480069 0204 0002 1234",
        id="submit_sm",
    ),
    pytest.param(
        SubmitSmResp(message_id="0A1F"),
        2,
        "00000015 80000004 00000000 00000002 30413146 00",
        id="submit_sm_resp",
    ),
    pytest.param(  # §4.5.1: number_of_dests, then dest_flag 1 and 2.
        SubmitMulti(
            source_addr="1",
            dest_address=(SmeAddress(1, 1, "22"), DistributionList("list")),
            short_message=b"x",
        ),
        1,
        "0000002D 00000021 00000000 00000001 00 00 00 31 00"
        "02 01 01 01 3232 00 02 6C697374 00 00 00 00 00 00 00 00 00 00 01 78",
        id="submit_multi",
    ),
    pytest.param(  # §4.5.2: error_status_code has four octets.
        SubmitMultiResp(
            message_id="5",
            unsuccess_sme=(UnsuccessSme(SmeAddress(1, 1, "22"), CommandStatus.ESME_RINVDSTADR),),
        ),
        1,
        "0000001C 80000021 00000000 00000001 35 00 01 01 01 3232 00 0000000B",
        id="submit_multi_resp",
    ),
    pytest.param(  # §4.6.1.
        DeliverSm(source_addr="1", destination_addr="2", esm_class=4, short_message=b"id:1"),
        1,
        "00000027 00000005 00000000 00000001"
        "00 00 00 31 00 00 00 32 00 04 00 00 00 00 00 00 00 00 04 69643A31",
        id="deliver_sm",
    ),
    pytest.param(  # §4.7.1.
        DataSm(source_addr="1", destination_addr="2", tlvs=(MESSAGE_PAYLOAD.make(b"Hi"),)),
        1,
        "00000022 00000103 00000000 00000001 00 00 00 31 00 00 00 32 00 00 00 00 0424 0002 4869",
        id="data_sm",
    ),
    pytest.param(  # §4.8.1.
        QuerySm(message_id="5", source_addr="1"),
        1,
        "00000016 00000003 00000000 00000001 35 00 00 00 31 00",
        id="query_sm",
    ),
    pytest.param(  # §4.8.2.
        QuerySmResp(message_id="5", message_state=2, error_code=9),
        1,
        "00000015 80000003 00000000 00000001 35 00 00 02 09",
        id="query_sm_resp",
    ),
    pytest.param(  # §4.9.1.
        CancelSm(message_id="5", source_addr="1", destination_addr="2"),
        1,
        "0000001B 00000008 00000000 00000001 00 35 00 00 00 31 00 00 00 32 00",
        id="cancel_sm",
    ),
    pytest.param(  # §4.10.1.
        ReplaceSm(message_id="5", source_addr="1", registered_delivery=1, short_message=b"x"),
        1,
        "0000001C 00000007 00000000 00000001 35 00 00 00 31 00 00 00 01 00 01 78",
        id="replace_sm",
    ),
    pytest.param(  # §4.12.1 with the TLV of §5.3.2.30.
        AlertNotification(source_addr="1", esme_addr="2", tlvs=(Tlv(0x0422, b"\x00"),)),
        1,
        "0000001D 00000102 00000000 00000001 00 00 31 00 00 00 32 00 0422 0001 00",
        id="alert_notification",
    ),
]


@pytest.mark.parametrize(("pdu", "sequence_number", "octets"), GOLDEN)
def test_octets_are_those_of_the_specification(pdu, sequence_number, octets):
    wire = bytes.fromhex(octets)
    assert encode(pdu, sequence_number) == wire
    header = Header(len(wire), pdu.command_id, 0, sequence_number)
    assert decode(wire) == (header, pdu)


def test_every_command_of_the_specification_is_there():
    """SMPP 3.4 §5.1.2.1, table 5-1: 12 requests with a response, 2 without, 1 generic_nack."""
    requests = {i for i in REGISTRY if not i & RESPONSE_BIT}
    assert requests == {1, 2, 3, 4, 5, 6, 7, 8, 9, 0xB, 0x15, 0x21, 0x102, 0x103}
    assert {pdu.command_id for pdu in UNANSWERED} == {0xB, 0x102}
    answered = {i | RESPONSE_BIT for i in requests - {0xB, 0x102}}
    assert {i for i in REGISTRY if i & RESPONSE_BIT} == answered | {0x80000000}


def strings(size_max: int) -> st.SearchStrategy[str]:
    """Whatever octets but NUL a C-octet string may hold."""
    characters = st.characters(min_codepoint=1, max_codepoint=255)
    return st.text(characters, max_size=size_max - 1)


OCTET = st.integers(0, 255)
ADDRESSES = st.builds(SmeAddress, OCTET, OCTET, strings(21))
STATUSES = st.integers(0, 0xFFFFFFFF)
FAILURES = st.builds(UnsuccessSme, ADDRESSES, STATUSES)
LISTS = st.builds(DistributionList, strings(21))
TLVS = st.lists(
    st.builds(Tlv, st.integers(0, 0xFFFF).filter(lambda tag: tag != 0x0424), st.binary(max_size=9)),
    max_size=4,
).map(tuple)


def values_of(kind: object) -> st.SearchStrategy[object]:
    """Whatever a field of this kind may hold."""
    match kind:
        case Octet():
            return OCTET
        case CString(size_max=size_max):
            return strings(size_max)
        case ShortMessage():
            return st.binary(max_size=254)
        case Destinations():
            return st.lists(ADDRESSES | LISTS, min_size=1, max_size=4).map(tuple)
        case UnsuccessSmes():
            return st.lists(FAILURES, max_size=4).map(tuple)
    raise AssertionError(kind)


def pdus(pdu_type: type[Pdu]) -> st.SearchStrategy[Pdu]:
    """Any PDU of a type."""
    hints = get_type_hints(pdu_type, include_extras=True)
    names = pdu_type.layout.names
    fields = {name: values_of(hints[name].__metadata__[0]) for name in names}
    return st.builds(pdu_type, tlvs=TLVS, **fields)


ANY_PDU = st.one_of(*map(pdus, REGISTRY.values()))


@pytest.mark.parametrize("pdu_type", REGISTRY.values(), ids=lambda pdu_type: pdu_type.__name__)
def test_every_pdu_survives_the_wire(pdu_type):
    @settings(max_examples=15, deadline=None)
    @given(pdus(pdu_type), st.integers(0, 0xFFFFFFFF))
    def survives(pdu: Pdu, sequence_number: int) -> None:
        wire = encode(pdu, sequence_number)
        header, found = decode(wire)
        assert found == pdu
        assert hash(found) == hash(pdu)
        assert header == (len(wire), pdu.command_id, 0, sequence_number)
        assert encode(found, sequence_number) == wire

    survives()


@given(STATUSES)
@settings(max_examples=30)
def test_any_command_status_survives(command_status):
    wire = encode(SubmitSmResp(message_id="1"), 1, command_status=command_status)
    assert decode(wire)[0].command_status == command_status


def test_a_refusal_has_no_body_unless_it_has_more_to_say():
    """SMPP 3.4 §4.4.2: with an error the body is not returned."""
    assert len(encode(SubmitSmResp(message_id="1"), 1, command_status=0x58)) == HEADER_SIZE
    told = SubmitSmResp(tlvs=(Tlv(0x001D, b"slow down\0"),))
    assert decode(encode(told, 1, command_status=0x58))[1] == told


@pytest.mark.parametrize("pdu_type", [t for i, t in REGISTRY.items() if i & RESPONSE_BIT])
def test_a_response_without_a_body_has_null_fields(pdu_type):
    assert decode_body(pdu_type.command_id, b"") == pdu_type()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"0A1F", SubmitSmResp(message_id="0A1F")),
        (b"0A1F\0\0\0", SubmitSmResp(message_id="0A1F")),
        (b"0A1F\0\x00\x1d\x00\x63no", SubmitSmResp(message_id="0A1F")),
        (b"0A1F\0rubbish", SubmitSmResp(message_id="0A1F")),
        (b"0A1F\0\x14\x00\x00\x02ok", SubmitSmResp(message_id="0A1F", tlvs=(Tlv(0x1400, b"ok"),))),
        (b"7" * 100 + b"\0", SubmitSmResp(message_id="7" * 100)),
        (b"7" * (CSTRING_RECEIVED_MAX + 9), SubmitSmResp()),
    ],
    ids=["no NUL", "padding", "TLV cut off", "rubbish", "vendor TLV", "long id", "endless id"],
)
def test_a_damaged_response_is_read_as_far_as_it_goes(body, expected):
    assert decode_body(SubmitSmResp.command_id, body) == expected


def test_a_response_cut_off_in_the_middle_keeps_what_came_before():
    assert decode_body(QuerySmResp.command_id, b"5\0\0") == QuerySmResp(message_id="5")


BODY = encode(DeliverSm(source_addr="1", destination_addr="2", short_message=b"Hi"), 1)[16:]
LONG = b"9" * CSTRING_RECEIVED_MAX


@pytest.mark.parametrize(
    ("body", "command_status"),
    [
        (b"", CommandStatus.ESME_RINVCMDLEN),
        (LONG, CommandStatus.ESME_RINVSERTYP),
        (BODY[:2], CommandStatus.ESME_RINVCMDLEN),
        (BODY[:-3], CommandStatus.ESME_RINVCMDLEN),
        (BODY[:-1], CommandStatus.ESME_RINVMSGLEN),
        (b"\0\0\0" + LONG, CommandStatus.ESME_RINVSRCADR),
        (b"\0\0\0\0\0\0" + LONG, CommandStatus.ESME_RINVDSTADR),
        (BODY[:12] + LONG, CommandStatus.ESME_RINVSCHED),
        (BODY[:13] + LONG, CommandStatus.ESME_RINVEXPIRY),
        (BODY + b"\x04\x24\x00\x09short", CommandStatus.ESME_RINVOPTPARSTREAM),
        (BODY + b"\x04\x24\x00", CommandStatus.ESME_RINVOPTPARSTREAM),
        (BODY + b"\x14\0\0\0" * (TLVS_MAX + 1), CommandStatus.ESME_RINVOPTPARSTREAM),
    ],
)
def test_a_damaged_request_names_the_status_to_answer_with(body, command_status):
    with pytest.raises(MalformedPdu) as caught:
        decode_body(DeliverSm.command_id, body)
    assert status_name(caught.value.command_status) == status_name(command_status)


def test_a_destination_of_no_known_kind_is_refused():
    body = b"\0\0\0\0\x01\x03"
    with pytest.raises(MalformedPdu) as caught:
        decode_body(SubmitMulti.command_id, body)
    assert caught.value.command_status == CommandStatus.ESME_RINVDESTFLAG


def test_a_few_nuls_behind_a_request_are_padding():
    assert decode_body(DeliverSm.command_id, BODY + b"\0\0\0") == decode_body(5, BODY)


def test_fields_that_are_too_long_are_taken_but_not_sent():
    long = b"\0\0\0" + b"9" * 40 + BODY[4:]
    found = decode_body(DeliverSm.command_id, long)
    assert isinstance(found, DeliverSm)
    assert found.source_addr == "9" * 40
    with pytest.raises(ValueError, match="source_addr takes 20"):
        encode(found, 1)


def test_255_octets_of_text_are_taken_but_not_sent():
    """SMPP 3.4 §5.2.21 ends at 254, 5.0 at 255."""
    found = decode_body(DeliverSm.command_id, BODY[:-3] + b"\xff" + b"x" * 255)
    assert isinstance(found, DeliverSm)
    assert len(found.short_message) == 255
    with pytest.raises(ValueError, match="short_message takes 254"):
        encode(found, 1)


@pytest.mark.parametrize(
    "pdu",
    [
        SubmitSm(destination_addr="1" * 21),
        SubmitSm(destination_addr="1\0002"),
        SubmitSm(destination_addr="١٢"),
        SubmitSm(data_coding=256),
        SubmitSm(data_coding=-1),
        SubmitSm(short_message=b"x" * 255),
        SubmitSm(short_message=b"x", tlvs=(MESSAGE_PAYLOAD.make(b"y"),)),
        SubmitSm(tlvs=(Tlv(0x10000, b""),)),
        SubmitSm(tlvs=(Tlv(0x1400, b"x" * 0x10000),)),
        SubmitSm(tlvs=(Tlv(0x1400, b"x" * 0xFFFF),) * 2),
        SubmitMulti(dest_address=()),
        SubmitMulti(dest_address=(SmeAddress(),) * 255),
        SubmitMulti(dest_address=(SmeAddress(dest_addr_ton=256),)),
        SubmitMulti(dest_address=(DistributionList("x" * 21),)),
        SubmitMultiResp(unsuccess_sme=(UnsuccessSme(SmeAddress(), -1),)),
        SubmitMultiResp(unsuccess_sme=(UnsuccessSme(SmeAddress(), 0),) * 255),
        BindTransceiver(password="x" * 65),
    ],
)
def test_what_does_not_fit_is_not_sent(pdu):
    with pytest.raises(ValueError, match=r"take|fit|exclude|octet|range"):
        encode(pdu, 1)


def test_an_empty_payload_is_a_payload():
    """Absent and empty are two things; a short_message beside it is still refused."""
    pdu = SubmitSm(tlvs=(MESSAGE_PAYLOAD.make(b""),))
    assert decode(encode(pdu, 1))[1] == pdu


@pytest.mark.parametrize("command_id", [0x111, 0x112, 0x113, 0x10200, 0x80000111, 0xFFFFFFFF])
def test_commands_of_others_are_unknown_not_wrong(command_id):
    """SMPP 5.0 broadcasts at 0x111 to 0x113, vendors from 0x10200 on."""
    wire = struct.pack(">LLLL", 19, command_id, 0, 5) + b"abc"
    header, found = decode(wire)
    assert found == Unknown(received_command_id=command_id, body=b"abc")
    assert header.sequence_number == 5
    assert empty_answer(found) == GenericNack()


def test_what_is_unknown_is_not_sent():
    with pytest.raises(AssertionError):
        encode(Unknown(received_command_id=0x111, body=b""), 1)


def test_each_request_knows_its_response():
    assert empty_answer(SubmitSm()) == SubmitSmResp()
    assert empty_answer(AlertNotification()) == GenericNack()


@pytest.mark.parametrize("command_length", [0, 15, PDU_SIZE_MAX + 1, 0x47455420, 0xFFFFFFFF])
def test_a_length_that_no_pdu_has_is_malformed(command_length):
    with pytest.raises(MalformedPdu):
        parse_header(struct.pack(">LLLL", command_length, 4, 0, 1))


@pytest.mark.parametrize(
    "octets", [b"", b"\0" * 15, bytes.fromhex("00000011000000150000000000000001")]
)
def test_octets_that_are_not_one_whole_pdu_are_malformed(octets):
    with pytest.raises(MalformedPdu):
        decode(octets)


def test_a_peer_of_5_0_is_understood():
    pdu = decode_body(0x80000004, b"1\0" + bytes.fromhex("0428 0001 50 0005 0001 01"))
    assert pdu == SubmitSmResp(message_id="1", tlvs=(Tlv(0x0428, b"\x50"), Tlv(0x0005, b"\x01")))
    bind = decode_body(9, b"a\0b\0\0\x50\0\0\0")
    assert isinstance(bind, BindTransceiver)
    assert bind.interface_version == 0x50


def test_nothing_private_shows_in_a_repr():
    pdu = SubmitSm(
        source_addr="14155550100",
        destination_addr="14155550123",
        short_message=b"secret",
        tlvs=(MESSAGE_PAYLOAD.make(b"secret"),),
    )
    bind = BindTransceiver(system_id="me", password="secret")
    many = SubmitMulti(dest_address=(SmeAddress(1, 1, "14155550123"),))
    shown = f"{pdu} {bind} {many} {Unknown(received_command_id=9, body=b'secret')}"
    assert "secret" not in shown
    assert "1415555" not in shown
    assert "system_id='me'" in shown
    assert "0x0424=<6>" in shown


def test_a_status_has_a_name_or_a_number():
    assert status_name(0x58) == "ESME_RTHROTTLED"
    assert status_name(0x0400) == "0x00000400"
