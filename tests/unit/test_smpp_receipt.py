"""Delivery receipts in the shapes that carriers send, and ids that mean the same."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from trunkline.smpp.message_id import MessageIdStyle, message_id_forms, message_id_key
from trunkline.smpp.pdu import DataSm, DeliverSm
from trunkline.smpp.receipt import (
    MessageState,
    ReceiptFacts,
    parse_receipt,
    parse_receipt_date,
    render_receipt,
)
from trunkline.smpp.tlv import (
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    RECEIPTED_MESSAGE_ID,
    NetworkErrorCode,
    Tlv,
)

# Appendix B of SMPP 3.4, with the figures filled in.
USUAL = (
    "id:0123456789 sub:001 dlvrd:001 submit date:2401151229 done date:2401151230 "
    "stat:DELIVRD err:000 text:Hello id:9 stat:X"
)


def facts(
    text: str | bytes, *tlvs: Tlv, esm_class: int = 0x04, data_coding: int = 0
) -> ReceiptFacts:
    octets = text if isinstance(text, bytes) else text.encode("latin-1")
    pdu = DeliverSm(esm_class=esm_class, short_message=octets, tlvs=tlvs, data_coding=data_coding)
    found = parse_receipt(pdu)
    assert found is not None
    return found


def test_the_usual_receipt_says_everything():
    assert facts(USUAL) == ReceiptFacts(
        message_ids=("0123456789",),
        message_state=MessageState.DELIVERED,
        is_final=True,
        stat="DELIVRD",
        err="000",
        sub=1,
        dlvrd=1,
        submit_date=datetime(2024, 1, 15, 12, 29, tzinfo=UTC),
        done_date=datetime(2024, 1, 15, 12, 30, tzinfo=UTC),
        text="Hello id:9 stat:X",
    )


# Shapes seen at carriers; the figures are changed.
@pytest.mark.parametrize(
    ("text", "message_id", "state", "err"),
    [
        ("id:1 stat:DELIVRD", "1", MessageState.DELIVERED, ""),
        ("id:15 submit date:1701240904 stat:DELIVRD err:000 text:", "15", 2, "000"),
        ("stat:UNDELIV err:0A1 id:0A1F", "0A1F", 5, "0A1"),
        ("ID:7 STAT:expired ERR:0x1f Text:", "7", 3, "0X1F"),
        ("id: 7 sub: 001 stat: REJECTD err: 12", "7", 8, "12"),
        ("id:7 err: stat:DELIVRD", "7", 2, ""),
        ("id:7,sub:001,stat:DELIVRD,err:000", "7", 2, "000"),
        ("id:7\tstat:ACCEPTD\terr:0", "7", 6, "0"),
        ("id:7\r\nstat:ENROUTE\r\nerr:0\r\n", "7", 1, "0"),
        ("id=7 stat=DELETED err=9", "7", 4, "9"),
        ("id:7 status:Delivered error:0", "7", 2, "0"),
        ("id:7 dlvd:1 donedate:2401151230 stat:FAILED", "7", 5, ""),
        ("id:7 stat:BLOCKED err:77", "7", None, "77"),
        ("text:hi there id:7 stat:DELIVRD", "7", 2, ""),
        ("id:5c1f0a-88 stat:UNKNOWN err:-1", "5c1f0a-88", 7, "-1"),
        ("  id:7   stat:SKIPPED\0", "7", 9, ""),
        ("valid:3 id:7 grid:9 stat:DELIVRD", "7", 2, ""),
        ("msgid:7 stat:SCHEDLD", "7", 0, ""),
    ],
)
def test_receipts_of_the_wild_are_read(text, message_id, state, err):
    found = facts(text)
    assert found.message_ids == (message_id,)
    assert found.message_state == state
    assert found.err == err


@pytest.mark.parametrize(
    "text", [b"", b"hello", b"\0\0", b"\xff\xfe", b"id:", b"stat:", b"id: stat:"]
)
def test_a_receipt_that_says_nothing_is_still_a_receipt(text):
    found = facts(text)
    assert (found.message_ids, found.message_state, found.is_final) == ((), None, False)


@pytest.mark.parametrize("data_coding", [0, 3, 8])
@pytest.mark.parametrize("charset", ["latin-1", "utf-16-be", "utf-16"])
def test_receipts_are_read_in_any_charset(charset, data_coding):
    """Carriers copy the data_coding of the message, whatever the receipt is written in."""
    octets = USUAL.encode(charset)
    octets = octets if charset != "utf-16" else b"\xfe\xff" + USUAL.encode("utf-16-be")
    payload = MESSAGE_PAYLOAD.make(octets)
    found = facts(b"", payload, data_coding=data_coding)
    assert found == facts(USUAL)


def test_a_header_before_the_receipt_is_passed_over():
    octets = bytes.fromhex("05 00 03 A7 01 01") + USUAL.encode()
    assert facts(octets, esm_class=0x44) == facts(USUAL)


def test_tlvs_come_before_text():
    found = facts(
        "id:99 stat:UNDELIV err:021",
        RECEIPTED_MESSAGE_ID.make("63"),
        MESSAGE_STATE.make(MessageState.EXPIRED),
        NETWORK_ERROR_CODE.make(b"\x03\x00\x15"),
    )
    assert found.message_ids == ("63", "99")
    assert found.message_state is MessageState.EXPIRED
    assert found.network_error_code == NetworkErrorCode(3, 21)
    assert found.stat == "UNDELIV"


@pytest.mark.parametrize(
    ("value", "text", "state"),
    [
        (b"\0", "stat:DELIVRD", MessageState.DELIVERED),
        (b"\0", "", MessageState.SCHEDULED),
        (b"\x0a", "stat:DELIVRD", MessageState.DELIVERED),
        (b"", "stat:DELIVRD", MessageState.DELIVERED),
        (b"\xff", "", None),
    ],
)
def test_a_state_that_is_none_leaves_it_to_the_text(value, text, state):
    assert facts(text, Tlv(0x0427, value)).message_state == state


def test_receipts_come_by_data_sm_too():
    tlvs = (RECEIPTED_MESSAGE_ID.make("63"), MESSAGE_STATE.make(2))
    found = parse_receipt(DataSm(esm_class=0x04, tlvs=tlvs))
    assert found is not None
    assert (found.message_ids, found.is_final) == (("63",), True)


@pytest.mark.parametrize(
    ("esm_class", "stat", "is_final"),
    [
        (0x04, "DELIVRD", True),
        (0x04, "UNDELIV", True),
        (0x04, "UNKNOWN", True),
        (0x04, "ACCEPTD", False),
        (0x04, "ENROUTE", False),
        (0x04, "SCHEDLD", False),
        (0x04, "WHATEVER", False),
        (0x08, "DELIVRD", True),
        (0x20, "DELIVRD", False),
        (0x20, "UNDELIV", False),
    ],
)
def test_only_a_final_state_of_a_final_receipt_ends_a_message(esm_class, stat, is_final):
    assert facts(f"id:1 stat:{stat}", esm_class=esm_class).is_final is is_final


def test_what_somebody_wrote_is_no_receipt():
    """A handset can write a receipt's text, but neither set esm_class nor a TLV."""
    forged = DeliverSm(short_message=USUAL.encode())
    assert parse_receipt(forged) is None
    assert parse_receipt(forged, trusts_text=True) == facts(USUAL)
    assert parse_receipt(DeliverSm(short_message=b"id:7"), trusts_text=True) is None
    assert parse_receipt(DeliverSm(esm_class=0xC3, short_message=USUAL.encode())) is None
    assert parse_receipt(DeliverSm(tlvs=(RECEIPTED_MESSAGE_ID.make("7"),))) is not None


