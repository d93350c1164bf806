"""Two sessions wired together, and one session against what peers do wrong."""

import pytest

from trunkline.smpp.events import (
    Answered,
    Bound,
    Event,
    Late,
    Lost,
    ProtocolError,
    Requested,
    StreamBroken,
    TimedOut,
    Unbound,
    Unmatched,
)
from trunkline.smpp.fields import SmeAddress
from trunkline.smpp.pdu import (
    AlertNotification,
    Bind,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    Pdu,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    Unknown,
    empty_answer,
)
from trunkline.smpp.session import Session
from trunkline.smpp.states import REQUESTS, STATE_AFTER_BIND, Role, State
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.window import LATE_MAX, Window
from trunkline.smpp.wire import HEADER_SIZE, PDU_SIZE_MAX, decode, encode, parse_header

NOW = 1000.0
SUBMIT = SubmitSm(source_addr="1", destination_addr="2", short_message=b"Hi")
DELIVER = DeliverSm(source_addr="2", destination_addr="1", short_message=b"Yo")
ENDLESS = bytes.fromhex("FFFFFFFF 00000004 00000000 00000001")


def session(
    role: Role = Role.ESME,
    *,
    window_max: int = 10,
    peer_window_max: int = 100,
    sequence_number: int = 0,
) -> Session:
    return Session(
        role,
        now=NOW,
        window_max=window_max,
        response_seconds=5,
        enquire_seconds=None,
        peer_window_max=peer_window_max,
        sequence_number=sequence_number,
    )


def sent(by: Session) -> list[tuple[int, int, Pdu]]:
    """Return what a session sends, as sequence_number, command_status and PDU."""
    octets, found = by.data_to_send(), []
    while octets:
        header, pdu = decode(octets[: parse_header(octets).command_length])
        found.append((header.sequence_number, header.command_status, pdu))
        octets = octets[header.command_length :]
    return found


def pass_on(one: Session, other: Session, now: float = NOW) -> list[Event]:
    """Carry what one sends to the other and return what that makes of it."""
    return other.receive(one.data_to_send(), now)


def bound(bind: Bind | None = None, *, window_max: int = 10) -> tuple[Session, Session]:
    """Return an ESME and an SMSC, bound to each other."""
    esme, smsc = session(window_max=window_max), session(Role.SMSC)
    bind = bind or BindTransceiver(system_id="me")
    number = esme.request(bind, NOW)
    assert pass_on(esme, smsc) == [Requested(number, bind)]
    granted = empty_answer(bind)
    smsc.respond(number, granted)
    assert pass_on(smsc, esme) == [Bound(number, granted)]
    assert esme.state == smsc.state == STATE_AFTER_BIND[type(bind)]
    return esme, smsc


def test_a_text_and_its_receipt_go_their_way():
    esme, smsc = bound()
    number = esme.request(SUBMIT, NOW)
    assert pass_on(esme, smsc) == [Requested(number, SUBMIT)]
    assert smsc.unanswered == 1
    smsc.respond(number, SubmitSmResp(message_id="7"))
    receipt = smsc.request(DELIVER, NOW)
    assert pass_on(smsc, esme) == [
        Answered(number, 0, SubmitSmResp(message_id="7")),
        Requested(receipt, DELIVER),
    ]
    esme.respond(receipt, DeliverSmResp())
    assert pass_on(esme, smsc) == [Answered(receipt, 0, DeliverSmResp())]
    assert smsc.unanswered == 0
    assert (esme.window_free, smsc.window_free) == (10, 10)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_octets_may_come_in_any_pieces(size):
    esme, smsc = bound()
    octets = b"".join(encode(SUBMIT, number) for number in range(1, 9))
    events: list[Event] = []
    for at in range(0, len(octets), size):
        events += smsc.receive(octets[at : at + size], NOW)
    assert events == [Requested(number, SUBMIT) for number in range(1, 9)]
    assert esme.state is State.BOUND_TRX


def test_what_comes_right_behind_the_bind_response_is_not_lost():
    esme = session()
    number = esme.request(BindTransceiver(), NOW)
    octets = encode(BindTransceiverResp(system_id="x"), number) + encode(DELIVER, 1)
    assert esme.receive(octets, NOW) == [
        Bound(number, BindTransceiverResp(system_id="x")),
        Requested(1, DELIVER),
    ]


