"""Kannel, the gateway that very many applications send through, as a client of our SMPP server."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.interop.smpp.serving import (
    LONG_GSM,
    LONG_UCS2,
    OUR_NUMBER,
    PASSWORD,
    SHORT_CODE,
    SYSTEM_ID,
    Smsc,
    say,
    serving_smpp,
)
from tests.ports import free_ports
from tests.processes import Process, Receiver, Seen, ask, receiving, wait_until

# msg-id-type is not set: the ids of responses and receipts must be the same text.
CONFIGURATION = """
group = core
admin-port = {admin_port}
admin-password = admin
smsbox-port = {box_port}
box-deny-ip = *.*.*.*
box-allow-ip = 127.0.0.1
dlr-storage = internal

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {send_port}
mo-recode = true

group = sendsms-user
username = user
password = secret
concatenation = true
max-messages = 10

group = sms-service
keyword = default
catch-all = yes
max-messages = 0
get-url = "{url}?from=%p&to=%P&charset=%C&text=%b"
"""

BIND = """
group = smsc
smsc = smpp
smsc-id = trunkline
host = 127.0.0.1
{way}
smsc-username = {system_id}
smsc-password = {password}
system-type = test
source-addr-autodetect = yes
reconnect-delay = 1
"""

# One connection for both ways, or one for each; Kannel matches receipts by the smsc-id.
MANNERS = {
    "transceiver": ("port = {}\ntransceiver-mode = true",),
    "pair": ("port = {}", "receive-port = {}"),
}

DELIVERED_TO_PHONE = 1
UNDELIVERABLE = 2
TAKEN_BY_SMSC = 8
EVERY_RECEIPT = 1 | 2 | 4 | 8 | 16


@dataclass(frozen=True)
class Kannel:
    """Its two processes, and the receiver that they report to."""

    admin_port: int
    send_port: int
    receiver: Receiver

    def send(self, phone: str, text: str, **parameters: object) -> None:
        """Have it send a text and report every receipt."""
        place = urlencode({"to": phone})
        query = {
            "username": "user",
            "password": "secret",
            "from": SHORT_CODE,
            "to": phone,
            "charset": "UTF-8",
            "text": text,
            "dlr-mask": EVERY_RECEIPT,
            "dlr-url": f"{self.receiver.url('/receipt')}?{place}&kind=%d&id=%F&said=%A",
            **parameters,
        }
        url = f"http://127.0.0.1:{self.send_port}/cgi-bin/sendsms?{urlencode(query)}"
        answer = ask("GET", url)
        assert answer.status == 202, answer.body

    def reports(self, phone: str) -> list[Mapping[str, str]]:
        """Return what was reported of texts to a phone."""
        seen = list(self.receiver.seen)
        return [s.form for s in seen if s.path.startswith("/receipt") and s.form["to"] == phone]

    def kinds(self, phone: str) -> list[int]:
        """Return the kinds of the reports on texts to a phone."""
        return [int(report["kind"]) for report in self.reports(phone)]

    def texts(self, phone: str) -> list[Mapping[str, str]]:
        """Return what a phone said."""
        seen = list(self.receiver.seen)
        return [s.form for s in seen if s.path.startswith("/text") and s.form["from"] == phone]


def state(admin_port: int) -> str:
    """Return Kannel's page about itself; it is empty while nobody listens."""
    try:
        answer = ask("GET", f"http://127.0.0.1:{admin_port}/status.txt?password=admin")
    except ConnectionError:
        return ""
    return answer.body.decode()


def program(name: str) -> str:
    # Debian keeps daemons where not everybody's PATH leads.
    found = shutil.which(name, path=os.environ["PATH"] + os.pathsep + "/usr/sbin")
    assert found, f"{name} is not installed"
    return found


def answer(seen: Seen) -> tuple[int, str, bytes]:
    """Answer each report with nothing."""
    return 200, "text/plain", b""


@pytest.fixture(scope="module", params=MANNERS)
def ways(request: pytest.FixtureRequest) -> Sequence[str]:
    return MANNERS[request.param]