def test_only_the_beginning_of_a_receipt_is_read():
    found = facts(b"", MESSAGE_PAYLOAD.make(b"id:7 text:" + b"x" * 60_000))
    assert len(found.text) < 1024


def test_a_receipt_shows_no_text_in_its_repr():
    assert "Hello" not in repr(facts(USUAL))


PLUS_3 = timezone(timedelta(hours=3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2401151230", datetime(2024, 1, 15, 12, 30, tzinfo=PLUS_3)),
        ("240115123045", datetime(2024, 1, 15, 12, 30, 45, tzinfo=PLUS_3)),
        ("20240115123045", datetime(2024, 1, 15, 12, 30, 45, tzinfo=PLUS_3)),
        ("202401151230", datetime(2024, 1, 15, 12, 30, tzinfo=PLUS_3)),
        ("2024-01-15 12:30:45", datetime(2024, 1, 15, 12, 30, 45, tzinfo=PLUS_3)),
        (
            "240115123045004+",
            datetime(2024, 1, 15, 12, 30, 45, tzinfo=timezone(timedelta(hours=1))),
        ),
        (
            "240115123045004-",
            datetime(2024, 1, 15, 12, 30, 45, tzinfo=timezone(-timedelta(hours=1))),
        ),
        (
            "240115123045099-",
            datetime(2024, 1, 15, 12, 30, 45, tzinfo=timezone(-timedelta(hours=12))),
        ),
        ("2413151230", None),
        ("2402301230", None),
        ("240115123", None),
        ("0", None),
        ("", None),
        ("yesterday", None),
        ("٢٤٠١١٥١٢٣٠", None),
    ],
)
def test_dates_have_many_shapes(text, expected):
    assert parse_receipt_date(text, zone=PLUS_3) == expected