def test_a_refused_bind_leaves_the_session_open():
    esme, smsc = session(), session(Role.SMSC)
    number = esme.request(BindTransceiver(), NOW)
    pass_on(esme, smsc)
    smsc.respond(number, BindTransceiverResp(), command_status=CommandStatus.ESME_RINVPASWD)
    assert pass_on(smsc, esme) == [Answered(number, 0x0E, BindTransceiverResp())]
    assert esme.state is smsc.state is State.OPEN
    assert esme.request(BindTransmitter(), NOW) == number + 1


@pytest.mark.parametrize("is_waiting", [True, False])
def test_a_second_bind_is_refused(is_waiting):
    smsc = session(Role.SMSC)
    smsc.receive(encode(BindTransceiver(), 1), NOW)
    if not is_waiting:
        smsc.respond(1, BindTransceiverResp())
    (event,) = smsc.receive(encode(BindReceiver(), 2), NOW)
    assert event == ProtocolError(2, 1, 0x05, "ESME_RALYBND in state " + smsc.state)
    assert sent(smsc)[-1] == (2, CommandStatus.ESME_RALYBND, BindReceiverResp())


def test_an_outbind_asks_for_a_bind():
    esme, smsc = session(), session(Role.SMSC)
    number = smsc.request(Outbind(system_id="x"), NOW)
    assert smsc.window_free == 10
    assert pass_on(smsc, esme) == [Requested(number, Outbind(system_id="x"))]
    assert {esme.state, smsc.state} == {State.OUTBOUND}
    asked = esme.request(BindReceiver(), NOW)
    pass_on(esme, smsc)
    smsc.respond(asked, BindReceiverResp())
    assert pass_on(smsc, esme) == [Bound(asked, BindReceiverResp())]
    assert smsc.state is State.BOUND_RX


def in_state(role: Role, state: State) -> Session:
    """Bring a session into a state, by its peer's doing where there is one."""
    made = session(role)
    made.state = state
    return made


EVERY_REQUEST = [
    SubmitMulti(dest_address=(SmeAddress(),)) if pdu_type is SubmitMulti else pdu_type()
    for pdu_type in sorted(frozenset().union(*REQUESTS[Role.ESME].values()), key=str)
]


@pytest.mark.parametrize("pdu", EVERY_REQUEST, ids=lambda pdu: type(pdu).__name__)
@pytest.mark.parametrize("state", [s for s in State if s is not State.CLOSED])
def test_what_the_table_forbids_is_refused(state, pdu):
    smsc = in_state(Role.SMSC, state)
    events = smsc.receive(encode(pdu, 7), NOW)
    if type(pdu) in REQUESTS[Role.ESME][state]:
        assert not any(isinstance(event, ProtocolError) for event in events)
        return
    (refusal,) = events
    assert isinstance(refusal, ProtocolError)
    is_bound = state in STATE_AFTER_BIND.values()
    is_twice = isinstance(pdu, Bind) and is_bound
    assert refusal.command_status == (0x05 if is_twice else 0x04)
    assert sent(smsc) == [(7, refusal.command_status, empty_answer(pdu))]


@pytest.mark.parametrize(
    ("bind", "pdu", "is_ours"),
    [
        (BindReceiver(), SUBMIT, True),
        (BindReceiver(), DataSm(), True),
        (BindTransmitter(), DELIVER, False),
        (BindTransmitter(), AlertNotification(), False),
        (BindTransceiver(), DELIVER, True),
        (BindTransceiver(), SUBMIT, False),
    ],
)
def test_our_own_requests_keep_to_the_table(bind, pdu, is_ours):
    esme, smsc = bound(bind)
    with pytest.raises(AssertionError):
        (esme if is_ours else smsc).request(pdu, NOW)


def test_an_alert_has_no_response():
    esme, smsc = bound()
    number = smsc.request(AlertNotification(source_addr="2"), NOW)
    assert smsc.window_free == 10
    assert pass_on(smsc, esme) == [Requested(number, AlertNotification(source_addr="2"))]
    assert esme.unanswered == 0
    with pytest.raises(AssertionError):
        esme.respond(number, GenericNack())


