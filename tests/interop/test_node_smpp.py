"""node-smpp on both ends: an ESME at our SMPP server, and the SMSC of our carriers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.interop.smpp.certificate import certify
from tests.interop.smpp.serving import (
    LONG_GSM,
    LONG_UCS2,
    OUR_NUMBER,
    PASSWORD,
    SHORT_CODE,
    SYSTEM_ID,
    add_carrier,
    add_route,
    send,
    serving_smpp,
)
from tests.ports import free_port
from tests.processes import Process, Receiver, Server, environment, receiving, running, wait_until

NODE = Path(__file__).with_name("smpp")
# The tests take two seconds; a machine with other work may need many more.
SECONDS = 120

# The manners that the SMSC has for each system_id, and what our carrier must know of them.
CARRIERS: dict[str, dict[str, str]] = {
    "early": {},
    "hex": {"id_style": "hex_in_receipt"},
    "bare": {},
    "failing": {"network_error_map": "0A1=30007"},
    "throttling": {},
}
PREFIXES = {name: f"+1555887{number}" for number, name in enumerate(("plain", *CARRIERS))}


@dataclass(frozen=True)
class Door:
    """A way in for clients: the scheme of the URL, and what Node must be told to trust."""

    url: str
    server: Server
    env: dict[str, str]


@pytest.fixture(params=["smpp", "ssmpp"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    settings: dict[str, object] = {}
    env: dict[str, str] = {}
    if request.param == "ssmpp":
        certified = certify(tmp_path)
        port = free_port()
        settings["smpp_tls_port"] = port
        settings["smpp_tls_cert"] = certified.certificate
        settings["smpp_tls_key"] = certified.key
        env["NODE_EXTRA_CA_CERTS"] = str(certified.certificate)
    with serving_smpp(tmp_path, **settings) as smsc:
        port = port if settings else smsc.port
        yield Door(f"{request.param}://127.0.0.1:{port}", smsc.server, env)


def test_node_smpp_works_as_a_client(door: Door) -> None:
    """Everything in smpp/client.test.mjs holds, with and without TLS."""
    env = {
        "SMPP_URL": door.url,
        "SMPP_SYSTEM_ID": SYSTEM_ID,
        "SMPP_PASSWORD": PASSWORD,
        "SMPP_SENDER": SHORT_CODE,
        "TRUNKLINE_BASE_URL": door.server.base_url,
        "OUR_NUMBER": OUR_NUMBER,
        "TWILIO_ACCOUNT_SID": door.server.account_sid,
        "TWILIO_AUTH_TOKEN": door.server.auth_token,
    }
    ran = subprocess.run(
        ["node", "--test", "--test-reporter=spec", "client.test.mjs"],
        cwd=NODE,
        env=environment(env | door.env),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "pass 0" not in ran.stdout, "no test was run"


@dataclass(frozen=True)
class Setup:
    """Trunkline, the SMSC that its carriers lead to, and who is called back."""

    server: Server
    smsc: Process
    receiver: Receiver

    def send(self, carrier: str, body: str) -> str:
        """Send a text that takes the route to a carrier."""
        callback = self.receiver.url("/status")
        return send(self.server, number_of(carrier), body, callback=callback)

    def statuses(self, sid: str) -> list[str]:
        """Return what was called back for a message, once that is all there is."""
        final = {"delivered", "undelivered", "failed"}
        wait_until(lambda: final & set(self.called_back(sid)), what=f"an end: {sid}")
        return self.called_back(sid)

    def called_back(self, sid: str) -> list[str]:
        """Return what was called back for a message so far."""
        seen = [s.form for s in list(self.receiver.seen) if s.form.get("MessageSid") == sid]
        return [form["MessageStatus"] for form in seen if "MessageStatus" in form]

    def submitted(self, carrier: str) -> list[Any]:
        """Return what the SMSC was given for a carrier's numbers, oldest first."""
        noted = map(json.loads, self.smsc.stdout.splitlines()[1:])
        return [n for n in noted if n["destination_addr"] == number_of(carrier)[1:]]


