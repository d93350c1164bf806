"""The SMPP server under attack: guesses, floods, who never reads, and names that change hands."""

import asyncio
import os
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from tests.api.test_smsc_binds import add, make_certificate, status_of
from tests.esme import PHONE, Esme, part, serving, text
from tests.harness import Trunkline
from trunkline.app import StartupError
from trunkline.domain.carrier import SmppCredential
from trunkline.domain.sending import Draft
from trunkline.flows import customers
from trunkline.flows.customers import BindTrouble, Wishes, sign_in
from trunkline.smpp.fields import SmeAddress
from trunkline.smpp.pdu import BindTransceiver, EnquireLink, SubmitMulti
from trunkline.smpp.receipt import parse_receipt
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.wire import encode
from trunkline.smsc import binds, connection, desk, door, server
from trunkline.smsc.binds import Binds
from trunkline.smsc.desk import Desk, Reply, Request
from trunkline.smsc.server import SmscServer
from trunkline.store.tables import deliveries, inbound_segments

C = CommandStatus


async def account_of(trunkline: Trunkline) -> str:
    """Make a subaccount and return its SID."""
    made = await trunkline.request("POST", "/2010-04-01/Accounts.json", {})
    sid: str = made.json["sid"]
    return sid


async def simulator(trunkline: Trunkline, account_sid: str, system_id: str) -> None:
    """Let somebody try a client in the name of an account."""
    wishes = Wishes(password="secret", is_simulator=True)
    platform = trunkline.app.platform
    await customers.add(platform, account_sid, system_id=system_id, wishes=wishes)


async def bound(port: int, system_id: str, password: str = "secret") -> Esme:
    """Return somebody who is bound."""
    esme = await Esme.connect(port)
    assert await esme.bind(system_id, password) == C.ESME_ROK
    return esme


def test_a_host_that_guessed_is_let_in_again() -> None:
    """After a while of peace there is no wait, although nobody of that host was let in."""
    guarded = Binds()
    for at in range(20):
        guarded.turn("192.0.2.1", is_good=False, now=float(at))
        guarded.waited("192.0.2.1")
    assert guarded.turn("192.0.2.1", is_good=True, now=21.0)
    guarded.waited("192.0.2.1")
    assert guarded.turn("192.0.2.1", is_good=True, now=binds.FORGOTTEN_AFTER_SECONDS + 20) == 0


def test_one_network_of_ipv6_is_one_host() -> None:
    """Who has a network guesses no faster from all of its addresses."""
    guarded = Binds()
    waits = [guarded.turn(f"2001:db8::{n:x}", is_good=False, now=0.0) for n in range(8)]
    assert waits == [0.0] * 6 + [1.0, None]
    assert guarded.turn("2001:db8:0:1::1", is_good=False, now=0.0) == 0.0
    assert guarded.turn("::ffff:192.0.2.1", is_good=False, now=0.0) == 0.0
    assert guarded.turn("fe80::1%eth0", is_good=False, now=0.0) == 0.0