def test_colliding_numbers_are_two_directions():
    """Both ends count from 1: a deliver_sm with the number of our submit_sm answers nothing."""
    esme, _ = bound()
    number = esme.request(SUBMIT, NOW)
    assert esme.receive(encode(DELIVER, number), NOW) == [Requested(number, DELIVER)]
    other = DataSmResp(message_id="9")
    assert esme.receive(encode(other, number), NOW) == [Unmatched(number, 0, other)]
    assert esme.window_free == 9
    answer = SubmitSmResp(message_id="7")
    assert esme.receive(encode(answer, number), NOW) == [Answered(number, 0, answer)]
    assert esme.receive(encode(answer, number), NOW) == [Unmatched(number, 0, answer)]


def test_numbers_wrap():
    """SMPP 3.4 §5.1.4: from 1 to 0x7FFFFFFF."""
    esme = session(sequence_number=0x7FFFFFFE)
    esme.state = State.BOUND_TRX
    assert [esme.request(SUBMIT, NOW) for _ in range(3)] == [0x7FFFFFFF, 1, 2]


def test_numbers_in_flight_are_passed_over_and_so_are_overdue_ones():
    window = Window(size_max=10, response_seconds=5, sequence_number=0x7FFFFFFE)
    window.add(0x7FFFFFFF, SUBMIT, now=NOW)
    window.add(1, SUBMIT, now=NOW)
    window.overdue(NOW + 5)
    window.add(2, SUBMIT, now=NOW + 5)
    assert window.next_sequence_number() == 3


def test_the_window_is_full_when_it_is_full():
    esme, smsc = bound(window_max=2)
    first = esme.request(SUBMIT, NOW)
    esme.request(SUBMIT, NOW)
    assert esme.window_free == 0
    with pytest.raises(AssertionError):
        esme.request(SUBMIT, NOW)
    pass_on(esme, smsc)
    smsc.respond(first, SubmitSmResp(message_id="1"))
    pass_on(smsc, esme)
    assert esme.window_free == 1


def test_answers_may_come_in_any_order():
    esme, smsc = bound()
    numbers = [esme.request(SUBMIT, NOW) for _ in range(5)]
    pass_on(esme, smsc)
    for number in reversed(numbers):
        smsc.respond(number, SubmitSmResp(message_id=str(number)))
    events = pass_on(smsc, esme)
    answered = [e.sequence_number for e in events if isinstance(e, Answered)]
    assert answered == numbers[::-1]


def test_what_does_not_fit_is_not_sent_and_takes_no_room():
    esme, smsc = bound()
    with pytest.raises(ValueError, match="destination_addr"):
        esme.request(SubmitSm(destination_addr="1" * 30), NOW)
    assert (esme.window_free, esme.data_to_send()) == (10, b"")
    number = esme.request(SUBMIT, NOW)
    pass_on(esme, smsc)
    with pytest.raises(ValueError, match="message_id"):
        smsc.respond(number, SubmitSmResp(message_id="7" * 65))
    smsc.respond(number, SubmitSmResp(message_id="7"))


def test_an_overdue_request_is_told_and_its_late_answer_too():
    esme, _ = bound()
    number = esme.request(SUBMIT, NOW)
    assert esme.next_deadline() == NOW + 5
    assert esme.tick(NOW + 4.9) == []
    assert esme.tick(NOW + 5) == [TimedOut(number, SUBMIT)]
    assert esme.window_free == 10
    answer = SubmitSmResp(message_id="7")
    assert esme.receive(encode(answer, number), NOW + 6) == [Late(number, 0, answer)]
    assert esme.receive(encode(answer, number), NOW + 7) == [Unmatched(number, 0, answer)]


def test_only_so_many_overdue_requests_are_remembered():
    esme, _ = bound(window_max=LATE_MAX + 1)
    first, second, *_ = [esme.request(SUBMIT, NOW) for _ in range(LATE_MAX + 1)]
    assert len(esme.tick(NOW + 5)) == LATE_MAX + 1
    forgotten, known = (esme.receive(encode(SubmitSmResp(), n), NOW) for n in (first, second))
    assert forgotten == [Unmatched(first, 0, SubmitSmResp())]
    assert known == [Late(second, 0, SubmitSmResp())]


