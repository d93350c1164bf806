"""The programs in examples/, as their readers start them, against a running Trunkline."""

import contextlib
import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twilio.request_validator import RequestValidator

from tests.ports import free_port
from tests.processes import Process, Server, ask, running, wait_until

TOP = Path(__file__).parents[2]
EXAMPLES = TOP / "examples"
NODE = TOP / "tests" / "compat" / "node"
OFF = "+15555530003"
SIGNATURE = "X-Twilio-Signature"
AGAIN = "Sorry, a customer number has 6 digits. Please write yours, or NEW to begin anew."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("examples")) as server:
        yield server


class Example:
    """A program of examples/ in a directory and at a port of its own."""

    def __init__(self, name: str, server: Server, directory: Path) -> None:
        self.path = EXAMPLES / name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        self._token = server.auth_token
        self._env = {
            "PORT": str(self.port),
            "TWILIO_ACCOUNT_SID": server.account_sid,
            "TWILIO_AUTH_TOKEN": server.auth_token,
            "TWILIO_PHONE_NUMBER": server.number,
            "TRUNKLINE_URL": server.base_url,
            "NODE_PATH": str(NODE / "node_modules"),
            "TZ": "UTC",
        }

    def run(self, *arguments: str) -> str:
        """Run it to its end and return what it has printed."""
        process = self._ended(*arguments)
        assert process.popen.returncode == 0, process.stderr
        return process.stdout

    def complaint(self, *arguments: str) -> str:
        """Run what it cannot do, and return what it says of that."""
        process = self._ended(*arguments)
        assert (process.popen.returncode, process.stdout) == (1, "")
        return process.stderr

    @contextlib.contextmanager
    def serving(self, *arguments: str) -> Iterator[Process]:
        """Run it while it is needed, from when it says where it is; it says nothing of errors."""
        process = self._start(*arguments)
        try:
            process.wait_for(self.url)
            yield process
        finally:
            process.close()
        assert process.stderr == ""

    def callback(self, path: str, form: dict[str, str], *, signed: bool = True) -> int:
        """Tell it of a status, as Trunkline does or as somebody else might."""
        made = RequestValidator(self._token).compute_signature(f"{self.url}{path}", form)
        headers = {SIGNATURE: made if signed else made[::-1]}
        return ask("POST", f"{self.url}{path}", form, headers=headers).status

    def _ended(self, *arguments: str) -> Process:
        process = self._start(*arguments)
        try:
            process.popen.wait(60)
        finally:
            process.close()
        return process

    def _start(self, *arguments: str) -> Process:
        command = ["node"] if self.path.suffix == ".js" else [sys.executable, "-u"]
        return Process([*command, str(self.path), *arguments], self._directory, env=self._env)


def conversation(server: Server, phone: str, *texts: str) -> list[str]:
    """Let a phone say one thing after another; return the answers."""
    for text in texts:
        before = len(server.bodies(phone))
        server.say(text, phone=phone)
        wait_until(partial(has_news, server, phone, seen=before), what=text)
    return server.bodies(phone)


def has_news(server: Server, phone: str, *, seen: int) -> bool:
    return len(server.bodies(phone)) > seen


