"""The SMPP connector against a scripted SMSC on a real socket."""

import asyncio
from functools import partial

import pytest
import uvloop

from tests.smpp_carrier import Working, carrier_at, long_message, numbered, submission
from tests.smsc import Peer, Script, ScriptedSmsc, hold, receipt, refuse_bind
from trunkline.carriers.port import Deferred, InDoubt, LateTaken, Refused, Taken
from trunkline.carriers.smpp import desk, pace
from trunkline.carriers.smpp.sender import THROTTLES_IN_A_ROW_MAX
from trunkline.smpp.events import Unbound
from trunkline.smpp.pdu import (
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DeliverSm,
    GenericNack,
    SubmitSm,
    SubmitSmResp,
)
from trunkline.smpp.status import CommandStatus as Status
from trunkline.smpp.wire import encode


async def test_a_text_is_taken_and_its_receipt_told():
    """The id of the answer is the name that the receipt uses; it is acknowledged once recorded."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        assert await working.carrier.submit(0, [submission()]) == [Taken("1")]
        peer = smsc.bound[0]
        number = peer.deliver(receipt("1"))
        await smsc.until(lambda: number in peer.answers)
        assert peer.answers[number] == 0
        assert [(r.carrier_ref, r.delivered) for r in working.receipts] == [("1", True)]
        assert working.receipts[0].detail["stat"] == "DELIVRD"
        (sent,) = smsc.submits
        assert (sent.source_addr, sent.destination_addr) == ("12025550100", "14155550123")
        assert (sent.source_addr_ton, sent.dest_addr_ton, sent.registered_delivery) == (1, 1, 1)
        assert sent.short_message == b"Hello"


async def test_the_bind_says_who_we_are():
    """Passwords longer than the specification's eight octets go out whole."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc, {"system_type": "SMPP"}):
        bind = smsc.bound[0].bind
        assert isinstance(bind, BindTransceiver)
        assert (bind.system_id, bind.password) == ("esme", "much longer than eight")
        assert (bind.system_type, bind.interface_version) == ("SMPP", 0x34)


async def test_a_receipt_may_overtake_the_answer():
    """What a receipt says is told whenever it comes."""

    def receipt_first(peer: Peer, number: int, pdu: SubmitSm) -> None:
        peer.deliver(receipt("early"))
        peer.accept(number, "early")

    async with ScriptedSmsc(Script(submit=receipt_first)) as smsc, carrier_at(smsc) as working:
        assert await working.carrier.submit(0, [submission()]) == [Taken("early")]
        await smsc.until(lambda: working.receipts)
        assert working.receipts[0].carrier_ref == "early"


async def test_a_receipt_may_come_on_another_connection():
    """Lanes receive for each other."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc, lanes=2) as working:
        await working.carrier.submit(0, [submission()])
        sender = next(peer for peer, _, pdu in smsc.seen if isinstance(pdu, SubmitSm))
        other = next(peer for peer in smsc.bound if peer is not sender)
        other.deliver(receipt("1"))
        await smsc.until(lambda: working.receipts)
        assert working.receipts[0].carrier_ref == "1"


async def test_a_pair_submits_on_one_connection_and_receives_on_the_other():
    """Carriers without transceivers give one connection for each way."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc, {"bind_type": "pair"}) as working:
        kinds = {type(peer.bind): peer for peer in smsc.bound}
        assert set(kinds) == {BindTransmitter, BindReceiver}
        assert await working.carrier.submit(0, [submission()]) == [Taken("1")]
        number = kinds[BindReceiver].deliver(receipt("1"))
        await smsc.until(lambda: number in kinds[BindReceiver].answers)
        assert working.receipts
        assert {state.kind for state in working.carrier.binds()} == {"transmitter", "receiver"}