def test_a_generic_nack_ends_the_request_it_names():
    esme, _ = bound()
    number = esme.request(SUBMIT, NOW)
    nack = encode(GenericNack(), number, command_status=CommandStatus.ESME_RINVCMDLEN)
    assert esme.receive(nack, NOW) == [Answered(number, 2, GenericNack())]
    assert esme.window_free == 10
    unnamed = encode(GenericNack(), 0, command_status=3)
    assert esme.receive(unnamed, NOW) == [Unmatched(0, 3, GenericNack())]


def test_a_damaged_answer_is_an_answer():
    """An id that nobody can read is better than a text sent twice."""
    esme, _ = bound()
    number = esme.request(SUBMIT, NOW)
    body = b"7" * 300
    octets = encode(SubmitSmResp(), number)[4:HEADER_SIZE] + body
    octets = (len(octets) + 4).to_bytes(4, "big") + octets
    assert esme.receive(octets, NOW) == [Answered(number, 0, SubmitSmResp())]


def test_a_damaged_request_is_answered_and_the_session_goes_on():
    esme, smsc = bound()
    damaged = encode(SUBMIT, 5)[:-1]
    damaged = len(damaged).to_bytes(4, "big") + damaged[4:]
    refused, taken = smsc.receive(damaged + encode(SUBMIT, 6), NOW)
    assert isinstance(refused, ProtocolError)
    assert (refused.sequence_number, refused.command_status) == (5, CommandStatus.ESME_RINVMSGLEN)
    assert taken == Requested(6, SUBMIT)
    assert sent(smsc) == [(5, CommandStatus.ESME_RINVMSGLEN, SubmitSmResp())]
    assert esme.state is State.BOUND_TRX


@pytest.mark.parametrize("command_id", [0x111, 0x00010200, 0x7FFFFFFF])
def test_an_unknown_request_is_nacked(command_id):
    _, smsc = bound()
    octets = bytes.fromhex(f"00000012 {command_id:08X} 00000000 00000009 4869")
    assert smsc.receive(octets, NOW) == [ProtocolError(9, command_id, 3, "unknown command")]
    assert sent(smsc) == [(9, CommandStatus.ESME_RINVCMDID, GenericNack())]


def test_an_unknown_response_is_never_answered():
    esme, _ = bound()
    number = esme.request(SUBMIT, NOW)
    esme.data_to_send()
    octets = bytes.fromhex(f"00000010 80000111 00000000 {number:08X}")
    assert esme.receive(octets, NOW) == [
        Unmatched(number, 0, Unknown(received_command_id=0x80000111, body=b""))
    ]
    assert esme.data_to_send() == b""
    assert esme.window_free == 9


@pytest.mark.parametrize(
    "octets",
    [
        ENDLESS,
        bytes(16),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(9),
        (PDU_SIZE_MAX + 1).to_bytes(4, "big") + bytes(12),
    ],
    ids=["endless", "zeros", "HTTP", "TLS", "too long"],
)
def test_what_is_no_smpp_ends_the_session_behind_what_was(octets):
    esme, _ = bound()
    number = esme.request(SUBMIT, NOW)
    esme.data_to_send()
    answer = SubmitSmResp(message_id="7")
    answered, broken = esme.receive(encode(answer, number) + octets, NOW)
    assert answered == Answered(number, 0, answer)
    assert isinstance(broken, StreamBroken)
    assert sent(esme) == [(0, CommandStatus.ESME_RINVCMDLEN, GenericNack())]
    assert esme.is_over
    assert esme.receive(encode(DELIVER, 1), NOW) == []
    assert esme.tick(NOW + 99) == []
    assert esme.next_deadline() is None


def test_the_longest_pdu_is_taken():
    _, smsc = bound()
    body = encode(SUBMIT, 1)[HEADER_SIZE:]
    payload = b"\x04\x24\xff\xff" + bytes(0xFFFF) + b"\x14\x00"
    rest = PDU_SIZE_MAX - HEADER_SIZE - len(body) - len(payload) - 2
    octets = PDU_SIZE_MAX.to_bytes(4, "big") + encode(SUBMIT, 1)[4:] + payload
    octets += rest.to_bytes(2, "big") + bytes(rest)
    assert smsc.receive(octets[:-1], NOW) == []
    (event,) = smsc.receive(octets[-1:], NOW)
    assert isinstance(event, Requested)