@pytest.mark.parametrize("program", ["shop.py", "shop.js"])
def test_a_customer_is_texted_about_each_step_of_an_order(
    server: Server, tmp_path: Path, program: str
) -> None:
    """Three steps, three texts, and the shop knows that they arrived; only the signed count."""
    shop = Example(f"order-updates/{program}", server, tmp_path)
    customer = {"shop.py": "+15558670101", "shop.js": "+15558670102"}[program]

    def texts(number: int) -> dict[str, str]:
        found: dict[str, str] = ask("GET", f"{shop.url}/orders/{number}").json["texts"]
        return found

    with shop.serving() as process:
        assert ask("POST", f"{shop.url}/orders", {"customer": customer}).status == 201
        for further in (200, 200, 409):
            wait_until(lambda: set(texts(1).values()) == {"delivered"})
            assert ask("POST", f"{shop.url}/orders/1", {}).status == further
        assert list(texts(1)) == ["placed", "shipped", "delivered"]
        assert [body.split("order 1")[1] for body in server.bodies(customer)] == [
            ".",
            " is on its way.",
            " is at your door. Enjoy!",
        ]
        assert ask("POST", f"{shop.url}/orders", {"customer": OFF}).status == 201
        wait_until(lambda: texts(2) == {"placed": "undelivered"})
        told = f"Order 2 placed: the text is undelivered 30003\nOrder 2: please call {OFF}"
        wait_until(lambda: told in process.stdout)
        assert ask("POST", f"{shop.url}/orders", {"customer": "+1555"}).status == 201
        assert texts(3) == {"placed": "failed"}

        assert ask("POST", f"{shop.url}/orders/2", {}).status == 200
        wait_until(lambda: texts(2)["shipped"] == "undelivered")
        status, path = {"MessageStatus": "delivered"}, "/status?order=4&step=placed"
        assert ask("GET", f"{shop.url}/orders/4").status == 404
        assert shop.callback(path, status, signed=False) == 403
        assert shop.callback(path, status) == 204


def test_a_chatbot_remembers_a_conversation_in_cookies(server: Server, tmp_path: Path) -> None:
    """Two people at once, each at their own point; three wrong numbers, and a person takes over."""
    chatbot = Example("support-chatbot/chatbot.py", server, tmp_path)
    ann, ben = "+15558670201", "+15558670202"
    with chatbot.serving():
        conversation(server, ann, "hi", "bill")
        conversation(server, ben, "Line", "my number?", "12345")
        assert conversation(server, ann, "123456", "bill")[1:] == [
            "Let us look at your bill. What is your customer number?",
            "Thank you. We look into your bill, customer 123456, and write to you.",
            "Let us look at your bill. What is your customer number?",
        ]
        assert conversation(server, ben, "forgot it", "654321") == [
            "Let us look at your line. What is your customer number?",
            *["Sorry, a customer number has 6 digits. Please write yours, or NEW to begin anew."]
            * 2,
            f"That does not get us anywhere. Somebody will call you at {ben}.",
            "Hello, this is support. Write BILL or LINE for what it is about.",
        ]
        assert chatbot.callback("/sms", {"From": ann, "Body": "bill"}, signed=False) == 403


def test_pictures_go_both_ways(server: Server, tmp_path: Path) -> None:
    """The phone has ours; two of its own are downloaded with credentials, byte by byte."""
    pictures = Example("picture-messages/pictures.py", server, tmp_path)
    ours = (pictures.path.parent / "harbour.png").read_bytes()
    phone = "+15558670301"
    with pictures.serving(phone) as process:
        shown = wait_until(lambda: server.inbox(phone))[0]
        assert shown["body"].startswith("Greetings from the harbour.")
        [medium] = shown["media"]
        place = ask("GET", medium, auth=server.auth).headers["location"]
        assert ask("GET", server.base_url + place).body == ours
        url = f"{pictures.url}/harbour.png"
        server.say("", phone=phone, media=[url, url])
        wait_until(lambda: server.bodies(phone)[1:])
        assert server.bodies(phone)[1:] == ["Thank you for 2 pictures!"]
        saved = sorted((tmp_path / "pictures").iterdir())
        assert [path.suffix for path in saved] == [".png", ".png"]
        assert [path.read_bytes() for path in saved] == [ours, ours]
        assert process.stdout.count(f"{phone} has sent pictures/ME") == 2
        assert pictures.callback("/sms", {"From": phone, "NumMedia": "0"}, signed=False) == 403


