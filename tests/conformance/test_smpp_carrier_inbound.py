"""Texts from handsets over SMPP: short and long ones, in any order, twice, and over a restart."""

import asyncio
import base64
import json
from functools import partial
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.smpp_carrier import NOON, MemoryJournal, Working, carrier_at
from tests.smsc import Peer, ScriptedSmsc
from trunkline.carriers.smpp import desk
from trunkline.domain.text import Encoding, encode_segment, split
from trunkline.runtime import ManualClock
from trunkline.smpp.concatenation import Carriage, carry
from trunkline.smpp.pdu import DataSm, DeliverSm
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.tlv import MESSAGE_PAYLOAD, Tlv

LONG = "Grüße, " * 40 + "€" + "x" * 60


def text(body: str = "Hi", **fields: object) -> DeliverSm:
    """Return a text from a handset."""
    values: dict[str, object] = {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": "14155550123",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": "12025550100",
        "short_message": encode_segment(body, Encoding.GSM7),
        **fields,
    }
    return DeliverSm(**values)  # type: ignore[arg-type]


def segments(body: str, *, by: Carriage = Carriage.UDH8, reference: int = 7) -> list[DeliverSm]:
    """Return the PDUs of a long text."""
    parts = split(body)
    octets = [encode_segment(part, parts.encoding) for part in parts.segments]
    data_coding = 0 if parts.encoding is Encoding.GSM7 else 8
    return [
        text(
            short_message=carried.short_message,
            esm_class=carried.esm_class,
            tlvs=carried.tlvs,
            data_coding=data_coding,
        )
        for carried in carry(octets, by=by, reference=reference)
    ]


async def acknowledged(working: Working, peer: Peer, pdu: DeliverSm | DataSm) -> int | None:
    """Deliver a PDU and return the status that answers it."""
    number = peer.deliver(pdu)
    await working.smsc.until(lambda: number in peer.answers)
    return peer.answers[number]


async def test_a_text_comes_with_its_addresses_as_we_write_them():
    """Numbers get their plus sign, short codes and names stay."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        peer = smsc.bound[0]
        assert await acknowledged(working, peer, text("Hello €")) == 0
        code = text("2", destination_addr="12345", dest_addr_ton=3)
        assert await acknowledged(working, peer, code) == 0
        name = text("3", source_addr="ACME", source_addr_ton=5)
        assert await acknowledged(working, peer, name) == 0
        first, second, third = working.texts
        assert (first.sender, first.recipient) == ("+14155550123", "+12025550100")
        assert (first.body, first.encoding, first.num_segments) == ("Hello €", "GSM-7", 1)
        assert second.recipient == "12345"
        assert third.sender == "ACME"
        assert len({first.ref, second.ref, third.ref}) == 3
        assert working.carrier.binds()[0].texts == 3


async def test_a_data_sm_is_a_text_too():
    """Its text is the payload."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        pdu = DataSm(
            source_addr="14155550123",
            source_addr_ton=1,
            destination_addr="12025550100",
            data_coding=8,
            tlvs=(MESSAGE_PAYLOAD.make("Żółć".encode("utf-16-be")),),
        )
        assert await acknowledged(working, smsc.bound[0], pdu) == 0
        assert [(t.body, t.encoding) for t in working.texts] == [("Żółć", "UCS-2")]


@pytest.mark.parametrize("by", [Carriage.UDH8, Carriage.UDH16, Carriage.SAR])
async def test_a_long_text_is_whole_in_any_order(by):
    """Each segment is acknowledged; the text is told once, when it is whole, and then forgotten."""
    journal = MemoryJournal()
    async with ScriptedSmsc() as smsc, carrier_at(smsc, journal=journal) as working:
        pdus = segments(LONG, by=by)
        assert len(pdus) == 3
        for reference, order in enumerate(permutations(range(3))):
            told = len(working.texts)
            for at in order:
                assert len(working.texts) == told
                pdu = segments(LONG, by=by, reference=reference)[at]
                assert await acknowledged(working, smsc.bound[0], pdu) == 0
            await smsc.until(partial(has_told, working, told + 1))
        assert {t.body for t in working.texts} == {LONG}
        assert {t.num_segments for t in working.texts} == {3}
        assert len({t.ref for t in working.texts}) == 6
        await smsc.until(lambda: not journal.segments)


def has_told(working: Working, count: int) -> bool:
    return len(working.texts) == count