@pytest.mark.parametrize("state", MessageState)
def test_what_is_rendered_is_read(state):
    done_at = datetime(2024, 1, 15, 12, 30, tzinfo=UTC)
    text = render_receipt(
        "0A1F", state, submit_date=done_at, done_date=done_at, err="011", text="Hi\nthere " * 9
    )
    found = facts(text)
    assert (found.message_ids, found.message_state, found.err) == (("0A1F",), state, "011")
    assert (found.submit_date, found.done_date) == (done_at, done_at)
    assert found.text == "Hi there Hi there Hi"
    assert found.dlvrd == (state is MessageState.DELIVERED)


def test_a_rendered_receipt_looks_as_in_the_specification():
    date = datetime(2024, 1, 15, 12, 30, tzinfo=UTC)
    found = render_receipt("7", MessageState.DELIVERED, submit_date=date, done_date=date, text="Hi")
    assert found == (
        "id:7 sub:001 dlvrd:001 submit date:2401151230 done date:2401151230 "
        "stat:DELIVRD err:000 text:Hi"
    )


SAME = [  # The style, the id of the response, the id of the receipt.
    ("exact", "0A1F", "0A1F"),
    ("exact", "0A1F ", "0A1F"),
    ("hex_in_receipt", "2591", "A1F"),
    ("hex_in_receipt", "0000002591", "00000a1f"),
    ("hex_in_receipt", "2591", "0xA1F"),
    ("hex_in_receipt", "5c1f-88", "5C1F-88"),
    ("decimal_in_receipt", "A1F", "2591"),
    ("decimal_in_receipt", "00000a1f", "0000002591"),
    ("decimal_in_receipt", "5c1f-88", "5C1F-88"),
    ("any", "2591", "0a1f"),
    ("any", "0A1F", "2591"),
    ("any", "2591", "0000002591"),
    ("any", "5C1F-88", "5c1f-88"),
    ("any", "0", "0000"),
]


@pytest.mark.parametrize(("style", "response", "receipt"), SAME)
def test_one_number_written_in_two_ways_is_found(style, response, receipt):
    style = MessageIdStyle(style)
    assert message_id_key(response, style) in message_id_forms(receipt, style)


@pytest.mark.parametrize(
    ("style", "response", "receipt"),
    [
        ("exact", "0A1F", "A1F"),
        ("exact", "0A1F", "0a1f"),
        ("hex_in_receipt", "2591", "2591"),
        ("decimal_in_receipt", "2591", "2591"),
        ("any", "2591", "2592"),
        ("any", "", "1"),
    ],
)
def test_other_numbers_are_not_found(style, response, receipt):
    style = MessageIdStyle(style)
    assert message_id_key(response, style) not in message_id_forms(receipt, style)


@pytest.mark.parametrize("style", MessageIdStyle)
@pytest.mark.parametrize("message_id", ["", "9" * 5000, "f" * 5000, "١٢", "1_0", "+1", "0x", " 7 "])
def test_any_id_has_a_key_and_few_forms(message_id, style):
    assert len(message_id_forms(message_id, style)) <= 3
    assert isinstance(message_id_key(message_id, style), str)


def test_the_likeliest_form_comes_first():
    assert message_id_forms("0010", MessageIdStyle.ANY) == ("10", "a", "16")