def test_every_final_status_is_kept(server: Server, tmp_path: Path) -> None:
    """Callbacks twice and out of order change nothing; what was missed is asked for."""
    tracking = Example("delivery-tracking/tracking.py", server, tmp_path)
    phone = "+15558670401"

    def kept() -> dict[str, tuple[str, str, str | None]]:
        with contextlib.closing(sqlite3.connect(tmp_path / "deliveries.db")) as db:
            rows = db.execute("SELECT sid, recipient, status, error_code FROM messages").fetchall()
        return {sid: (recipient, status, code) for sid, recipient, status, code in rows}

    def sent(*recipients: str) -> list[str]:
        return [line.split()[0] for line in tracking.run("send", "Hello", *recipients).splitlines()]

    with tracking.serving("listen") as listening:
        arrived, lost = sent(phone, OFF)
        wait_until(lambda: {f"{arrived} delivered", f"{lost} undelivered"} <= said(listening))
        known = {arrived: (phone, "delivered", None), lost: (OFF, "undelivered", "30003")}
        assert known.items() <= kept().items()
        for sid, to, status in (
            (arrived, phone, "sent"),
            (arrived, phone, "delivered"),
            (lost, OFF, "delivered"),
        ):
            form = {"MessageSid": sid, "To": to, "MessageStatus": status}
            assert tracking.callback("/status", form) == 204
        forged = {"MessageSid": "SM" + "f" * 32, "To": phone, "MessageStatus": "delivered"}
        assert tracking.callback("/status", forged, signed=False) == 403
        noted = kept()
        assert known.items() <= noted.items()
        assert forged["MessageSid"] not in noted

    missed, deleted = sent(phone, phone)
    with server.client() as client:
        elsewhere = client.messages.create(to=phone, from_=server.number, body="Hello").sid
        wait_until(lambda: statuses(client, missed, deleted, elsewhere) == {"delivered"})
        assert client.messages(deleted).delete()
    assert kept()[missed] == (phone, "queued", None)
    assert elsewhere not in kept()
    with tracking.serving("listen"):
        known |= dict.fromkeys((missed, elsewhere), (phone, "delivered", None))
        known[deleted] = (phone, "deleted", None)
        assert known.items() <= kept().items()
    lines = set(tracking.run("report").splitlines())
    assert {" ".join(filter(None, (sid, *what))) for sid, what in known.items()} <= lines


def statuses(client: Any, *sids: str) -> set[str]:
    return {client.messages(sid).fetch().status for sid in sids}


def said(process: Process) -> set[str]:
    return set(process.stdout.splitlines())


def test_reminders_come_ahead_of_appointments(tmp_path: Path) -> None:
    """A day and two hours ahead; what is moved comes later, what is called off does not come."""
    ann, ben = "+15558670501", "+15558670502"
    with running(tmp_path, clock="manual") as server:
        reminders = Example("appointment-reminders/reminders.py", server, tmp_path)
        # It is noon on 1 January 2026, a Thursday.
        said = reminders.run("book", ann, "2026-01-03 15:00").splitlines()
        assert said[0] == f"Appointment 1: {ann} on Saturday, 03 January at 15:00"
        assert [line.split(" by ")[0] for line in said[1:]] == [
            "Reminded on Friday, 02 January at 15:00",
            "Reminded on Saturday, 03 January at 13:00",
        ]
        said = reminders.run("book", ben, "2026-01-01 15:00").splitlines()
        assert said[1].startswith("Not reminded with “tomorrow”: ")
        assert said[2].startswith("Reminded on Thursday, 01 January at 13:00")
        moved = reminders.run("move", "2", "2026-01-05 09:30")
        assert len(re.findall(r"SM\w+ is canceled", moved)) == 1

        move_clock(server, hours=27)
        wait_until(partial(arrives, server, ann))
        move_clock(server, hours=22)
        wait_until(partial(arrives, server, ann, count=2))
        assert server.bodies(ann) == [
            "Your appointment is tomorrow, on Saturday, 03 January at 15:00.",
            "Your appointment is in two hours, on Saturday, 03 January at 15:00.",
        ]
        assert server.bodies(ben) == []

        move_clock(server, hours=21)
        wait_until(partial(arrives, server, ben))
        assert server.bodies(ben) == [
            "Your appointment is tomorrow, on Monday, 05 January at 09:30."
        ]
        listed = [line.split() for line in reminders.run("list").splitlines()]
        assert [(line[1], *line[3:]) for line in listed] == [
            (ann, "delivered", "delivered"),
            (ben, "delivered", "scheduled"),
        ]
        called_off = reminders.run("cancel", "2")
        assert re.findall(r"SM\w+ (.+)", called_off) == ["has left already", "is canceled"]