@pytest.mark.parametrize(
    ("role", "pdu", "command_status"),
    [
        (Role.SMSC, SUBMIT, CommandStatus.ESME_RTHROTTLED),
        (Role.ESME, DELIVER, CommandStatus.ESME_RX_T_APPN),
    ],
)
def test_a_peer_that_does_not_wait_is_told_to_come_again(role, pdu, command_status):
    made = session(role, peer_window_max=2)
    made.state = State.BOUND_TRX
    events = made.receive(b"".join(encode(pdu, number) for number in (1, 2, 3)), NOW)
    assert [type(event) for event in events] == [Requested, Requested, ProtocolError]
    assert sent(made) == [(3, command_status, empty_answer(pdu))]
    made.receive(encode(EnquireLink(), 4), NOW)
    assert sent(made) == [(4, 0, EnquireLinkResp())]
    made.respond(1, empty_answer(pdu))
    assert made.receive(encode(pdu, 3), NOW) == [Requested(3, pdu)]


def test_each_request_is_answered_once():
    _, smsc = bound()
    smsc.receive(encode(SUBMIT, 5), NOW)
    with pytest.raises(AssertionError):
        smsc.respond(5, DataSmResp())
    smsc.respond(5, SubmitSmResp(message_id="7"))
    with pytest.raises(AssertionError):
        smsc.respond(5, SubmitSmResp(message_id="7"))


def test_a_peer_with_one_number_for_all_is_answered_each_time():
    _, smsc = bound()
    assert len(smsc.receive(encode(SUBMIT, 0) * 2, NOW)) == 2
    smsc.respond(0, SubmitSmResp(message_id="7"))
    smsc.respond(0, GenericNack(), command_status=CommandStatus.ESME_RSYSERR)
    assert [status for _, status, _ in sent(smsc)] == [0, CommandStatus.ESME_RSYSERR]
    assert smsc.unanswered == 0


def test_unbind_waits_until_both_windows_are_empty():
    esme, smsc = bound()
    number = esme.request(SUBMIT, NOW)
    asked = smsc.request(DELIVER, NOW)
    pass_on(smsc, esme)
    pass_on(esme, smsc)
    esme.unbind(NOW)
    assert esme.window_free == 0
    assert esme.data_to_send() == b""
    smsc.respond(number, SubmitSmResp(message_id="7"))
    assert pass_on(smsc, esme) == [Answered(number, 0, SubmitSmResp(message_id="7"))]
    assert esme.data_to_send() == b""
    esme.respond(asked, DeliverSmResp())
    answered, unbound = pass_on(esme, smsc)
    assert answered == Answered(asked, 0, DeliverSmResp())
    assert unbound == Unbound(by_peer=True)
    assert pass_on(smsc, esme) == [Unbound(by_peer=False)]
    assert esme.state is smsc.state is State.UNBOUND
    assert (esme.is_over, esme.window_free, esme.next_deadline()) == (True, 0, None)
    assert (esme.close(), smsc.close()) == ([], [])


def test_unbind_does_not_wait_for_ever():
    esme, _ = bound()
    esme.receive(encode(DELIVER, 5), NOW)
    number = esme.request(SUBMIT, NOW)
    esme.data_to_send()
    esme.unbind(NOW + 1)
    esme.unbind(NOW + 2)
    assert esme.tick(NOW + 5) == [TimedOut(number, SUBMIT)]
    assert esme.data_to_send() == b""
    assert esme.next_deadline() == NOW + 6
    assert esme.tick(NOW + 6) == []
    assert sent(esme) == [(number + 1, 0, Unbind())]
    assert esme.window_free == 0
    esme.unbind(NOW + 7)
    assert esme.data_to_send() == b""
    assert esme.tick(NOW + 11) == [TimedOut(number + 1, Unbind())]
    assert esme.state is State.UNBOUND


def test_a_nack_of_our_unbind_is_an_end_too():
    esme, _ = bound()
    esme.unbind(NOW)
    ((number, _, _),) = sent(esme)
    nack = encode(GenericNack(), number, command_status=3)
    assert esme.receive(nack, NOW) == [Unbound(by_peer=False)]