async def test_guesses_side_by_side_are_no_faster(
    trunkline: Trunkline, smsc: SmscServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many at once a few are told that they were wrong; the others are only refused."""
    monkeypatch.setattr(binds, "FIRST_WAIT_SECONDS", 0.01)
    await add(trunkline)
    now = asyncio.get_running_loop().time
    began = now()
    told = Counter(
        await asyncio.gather(*(status_of(smsc.port, "acme", f"guess{n}") for n in range(60)))
    )
    # Beside those that are free each waits twice as long as the one before it.
    late = told[C.ESME_RINVPASWD] - binds.FREE_FAILURES - 1
    assert binds.FIRST_WAIT_SECONDS * (2 ** (late + 1) - 2) <= now() - began
    assert told[C.ESME_RBINDFAIL] + told[C.ESME_RINVPASWD] == 60


async def test_the_right_password_is_taken_after_wrong_ones(
    trunkline: Trunkline, smsc: SmscServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever mistyped for long gets in at once when he has it right; the wait is short here."""
    monkeypatch.setattr(binds, "FIRST_WAIT_SECONDS", 0.001)
    await add(trunkline)
    for _ in range(12):
        assert await status_of(smsc.port, "acme", "wrong") == C.ESME_RINVPASWD
    assert await status_of(smsc.port, "acme", "secret") == C.ESME_ROK


async def test_from_elsewhere_no_password_is_confirmed(trunkline: Trunkline) -> None:
    """Who may not bind from where he is does not learn whether he guessed it."""
    await add(trunkline, allowed_hosts=("192.0.2.0/24",))
    for password in ("secret", "wrong"):
        for host in ("198.51.100.1", ""):
            found = await sign_in(trunkline.app.platform, "acme", password, host=host)
            assert found is BindTrouble.NOT_ALLOWED


async def test_binding_anew_does_not_begin_anew(trunkline: Trunkline, smsc: SmscServer) -> None:
    """The rate is the customer's and not the connection's."""
    await add(trunkline, per_second_max=5)
    taken = 0
    began = asyncio.get_running_loop().time()
    for _ in range(6):
        async with await bound(smsc.port, "acme") as esme:
            answers = await esme.submit(*[text(source_addr=trunkline.number[1:])] * 5)
            taken += [status for status, _ in answers].count(C.ESME_ROK)
    assert taken <= 5 + 5 * (asyncio.get_running_loop().time() - began)


async def test_one_submission_to_more_than_a_second_grants(
    trunkline: Trunkline, smsc: SmscServer
) -> None:
    """It is taken, and paid for with silence; it would be put off for ever otherwise."""
    await simulator(trunkline, trunkline.account_sid, "slow")
    await customers.change(trunkline.app.platform, "slow", Wishes(per_second_max=1))
    many = tuple(SmeAddress(1, 1, f"15558675{n:03}") for n in range(20))
    pdu = SubmitMulti(source_addr="442071838750", dest_address=many, short_message=b"Hello")
    async with await bound(smsc.port, "slow") as esme:
        assert (await esme.request(pdu))[0] == C.ESME_ROK
        assert (await esme.submit(text()))[0][0] == C.ESME_RTHROTTLED


async def test_a_submission_to_nobody_troubles_nobody_else(
    trunkline: Trunkline, smsc: SmscServer
) -> None:
    """It is refused by itself, and what came with it is taken."""
    credential = await customers.find(trunkline.app.platform, "simulator")
    nobody = SubmitMulti(source_addr="442071838750", dest_address=(), short_message=b"Hello")
    asked = [Request(number, pdu) for number, pdu in enumerate((text(), nobody, text()))]
    replies = await Desk(trunkline.app.platform).answer(credential, asked, now=0.0)
    found = [reply.command_status for reply in replies]
    assert found == [C.ESME_ROK, C.ESME_RINVNUMDESTS, C.ESME_ROK]


@pytest.mark.parametrize("wishes", [Wishes(password="other"), Wishes(allowed_hosts=("192.0.2.0",))])
async def test_a_lost_password_is_of_no_more_use(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch, wishes: Wishes
) -> None:
    """Who bound with what holds no longer is unbound."""
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.02)
    await add(trunkline)
    async with serving(trunkline.app) as smsc, await bound(smsc.port, "acme") as esme:
        await customers.change(trunkline.app.platform, "acme", wishes)
        await esme.until(esme.unbound)
        await esme.until(esme.closed)


