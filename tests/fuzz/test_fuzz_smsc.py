"""Whatever clients send to the SMPP server, each request is answered, and the server goes on."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.esme import PHONE, Esme, serving, text
from tests.fuzz.test_fuzz_smpp import mutated
from tests.harness import NOON, Trunkline
from tests.unit.test_smpp_pdu import pdus
from trunkline.domain.carrier import SmppCredential
from trunkline.flows import customers
from trunkline.flows.deliveries import ReceiptNote, TextNote
from trunkline.smpp.concatenation import Reassembly, segment_of
from trunkline.smpp.pdu import CancelSm, DataSm, Pdu, QuerySm, ReplaceSm, SubmitMulti, SubmitSm
from trunkline.smpp.receipt import parse_receipt
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.tlv import SAR_MSG_REF_NUM, SAR_SEGMENT_SEQNUM, SAR_TOTAL_SEGMENTS
from trunkline.smpp.wire import decode, encode
from trunkline.smsc.desk import Desk, Request
from trunkline.smsc.rendering import deliver_sms
from trunkline.smsc.server import SmscServer
from trunkline.store.deliveries import DeliveryRow, count_deliveries

C = CommandStatus
MUTANTS = 150
REQUESTS = st.one_of(*map(pdus, (SubmitSm, DataSm, SubmitMulti, QuerySm, CancelSm, ReplaceSm)))
OCTETS = st.binary(max_size=140)
# Some that are taken, so that all of what follows is exercised, too.
TEXTS = st.builds(
    text,
    OCTETS,
    source_addr_ton=st.integers(0, 6),
    source_addr=st.text("+0123456789 ABCé", max_size=20),
    destination_addr=st.sampled_from([PHONE, "15555500001", "15555530005", "0", " 15558675310"]),
    data_coding=st.sampled_from([0, 1, 3, 6, 7, 8, 14]),
    registered_delivery=st.integers(0, 31),
)


def of_three(number: int, reference: int, body: bytes) -> SubmitSm:
    """Return one segment of three."""
    return text(
        body,
        tlvs=(
            SAR_MSG_REF_NUM.make(reference),
            SAR_TOTAL_SEGMENTS.make(3),
            SAR_SEGMENT_SEQNUM.make(number),
        ),
    )


PARTS = st.builds(of_three, st.integers(0, 4), st.integers(0, 1), OCTETS)


@pytest.fixture
async def smsc(tmp_path: Path) -> AsyncIterator[tuple[Trunkline, SmscServer]]:
    """Yield a program and its SMPP server."""
    program = Trunkline(tmp_path / "data")
    async with serving(program.app) as server:
        yield program, server
    await program.close()


BATCHES = st.lists(REQUESTS | TEXTS | PARTS, min_size=1, max_size=8)


def batches_of(examples: int) -> list[list[Pdu]]:
    """Return what hypothesis thinks of, which cannot wait for answers itself."""
    found: list[list[Pdu]] = []

    @settings(max_examples=examples, deadline=None, database=None)
    @given(BATCHES)
    def note(batch: list[Pdu]) -> None:
        found.append(batch)

    note()
    return found


async def test_each_request_is_answered_once_whatever_it_says(
    smsc: tuple[Trunkline, SmscServer],
) -> None:
    """Nothing is a system error, no answer fails to fit, and what is owed can be delivered."""
    program, _ = smsc
    platform = program.app.platform
    credential: SmppCredential = await customers.find(platform, "simulator")
    desk = Desk(platform)
    statuses: set[int] = set()
    for batch in batches_of(150):
        asked = [Request(number, pdu) for number, pdu in enumerate(batch)]
        replies = await desk.answer(credential, asked, now=0.0)
        assert sorted(reply.sequence_number for reply in replies) == list(range(len(batch)))
        for reply in replies:
            octets = encode(reply.pdu, 1, command_status=reply.command_status)
            assert decode(octets)[0].command_status == reply.command_status
            statuses.add(reply.command_status)
    assert C.ESME_ROK in statuses
    assert C.ESME_RSYSERR not in statuses
    await program.run_for(60)
    account_sid = credential.account_sid
    assert await platform.store.read(lambda db: count_deliveries(db, account_sid, "simulator"))
    async with await Esme.connect(smsc[1].port) as esme:
        assert await esme.bind("simulator", "password") == C.ESME_ROK
        assert parse_receipt(await esme.next_delivery()) is not None


async def test_mutants_end_their_own_connection_at_most(
    smsc: tuple[Trunkline, SmscServer],
) -> None:
    """A bound peer that sends nonsense is answered or let go; the next one finds all in order."""
    chance = random.Random(11)
    _, server = smsc
    troubles: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: troubles.append(context))
    for _ in range(MUTANTS):
        esme = await Esme.connect(server.port)
        assert await esme.bind("simulator", "password") == C.ESME_ROK
        assert esme.transport
        esme.observe = lambda event: None  # type: ignore[method-assign]
        esme.transport.write(b"".join(mutated(chance) for _ in range(5)))
        esme.transport.write_eof()
        await esme.until(esme.closed)
    async with await Esme.connect(server.port) as esme:
        assert await esme.bind("simulator", "password") == C.ESME_ROK
        assert (await esme.submit(text()))[0][0] == C.ESME_ROK
    assert not troubles


def row_of(kind: str, note: ReceiptNote | TextNote) -> DeliveryRow:
    """Return the row that is kept of a note."""
    return DeliveryRow(
        sid="DL" + "0" * 32,
        account_sid="AC",
        message_sid="SM",
        system_id="acme",
        kind=kind,
        doc=msgspec.to_builtins(note),
        due_at=NOON,
        created_at=NOON,
    )


ADDRESSES = st.text(max_size=30) | st.sampled_from(["+15558675310", "12345", "ACME", ""])


@given(ADDRESSES, ADDRESSES, st.text(st.characters(exclude_categories=["Cs"]), max_size=1600))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_brought(sender: str, recipient: str, body: str) -> None:
    """In segments that fit, which are the whole text again."""
    reassembly = Reassembly(60.0, texts_max=9, segments_max=99)
    pdus = deliver_sms(row_of("text", TextNote(sender=sender, recipient=recipient, body=body)))
    segments = [segment_of(pdu) for pdu in pdus]
    whole = [text for each in segments if each.place for text in reassembly.add(each, now=0.0)]
    assert len(whole) == (len(pdus) > 1)
    for pdu in pdus:
        assert decode(encode(pdu, 1))[1] == pdu


TRIPLES = st.tuples(
    st.integers(0, 255),
    st.integers(0, 255),
    st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=20),
)


@given(
    TRIPLES,
    TRIPLES,
    st.sampled_from(["delivered", "undelivered", "failed", "canceled", "expired", "read"]),
    st.none() | st.sampled_from([30003, 30005, 30036, 21610, 0]),
    st.text(max_size=20),
)
@settings(max_examples=200, deadline=None)
def test_any_receipt_can_be_brought(
    source: tuple[int, int, str],
    destination: tuple[int, int, str],
    status: str,
    error_code: int | None,
    words: str,
) -> None:
    """It fits, and is read as a final one of that message."""
    note = ReceiptNote(
        message_id="SM" + "0" * 32 + "-255",
        status=status,
        error_code=error_code,
        submitted_at=NOON,
        done_at=NOON,
        text=words,
        source=source,
        destination=destination,
        reference=0xFFFF,
    )
    (pdu,) = deliver_sms(row_of("receipt", note))
    assert decode(encode(pdu, 1))[1] == pdu
    facts = parse_receipt(pdu)
    assert facts is not None
    assert facts.is_final
    assert note.message_id in facts.message_ids
