"""Whatever a stranger sends, SMPP is read or refused, and soon; and no request is forgotten."""

import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_smpp_pdu import ANY_PDU, GOLDEN
from trunkline.smpp.concatenation import Reassembly, segment_of
from trunkline.smpp.events import (
    Answered,
    Event,
    Late,
    Lost,
    Requested,
    StreamBroken,
    TimedOut,
)
from trunkline.smpp.fields import MalformedPdu
from trunkline.smpp.message_id import MessageIdStyle, message_id_forms, message_id_key
from trunkline.smpp.pdu import (
    UNANSWERED,
    BindTransceiver,
    BindTransceiverResp,
    DataSm,
    DeliverSm,
    SubmitSm,
    empty_answer,
)
from trunkline.smpp.receipt import parse_receipt
from trunkline.smpp.session import Session
from trunkline.smpp.states import Role, State
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.tlv import Tlv
from trunkline.smpp.wire import PDU_SIZE_MAX, decode, encode

MUTATIONS = 3000
# Generous for a slow machine; what is meant to be caught takes minutes or all memory.
SECONDS_MAX = 2.0
STATUSES = {status.value for status in CommandStatus}
WIRES = [bytes.fromhex(row.values[2]) for row in GOLDEN]  # type: ignore[arg-type]


def session(role: Role, state: State = State.OPEN) -> Session:
    made = Session(role, now=0, window_max=20, response_seconds=5, enquire_seconds=30)
    made.state = state
    return made