async def test_a_text_that_is_too_long_in_the_alphabet_of_the_carrier_is_refused():
    """Nothing of it is sent, and another carrier may take it."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc, {"default_charset": "ucs2"}) as working:
        sent = [submission("a" * 100), submission("short", message_sid="SM2")]
        refused, taken = await working.carrier.submit(0, sent)
        assert isinstance(refused, Refused)
        assert (refused.error_code, refused.may_fail_over) == (30019, True)
        assert taken == Taken("1")
        assert [pdu.short_message.decode("utf-16-be") for pdu in smsc.submits] == ["short"]


async def test_the_window_is_kept_and_the_order_too():
    """No more wait for answers than the carrier grants; they leave as they came."""
    script = Script(submit=hold)
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc, {"window": "4"}) as working:
        assert working.carrier.room(0) == 8
        batch = asyncio.create_task(working.carrier.submit(0, numbered(20)))
        peer = smsc.bound[0]
        for left in (16, 12, 8, 4, 0):
            await smsc.until(lambda: len(peer.unanswered) == 4)
            assert working.carrier.binds()[0].window_used == 4
            assert working.carrier.room(0) == (0 if left else 4)
            waiting, peer.unanswered = peer.unanswered, []
            # The last first: answers need no order.
            for number, pdu in reversed(waiting):
                peer.accept(number, pdu.short_message.decode())
        results = await batch
        assert results == [Taken(f"text {n}") for n in range(20)]
        assert [pdu.short_message.decode() for pdu in smsc.submits] == [
            f"text {n}" for n in range(20)
        ]
        await smsc.until(lambda: working.carrier.room(0) == 8)


async def test_room_comes_back_when_half_is_free():
    """A lane fetches batches: it is told of room only when there is some for one."""
    script = Script(submit=hold)
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc, {"window": "4"}) as working:
        batch = asyncio.create_task(working.carrier.submit(0, numbered(8)))
        peer = smsc.bound[0]
        rooms = []
        for _ in range(8):
            await smsc.until(lambda: peer.unanswered)
            taken = working.carrier.binds()[0].taken
            number, _ = peer.unanswered.pop(0)
            peer.accept(number)
            await smsc.until(partial(has_taken, working, taken + 1))
            rooms.append(working.carrier.room(0))
        await batch
        assert rooms == [0, 0, 0, 4, 5, 6, 7, 8]


def has_taken(working: Working, count: int) -> bool:
    return working.carrier.binds()[0].taken == count


async def test_the_rate_is_kept():
    """Segments leave no faster than agreed, measured where they arrive."""
    loop = asyncio.get_running_loop()
    times: list[float] = []

    def note(peer: Peer, number: int, pdu: SubmitSm) -> None:
        times.append(loop.time())
        peer.accept(number)

    async with ScriptedSmsc(Script(submit=note)) as smsc:
        async with carrier_at(smsc, {"messages_per_second": "50"}) as working:
            await working.carrier.submit(0, numbered(11))
            assert working.carrier.binds()[0].per_second == 50
        assert times[-1] - times[0] >= 10 / 50 - 0.025


async def test_throttling_slows_down_and_never_binds_anew(monkeypatch):
    """A throttled segment goes back; others wait at a slower rate, on the same connection."""
    monkeypatch.setattr(pace, "PAUSE_SECONDS", 0.1)

    def throttle(peer: Peer, number: int, pdu: SubmitSm) -> None:
        peer.refuse(number, Status.ESME_RTHROTTLED)

    script = Script(submit=throttle)
    fast = {"messages_per_second": "400"}
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc, fast) as working:
        (result,) = await working.carrier.submit(0, [submission()])
        assert isinstance(result, Deferred)
        assert not result.may_fail_over
        state = working.carrier.binds()[0]
        assert (state.per_second, state.throttled) == (200, 1)
        assert working.carrier.room(0) == 0
        script.submit = Script().submit
        await smsc.until(lambda: working.carrier.room(0))
        assert await working.carrier.submit(0, [submission()]) == [Taken("1")]
        assert len(smsc.peers) == 1


async def test_throttling_that_does_not_end_lets_others_try(monkeypatch):
    """After some throttled answers in a row, however slow we became, another carrier may."""
    monkeypatch.setattr(pace, "PAUSE_SECONDS", 0.02)
    script = Script(submit=lambda peer, number, pdu: peer.refuse(number, Status.ESME_RMSGQFUL))
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc) as working:
        may_fail_over = []
        for _ in range(THROTTLES_IN_A_ROW_MAX):
            await smsc.until(lambda: working.carrier.room(0))
            (result,) = await working.carrier.submit(0, [submission()])
            assert isinstance(result, Deferred)
            may_fail_over.append(result.may_fail_over)
        assert may_fail_over == [*[False] * (THROTTLES_IN_A_ROW_MAX - 1), True]


async def test_a_peer_that_does_not_read_is_not_written_to_without_end():
    """Requests wait while the connection is full; when the peer reads again they go on."""
    payload = {"segmentation": "message_payload", "window": "1000", "response_seconds": "20"}
    async with ScriptedSmsc() as smsc, carrier_at(smsc, payload) as working:
        peer = smsc.bound[0]
        assert peer.transport
        peer.transport.pause_reading()
        big = [
            one
            for n in range(500)
            for one in long_message("x" * 30_000, "y" * 30_000, message_sid=f"SM{n}")
        ]
        batch = asyncio.create_task(working.carrier.submit(0, big))
        written: list[int] = []

        def has_stopped() -> bool:
            written.append(working.carrier.binds()[0].submitted)
            return len(written) > 5 and written[-5] == written[-1] > 0

        await smsc.until(has_stopped)
        assert written[-1] < 500
        peer.transport.resume_reading()
        results = await batch
        assert all(isinstance(result, Taken) for result in results)


async def test_a_lost_connection_leaves_doubt_and_is_made_again():
    """What was written is in doubt, what was not goes back, and both ends meet again."""
    script = Script(submit=hold)
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc, {"window": "2"}) as working:
        assert working.carrier.down_since is None
        batch = asyncio.create_task(working.carrier.submit(0, numbered(3)))
        await smsc.until(lambda: len(smsc.bound[0].unanswered) == 2)
        smsc.bound[0].drop()
        first, second, third = await batch
        assert isinstance(first, InDoubt)
        assert isinstance(second, InDoubt)
        assert isinstance(third, Deferred)
        smsc.script.submit = Script().submit
        await working.bound()
        assert await working.carrier.submit(0, [submission()]) == [Taken("1")]
        assert working.carrier.binds()[0].in_doubt == 2


async def test_an_answer_that_comes_too_late_is_told(monkeypatch):
    """A segment in doubt that was taken after all is told, as often as it takes."""
    monkeypatch.setattr(desk, "RETRY_SECONDS", 0.02)
    script = Script(submit=hold)
    async with (
        ScriptedSmsc(script) as smsc,
        carrier_at(smsc, {"response_seconds": "0.1"}) as working,
    ):
        sent = submission()
        (result,) = await working.carrier.submit(0, [sent])
        assert isinstance(result, InDoubt)
        working.failures = 1
        peer = smsc.bound[0]
        peer.accept(peer.unanswered[0][0], "late")
        await smsc.until(lambda: working.happenings)
        assert working.happenings == [LateTaken(submission=sent, carrier_ref="late")]
        assert len(smsc.peers) == 1


async def test_nothing_is_acknowledged_that_was_not_recorded():
    """While the store is away the carrier is asked to come again; then it is told once."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        peer = smsc.bound[0]
        working.failures = 1
        first = peer.deliver(receipt("7"))
        await smsc.until(lambda: first in peer.answers)
        assert peer.answers[first] == Status.ESME_RX_T_APPN
        assert working.happenings == []
        again = peer.deliver(receipt("7"))
        await smsc.until(lambda: again in peer.answers)
        assert peer.answers[again] == 0
        assert len(working.receipts) == 1


