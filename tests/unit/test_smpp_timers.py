"""The timers of a session: silence, inactivity, and a peer that never binds."""

import pytest

from trunkline.smpp.events import (
    Answered,
    Event,
    PeerSilent,
    Requested,
    TimedOut,
    Timer,
    TimerExpired,
)
from trunkline.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    DeliverSm,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from trunkline.smpp.session import Session
from trunkline.smpp.states import Role, State
from trunkline.smpp.wire import decode, encode

NOW = 1000.0
SUBMIT = SubmitSm(short_message=b"Hi")
DELIVER = DeliverSm(short_message=b"Yo")


def smsc(
    *,
    enquire_seconds: float | None = None,
    inactivity_seconds: float | None = None,
    session_init_seconds: float | None = None,
) -> Session:
    return Session(
        Role.SMSC,
        now=NOW,
        window_max=2,
        response_seconds=5,
        enquire_seconds=enquire_seconds,
        inactivity_seconds=inactivity_seconds,
        session_init_seconds=session_init_seconds,
    )


def bound(**timers: float) -> Session:
    made = smsc(**timers)
    made.receive(encode(BindTransceiver(), 1), NOW)
    made.respond(1, BindTransceiverResp())
    made.data_to_send()
    return made


def sent(by: Session) -> list[Pdu]:
    octets = by.data_to_send()
    return [decode(octets)[1]] if octets else []


def test_silence_is_asked_about_and_told():
    made = bound(enquire_seconds=30)
    assert made.next_deadline() == NOW + 30
    assert (made.tick(NOW + 29), sent(made)) == ([], [])
    assert (made.tick(NOW + 30), sent(made)) == ([], [EnquireLink()])
    assert made.next_deadline() == NOW + 35
    assert made.tick(NOW + 34) == []
    assert made.tick(NOW + 35) == [PeerSilent()]
    assert made.next_deadline() is None
    assert (made.tick(NOW + 999), sent(made)) == ([], [])


@pytest.mark.parametrize("answer", [EnquireLinkResp(), GenericNack()])
def test_an_answer_proves_life_and_is_no_event(answer):
    made = bound(enquire_seconds=30)
    made.tick(NOW + 30)
    header, _ = decode(made.data_to_send())
    assert made.receive(encode(answer, header.sequence_number), NOW + 31) == []
    assert made.next_deadline() == NOW + 61
    assert made.tick(NOW + 60) == []
    made.tick(NOW + 61)
    assert sent(made) == [EnquireLink()]


def test_whatever_is_heard_proves_life():
    """Some peers never answer an enquire_link, but send texts."""
    made = bound(enquire_seconds=30)
    made.tick(NOW + 30)
    assert made.receive(encode(SUBMIT, 2), NOW + 34) == [Requested(2, SUBMIT)]
    assert made.tick(NOW + 35) == []
    assert made.next_deadline() == NOW + 64


def test_part_of_a_pdu_proves_nothing():
    made = bound(enquire_seconds=30)
    made.tick(NOW + 30)
    made.receive(encode(SUBMIT, 2)[:-1], NOW + 34)
    assert made.tick(NOW + 35) == [PeerSilent()]
    made.receive(encode(SUBMIT, 2)[-1:], NOW + 36)
    assert made.next_deadline() == NOW + 66, "a peer that was only slow is asked again"


def test_a_full_window_leaves_room_to_ask():
    made = bound(enquire_seconds=3)
    first, second = made.request(DELIVER, NOW), made.request(DELIVER, NOW)
    made.data_to_send()
    assert (made.window_free, made.tick(NOW + 3)) == (0, [])
    assert sent(made) == [EnquireLink()]
    assert made.tick(NOW + 8) == [TimedOut(first, DELIVER), TimedOut(second, DELIVER), PeerSilent()]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", [s for s in State if s is not State.CLOSED])
def test_an_enquiry_is_answered_in_every_state(role, state):
    made = smsc()
    made.role, made.state = role, state
    assert made.receive(encode(EnquireLink(), 9), NOW) == []
    assert made.data_to_send() == encode(EnquireLinkResp(), 9)


def test_our_owner_may_enquire_too():
    made = bound()
    number = made.request(EnquireLink(), NOW)
    answer = encode(EnquireLinkResp(), number)
    assert made.receive(answer, NOW) == [Answered(number, 0, EnquireLinkResp())]


def test_an_enquiry_answered_twice_is_no_event():
    made = bound(enquire_seconds=30)
    assert made.receive(encode(EnquireLinkResp(), 99), NOW) == []


def test_an_unbound_session_asks_nothing():
    assert smsc(enquire_seconds=30, inactivity_seconds=60).next_deadline() is None


def test_inactivity_is_told_though_the_peer_is_there():
    made = bound(enquire_seconds=30, inactivity_seconds=60)
    events: list[Event] = []
    for seconds in range(10, 60, 10):
        made.receive(encode(EnquireLink(), seconds), NOW + seconds)
        events += made.tick(NOW + seconds)
    assert events == []
    assert made.tick(NOW + 60)[0] == TimerExpired(Timer.INACTIVITY)


def test_a_text_is_activity():
    made = bound(inactivity_seconds=60)
    made.receive(encode(SUBMIT, 2), NOW + 50)
    assert made.next_deadline() == NOW + 110
    made.respond(2, SubmitSmResp(message_id="7"))
    assert made.tick(NOW + 110) == [TimerExpired(Timer.INACTIVITY)]
    assert made.next_deadline() == NOW + 170


def test_a_peer_that_never_binds_is_told_once():
    made = smsc(session_init_seconds=10)
    assert made.next_deadline() == NOW + 10
    made.receive(encode(EnquireLink(), 1), NOW + 9)
    assert made.tick(NOW + 10) == [TimerExpired(Timer.SESSION_INIT)]
    assert made.next_deadline() is None


def test_a_bind_stops_the_timer():
    assert bound(session_init_seconds=10).next_deadline() is None


def test_all_timers_end_with_the_session():
    made = bound(enquire_seconds=30, inactivity_seconds=60, session_init_seconds=10)
    made.receive(encode(Unbind(), 2), NOW)
    assert made.data_to_send() == encode(UnbindResp(), 2)
    assert made.next_deadline() is None


def test_a_tick_at_the_deadline_is_never_too_early():
    """Deadlines are sums of fractions, and each is due at exactly the time that was named."""
    made = bound(enquire_seconds=0.1)
    for _ in range(50):
        at = made.next_deadline()
        assert at is not None
        assert made.tick(at) == []
        header, pdu = decode(made.data_to_send())
        assert pdu == EnquireLink()
        made.receive(encode(EnquireLinkResp(), header.sequence_number), at + 0.01)
