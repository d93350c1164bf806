"""Trunkline is stopped in the midst of work and started again: it goes on where it was."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.processes import PHONE, Receiver, Server, receiving, running, wait_until
from trunkline.runtime import Bell, ManualClock

CALLBACK = "/status"


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Yield a server whose texts take half a second, or as long as the test says."""
    delay = getattr(request, "param", 0.5)
    retries = "0.3," * 20
    with running(tmp_path, delivery_delay_seconds=delay, webhook_retry_seconds=retries) as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def restart(server: Server) -> None:
    assert server.process.end() == 0, server.process.stderr
    server.start()


def send(server: Server, body: str, callback: str) -> str:
    with server.client() as client:
        message = client.messages.create(
            to=PHONE, from_=server.number, body=body, status_callback=callback
        )
    return str(message.sid)


def test_account_number_and_inbox_are_kept(server: Server) -> None:
    """The second start finds what the first one made, and says that it is not the first."""
    before = (server.account_sid, server.auth_token, server.number)
    sid = send(server, "kept", "http://127.0.0.1:1/")
    wait_until(lambda: server.bodies() == ["kept"])
    inbox = server.inbox()
    restart(server)
    assert (server.account_sid, server.auth_token, server.number) == before
    assert server.inbox() == inbox
    with server.client() as client:
        assert client.messages(sid).fetch().body == "kept"
    assert "Send a first message" not in server.process.stdout


@pytest.mark.parametrize("server", [5], indirect=True)
def test_what_was_under_way_arrives_after_a_restart(server: Server, receiver: Receiver) -> None:
    """Texts that were with the carrier, and their receipts, come in the second life."""
    sids = [send(server, f"{n}", receiver.url(CALLBACK)) for n in range(8)]
    wait_until(lambda: all("sent" in receiver.statuses(sid) for sid in sids))
    restart(server)
    assert server.bodies() == [], "the texts arrived before the restart, which then shows nothing"
    wait_until(lambda: all("delivered" in receiver.statuses(sid) for sid in sids))
    assert {tuple(receiver.statuses(sid)) for sid in sids} == {("sent", "delivered")}
    assert sorted(server.bodies(), key=int) == [f"{n}" for n in range(8)]


def test_a_stop_in_the_midst_of_sending_loses_and_doubles_nothing(
    server: Server, receiver: Receiver
) -> None:
    """Stopped at once after the last 201, again and again, every text arrives once."""
    sids: list[str] = []
    for _ in range(3):
        sids += [send(server, f"{len(sids) + n}", receiver.url(CALLBACK)) for n in range(10)]
        restart(server)
    wait_until(lambda: all("delivered" in receiver.statuses(sid) for sid in sids))
    firsts = {tuple(dict.fromkeys(receiver.statuses(sid))) for sid in sids}
    assert firsts == {("sent", "delivered")}
    assert sorted(server.bodies(), key=int) == [f"{n}" for n in range(30)]


def test_a_callback_waits_for_its_receiver_over_a_restart(server: Server) -> None:
    """While nobody listens it is tried again; after the restart it arrives, in order."""
    receiver = Receiver()
    try:
        sid = send(server, "waits", receiver.url(CALLBACK))
        wait_until(lambda: len(server.trace(sid)["attempts"]) >= 2)
        assert {a["error_code"] for a in server.trace(sid)["attempts"]} == {11205}
        restart(server)
        receiver.listen()
        wait_until(lambda: "delivered" in receiver.statuses(sid))
        assert receiver.statuses(sid) == ["sent", "delivered"]
        wait_until(lambda: server.trace(sid)["waiting"] == [])
    finally:
        receiver.close()


def test_an_inbound_text_is_told_after_a_restart(server: Server) -> None:
    """A text that found its application down is told, and answered, in the second life."""
    receiver = Receiver(lambda seen: (200, "text/plain", b"here I am"))
    try:
        server.configure(SmsUrl=receiver.url("/sms"))
        server.say("anybody?")
        with server.client() as client:
            (message,) = wait_until(lambda: client.messages.list(to=server.number))
            wait_until(lambda: client.messages(message.sid).fetch().error_code == 11205)
        restart(server)
        receiver.listen()
        wait_until(lambda: server.bodies() == ["here I am"])
        assert {s.form["MessageSid"] for s in receiver.seen} == {message.sid}
    finally:
        receiver.close()


@pytest.mark.parametrize("turns", range(8))
async def test_a_worker_ends_whenever_it_is_told_to(turns: int) -> None:
    """Also when it is told in the very moment in which a bell wakes it."""
    bell, clock = Bell(), ManualClock(datetime(2026, 1, 1, tzinfo=UTC))

    async def work() -> None:
        while True:
            await bell.wait(clock, 60)

    worker = asyncio.create_task(work())
    await give_way(5)
    bell.ring()
    await give_way(turns)
    worker.cancel()
    await give_way(20)
    assert worker.cancelled()


async def give_way(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