async def test_what_comes_together_is_recorded_together():
    """A burst is one call; one that cannot be recorded fails alone."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        peer = smsc.bound[0]
        burst = b"".join(encode(receipt(f"id-{n}"), 1000 + n) for n in range(50))
        peer.send_raw(burst)
        await smsc.until(lambda: len(working.receipts) == 50)
        assert len(working.calls) <= 2
        working.poison = "id-53"
        numbers = [peer.deliver(receipt(f"id-{n}")) for n in range(51, 56)]
        await smsc.until(lambda: all(number in peer.answers for number in numbers))
        answers = [peer.answers[number] for number in numbers]
        assert answers == [0, 0, Status.ESME_RX_T_APPN, 0, 0]


async def test_pdus_right_behind_the_bind_response_count():
    """A carrier may deliver in the very octets that grant the bind."""

    def grant_and_deliver(peer: Peer, number: int, pdu: object) -> None:
        assert isinstance(pdu, BindTransceiver)
        Script().bind(peer, number, pdu)
        peer.deliver(receipt("at once"))

    async with ScriptedSmsc(Script(bind=grant_and_deliver)) as smsc, carrier_at(smsc) as working:
        await smsc.until(lambda: working.receipts)
        assert working.receipts[0].carrier_ref == "at"


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_pdus_come_in_whatever_pieces(size):
    """TCP has no borders: a PDU octet by octet is a PDU."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        octets = encode(receipt("a"), 1) + encode(receipt("b"), 2)
        for at in range(0, len(octets), size):
            smsc.bound[0].send_raw(octets[at : at + size])
            await asyncio.sleep(0)
        await smsc.until(lambda: len(working.receipts) == 2)
        assert [r.carrier_ref for r in working.receipts] == ["a", "b"]


