"""smpp34, a stack in Rust, on both ends: a client of our SMPP server, and the SMSC of a carrier."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import smpp34

from tests.interop.smpp.serving import (
    LONG_GSM,
    LONG_UCS2,
    OUR_NUMBER,
    PASSWORD,
    SHORT_CODE,
    SYSTEM_ID,
    Smsc,
    add_carrier,
    add_route,
    say,
    send,
    serving_smpp,
)
from tests.ports import free_port
from tests.processes import PHONE, Server, receiving, running, wait_until
from trunkline.domain.text import Encoding, decode_segment, encode_segment, split

SECONDS = 10
UDHI = 0x40
RECEIPT = 0x04
DELIVERED = 2
INVALID_RECIPIENT = 0x0B
# SMPP 3.4 §5.3.2; the library's stubs do not say that it has them.
RECEIPTED_MESSAGE_ID, MESSAGE_PAYLOAD, MESSAGE_STATE = 0x001E, 0x0424, 0x0427
DATA_CODING = {Encoding.GSM7: 0, Encoding.UCS2: 8}


@pytest.fixture(scope="module")
def smsc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Smsc]:
    with serving_smpp(tmp_path_factory.mktemp("smpp34")) as smsc:
        yield smsc


@contextlib.asynccontextmanager
async def bound(smsc: Smsc) -> AsyncIterator[smpp34.Smsc]:
    """Yield a session that is bound as a transceiver; it unbinds at the end."""
    client = smpp34.Client("127.0.0.1", smsc.port, SYSTEM_ID, PASSWORD, bind_type="TRX")
    async with asyncio.timeout(SECONDS):
        session = await client.connect()
        try:
            yield session
            await session.unbind()
        finally:
            await client.stop()


async def submit(
    session: smpp34.Smsc,
    phone: str,
    short_message: bytes,
    *,
    data_coding: int = 0,
    esm_class: int = 0,
    tlvs: list[smpp34.Tlv] | None = None,
) -> str:
    """Send one segment from our short code, ask for its receipt and return its id."""
    response = await session.submit_sm(
        phone.removeprefix("+"),
        short_message,
        source_addr=SHORT_CODE,
        source_addr_ton=3,
        dest_addr_ton=1,
        dest_addr_npi=1,
        registered_delivery=1,
        data_coding=data_coding,
        esm_class=esm_class,
        tlvs=tlvs or [],
    )
    assert response.is_success, hex(response.command_status)
    assert response.message_id
    return response.message_id


async def delivered(session: smpp34.Smsc) -> smpp34.DeliverSmEvent:
    """Return what is delivered next."""
    event = await session.next()
    assert isinstance(event, smpp34.DeliverSmEvent)
    return event


def values(event: smpp34.DeliverSmEvent) -> dict[int, bytes]:
    return {tlv.tag: tlv.value for tlv in event.tlvs}


async def receipted(session: smpp34.Smsc, count: int) -> dict[str, smpp34.DeliverSmEvent]:
    """Return so many receipts by the ids that they name."""
    events = [await delivered(session) for _ in range(count)]
    assert {event.esm_class for event in events} == {RECEIPT}
    assert {values(event)[MESSAGE_STATE] for event in events} == {bytes([DELIVERED])}
    return {values(e)[RECEIPTED_MESSAGE_ID].rstrip(b"\0").decode(): e for e in events}


@pytest.mark.parametrize(
    ("phone", "body"),
    [("+15558673001", "Grüße @ {€}"), ("+15558673002", "नमस्ते 👋")],
    ids=["gsm", "ucs2"],
)
async def test_a_text_arrives_and_its_receipt_names_it(smsc: Smsc, phone: str, body: str) -> None:
    """The id of the response is in the receipt's TLV and in its text."""
    encoding = split(body).encoding
    async with bound(smsc) as session:
        octets = encode_segment(body, encoding)
        message_id = await submit(session, phone, octets, data_coding=DATA_CODING[encoding])
        [(named, receipt)] = (await receipted(session, 1)).items()
    assert named == message_id
    assert receipt.short_message.startswith(f"id:{message_id} sub:001 dlvrd:001 ".encode())
    assert receipt.source_addr == phone.removeprefix("+")
    assert receipt.destination_addr == SHORT_CODE
    assert smsc.server.bodies(phone) == [body]


@pytest.mark.parametrize(
    ("phone", "body"),
    [("+15558673003", LONG_GSM), ("+15558673004", LONG_UCS2)],
    ids=["gsm", "ucs2"],
)
async def test_parts_that_are_sent_all_at_once_become_one_text(
    smsc: Smsc, phone: str, body: str
) -> None:
    """They are in the window together, with 16-bit references; each is answered and receipted."""
    whole = split(body)
    total = len(whole.segments)
    parts = [
        bytes((6, 8, 4, 0xAB, 0xCD, total, number)) + encode_segment(segment, whole.encoding)
        for number, segment in enumerate(whole.segments, 1)
    ]
    coding = DATA_CODING[whole.encoding]
    async with bound(smsc) as session:
        sent = [submit(session, phone, p, data_coding=coding, esm_class=UDHI) for p in parts]
        ids = await asyncio.gather(*sent)
        assert sorted(await receipted(session, total)) == sorted(ids)
    assert len(set(ids)) == total > 2
    assert smsc.server.bodies(phone) == [body]