def mutated(chance: random.Random) -> bytes:
    """Return a PDU with a few octets changed, cut out, doubled or put in; its length may lie."""
    octets = bytearray(chance.choice(WIRES))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(octets))
        match chance.randrange(4):
            case 0:
                octets[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 1:
                del octets[at : at + chance.randint(1, 8)]
            case 2:
                octets[at:at] = octets[at : at + chance.randint(1, 40)]
            case _:
                octets[at:at] = chance.randbytes(chance.randint(1, 300))
        octets = octets or bytearray(1)
    if chance.random() < 0.8:
        octets[:4] = len(octets).to_bytes(4, "big")
    return bytes(octets)


def test_mutated_pdus_are_read_or_malformed():
    """Each one is decoded or raises MalformedPdu with a status that has a name."""
    chance = random.Random(1)
    refused: list[int] = []
    for _ in range(MUTATIONS):
        octets = mutated(chance)
        try:
            _, pdu = decode(octets)
        except MalformedPdu as error:
            refused.append(error.command_status)
        else:
            assert repr(pdu)
    assert MUTATIONS // 10 < len(refused) < MUTATIONS
    assert set(refused) <= STATUSES


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", [s for s in State if s is not State.CLOSED])
def test_mutated_pdus_break_no_session(role, state):
    """Nothing raises; the same octets mean the same in whatever pieces they come."""
    chance = random.Random(f"{role} {state}")
    for _ in range(MUTATIONS // 12):
        octets = b"".join(mutated(chance) for _ in range(3))
        whole = session(role, state)
        events = whole.receive(octets, 1)
        pieces = session(role, state)
        found: list[Event] = []
        for at in range(0, len(octets), size := chance.randint(1, 9)):
            found += pieces.receive(octets[at : at + size], 1)
        assert found == events
        assert pieces.data_to_send() == whole.data_to_send()
        is_broken = any(isinstance(event, StreamBroken) for event in events)
        assert is_broken == (whole.state is State.CLOSED)


@given(st.binary(max_size=400), st.sampled_from(Role))
def test_any_octets_break_no_session(octets, role):
    made = session(role, State.BOUND_TRX)
    made.receive(octets, 1)
    made.tick(100)
    made.close()
    assert made.window_free == 0


@given(st.lists(ANY_PDU, max_size=6), st.lists(st.integers(1, 50), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_pieces_of_any_size_mean_the_same(pdus, sizes):
    octets = b"".join(encode(pdu, number) for number, pdu in enumerate(pdus, 1))
    whole, pieces = session(Role.SMSC, State.BOUND_TRX), session(Role.SMSC, State.BOUND_TRX)
    events = whole.receive(octets, 1)
    found: list[Event] = []
    at = 0
    while at < len(octets):
        size = sizes[at % len(sizes)]
        found += pieces.receive(octets[at : at + size], 1)
        at += size
    assert found == events
    assert pieces.data_to_send() == whole.data_to_send()


WORDS = [
    *(
        "id:",
        "ID: ",
        "sub:",
        "dlvrd:001",
        "submit date:",
        "done date:2401151230",
        "stat:",
        "err:0A1",
    ),
    *(
        "text:",
        "Text:",
        "DELIVRD",
        "BLOCKED",
        "0x1f",
        "2413151230",
        "\r\n",
        "\t",
        " ",
        ",",
        "\0",
        "é",
    ),
    *("submit  date", "d" * 50, "id" * 50, "١٢", "9" * 50, "=", "-"),
]
RECEIPTS = st.lists(st.sampled_from(WORDS), max_size=30).map("".join)
RECEIPT_TLVS = st.lists(
    st.builds(Tlv, st.sampled_from([0x1E, 0x423, 0x424, 0x427]), st.binary(max_size=9)), max_size=4
).map(tuple)
RECEIPT_OCTETS = (
    RECEIPTS.map(lambda text: text.encode("latin-1", "replace")[:254])
    | RECEIPTS.map(lambda text: text.encode("utf-16-be")[:254])
    | st.binary(max_size=254)
)


@given(RECEIPT_OCTETS, RECEIPT_TLVS, st.integers(0, 255), st.integers(0, 255), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_receipt_is_read(octets, tlvs, esm_class, data_coding, trusts_text):
    for pdu in (
        DeliverSm(esm_class=esm_class, data_coding=data_coding, short_message=octets, tlvs=tlvs),
        DataSm(esm_class=esm_class, data_coding=data_coding, tlvs=(*tlvs, Tlv(0x424, octets))),
    ):
        found = parse_receipt(pdu, trusts_text=trusts_text)
        if found is not None:
            assert len(found.message_ids) <= 2
            assert not found.is_final or found.message_state is not None
        segment = segment_of(pdu)
        if segment.place:
            assert len(Reassembly(60).add(segment, now=0)) <= 1


@given(st.text(max_size=80), st.sampled_from(MessageIdStyle))
def test_any_id_finds_itself_where_nothing_is_converted(message_id, style):
    forms = message_id_forms(message_id, style)
    assert len(forms) <= 3
    if style in {MessageIdStyle.EXACT, MessageIdStyle.ANY}:
        assert message_id_key(message_id, style) in forms or not message_id.strip()


@pytest.mark.parametrize(
    "octets",
    [
        b"id" * 30_000,
        b"submit " * 9_000,
        b"id:" * 20_000,
        b" " * 60_000 + b"id:1",
        b"id:" + b"\t" * 60_000,
        b"9" * 60_000,
        b"\0i" * 30_000,
        bytes.fromhex("FF") + b"\0\0" * 30_000,
    ],
)
def test_a_long_receipt_is_read_soon(octets):
    began = time.perf_counter()
    for esm_class in (0x04, 0x44):
        assert parse_receipt(DataSm(esm_class=esm_class, tlvs=(Tlv(0x424, octets),))) is not None
    assert time.perf_counter() - began < SECONDS_MAX


def test_a_long_pdu_that_comes_octet_by_octet_costs_little():
    octets = encode(SubmitSm(tlvs=(Tlv(0x424, bytes(0xFFFF)),)), 1)
    assert len(octets) < PDU_SIZE_MAX
    made = session(Role.SMSC, State.BOUND_TRX)
    began = time.perf_counter()
    events = [event for octet in octets for event in made.receive(bytes((octet,)), 1)]
    assert time.perf_counter() - began < SECONDS_MAX
    assert [type(event) for event in events] == [Requested]


@pytest.mark.parametrize("seed", range(20))
def test_every_request_ends_once(seed):
    """Traffic both ways, answers late or never, the line cut at last: nothing is forgotten."""
    chance = random.Random(seed)
    ends = [session(Role.ESME), session(Role.SMSC)]
    asked = [Counter[int](), Counter[int]()]
    ended = [Counter[int](), Counter[int]()]
    waiting: list[list[Requested]] = [[], []]

    def note(me: int, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Requested) and type(event.pdu) not in UNANSWERED:
                waiting[me].append(event)
            if isinstance(event, Answered | TimedOut | Lost):
                ended[me][event.sequence_number] += 1
            assert not isinstance(event, StreamBroken)
            if isinstance(event, Late):
                assert ended[me][event.sequence_number] == 1

    now = 0.0
    bind = ends[0].request(BindTransceiver(), now)
    ends[1].receive(ends[0].data_to_send(), now)
    ends[1].respond(bind, BindTransceiverResp())
    ends[0].receive(ends[1].data_to_send(), now)
    for _ in range(400):
        now += chance.random() / 2
        me = chance.randrange(2)
        one, other = ends[me], ends[1 - me]
        match chance.randrange(5):
            case 0 if one.window_free and one.state is State.BOUND_TRX:
                asked[me][one.request((SubmitSm(), DeliverSm())[me], now)] += 1
            case 1 if waiting[me]:
                request = waiting[me].pop(chance.randrange(len(waiting[me])))
                one.respond(request.sequence_number, empty_answer(request.pdu))
            case 2:
                note(me, one.tick(now))
            case _:
                note(1 - me, other.receive(one.data_to_send(), now))
    for me, one in enumerate(ends):
        note(me, one.close())
    assert asked == ended
    assert set(ended[0].values()) == set(ended[1].values()) == {1}
    assert len(asked[0]) > 20