async def test_an_unbind_of_the_carrier_is_answered_and_followed_by_a_new_bind():
    """What it had not answered is in doubt; the next connection goes on."""
    script = Script(submit=hold)
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc) as working:
        batch = asyncio.create_task(working.carrier.submit(0, numbered(2)))
        peer = smsc.bound[0]
        await smsc.until(lambda: len(peer.unanswered) == 2)
        peer.accept(peer.unanswered[0][0])
        peer.send_raw(encode_unbind())
        first, second = await batch
        assert first == Taken("1")
        assert isinstance(second, InDoubt)
        await smsc.until(lambda: peer.is_gone)
        await working.bound()
        assert len(smsc.peers) == 2


def encode_unbind() -> bytes:
    return b"\0\0\0\x10\0\0\0\x06\0\0\0\0\0\0\x10\0"


async def test_leaving_unbinds_after_the_answers():
    """A carrier that is cancelled waits for what is under way, and says goodbye."""
    script = Script(submit=hold)
    async with ScriptedSmsc(script) as smsc:
        async with carrier_at(smsc, {"window": "1"}) as working:
            batch = asyncio.create_task(working.carrier.submit(0, numbered(2)))
            peer = smsc.bound[0]
            await smsc.until(lambda: peer.unanswered)
            loop = asyncio.get_running_loop()
            loop.call_later(0.05, peer.accept, peer.unanswered[0][0])
        taken, waiting = await batch
        assert taken == Taken("1")
        assert isinstance(waiting, Deferred)
        assert Unbound(by_peer=True) in peer.events
        assert working.carrier.binds()[0].phase == "closed"


async def test_a_refused_bind_is_tried_again_and_shown():
    """Why a carrier does not let us in is for people to see."""
    script = Script(bind=refuse_bind(Status.ESME_RINVPASWD))
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc, waits=False) as working:
        await smsc.until(lambda: len(smsc.peers) >= 3)
        assert "ESME_RINVPASWD" in working.carrier.binds()[0].last_error
        assert working.carrier.down_since is not None
        (result,) = await working.carrier.submit(0, [submission()])
        assert isinstance(result, Deferred)
        smsc.script.bind = Script().bind
        await working.bound()


async def test_the_next_host_is_tried_when_one_does_not_answer():
    """Hosts are tried in their order."""
    async with ScriptedSmsc() as gone:
        pass
    async with ScriptedSmsc() as smsc:
        hosts = f"127.0.0.1:{gone.port},127.0.0.1:{smsc.port}"
        async with carrier_at(smsc, {"hosts": hosts}) as working:
            assert working.carrier.binds()[0].peer == f"127.0.0.1:{smsc.port}"


async def test_a_silent_carrier_is_left():
    """An enquire_link without any answer ends the connection, and another is made."""
    async with ScriptedSmsc() as smsc:
        settings = {"enquire_seconds": "0.1", "response_seconds": "0.1"}
        async with carrier_at(smsc, settings):
            smsc.is_deaf = True
            await smsc.until(lambda: smsc.peers[0].is_gone)
            smsc.is_deaf = False
            await smsc.until(lambda: smsc.bound)


