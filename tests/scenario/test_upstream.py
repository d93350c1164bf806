"""One Trunkline in front of another that stands in for Twilio, both as real processes."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from tests.ports import free_port
from tests.processes import Process, Receiver, Server, ask, receiving, running, up, wait_until

SECONDS = 30.0
PHONES = [f"+155586900{n:02}" for n in range(4)]
UNREACHABLE = "+15555530005"  # A magic recipient: nobody has the number any more.
ENOUGH = 40
LONG = "A long text. " * 30


@dataclass
class Pair:
    """Our Trunkline and the one in its upstream's place."""

    near: Server
    far: Server

    def admin(self, method: str, path: str, form: Mapping[str, object] | None = None) -> Any:
        """Ask our admin API."""
        url = f"{self.near.base_url}/trunkline/v1{path}"
        answer = ask(method, url, form, auth=self.near.auth)
        assert answer.status < 300, answer.body
        return answer.json if answer.body else None

    def send(self, to: str, body: str, **form: str) -> str:
        """Send a message from our number."""
        fields = {"To": to, "From": self.near.number, "Body": body, **form}
        answer = ask("POST", f"{self.near.account_url}/Messages.json", fields, auth=self.near.auth)
        assert answer.status == 201, answer.body
        return str(answer.json["sid"])

    def status(self, sid: str) -> str:
        """Return a message's status."""
        answer = ask("GET", f"{self.near.account_url}/Messages/{sid}.json", auth=self.near.auth)
        return str(answer.json["status"])

    def has_arrived(self, sid: str) -> bool:
        """Say whether a message is delivered."""
        return self.status(sid) == "delivered"

    def route(self) -> None:
        """Let everything go to the upstream account."""
        self.admin("POST", "/routes", {"Carrier": "twilio", "Prefix": "+1"})


def has_two(receiver: Receiver, sid: str) -> bool:
    return len(receiver.statuses(sid)) == 2