def test_the_peers_unbind_waits_for_our_answers():
    _, smsc = bound()
    smsc.receive(encode(SUBMIT, 5), NOW)
    assert smsc.receive(encode(Unbind(), 6), NOW) == [Unbound(by_peer=True)]
    assert (smsc.window_free, smsc.data_to_send()) == (0, b"")
    (refused,) = smsc.receive(encode(SUBMIT, 7), NOW)
    assert isinstance(refused, ProtocolError)
    smsc.receive(encode(EnquireLink(), 8), NOW)
    assert [number for number, _, _ in sent(smsc)] == [7, 8]
    smsc.respond(5, SubmitSmResp(message_id="7"))
    assert [pdu for _, _, pdu in sent(smsc)] == [SubmitSmResp(message_id="7"), UnbindResp()]
    assert smsc.state is State.UNBOUND


def test_the_peers_unbind_does_not_wait_for_ever():
    _, smsc = bound()
    smsc.receive(encode(SUBMIT, 5) + encode(Unbind(), 6), NOW)
    assert smsc.next_deadline() == NOW + 5
    smsc.tick(NOW + 5)
    assert sent(smsc) == [(6, 0, UnbindResp())]
    assert smsc.state is State.UNBOUND


def test_the_peers_unbind_waits_for_its_own_answers():
    """What it has taken it may still say; who is gone first would submit that again."""
    for me, mine, answer, other in (
        (bound()[0], SUBMIT, SubmitSmResp(message_id="7"), DELIVER),
        (bound()[1], DELIVER, DeliverSmResp(), SUBMIT),
    ):
        number = me.request(mine, NOW)
        me.receive(encode(other, 5), NOW)
        me.data_to_send()
        assert me.receive(encode(Unbind(), 6), NOW) == [Unbound(by_peer=True)]
        me.respond(5, empty_answer(other))
        assert UnbindResp() not in [pdu for _, _, pdu in sent(me)]
        assert me.receive(encode(answer, number), NOW + 1) == [Answered(number, 0, answer)]
        assert [pdu for _, _, pdu in sent(me)] == [UnbindResp()]
        assert me.state is State.UNBOUND


def test_the_peers_unbind_waits_for_its_own_answers_as_long_as_one_takes():
    esme, _ = bound()
    number = esme.request(SUBMIT, NOW)
    esme.data_to_send()
    esme.receive(encode(Unbind(), 6), NOW + 1)
    assert esme.tick(NOW + 5) == [TimedOut(number, SUBMIT)]
    assert sent(esme) == [(6, 0, UnbindResp())]


def test_unbinds_may_cross():
    esme, smsc = bound()
    esme.unbind(NOW)
    smsc.unbind(NOW)
    from_esme, from_smsc = esme.data_to_send(), smsc.data_to_send()
    assert esme.receive(from_smsc, NOW) == [Unbound(by_peer=True)]
    assert smsc.receive(from_esme, NOW) == [Unbound(by_peer=True)]
    assert pass_on(esme, smsc) == pass_on(smsc, esme) == [Unbound(by_peer=False)]
    assert esme.state is smsc.state is State.UNBOUND


def test_closing_names_what_is_in_doubt():
    esme, _ = bound()
    numbers = [esme.request(SUBMIT, NOW) for _ in range(2)]
    esme.receive(encode(DELIVER, 5), NOW)
    assert esme.close() == [Lost(number, SUBMIT) for number in numbers]
    assert esme.close() == []
    esme.data_to_send()
    esme.respond(5, DeliverSmResp())
    assert (esme.state, esme.window_free, esme.data_to_send()) == (State.CLOSED, 0, b"")


def test_what_is_sent_is_sent_once():
    esme, _ = bound()
    esme.request(SUBMIT, NOW)
    assert esme.data_to_send() == encode(SUBMIT, 2)
    assert esme.data_to_send() == b""


def test_unbind_is_asked_for_by_its_own_name():
    esme, _ = bound()
    with pytest.raises(AssertionError):
        esme.request(Unbind(), NOW)
    with pytest.raises(AssertionError):
        session().unbind(NOW)