def number_of(carrier: str) -> str:
    return f"{PREFIXES[carrier]}001"


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    smsc = Process(["node", str(NODE / "smsc.mjs")], tmp_path_factory.mktemp("smsc"))
    try:
        smsc.wait_for("\n")
        port = int(smsc.stdout)
        with receiving() as receiver, running(tmp_path_factory.mktemp("node")) as server:
            add_by_command(server, "plain", port)
            for name, settings in CARRIERS.items():
                add_carrier(server, name, port=port, system_id=name, **settings)
                add_route(server, name, prefix=PREFIXES[name])
            yield Setup(server, smsc, receiver)
    finally:
        smsc.close()


def add_by_command(server: Server, name: str, port: int) -> None:
    """Make a carrier and a route as an operator does."""
    settings = {"host": "127.0.0.1", "port": port, "system_id": name, "password": PASSWORD}
    pairs = [f"--set={key}={value}" for key, value in settings.items()]
    trunkline(server, "carriers", "add", name, "--type=smpp", *pairs)
    trunkline(server, "routes", "add", f"--carrier={name}", f"--prefix={PREFIXES[name]}")


def trunkline(server: Server, *arguments: str) -> None:
    command = [sys.executable, "-m", "trunkline", *arguments, "--data-dir", str(server.data_dir)]
    ran = subprocess.run(
        command, env=environment({}), capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_a_message_is_submitted_and_its_receipt_ends_it(setup: Setup) -> None:
    """The carrier gets plain numbers and GSM text; callbacks tell sent, then delivered."""
    sid = setup.send("plain", "Grüße @ {€}")
    assert setup.statuses(sid) == ["sent", "delivered"]
    assert setup.submitted("plain") == [
        {
            "source_addr": setup.server.number[1:],
            "destination_addr": number_of("plain")[1:],
            "esm_class": 0,
            "data_coding": 0,
            "text": "Grüße @ {€}",
            "udh": [],
        }
    ]


@pytest.mark.parametrize("carrier", ["early", "hex", "bare"])
def test_receipts_of_other_manners_are_understood(setup: Setup, carrier: str) -> None:
    """It comes before the response, writes the id in hexadecimal, or is made of TLVs alone."""
    sid = setup.send(carrier, "Hello")
    assert setup.statuses(sid)[-1] == "delivered"
    assert len(setup.submitted(carrier)) == 1


@pytest.mark.parametrize("text", [LONG_GSM, LONG_UCS2], ids=["gsm", "ucs2"])
def test_a_long_message_ends_with_the_last_receipt(setup: Setup, text: str) -> None:
    """Each segment has a header with its place; one delivered is called back for all of them."""
    before = len(setup.submitted("hex"))
    sid = setup.send("hex", text)
    assert setup.statuses(sid) == ["sent", "delivered"]
    segments = setup.submitted("hex")[before:]
    assert "".join(segment["text"] for segment in segments) == text
    assert {segment["esm_class"] for segment in segments} == {0x40}
    # Octets of a Buffer as JSON has them: element 0 of three octets, reference, total, number.
    headers = [segment["udh"][0]["data"] for segment in segments]
    assert [header[:2] for header in headers] == [[0, 3]] * len(segments)
    assert len({header[2] for header in headers}) == 1
    assert [header[3:] for header in headers] == [
        [len(segments), number] for number in range(1, len(segments) + 1)
    ]


def test_a_failure_has_the_code_that_the_carrier_means(setup: Setup) -> None:
    """The receipt's err:0A1 is looked up in the carrier's own table."""
    sid = setup.send("failing", "Hello")
    assert setup.statuses(sid)[-1] == "undelivered"
    told = [s.form for s in setup.receiver.seen if s.form.get("MessageSid") == sid]
    assert told[-1]["ErrorCode"] == "30007"


def test_what_is_throttled_is_submitted_again(setup: Setup) -> None:
    """The SMSC refuses two submissions; the message is late, and arrives once."""
    sid = setup.send("throttling", "Hello")
    assert setup.statuses(sid) == ["sent", "delivered"]
    assert len(setup.submitted("throttling")) == 1


def test_what_the_carrier_delivers_reaches_the_webhook(setup: Setup) -> None:
    """A text to our number comes from the handset's, in E.164."""
    setup.server.configure(SmsUrl=setup.receiver.url("/text"))
    setup.send("plain", "echo Grüße {€}")
    told = wait_until(lambda: [s.form for s in setup.receiver.seen if s.path == "/text"])
    assert [(form["From"], form["To"], form["Body"]) for form in told] == [
        (number_of("plain"), setup.server.number, "Grüße {€}")
    ]
