"""aiosmpplib, an ESME on asyncio that splits and joins texts itself, against our SMPP server."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiosmpplib import ESME, NPI, TON, AbstractHook, DeliverSm, PhoneNumber, SubmitSm, SubmitSmResp
from aiosmpplib.state import MESSAGE_STATE, RECEIPTED_MESSAGE_ID

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

SECONDS = 60  # For what takes a second on an idle machine.
UDHI = 0x40
DELIVERED = 2


@pytest.fixture(scope="module")
def smsc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Smsc]:
    with serving_smpp(tmp_path_factory.mktemp("aiosmpplib")) as smsc:
        yield smsc


class Notes(AbstractHook):  # type: ignore[misc]  # The library has no types.
    """What the client says that happened."""

    def __init__(self) -> None:
        self.responses: list[Any] = []
        self.receipts: list[Any] = []
        self.texts: list[Any] = []
        self.errors: list[Exception] = []
        self.segments = 0
        self._news = asyncio.Condition()

    async def sending(self, smpp_message: Any, pdu: bytes, client_id: str) -> None:
        """Count the segments that leave."""
        self.segments += isinstance(smpp_message, SubmitSm)

    async def received(self, smpp_message: Any, pdu: bytes, client_id: str) -> None:
        """Note what the whole of a text led to; single segments come as None."""
        match smpp_message:
            case DeliverSm():
                noted = self.receipts if smpp_message.is_receipt() else self.texts
                noted.append(smpp_message)
            case SubmitSmResp():
                self.responses.append(smpp_message)
        async with self._news:
            self._news.notify_all()

    async def send_error(self, smpp_message: Any, error: Exception, client_id: str) -> None:
        """Note why something was not sent."""
        self.errors.append(error)

    def receipts_of(self, phone: str) -> list[Any]:
        """Return the receipts that the client matched with texts to a phone.

        One that it was told of and had not answered when it left is delivered again.
        """
        return [receipt for receipt in self.receipts if receipt.log_id == phone]

    def texts_of(self, phone: str) -> list[Any]:
        """Return what a phone said; the same holds for it."""
        return [text for text in self.texts if text.source.number == phone.removeprefix("+")]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds, looking at it with everything that comes in."""
        async with asyncio.timeout(SECONDS), self._news:
            await self._news.wait_for(condition)
        assert self.errors == []


@contextlib.asynccontextmanager
async def bound(smsc: Smsc) -> AsyncIterator[tuple[Any, Notes]]:
    """Yield a client that is bound as a transceiver, and its notes; it unbinds at the end."""
    notes = Notes()
    esme = ESME(
        smsc_host="127.0.0.1",
        smsc_port=smsc.port,
        system_id=SYSTEM_ID,
        password=PASSWORD,
        hook=notes,
        log_level=logging.CRITICAL,
    )
    await esme.connect()
    writer = esme._writer  # It ends the stream and leaves the socket to the garbage collector.
    running = asyncio.create_task(esme.start())
    await asyncio.wait_for(esme._bound.wait(), SECONDS)
    try:
        yield esme, notes
    finally:
        await asyncio.wait_for(asyncio.gather(esme.stop(), running), SECONDS)
        writer.close()


def text_to(phone: str, body: str, **fields: object) -> Any:
    return SubmitSm(
        short_message=body,
        source=PhoneNumber(SHORT_CODE, TON.NETWORK_SPECIFIC, NPI.UNKNOWN),
        destination=PhoneNumber(phone.removeprefix("+"), TON.INTERNATIONAL, NPI.ISDN),
        log_id=phone,
        **fields,
    )


def tlvs_of(pdu: Any) -> dict[int, object]:
    return {parameter.tag: parameter.value for parameter in pdu.optional_params}


@pytest.mark.parametrize(
    ("phone", "body"),
    [("+15558672001", "Grüße @ {€}"), ("+15558672002", "नमस्ते 👋")],
    ids=["gsm", "ucs2"],
)
async def test_a_text_arrives_and_its_receipt_is_matched(smsc: Smsc, phone: str, body: str) -> None:
    """The client finds its own message by the id in the receipt."""
    async with bound(smsc) as (esme, notes):
        await esme.broker.enqueue(text_to(phone, body))
        await notes.until(lambda: notes.receipts_of(phone))
        [response], [receipt] = notes.responses, notes.receipts_of(phone)
    parsed = receipt.parse_receipt()
    assert (parsed["id"], parsed["stat"], parsed["err"]) == (response.message_id, "DELIVRD", 0)
    assert (parsed["sub"], parsed["dlvrd"]) == (1, 1)
    assert parsed["submit date"] <= parsed["done date"]
    assert tlvs_of(receipt)[RECEIPTED_MESSAGE_ID] == response.message_id
    assert tlvs_of(receipt)[MESSAGE_STATE] == DELIVERED
    assert receipt.log_id == phone
    assert smsc.server.bodies(phone) == [body]


@pytest.mark.parametrize(
    ("phone", "body"),
    [("+15558672003", LONG_GSM), ("+15558672004", LONG_UCS2)],
    ids=["gsm", "ucs2"],
)
async def test_a_text_that_it_splits_arrives_whole(smsc: Smsc, phone: str, body: str) -> None:
    """Its parts carry headers; the client reports once all parts are answered and receipted."""
    async with bound(smsc) as (esme, notes):
        await esme.broker.enqueue(text_to(phone, body, esm_class=UDHI, auto_message_payload=False))
        await notes.until(lambda: notes.receipts_of(phone))
        assert len(notes.receipts_of(phone)) == 1
        assert notes.segments > 2
    assert smsc.server.bodies(phone) == [body]


async def test_a_text_in_message_payload_is_one_message(smsc: Smsc) -> None:
    """Left to itself, the client puts what is long into the TLV."""
    phone = "+15558672005"
    async with bound(smsc) as (esme, notes):
        await esme.broker.enqueue(text_to(phone, LONG_UCS2))
        await notes.until(lambda: notes.receipts_of(phone))
        assert len(notes.responses) == 1
    assert smsc.server.bodies(phone) == [LONG_UCS2]


@pytest.mark.parametrize(
    ("phone", "body"),
    [("+15558672006", "Grüße @ {€}"), ("+15558672007", LONG_GSM), ("+15558672008", LONG_UCS2)],
    ids=["one", "gsm", "ucs2"],
)
async def test_what_a_phone_says_is_received(smsc: Smsc, phone: str, body: str) -> None:
    """However long it is, the client joins it and has it in one piece."""
    async with bound(smsc) as (_, notes):
        say(smsc.server, body, phone=phone)
        await notes.until(lambda: notes.texts_of(phone))
        [text] = notes.texts_of(phone)
    assert (text.short_message or text.message_payload) == body
    assert text.source == PhoneNumber(phone.removeprefix("+"), TON.INTERNATIONAL, NPI.ISDN)
    assert text.destination.number == OUR_NUMBER.removeprefix("+")


async def test_many_texts_are_taken_in_one_go(smsc: Smsc) -> None:
    """The client does not wait for answers; all texts arrive, each receipt finds its text."""
    phone = "+15558672009"
    bodies = [f"number {number}" for number in range(100)]
    async with bound(smsc) as (esme, notes):
        for body in bodies:
            await esme.broker.enqueue(text_to(phone, body))
        await notes.until(lambda: len(notes.receipts_of(phone)) == len(bodies))
        taken = {response.message_id for response in notes.responses}
        assert {receipt.parse_receipt()["id"] for receipt in notes.receipts_of(phone)} == taken
        assert len(taken) == len(bodies)
    assert sorted(smsc.server.bodies(phone)) == sorted(bodies)
