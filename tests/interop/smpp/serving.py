"""A Trunkline that foreign SMPP stacks talk to, as clients and as carriers, and what is sent."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.ports import free_port
from tests.processes import Server, ask, running

SYSTEM_ID = "simulator"
# SMPP 3.4 §4.1.1 has room for eight characters, and strict clients refuse to send more.
PASSWORD = "secret08"
SHORT_CODE = "55501"
# Nobody's number, so that who simulates with it gets what phones say to it.
OUR_NUMBER = "+14155550199"

# Cut into equal parts, its euro signs (two septets each) and its emoji (two units each) fall apart.
LONG_GSM = "A " + "€uro " * 60 + "and that is {all}."
LONG_UCS2 = "👋नमस्ते" * 30 + "!"


@dataclass(frozen=True)
class Smsc:
    """A running Trunkline and the port of its SMPP server."""

    server: Server
    port: int


@contextlib.contextmanager
def serving_smpp(directory: Path, **settings: object) -> Iterator[Smsc]:
    """Yield a fresh server with a quick network, which SMPP clients may bind to."""
    port = free_port()
    given = {"smpp_port": port, "smpp_simulator_password": PASSWORD, **settings}
    with running(directory, **given) as server:
        yield Smsc(server, port)


def say(server: Server, text: str, *, phone: str, to: str = OUR_NUMBER) -> None:
    """Let a phone send a text to a number."""
    url = f"{server.base_url}/trunkline/v1/phones/{quote(phone)}/texts"
    answer = ask("POST", url, {"To": to, "Body": text}, auth=server.auth)
    assert answer.status == 201, answer.body


def add_simulator(server: Server, system_id: str) -> None:
    """Let a client of this name bind to the simulated network."""
    form = {"SystemId": system_id, "Password": PASSWORD, "Simulator": "true"}
    _add(server, "smpp-credentials", form)


def add_carrier(server: Server, name: str, **settings: object) -> None:
    """Make an SMPP carrier on this machine."""
    given = {"host": "127.0.0.1", "password": PASSWORD, "reconnect_seconds": 0.1, **settings}
    pairs = [f"{key}={value}" for key, value in given.items()]
    _add(server, "carriers", {"Name": name, "Type": "smpp", "Set": pairs})


def add_route(server: Server, carrier: str, *, prefix: str) -> None:
    """Lead the numbers that begin with *prefix* to a carrier."""
    _add(server, "routes", {"Carrier": carrier, "Prefix": prefix, "Order": 1})


def send(server: Server, recipient: str, body: str, *, callback: str = "") -> str:
    """Send a text from our number and return its SID."""
    form = {"To": recipient, "From": server.number, "Body": body}
    form |= {"StatusCallback": callback} if callback else {}
    answer = ask("POST", f"{server.account_url}/Messages.json", form, auth=server.auth)
    assert answer.status == 201, answer.body
    sid: str = answer.json["sid"]
    return sid


def _add(server: Server, what: str, form: Mapping[str, object]) -> None:
    answer = ask("POST", f"{server.base_url}/trunkline/v1/{what}", form, auth=server.auth)
    assert answer.status == 201, answer.body