async def test_a_text_in_message_payload_is_one_message(smsc: Smsc) -> None:
    """More than fits into short_message goes into the TLV; vendors' TLVs come along."""
    phone = "+15558673005"
    payload = encode_segment(LONG_UCS2, Encoding.UCS2)
    tlvs = [smpp34.Tlv(MESSAGE_PAYLOAD, payload), smpp34.Tlv(0x1400, b"1101\0")]
    async with bound(smsc) as session:
        message_id = await submit(session, phone, b"", data_coding=8, tlvs=tlvs)
        assert list(await receipted(session, 1)) == [message_id]
    assert smsc.server.bodies(phone) == [LONG_UCS2]


async def test_many_receipts_come_once_each(smsc: Smsc) -> None:
    """A full window of texts after the other: none is refused, no receipt is lost or repeated."""
    count = 1500
    async with bound(smsc) as session:
        phones = [f"+1555868{number:04}" for number in range(count)]
        # Read while it sends: the client refuses what it has no room to keep.
        sending = asyncio.gather(*(submit(session, phone, b"Hello") for phone in phones))
        receipts, ids = await asyncio.gather(receipted(session, count), sending)
    assert len(receipts) == count
    assert receipts.keys() == set(ids)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [("Grüße @ {€}", Encoding.GSM7), ("नमस्ते 👋", Encoding.UCS2)],
    ids=["gsm", "ucs2"],
)
async def test_what_a_phone_says_is_received(smsc: Smsc, body: str, encoding: Encoding) -> None:
    """It comes from the phone to our number, in the alphabet that it needs."""
    phone = "+15558673006"
    async with bound(smsc) as session:
        say(smsc.server, body, phone=phone)
        text = await delivered(session)
    assert (text.data_coding, text.esm_class) == (DATA_CODING[encoding], 0)
    assert decode_segment(text.short_message, encoding) == body
    assert (text.source_addr, text.source_addr_ton, text.source_addr_npi) == (phone[1:], 1, 1)
    assert text.destination_addr == OUR_NUMBER.removeprefix("+")


@dataclass
class RustSmsc:
    """The SMSC that our carrier leads to: it takes what does not say "refuse me"."""

    server: smpp34.Server
    bound: dict[str, smpp34.Esme] = field(default_factory=dict)
    taken: list[smpp34.SubmitSmEvent] = field(default_factory=list)

    async def serve(self) -> None:
        """Answer until cancelled."""
        while True:
            match await self.server.next():
                case smpp34.Esme() as esme:
                    self.bound[esme.session_id] = esme
                case smpp34.SubmitSmEvent() as event if b"refuse me" in event.short_message:
                    event.reject(INVALID_RECIPIENT)
                case smpp34.SubmitSmEvent() as event:
                    await self.take(event)

    async def take(self, event: smpp34.SubmitSmEvent) -> None:
        """Accept a segment and send its receipt, which is made of TLVs."""
        self.taken.append(event)
        message_id = f"r-{len(self.taken):04x}"
        event.accept(message_id)
        tlvs = [
            smpp34.Tlv(RECEIPTED_MESSAGE_ID, message_id.encode() + b"\0"),
            smpp34.Tlv(MESSAGE_STATE, bytes([DELIVERED])),
        ]
        answer = await self.bound[event.session_id].deliver_sm(
            event.source_addr, source_addr=event.destination_addr, esm_class=RECEIPT, tlvs=tlvs
        )
        assert answer.is_success


@contextlib.asynccontextmanager
async def carrying(server: Server) -> AsyncIterator[RustSmsc]:
    """Yield an SMSC that a carrier of ours is told of."""
    port = free_port()
    smsc = RustSmsc(smpp34.Server("127.0.0.1", port))
    await smsc.server.start()
    serving = asyncio.create_task(smsc.serve())
    add_carrier(server, "rust", port=port, system_id="trunkline")
    add_route(server, "rust", prefix="+1")
    try:
        yield smsc
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await smsc.server.stop()


async def test_as_a_carrier_it_takes_what_we_send(tmp_path: Path) -> None:
    """Each segment is taken and receipted; what it refuses has failed with the code for that."""
    with receiving() as receiver, running(tmp_path) as server:
        async with carrying(server) as smsc:
            bodies = ("Grüße @ {€}", LONG_GSM, LONG_UCS2, "refuse me")
            callback = receiver.url()
            sids = [send(server, PHONE, body, callback=callback) for body in bodies]
            ended = {"delivered", "failed"}
            await asyncio.to_thread(
                wait_until, lambda: all(ended & set(receiver.statuses(sid)) for sid in sids)
            )
        ends = [receiver.statuses(sid)[-1] for sid in sids]
        assert ends == ["delivered", "delivered", "delivered", "failed"]
        # It looks at what came side by side, so not in the order of sending.
        assert sorted(text_of(event) for event in smsc.taken) == sorted(
            segment for body in bodies[:-1] for segment in split(body).segments
        )


def text_of(event: smpp34.SubmitSmEvent) -> str:
    """Return the text of a segment without its header of six octets."""
    octets = event.short_message[6:] if event.esm_class & UDHI else event.short_message
    return decode_segment(octets, Encoding.UCS2 if event.data_coding else Encoding.GSM7)