@pytest.fixture(scope="module")
def smsc(ways: Sequence[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Smsc]:
    with serving_smpp(tmp_path_factory.mktemp("kannel")) as smsc:
        yield smsc


@pytest.fixture(scope="module")
def kannel(
    smsc: Smsc, ways: Sequence[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kannel]:
    directory = tmp_path_factory.mktemp("boxes")
    admin_port, box_port, send_port = free_ports(3)
    path = directory / "kannel.conf"
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(receiving(answer))
        configured = CONFIGURATION.format(
            admin_port=admin_port,
            box_port=box_port,
            send_port=send_port,
            url=receiver.url("/text"),
        )
        binds = [
            BIND.format(way=way.format(smsc.port), system_id=SYSTEM_ID, password=PASSWORD)
            for way in ways
        ]
        path.write_text(configured + "".join(binds))
        start(stack, "bearerbox", path)
        wait_until(lambda: state(admin_port).count("(online") == len(ways), what="it is bound")
        start(stack, "smsbox", path)
        wait_until(lambda: "smsbox:" in state(admin_port), what="smsbox is connected")
        yield Kannel(admin_port, send_port, receiver)


def start(stack: contextlib.ExitStack, name: str, path: Path) -> None:
    process = Process([program(name), str(path)], path.parent / name)
    stack.callback(process.close)


@pytest.mark.parametrize(
    ("phone", "text", "coding"),
    [("+15558674001", "Grüße @ {€}", 0), ("+15558674002", "नमस्ते 👋", 2)],
    ids=["gsm", "ucs2"],
)
def test_a_text_arrives_and_kannel_learns_of_it(
    smsc: Smsc, kannel: Kannel, phone: str, text: str, coding: int
) -> None:
    """Kannel reports that we took it, and then, by our id, that it is on the phone."""
    kannel.send(phone, text, coding=coding)
    wait_until(lambda: DELIVERED_TO_PHONE in kannel.kinds(phone))
    taken, delivered = kannel.reports(phone)
    assert [int(taken["kind"]), int(delivered["kind"])] == [TAKEN_BY_SMSC, DELIVERED_TO_PHONE]
    assert taken["id"] == delivered["id"] != ""
    assert delivered["said"].startswith(f"id:{delivered['id']} sub:001 dlvrd:001 ")
    assert smsc.server.bodies(phone) == [text]


@pytest.mark.parametrize(
    ("phone", "text", "coding"),
    [("+15558674003", LONG_GSM, 0), ("+15558674004", LONG_UCS2, 2)],
    ids=["gsm", "ucs2"],
)
def test_a_text_that_kannel_splits_arrives_whole(
    smsc: Smsc, kannel: Kannel, phone: str, text: str, coding: int
) -> None:
    """It is one text on the phone, and one receipt tells of it."""
    kannel.send(phone, text, coding=coding)
    wait_until(lambda: DELIVERED_TO_PHONE in kannel.kinds(phone))
    assert UNDELIVERABLE not in kannel.kinds(phone)
    assert smsc.server.bodies(phone) == [text]


def test_kannel_learns_that_a_phone_cannot_be_reached(smsc: Smsc, kannel: Kannel) -> None:
    """The simulated network knows numbers that fail; their receipt says so."""
    phone = "+15555530003"
    kannel.send(phone, "Are you there?")
    wait_until(lambda: UNDELIVERABLE in kannel.kinds(phone))
    assert DELIVERED_TO_PHONE not in kannel.kinds(phone)


@pytest.mark.parametrize(
    ("phone", "text"),
    [
        ("+15558674005", "Grüße @ {€}"),
        ("+15558674006", "नमस्ते 👋"),
        ("+15558674007", LONG_GSM),
        ("+15558674008", LONG_UCS2),
    ],
    ids=["gsm", "ucs2", "long gsm", "long ucs2"],
)
def test_what_a_phone_says_reaches_kannels_service(
    smsc: Smsc, kannel: Kannel, phone: str, text: str
) -> None:
    """However long it is, Kannel asks its service once, with the whole text."""
    say(smsc.server, text, phone=phone)
    wait_until(lambda: kannel.texts(phone))
    [told] = kannel.texts(phone)
    assert told["text"] == text
    assert told["to"] == OUR_NUMBER