def test_reminders_say_what_they_cannot_read(server: Server, tmp_path: Path) -> None:
    """A time that is none and a number that is none end with one sentence, and nothing is noted."""
    reminders = Example("appointment-reminders/reminders.py", server, tmp_path)
    no_time = "“tomorrow” is no time: write one like 2026-01-03 15:00.\n"
    no_number = "“first” is no appointment's number: `list` shows them.\n"
    assert reminders.complaint("book", "+15558670503", "tomorrow") == no_time
    assert reminders.complaint("move", "1", "tomorrow") == no_time
    assert reminders.complaint("move", "first", "2026-01-05 09:30") == no_number
    assert reminders.complaint("cancel", "first") == no_number
    assert reminders.run("list") == ""


def move_clock(server: Server, *, hours: float = 0, seconds: float = 0) -> None:
    url = f"{server.base_url}/trunkline/v1/clock"
    form = {"Seconds": hours * 3600 + seconds}
    assert ask("POST", url, form, auth=server.auth).status == 200


def arrives(server: Server, phone: str, *, count: int = 1) -> bool:
    """Say whether a phone has so many texts; what is on its way takes a second or two."""
    move_clock(server, seconds=1)
    return len(server.bodies(phone)) >= count


def test_who_says_stop_is_in_no_further_campaign(server: Server, tmp_path: Path) -> None:
    """Who did not agree gets nothing; who unsubscribes is told so, then left alone and noted."""
    campaign = Example("campaign/campaign.py", server, tmp_path)
    file = tmp_path / "customers.csv"
    ada, ben, cleo, dan = (f"+155586706{n:02}" for n in range(4))
    agreed = {ada: "yes", ben: "yes", cleo: "yes", dan: "no", OFF: "yes"}
    lines = [f"{name},{to},{agreed[to]}" for name, to in zip("ABCDE", agreed, strict=True)]
    file.write_text("\n".join(["name,phone,agreed", *lines, ""]))
    report = campaign.run(str(file), "Tulips!").splitlines()
    assert {"4 of 5 customers had agreed.", "delivered: 3", "undelivered: 1"} <= set(report)
    assert f"{OFF} undelivered 30003" in report
    assert [line.split()[2] for line in report if line.startswith("from ")] == ["2", "2"]
    assert server.bodies(ada) == ["Hello A! Tulips! Reply STOP to get no more of these."]
    assert server.bodies(dan) == []

    sender = server.inbox(ada)[0]["from"]
    server.say("Stop", phone=ada, to=sender)
    wait_until(lambda: len(server.bodies(ada)) == 2)
    report = campaign.run(str(file), "Roses!").splitlines()
    assert f"{ada} unsubscribed 21610" in report
    assert {"delivered: 2", "undelivered: 1", "unsubscribed: 1"} <= set(report)
    assert len(server.bodies(ada)) == 2
    assert len(server.bodies(ben)) == len(server.bodies(cleo)) == 2
    assert file.read_text() == "\n".join(["name,phone,agreed", f"A,{ada},no", *lines[1:], ""])


def test_every_example_is_introduced() -> None:
    """A directory has its section and its row in the README, and there is no other."""
    folders = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
    text = (EXAMPLES / "README.md").read_text()
    assert sorted(re.findall(r"^## (\S+)$", text, re.MULTILINE)) == folders
    assert sorted(re.findall(r"^\| \[(\S+)\]", text, re.MULTILINE)) == folders


def test_the_shop_in_node_has_the_client_that_is_tested() -> None:
    """What its readers install is what the tests run it with."""

    def packages(folder: Path) -> dict[str, object]:
        found: dict[str, object] = json.loads((folder / "package-lock.json").read_text())
        packages = found["packages"]
        assert isinstance(packages, dict)
        return {name: package for name, package in packages.items() if name}

    assert packages(EXAMPLES / "order-updates") == packages(NODE)