async def test_segments_may_come_twice_and_on_different_connections():
    """A repeat changes nothing, before and after the text is whole."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc, lanes=2) as working:
        first, second, third = segments(LONG)
        one, other = smsc.bound
        for peer, pdu in ((one, third), (other, third), (other, first), (one, first)):
            assert await acknowledged(working, peer, pdu) == 0
        assert working.texts == []
        assert await acknowledged(working, one, second) == 0
        assert await acknowledged(working, other, second) == 0
        assert [t.body for t in working.texts] == [LONG]


async def test_a_long_text_survives_a_restart():
    """Segments that were acknowledged are there after a crash; the text is told under one name."""
    journal = MemoryJournal()
    first, second, third = segments(LONG)
    async with ScriptedSmsc() as smsc:
        async with carrier_at(smsc, journal=journal) as working:
            for pdu in (third, first):
                await acknowledged(working, smsc.bound[0], pdu)
        left = dict(journal.kept)
        assert len(left) == 2
        async with carrier_at(smsc, journal=journal) as working:
            await acknowledged(working, smsc.bound[0], second)
            await smsc.until(lambda: not journal.segments)
            (told,) = working.texts
            assert told.body == LONG
        # As if the power had failed before the journal forgot.
        journal.kept = {**left, **kept_of(journal, told.ref, second, left)}
        async with carrier_at(smsc, journal=journal) as working:
            await smsc.until(lambda: not journal.segments)
            (again,) = working.texts
        assert (again.ref, again.body) == (told.ref, told.body)


def kept_of(
    journal: MemoryJournal, ref: str, pdu: DeliverSm, left: dict[tuple[str, str, int], bytes]
) -> dict[tuple[str, str, int], bytes]:
    """Return the entry that the last segment had: its doc differs in number and octets alone."""
    (carrier, key, _), doc = next(iter(left.items()))
    assert key.endswith(ref.removeprefix("acme:"))
    decoded = json.loads(doc)
    octets = pdu.short_message[6:]
    decoded |= {"number": 2, "octets": base64.b64encode(octets).decode()}
    return {(carrier, key, 2): json.dumps(decoded).encode()}


async def test_a_journal_that_fails_refuses_the_segment_for_now():
    """What is not on disk is not acknowledged; the segment comes again."""
    journal = MemoryJournal(is_broken=True)
    async with ScriptedSmsc() as smsc, carrier_at(smsc, journal=journal) as working:
        pdus = segments(LONG)
        peer = smsc.bound[0]
        status = await acknowledged(working, peer, pdus[0])
        assert status == CommandStatus.ESME_RX_T_APPN
        journal.is_broken = False
        for pdu in pdus:
            assert await acknowledged(working, peer, pdu) == 0
        await smsc.until(lambda: working.texts)
        assert working.texts[0].body == LONG


async def test_a_whole_text_that_cannot_be_recorded_is_tried_again(monkeypatch):
    """Its segments were acknowledged and come no more: we try until it is recorded."""
    monkeypatch.setattr(desk, "RETRY_SECONDS", 0.02)
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        working.failures = 2
        for pdu in segments(LONG):
            assert await acknowledged(working, smsc.bound[0], pdu) == 0
        await smsc.until(lambda: working.texts)
        assert [t.body for t in working.texts] == [LONG]


async def test_a_text_with_a_missing_segment_is_told_without_it():
    """Waiting ends; what is there is told, and leaves the journal."""
    clock, journal = ManualClock(NOON), MemoryJournal()
    async with (
        ScriptedSmsc() as smsc,
        carrier_at(smsc, clock=clock, journal=journal) as working,
    ):
        first, _, third = segments(LONG)
        for pdu in (first, third):
            await acknowledged(working, smsc.bound[0], pdu)
        clock.advance(3599)
        assert working.texts == []
        clock.advance(2)
        await smsc.until(lambda: working.texts)
        parts = split(LONG).segments
        assert working.texts[0].body == parts[0] + parts[2]
        assert working.texts[0].num_segments == 2
        await smsc.until(lambda: not journal.segments)


async def test_a_reference_used_again_begins_another_text():
    """An unfinished text is told as it is when its reference means another one."""
    clock = ManualClock(NOON)
    async with ScriptedSmsc() as smsc, carrier_at(smsc, clock=clock) as working:
        peer = smsc.bound[0]
        await acknowledged(working, peer, segments("a" * 200)[0])
        clock.advance(10)
        for pdu in segments("b" * 200):
            await acknowledged(working, peer, pdu)
        await smsc.until(lambda: len(working.texts) == 2)
        assert [t.body for t in working.texts] == ["a" * 153, "b" * 200]
        assert len({t.ref for t in working.texts}) == 2


async def test_another_receipt_waits_for_nobody():
    """While a segment waits for the rest, texts of their own go on."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        peer = smsc.bound[0]
        await acknowledged(working, peer, segments(LONG)[0])
        assert await acknowledged(working, peer, text("short")) == 0
        assert [t.body for t in working.texts] == ["short"]


PDUS = st.builds(
    DeliverSm,
    esm_class=st.integers(0, 255),
    data_coding=st.integers(0, 255),
    source_addr_ton=st.integers(0, 255),
    source_addr=st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=20),
    destination_addr=st.text("0123456789+", max_size=20),
    short_message=st.binary(max_size=160),
    tlvs=st.lists(
        st.builds(
            Tlv,
            st.sampled_from([0x1E, 0x427, 0x424, 0x20C, 0x20E, 0x20F, 0x423, 0x1500]),
            st.binary(max_size=8),
        ),
        max_size=5,
    ).map(tuple),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pdus=st.lists(PDUS, min_size=1, max_size=30))
def test_whatever_a_carrier_delivers_is_answered(pdus):
    """No PDU goes without an answer, and none ends the connection."""

    async def deliver() -> None:
        async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
            peer = smsc.bound[0]
            numbers = [
                peer.deliver(pdu)
                for pdu in pdus
                if not (pdu.short_message and MESSAGE_PAYLOAD.of(pdu.tlvs) is not None)
            ]
            await smsc.until(lambda: all(number in peer.answers for number in numbers))
            assert {peer.answers[number] for number in numbers} <= {0}
            assert len(smsc.peers) == 1
            assert all("\0" not in t.body and "\ufffd" not in t.body for t in working.texts)

    asyncio.run(deliver())