def settings_of(far: Server, **settings: str) -> list[str]:
    given = {
        "account_sid": far.account_sid,
        "auth_token": far.auth_token,
        "base_url": far.base_url,
        "from_number": far.number,
        "poll_seconds": "0.3",
        "request_seconds": "3",
        "doubt_seconds": "1",
        **settings,
    }
    return [f"{name}={value}" for name, value in given.items()]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Yield two servers; the near one has the far one as the carrier `twilio`."""
    with (
        running(tmp_path / "far", port=free_port()) as far,
        running(tmp_path / "near") as near,
    ):
        pair = Pair(near, far)
        form = {"Name": "twilio", "Type": "twilio", "Set": settings_of(far)}
        pair.admin("POST", "/carriers", form)
        yield pair


def test_nothing_reaches_it_without_a_route(pair: Pair) -> None:
    """A carrier alone changes nothing: the simulated network still has the default route."""
    sid = pair.send(PHONES[0], "stays here")
    wait_until(lambda: pair.status(sid) == "delivered", what="delivered here")
    assert pair.near.bodies(PHONES[0]) == ["stays here"]
    assert pair.far.bodies(PHONES[0]) == []
    assert pair.admin("GET", "/carriers/twilio/pdus")["pdus"] == []


def test_messages_are_delivered_through_it_and_called_back(pair: Pair) -> None:
    """A text, a long one and a failure end as they do there; nothing is asked for meanwhile."""
    pair.admin("POST", "/carriers/twilio", {"Set": ["poll_seconds=3600"]})
    pair.route()
    with receiving() as receiver:
        callback = {"StatusCallback": receiver.url("/status")}
        sid = pair.send(PHONES[0], "hello", **callback)
        lost_sid = pair.send(UNREACHABLE, "into the void", **callback)
        long_sid = pair.send(PHONES[1], LONG, **callback)
        wait_until(lambda: pair.status(sid) == "delivered", what="the text")
        wait_until(lambda: pair.status(long_sid) == "delivered", what="the long text")
        assert pair.far.bodies(PHONES[0]) == ["hello"]
        assert pair.far.bodies(PHONES[1]) == [LONG]
        assert pair.near.bodies(PHONES[0]) == []
        for each in (sid, long_sid):
            wait_until(partial(has_two, receiver, each), what="callbacks")
            assert receiver.statuses(each) == ["sent", "delivered"]
        wait_until(lambda: pair.status(lost_sid) == "undelivered", what="the failure")
        wait_until(partial(has_two, receiver, lost_sid), what="callbacks")
        assert "30005" in {seen.form.get("ErrorCode") for seen in receiver.seen}
    assert pair.admin("GET", "/strays")["strays"] == []
    passed = {pdu["name"].split()[0] for pdu in pair.admin("GET", "/carriers/twilio/pdus")["pdus"]}
    assert passed == {"POST", "callback"}


@pytest.mark.parametrize("name", ["twilio", "simulated", "nobody"])
def test_only_the_upstream_account_can_tell_of_messages(pair: Pair, name: str) -> None:
    """Who does not know the token learns nothing, not even which carriers there are."""
    url = f"{pair.near.base_url}/trunkline/v1/carriers/{name}/told/{'0' * 32}"
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    answer = ask("POST", url, form, headers={"X-Twilio-Signature": "x"})
    assert (answer.status, answer.json["code"]) == (403, 20403)
    assert ask("GET", url).status == 405


def test_it_works_where_it_cannot_call_back(pair: Pair) -> None:
    """Statuses and texts are asked for."""
    pair.admin("POST", "/carriers/twilio", {"Set": ["callbacks=off", "inbound=poll"]})
    pair.route()
    sid = pair.send(PHONES[0], "hello")
    wait_until(lambda: pair.status(sid) == "delivered", what="delivered")
    with receiving() as receiver:
        pair.near.configure(SmsUrl=receiver.url("/sms"))
        pair.far.say("good evening", phone=PHONES[0])
        wait_until(lambda: receiver.seen, what="the inbound webhook")
        assert receiver.seen[0].form["Body"] == "good evening"
        assert receiver.seen[0].form["From"] == PHONES[0]


def test_a_killed_upstream_costs_no_message_and_doubles_none(pair: Pair) -> None:
    """What was in doubt is looked for when it is back."""
    pair.route()
    sids = [pair.send(PHONES[n % 4], f"text {n}") for n in range(ENOUGH)]
    wait_until(lambda: any(pair.far.bodies(phone) for phone in PHONES), what="a first one")
    pair.far.process.end(SIGKILL)
    sids += [pair.send(PHONES[n % 4], f"text {n}") for n in range(ENOUGH, 2 * ENOUGH)]
    pair.far.start()
    for sid in sids:
        wait_until(partial(pair.has_arrived, sid), SECONDS, what=f"{sid} delivered")
    bodies = sorted(body for phone in PHONES for body in pair.far.bodies(phone))
    assert bodies == sorted(f"text {n}" for n in range(2 * ENOUGH))


def test_our_own_death_costs_no_message_and_doubles_none(pair: Pair) -> None:
    """After the next start what had left is looked for, and what was open is asked for."""
    pair.admin("POST", "/carriers/twilio", {"Set": ["callbacks=off"]})
    pair.route()
    sids = [pair.send(PHONES[n % 4], f"text {n}") for n in range(ENOUGH)]
    wait_until(lambda: any(pair.far.bodies(phone) for phone in PHONES), what="a first one")
    pair.near.process.end(SIGKILL)
    pair.near.start()
    for sid in sids:
        wait_until(partial(pair.has_arrived, sid), SECONDS, what=f"{sid} delivered")
    bodies = sorted(body for phone in PHONES for body in pair.far.bodies(phone))
    assert bodies == sorted(f"text {n}" for n in range(ENOUGH))


def test_the_environment_offers_it_as_a_carrier(tmp_path: Path) -> None:
    """The banner tells; no route leads there, nothing is asked, and changes are taken over."""
    with receiving() as upstream:
        directory = tmp_path / "here"
        directory.mkdir()
        env = {"TWILIO_ACCOUNT_SID": "AC" + "a1" * 16, "TWILIO_BASE_URL": upstream.url("")}
        for token, number in (("t0k3n-1", "+15550006001"), ("t0k3n-2", "+15550006002")):
            (directory / ".env").write_text(f"TWILIO_AUTH_TOKEN={token} # secret\n")
            process = Process(
                up(tmp_path / "data"), directory, env=env | {"TWILIO_FROM_NUMBER": number}
            )
            try:
                process.wait_for("Press Ctrl-C to stop.")
                assert 'as carrier "twilio"' in process.stdout
                assert "trunkline routes add --carrier twilio" in process.stdout
                assert token not in process.stdout + process.stderr
                assert offered_number(tmp_path / "data") == number
                assert upstream.seen == []
            finally:
                process.close()


def offered_number(data_dir: Path) -> str:
    """Return the number that the carrier `twilio` sends from."""
    left = json.loads((data_dir / "credentials.json").read_text())
    admin, auth = f"{left['base_url']}/trunkline/v1", (left["account_sid"], left["auth_token"])
    answer = ask("GET", f"{admin}/carriers/twilio", auth=auth)
    assert answer.status == 200, answer.body
    settings = {s["name"]: s["value"] for s in answer.json["settings"]}
    routes = ask("GET", f"{admin}/routes", auth=auth).json["routes"]
    assert [route["carrier"] for route in routes] == ["simulated"]
    return str(settings["from_number"])