async def test_who_is_disabled_submits_nothing_more(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one who leaves deliveries unanswered, for which the unbind waits."""
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.02)
    await simulator(trunkline, trunkline.account_sid, "tester")
    async with serving(trunkline.app) as smsc, await bound(smsc.port, "tester") as esme:
        esme.verdict = lambda pdu: None
        assert (await esme.submit(text()))[0][0] == C.ESME_ROK
        await trunkline.run_for(2)
        await esme.next_delivery()
        await customers.change(trunkline.app.platform, "tester", Wishes(is_enabled=False))
        statuses: list[int] = []
        async with asyncio.timeout(5):
            while C.ESME_RTHROTTLED not in statuses:
                statuses.append((await esme.submit(text()))[0][0])
        assert not esme.unbound.done()
        assert (await esme.submit(text()))[0][0] == C.ESME_RTHROTTLED


async def test_who_takes_over_a_name_gets_nothing_of_its_former_owner(
    trunkline: Trunkline,
) -> None:
    """Neither receipts that come later, nor halves of texts."""
    platform = trunkline.app.platform
    await simulator(trunkline, trunkline.account_sid, "acme")
    async with serving(trunkline.app) as smsc:
        async with await bound(smsc.port, "acme") as first:
            await first.submit(text(b"A secret"), part(1, body=b"Another "))
        await customers.remove(platform, "acme")
        await simulator(trunkline, await account_of(trunkline), "acme")
        async with await bound(smsc.port, "acme") as second:
            await second.submit(part(2, body=b"and mine"))
            await trunkline.run_for(5)
            _, own = (await second.submit(text(b"My own")))[0]
            await trunkline.run_for(5)
            receipt = parse_receipt(await second.next_delivery())
            assert receipt is not None
            assert receipt.message_ids == (own,)
            assert second.delivered.empty()
        async with await bound(smsc.port, "acme") as second:
            assert second.delivered.empty()


async def test_nothing_is_left_of_a_customer_who_is_removed(
    trunkline: Trunkline, smsc: SmscServer
) -> None:
    """Neither what waits for him nor halves of his texts."""
    await simulator(trunkline, trunkline.account_sid, "gone")
    async with await bound(smsc.port, "gone") as esme:
        await esme.submit(text(), part(1))
    await trunkline.run_for(5)
    await customers.remove(trunkline.app.platform, "gone")

    def left(db: Connection) -> int:
        return sum(len(db.execute(t.select()).all()) for t in (deliveries, inbound_segments))

    assert await trunkline.app.store.read(left) == 0


async def test_a_reply_goes_to_who_wrote_last_of_all_accounts(
    trunkline: Trunkline, smsc: SmscServer
) -> None:
    """Of two simulators of two accounts that use one sender."""
    for system_id in ("one", "two"):
        await simulator(trunkline, await account_of(trunkline), system_id)
    async with await bound(smsc.port, "one") as one, await bound(smsc.port, "two") as two:
        for esme in (one, two, one, two):
            trunkline.clock.advance(1)
            assert (await esme.submit(text(registered_delivery=0)))[0][0] == C.ESME_ROK
        await trunkline.run_for(2)
        await trunkline.app.network.send_from("+" + PHONE, "+442071838750", body="For two")
        await trunkline.run_for(2)
        assert (await two.next_delivery()).short_message == b"For two"
        assert one.delivered.empty()


async def test_a_reference_is_used_again_in_the_turn_that_ends_its_text(
    esme: Esme, trunkline: Trunkline
) -> None:
    """What comes after the segment that makes a text whole is of the next one."""
    first = await esme.submit(part(1, body=b"1-0"))
    rest = await esme.submit(*(part(n, body=b"%d-0" % n) for n in (2, 1, 2)))
    answers = [*first, *rest]
    assert {status for status, _ in answers} == {C.ESME_ROK}
    sids = [message_id.partition("-")[0] for _, message_id in answers]
    assert sids[0] == sids[1] != sids[2] == sids[3]
    assert [(await trunkline.message(sid))["body"] for sid in sids[1:3]] == ["1-02-0", "1-02-0"]


async def test_a_reference_is_used_again_on_another_bind(
    esme: Esme, trunkline: Trunkline, smsc: SmscServer
) -> None:
    """The segment repeats one of a text that lacks another still, or it begins a text.

    And so does the one behind it.
    """
    async with await Esme.connect(smsc.port) as other:
        await other.bind("simulator", "password")
        for reference in range(5):
            one, two = (part(n, body=b"%d-0" % n, reference=reference) for n in (1, 2))
            (first,) = await esme.submit(one)
            (second,), (again,) = await asyncio.gather(esme.submit(two), other.submit(one))
            (last,) = await esme.submit(two)
            answers = [first, second, again, last]
            assert {status for status, _ in answers} == {C.ESME_ROK}
            sids = [message_id.partition("-")[0] for _, message_id in answers]
            assert (sids[0], sids[2]) == (sids[1], sids[3])
            for sid in {sids[0], sids[2]}:
                assert (await trunkline.message(sid))["body"] == "1-02-0"


async def test_one_reference_many_times_in_one_turn(esme: Esme, trunkline: Trunkline) -> None:
    """Texts that follow each other at once may have all their headers in common."""
    pdus = [part(n, body=b"%d-%d" % (n, k)) for k in (0, 0, 1) for n in (1, 2)]
    answers = await esme.submit(*pdus)
    assert {status for status, _ in answers} == {C.ESME_ROK}
    sids = list(dict.fromkeys(message_id.partition("-")[0] for _, message_id in answers))
    bodies = [(await trunkline.message(sid))["body"] for sid in sids]
    assert bodies == ["1-02-0", "1-02-0", "1-12-1"]


async def test_the_simulated_network_keeps_its_name(trunkline: Trunkline) -> None:
    """No real carrier gets what is tied to the simulated one by name."""
    path, form = "/trunkline/v1/carriers", {"Name": "simulated", "Type": "smpp"}
    assert (await trunkline.request("DELETE", f"{path}/simulated?Force=true")).status == 204
    settings = [("Set", "host=127.0.0.1"), ("Set", "system_id=a")]
    given = [*form.items(), *settings]
    assert (await trunkline.request("POST", path, given)).status == 400
    again = await trunkline.request("POST", path, form | {"Type": "simulated"})
    assert again.status == 201


async def test_a_simulator_trusts_no_name(
    trunkline: Trunkline, smsc: SmscServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another type of carrier has the name all the same, nothing is taken for it."""
    switchboard = trunkline.app.platform.switchboard

    async def refresh() -> None:
        """Leave it as the test has it."""

    monkeypatch.setattr(switchboard, "refresh", refresh)
    account = switchboard.accounts["simulated"]
    async with await bound(smsc.port, "simulator", "password") as esme:
        switchboard.accounts = {"simulated": replace(account, type="smpp")}
        assert (await esme.submit(text()))[0][0] == C.ESME_RINVDSTADR


async def flood(port: int, octets: bytes, *, bind: bytes = b"") -> socket.socket:
    """Send all of it as a peer that has little room and reads an answer to its bind at most."""
    loop = asyncio.get_running_loop()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await loop.sock_connect(raw, ("127.0.0.1", port))
    if bind:
        await loop.sock_sendall(raw, bind)
        await loop.sock_recv(raw, 1024)
    sending = loop.create_task(loop.sock_sendall(raw, octets))
    await asyncio.wait([sending], timeout=2)
    sending.cancel()
    return raw


async def test_who_never_reads_holds_no_place(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks a lot, then talks nonsense, is gone although he does not take leave."""
    monkeypatch.setattr(connection, "CLOSE_SECONDS", 0.1)
    # Answers that would never leave: the system's own buffers hold few of them.
    monkeypatch.setattr(connection.Connection, "_keeps_up", lambda self: True)
    async with serving(trunkline.app, connections_max=1) as smsc:
        bind = encode(BindTransceiver(system_id="simulator", password="password"), 1)
        octets = encode(EnquireLink(), 1) * 20_000 + bytes(16)
        with socket.socket(fileno=os.dup(smsc._servers[0].sockets[0].fileno())) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with await flood(smsc.port, octets, bind=bind):
            async with asyncio.timeout(10):
                while smsc._house.connected:
                    await asyncio.gather(*(c.closed for c in smsc._house.connected))
        assert await status_of(smsc.port, "simulator", "password") == C.ESME_ROK


async def test_answers_that_nobody_reads_do_not_pile_up(
    trunkline: Trunkline, smsc: SmscServer
) -> None:
    """Who does not read is not read from."""
    await simulator(trunkline, trunkline.account_sid, "deaf")
    octets = encode(BindTransceiver(system_id="deaf", password="secret"), 1)
    with await flood(smsc.port, octets + encode(EnquireLink(), 2) * 1_000_000):
        (deaf,) = smsc._house.connected
        assert deaf._transport is not None
        for _ in range(100_000):  # Until it has answered more than the system takes from it.
            if deaf._transport.get_write_buffer_size():
                break
            await asyncio.sleep(0)
        assert 0 < deaf._transport.get_write_buffer_size() < 1_000_000
        assert len(deaf._inbox) < 1_000_000


@pytest.mark.parametrize(
    "octets", [encode(EnquireLink(), 1), bytes.fromhex("00000010000001110000000000000001")]
)
async def test_a_stranger_may_say_little(smsc: SmscServer, octets: bytes) -> None:
    """Who talks and does not bind is let go of, with an answer to what he said in time."""
    async with await Esme.connect(smsc.port) as stranger:
        assert stranger.transport
        answered = 0

        def count(data: bytes) -> None:
            nonlocal answered
            answered += len(data)

        stranger.data_received = count  # type: ignore[method-assign]
        stranger.transport.write(octets * (connection.STRANGER_OCTETS_MAX // len(octets) + 1))
        await stranger.until(stranger.closed)
        assert answered == connection.STRANGER_OCTETS_MAX


async def test_what_follows_a_bind_waits_for_its_answer(smsc: SmscServer) -> None:
    """A client that does not wait is no stranger who talks."""
    bind = encode(BindTransceiver(system_id="simulator", password="password"), 1)
    rest = encode(EnquireLink(), 2) * 2_000
    async with await Esme.connect(smsc.port) as hasty:
        assert hasty.transport
        left, done = len(rest), asyncio.Event()

        def count(data: bytes) -> None:
            nonlocal left
            left -= len(data)
            if left <= 0:
                done.set()

        hasty.data_received = count  # type: ignore[method-assign]
        hasty.transport.write(bind + rest)
        await asyncio.wait_for(done.wait(), 10)


async def test_a_flood_is_read_in_turns(smsc: SmscServer) -> None:
    """A little in each turn of the loop, of all connections together, and all get on."""
    octets = encode(EnquireLink(), 1) * 2_000
    one, other = [await bound(smsc.port, "simulator", "password") for _ in range(2)]
    async with one, other:
        flooded = list(smsc._house.connected)
        for each in flooded:
            each.data_received(octets)
        before = [len(octets)] * 2
        turns = 0
        while any(before):
            await asyncio.sleep(0)
            left = [len(each._inbox) for each in flooded]
            assert sum(before) - sum(left) <= connection.TURN_OCTETS_MAX
            assert abs(left[0] - left[1]) <= connection.TURN_OCTETS_MAX
            before, turns = left, turns + 1
        assert turns >= 2 * len(octets) // connection.TURN_OCTETS_MAX


async def test_many_submissions_leave_turns_to_others(
    trunkline: Trunkline, smsc: SmscServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come together, so many messages at most are made in one turn."""
    loop, turn, made = asyncio.get_running_loop(), 0, Counter[int]()

    def count_turns() -> None:
        nonlocal turn
        turn += 1
        ticking[0] = loop.call_soon(count_turns)

    async def noted(*args: Any) -> Draft:
        made[turn] += 1
        return await customers.draft_of(*args)

    ticking = [loop.call_soon(count_turns)]
    monkeypatch.setattr(desk, "draft_of", noted)
    credential = await customers.find(trunkline.app.platform, "simulator")
    asked = [Request(number, text()) for number in range(3 * desk.TURN_DRAFTS_MAX)]
    replies = await Desk(trunkline.app.platform).answer(credential, asked, now=0.0)
    ticking[0].cancel()
    assert {reply.command_status for reply in replies} == {C.ESME_ROK}
    assert max(made.values()) <= desk.TURN_DRAFTS_MAX


async def test_who_asks_for_many_is_answered_in_portions(
    smsc: SmscServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A submission to many counts as so many, and all are answered, in order."""
    portions = []
    answer = Desk.answer

    async def noted(
        here: Desk, credential: SmppCredential, requests: Sequence[Request], *, now: float
    ) -> list[Reply]:
        portions.append(len(requests))
        return await answer(here, credential, requests, now=now)

    monkeypatch.setattr(Desk, "answer", noted)
    monkeypatch.setattr(connection, "ASKED_MAX", 10)
    many = tuple(SmeAddress(1, 1, f"15558675{n:03}") for n in range(6))
    pdu = SubmitMulti(source_addr="442071838750", dest_address=many, short_message=b"Hello")
    async with await bound(smsc.port, "simulator", "password") as esme:
        answers = await asyncio.gather(*(esme.ask(pdu) for _ in range(20)))
    assert {status for status, _ in answers} == {C.ESME_ROK}
    assert sum(portions) == 20
    assert max(portions) == 2


async def test_what_was_said_before_a_connection_ended_is_heard(
    trunkline: Trunkline, smsc: SmscServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who submits and hangs up at once has submitted, whoever has the turn."""
    async with await bound(smsc.port, "simulator", "password") as esme:
        (here,) = smsc._house.connected
        monkeypatch.setattr(connection.Turns, "wait", lambda turns, who: None)
        here.data_received(b"".join(encode(text(b"Bye"), number) for number in range(9, 109)))
        assert here._transport
        here._transport.abort()
        await esme.until(esme.closed)
    await trunkline.run_for(5)
    shown = await trunkline.app.network.inbox("+" + PHONE, limit=200)
    assert [each.body for each in shown] == ["Bye"] * 100


async def test_strangers_of_one_host_leave_room_for_others(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many of a host may be unbound at once; who binds is no stranger any more."""
    monkeypatch.setattr(binds, "STRANGERS_MAX", 2)
    async with serving(trunkline.app) as smsc:
        idle = await Esme.connect(smsc.port)
        members = [await bound(smsc.port, "simulator", "password") for _ in range(4)]
        second = await Esme.connect(smsc.port)
        async with await Esme.connect(smsc.port) as third:
            await third.until(third.closed)
        await second.close()
        assert await status_of(smsc.port, "simulator", "password") == C.ESME_ROK
        for esme in (idle, *members):
            await esme.close()
    assert not smsc._house.binds._strangers


async def test_handshakes_count_as_connections(
    trunkline: Trunkline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who connects and says nothing holds a place for as long as any stranger, and no longer."""
    monkeypatch.setattr(binds, "STRANGERS_MAX", 2)
    monkeypatch.setattr(door, "HANDSHAKE_SECONDS", 0.2)
    cert, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=cert)
    async with serving(trunkline.app, tls=context) as smsc:
        silent = [await Esme.connect(smsc.port) for _ in range(2)]
        async with await Esme.connect(smsc.port) as third:
            await third.until(third.closed)
        for esme in silent:
            await esme.until(esme.closed)
        assert not smsc._house.connected
        async with await Esme.connect(smsc.port, tls=trusting) as esme:
            assert await esme.bind("simulator", "password") == C.ESME_ROK
            assert (await esme.submit(text()))[0][0] == C.ESME_ROK
        with await flood(smsc.port, bytes(1000)) as nonsense:
            assert await asyncio.get_running_loop().sock_recv(nonsense, 1) == b""
    assert not smsc._house.binds._strangers


def test_a_key_with_a_passphrase_is_refused(tmp_path: Path) -> None:
    """Nobody is at the terminal to be asked for it."""
    cert, key = make_certificate(tmp_path)
    secret = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    with pytest.raises(StartupError, match="cannot be used"):
        Trunkline(tmp_path / "data", smpp_tls_port=0, smpp_tls_cert=cert, smpp_tls_key=key)


async def test_subaccounts_reach_no_carriers(trunkline: Trunkline) -> None:
    """Carriers, routes and credentials are the main account's; so is what is shown of them."""
    made = (await trunkline.request("POST", "/2010-04-01/Accounts.json", {})).json
    auth = (made["sid"], made["auth_token"])
    paths: Sequence[str] = ("carriers", "routes", "smpp-credentials", "strays", "carrier-types")
    for path in paths:
        for method in ("GET", "POST"):
            asked = await trunkline.request(method, f"/trunkline/v1/{path}", {}, auth=auth)
            assert asked.status in (401, 405), (method, path)
    for who in (None, auth):
        asked = await trunkline.request("GET", "/trunkline/v1/smpp-credentials", auth=who)
        assert asked.status == 401
