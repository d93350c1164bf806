"""smpplib, an ESME in pure Python that reads and writes on one thread, against our SMPP server."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest
from smpplib import consts, gsm
from smpplib.client import Client
from smpplib.exceptions import PDUError

from tests.interop.smpp.serving import (
    LONG_GSM,
    LONG_UCS2,
    OUR_NUMBER,
    PASSWORD,
    SHORT_CODE,
    SYSTEM_ID,
    Smsc,
    say,
    serving_smpp,
)

SECONDS = 10
# SMPP 3.4 §5.2.12; the library does not name it.
ESM_CLASS_RECEIPT = 0x04


@pytest.fixture(scope="module")
def smsc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Smsc]:
    with serving_smpp(tmp_path_factory.mktemp("smpplib")) as smsc:
        yield smsc


@dataclass
class Esme:
    """A bound client and what it was told."""

    client: Any
    taken: list[Any] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)
    queried: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client.set_message_sent_handler(self.note_taken)
        self.client.set_message_received_handler(self.note_received)
        self.client.set_query_resp_handler(self.queried.append)

    def note_taken(self, pdu: Any) -> None:
        """Be told of an answer to a submit_sm."""
        self.taken.append(pdu)

    def note_received(self, pdu: Any) -> None:
        """Be told of a deliver_sm; returning nothing makes the client answer that it is well."""
        self.received.append(pdu)

    def read_until(self, condition: Callable[[], object]) -> None:
        """Read PDU after PDU until *condition* holds."""
        deadline = monotonic() + SECONDS
        while not condition():
            assert monotonic() < deadline, (self.taken, self.received)
            self.client.read_once()

    def submit(self, short_message: bytes, recipient: str, **fields: object) -> None:
        """Send one segment, from our short code if nothing else is said; ask for its receipt."""
        usual = {"source_addr_ton": consts.SMPP_TON_NWSPEC, "source_addr": SHORT_CODE}
        self.client.send_message(
            dest_addr_ton=consts.SMPP_TON_INTL,
            dest_addr_npi=consts.SMPP_NPI_ISDN,
            destination_addr=recipient.removeprefix("+"),
            short_message=short_message,
            registered_delivery=True,
            **{**usual, **fields},
        )

    def receipts(self) -> dict[str, Any]:
        """Return the receipts by the ids that they name."""
        return {text(p.receipted_message_id): p for p in self.received if p.receipted_message_id}

    def ids(self) -> list[str]:
        """Return the ids of what was taken."""
        return [text(pdu.message_id) for pdu in self.taken]


def text(octets: bytes) -> str:
    return octets.rstrip(b"\0").decode()


@contextlib.contextmanager
def bound(smsc: Smsc, *, password: str = PASSWORD) -> Iterator[Esme]:
    """Yield a client that is bound as a transceiver; it unbinds at the end."""
    client = Client("127.0.0.1", smsc.port, timeout=1, allow_unknown_opt_params=True)
    client.connect()
    try:
        client.bind_transceiver(system_id=SYSTEM_ID, password=password)
        yield Esme(client)
        client.unbind()
    finally:
        client.state = consts.SMPP_CLIENT_STATE_OPEN
        client.disconnect()


def test_a_text_arrives_and_its_receipt_names_it(smsc: Smsc) -> None:
    """The receipt has the id both in its text and in its TLV, and says DELIVRD and 2."""
    phone = "+15558671001"
    with bound(smsc) as esme:
        esme.submit(gsm.gsm_encode("Grüße @ {€}"), phone)
        esme.read_until(esme.receipts)
        [(message_id, receipt)] = esme.receipts().items()
        assert esme.ids() == [message_id]
        assert receipt.esm_class == ESM_CLASS_RECEIPT
        assert receipt.message_state == consts.SMPP_MESSAGE_STATE_DELIVERED
        assert text(receipt.short_message).startswith(f"id:{message_id} sub:001 dlvrd:001 ")
        assert " stat:DELIVRD err:000 " in text(receipt.short_message)
        assert text(receipt.source_addr) == phone.removeprefix("+")
        assert text(receipt.destination_addr) == SHORT_CODE
    assert smsc.server.bodies(phone) == ["Grüße @ {€}"]


@pytest.mark.parametrize(
    ("phone", "body", "encoding"),
    [
        ("+15558671002", LONG_GSM, consts.SMPP_ENCODING_DEFAULT),
        ("+15558671003", LONG_UCS2, consts.SMPP_ENCODING_ISO10646),
        ("+15558671004", "Ça coûte 5 ¥ à l'été. " * 20, consts.SMPP_ENCODING_ISO88591),
    ],
    ids=["gsm", "ucs2", "latin1"],
)
def test_a_long_text_arrives_whole_although_characters_span_parts(
    smsc: Smsc, phone: str, body: str, encoding: int
) -> None:
    """It is one message on the phone; each part has an id and a receipt of its own."""
    parts, encoding, esm_class = gsm.make_parts(body, encoding)
    with bound(smsc) as esme:
        for part in parts:
            esme.submit(part, phone, data_coding=encoding, esm_class=esm_class)
        esme.read_until(lambda: len(esme.receipts()) == len(parts) > 2)
        assert sorted(esme.receipts()) == sorted(esme.ids())
        assert {pdu.message_state for pdu in esme.receipts().values()} == {2}
    assert smsc.server.bodies(phone) == [body]


def test_parts_may_be_marked_by_tlvs_and_come_in_any_order(smsc: Smsc) -> None:
    """The parts of a text go out last first, with sar TLVs instead of a header."""
    phone = "+15558671005"
    parts, encoding, esm_class = gsm.make_parts(LONG_GSM, use_udhi=False)
    with bound(smsc) as esme:
        for number, part in reversed(list(enumerate(parts, 1))):
            esme.submit(
                part,
                phone,
                data_coding=encoding,
                esm_class=esm_class,
                sar_msg_ref_num=0xABCD,
                sar_total_segments=len(parts),
                sar_segment_seqnum=number,
            )
        esme.read_until(lambda: len(esme.receipts()) == len(parts))
    assert smsc.server.bodies(phone) == [LONG_GSM]


def test_a_text_in_message_payload_is_one_message(smsc: Smsc) -> None:
    """More than fits into short_message goes into the TLV."""
    phone = "+15558671006"
    with bound(smsc) as esme:
        esme.submit(b"", phone, message_payload=gsm.gsm_encode(LONG_GSM))
        esme.read_until(esme.receipts)
        assert list(esme.receipts()) == esme.ids()
    assert smsc.server.bodies(phone) == [LONG_GSM]


@pytest.mark.parametrize(
    ("body", "data_coding"), [("Grüße @ {€}", 0), ("नमस्ते 👋", 8)], ids=["gsm", "ucs2"]
)
def test_what_a_phone_says_is_received(smsc: Smsc, body: str, data_coding: int) -> None:
    """It comes from the phone to our number, in the alphabet that it needs."""
    phone = "+15558671007"
    with bound(smsc) as esme:
        say(smsc.server, body, phone=phone)
        esme.read_until(lambda: esme.received)
        [incoming] = esme.received
        octets = gsm.gsm_encode(body) if data_coding == 0 else body.encode("utf-16-be")
        assert incoming.short_message == octets
        assert (incoming.data_coding, incoming.esm_class) == (data_coding, 0)
        assert text(incoming.source_addr) == phone.removeprefix("+")
        assert text(incoming.destination_addr) == OUR_NUMBER.removeprefix("+")
        assert (incoming.source_addr_ton, incoming.source_addr_npi) == (1, 1)


def test_a_reply_reaches_whoever_wrote_last(smsc: Smsc) -> None:
    """The client writes from a number that the API's users have too; the phone answers there."""
    phone, number = "+15558671009", smsc.server.number
    with bound(smsc) as esme:
        esme.submit(b"Who is it?", phone, source_addr=number.removeprefix("+"), source_addr_ton=1)
        esme.read_until(esme.receipts)
        say(smsc.server, "It is me.", phone=phone, to=number)
        esme.read_until(lambda: len(esme.received) == 2)
        assert esme.received[1].short_message == b"It is me."


def test_the_state_of_a_message_can_be_queried(smsc: Smsc) -> None:
    """After its receipt, query_sm says the same."""
    with bound(smsc) as esme:
        esme.submit(b"how is it?", "+15558671008")
        esme.read_until(esme.receipts)
        esme.client.query_message(
            message_id=esme.ids()[0],
            source_addr_ton=consts.SMPP_TON_NWSPEC,
            source_addr_npi=0,
            source_addr=SHORT_CODE,
        )
        esme.read_until(lambda: esme.queried)
        assert text(esme.queried[0].message_id) == esme.ids()[0]
        assert esme.queried[0].message_state == consts.SMPP_MESSAGE_STATE_DELIVERED


def test_a_wrong_password_is_refused(smsc: Smsc) -> None:
    """The status says that it is the password."""
    with pytest.raises(PDUError) as refused, bound(smsc, password="wrong"):
        raise AssertionError("it was let in")
    assert refused.value.args[1] == consts.SMPP_ESME_RINVPASWD