async def test_an_idle_connection_is_made_anew_where_asked_for():
    """Firewalls forget connections on which nothing but enquire_link passes."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc, {"inactivity_seconds": "0.1"}):
        await smsc.until(lambda: len(smsc.peers) >= 2)
        assert Unbound(by_peer=True) in smsc.peers[0].events


@pytest.mark.parametrize(
    ("status", "settings", "expected"),
    [
        (Status.ESME_RINVDSTADR, {}, Refused(30005, "ESME_RINVDSTADR")),
        (Status.ESME_RINVSRCADR, {}, Refused(30024, "ESME_RINVSRCADR", may_fail_over=True)),
        (Status.ESME_RSYSERR, {}, Deferred(1.0, "ESME_RSYSERR")),
        (0x0400, {}, Deferred(1.0, "0x00000400")),
        (0x0400, {"error_map": "0x400=permanent:30007"}, Refused(30007, "0x00000400")),
        (
            Status.ESME_RINVDSTADR,
            {"error_map": "11=permanent:30006+failover"},
            Refused(30006, "ESME_RINVDSTADR", may_fail_over=True),
        ),
        (
            Status.ESME_RSYSERR,
            {"error_map": "8=retry+failover"},
            Deferred(1.0, "ESME_RSYSERR", may_fail_over=True),
        ),
    ],
)
async def test_refusals_mean_what_the_tables_say(status, settings, expected):
    """The carrier's own table comes before ours; statuses that nobody knows are tried again."""
    script = Script(submit=lambda peer, number, pdu: peer.refuse(number, status))
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc, settings) as working:
        assert await working.carrier.submit(0, [submission()]) == [expected]


async def test_an_unknown_refusal_fails_in_the_end():
    """A vendor's status is tried again a few times; then another carrier may."""
    script = Script(submit=lambda peer, number, pdu: peer.refuse(number, 0x0401))
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc) as working:
        results = [(await working.carrier.submit(0, [submission()]))[0] for _ in range(3)]
        assert [type(result) for result in results] == [Deferred, Deferred, Refused]
        assert results[2] == Refused(30008, "0x00000401", may_fail_over=True)


async def test_trouble_of_the_carrier_lets_others_try_after_a_while():
    """Waiting doubles, and after some tries another carrier may take the segment."""
    script = Script(submit=lambda peer, number, pdu: peer.refuse(number, Status.ESME_RSYSERR))
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc) as working:
        results = [(await working.carrier.submit(0, [submission()]))[0] for _ in range(5)]
        assert [getattr(r, "after_seconds", None) for r in results] == [1, 2, 4, 8, 16]
        assert [getattr(r, "may_fail_over", None) for r in results] == [*[False] * 4, True]


async def test_an_answer_without_an_id_is_an_answer():
    """Two messages that a carrier does not name are still two."""
    script = Script(submit=lambda peer, number, pdu: peer.answer(number, SubmitSmResp()))
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc) as working:
        first, second = await working.carrier.submit(0, numbered(2))
        assert isinstance(first, Taken)
        assert isinstance(second, Taken)
        assert first != second


async def test_a_generic_nack_takes_nothing():
    """Not even one whose status says that all is well."""
    script = Script(submit=lambda peer, number, pdu: peer.answer(number, GenericNack()))
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc) as working:
        (result,) = await working.carrier.submit(0, [submission()])
        assert isinstance(result, Deferred)


async def test_a_caller_that_gives_up_takes_back_what_was_not_written():
    """What waits in the queue is not sent after nobody waits for it; others' is."""
    script = Script(submit=hold)
    async with ScriptedSmsc(script) as smsc, carrier_at(smsc, {"window": "1"}) as working:
        given_up = asyncio.create_task(working.carrier.submit(0, numbered(3)))
        kept = asyncio.create_task(working.carrier.submit(0, [submission("kept")]))
        peer = smsc.bound[0]
        await smsc.until(lambda: peer.unanswered)
        given_up.cancel()
        await asyncio.wait([given_up])
        script.submit = Script().submit
        peer.accept(peer.unanswered[0][0])
        assert await kept == [Taken("2")]
        assert [pdu.short_message for pdu in smsc.submits] == [b"text 0", b"kept"]


async def test_what_smpp_cannot_carry_is_refused_and_the_rest_goes():
    """Media and channels are for other carriers; an address that is too long never leaves."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        batch = [
            submission(media=("https://media.example/1",), message_sid="MM1"),
            submission(recipient="whatsapp:+14155550123", message_sid="SM2"),
            submission(sender="x" * 30, message_sid="SM3"),
            submission(message_sid="SM4"),
        ]
        *refused, taken = await working.carrier.submit(0, batch)
        assert [getattr(r, "error_code", None) for r in refused] == [30011, 30015, 30008]
        assert taken == Taken("1")
        assert await working.carrier.submit(0, []) == []


async def test_a_long_text_in_one_pdu_is_delivered_by_one_receipt():
    """By message_payload the further segments are told delivered with the first, before the
    answer; the one receipt of the carrier decides."""
    settings = {"segmentation": "message_payload"}
    async with ScriptedSmsc() as smsc, carrier_at(smsc, settings) as working:
        results = await working.carrier.submit(0, long_message("one ", "two ", "three"))
        assert results == [Taken("1"), Taken("1#2"), Taken("1#3")]
        assert [(r.carrier_ref, r.delivered) for r in working.receipts] == [
            ("1#2", True),
            ("1#3", True),
        ]
        assert len(smsc.submits) == 1
        smsc.bound[0].deliver(receipt("1"))
        await smsc.until(lambda: len(working.receipts) == 3)
        assert working.receipts[2].carrier_ref == "1"


async def test_a_probe_measures_a_round_trip():
    """Where a lane is bound, by an enquire_link; else by a bind of its own."""
    async with ScriptedSmsc() as smsc:
        async with carrier_at(smsc) as working:
            found = await working.carrier.probe()
            assert found.is_good
            assert found.milliseconds > 0
            assert len(smsc.peers) == 1
        assert working.carrier.down_since is not None
        fresh = await working.carrier.probe()
        assert fresh.is_good
        assert "bound as transceiver" in fresh.detail
        smsc.script.bind = refuse_bind(Status.ESME_RBINDFAIL)
        refused = await working.carrier.probe()
        assert not refused.is_good
        assert "ESME_RBINDFAIL" in refused.detail
        await smsc.until(lambda: all(peer.is_gone for peer in smsc.peers))


async def test_people_see_what_passed_without_the_password():
    """The last PDUs of both ways, decoded; secrets are blanked."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        await working.carrier.submit(0, [submission("Ünd")])
        seen = working.carrier.pdus()
        assert [(pdu.name, pdu.is_outgoing) for pdu in seen] == [
            ("bind_transceiver", True),
            ("bind_transceiver_resp", False),
            ("submit_sm", True),
            ("submit_sm_resp", False),
        ]
        assert "much longer" not in str(seen)
        assert seen[0].fields["system_id"] == "esme"
        assert seen[2].fields["destination_addr"] == "14155550123"
        assert seen[3].fields == {"message_id": "1"}
        assert seen[3].status == "ESME_ROK"


async def test_what_nobody_expects_does_no_harm():
    """Unknown commands, answers to nothing, alerts and broken PDUs; the connection stays."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        peer = smsc.bound[0]
        peer.send_raw(b"\0\0\0\x10\0\x01\0\x10\0\0\0\0\0\0\0\x09")
        peer.send_raw(encode(SubmitSmResp(message_id="?"), 999))
        peer.send_raw(encode(AlertNotification(source_addr="1", esme_addr="2"), 10))
        peer.send_raw(b"\0\0\0\x11\0\0\0\x05\0\0\0\0\0\0\0\x0bx")
        peer.deliver(DeliverSm(data_coding=0xF7, short_message=b"\xff\x00"))
        await smsc.until(lambda: working.texts)
        assert working.texts[0].body == "FF00"
        assert working.carrier.binds()[0].errors == 3
        assert len(smsc.peers) == 1


async def test_octets_that_are_no_smpp_end_the_connection():
    """Nobody knows where the next PDU begins: another connection is made."""
    async with ScriptedSmsc() as smsc, carrier_at(smsc) as working:
        smsc.bound[0].send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await smsc.until(lambda: smsc.peers[0].is_gone)
        await working.bound()
        assert "bad PDU" in working.carrier.binds()[0].last_error


def test_it_works_on_the_loop_that_servers_run_on():
    """uvloop's transports and timers are others than those of the library."""

    async def exchange() -> None:
        settings = {"window": "50", "messages_per_second": "1000"}
        async with ScriptedSmsc() as smsc, carrier_at(smsc, settings) as working:
            results = await working.carrier.submit(0, numbered(100))
            assert results == [Taken(str(n)) for n in range(1, 101)]
            smsc.bound[0].deliver(receipt("1"))
            await smsc.until(lambda: working.receipts)
            smsc.bound[0].drop()
            await smsc.until(lambda: len(smsc.peers) == 2)
            await working.bound()

    uvloop.run(exchange())
