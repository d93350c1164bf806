"""What is measured between the load and the SMSC: Trunkline, and Kannel where it is installed."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from bench.servers import Server, running_program, running_trunkline

# A sender keeps to one lane, so that several lanes need several senders; all gateways get as many.
SENDERS = 16
READY_SECONDS = 20
TEXT = "Your code is {:06}. It is good for ten minutes."
# dlr-mask: delivered, failed, queued at the SMSC, taken by the SMSC, refused by the SMSC.
EVERY_RECEIPT = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway at work: its processes, and the request that sends message *number*."""

    pids: Sequence[int]
    port: int
    accepted: str
    render: Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a gateway finds the SMSC and the sink of callbacks, and where it may store."""

    smsc_port: int
    sink_port: int
    window: int
    directory: Path

    def callback(self, number: int) -> str:
        """Return the callback URL of a message."""
        return f"http://127.0.0.1:{self.sink_port}/status?n={number}"


def recipient(number: int) -> str:
    """Return one of ten thousand handsets."""
    return f"1202555{number % 10_000:04}"


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Return once it is so; raise when it takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain: {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def trunkline(around: Surroundings, *, lanes: int) -> Iterator[Gateway]:
    """Yield a Trunkline on SQLite whose only carrier is the SMSC."""
    with running_trunkline(around.directory) as server:
        senders = _buy_senders(server)
        settings = {
            "host": "127.0.0.1",
            "port": around.smsc_port,
            "system_id": "bench",
            "window": around.window,
            "lanes": lanes,
        }
        pairs = [f"{name}={value}" for name, value in settings.items()]
        _post(server, "/trunkline/v1/carriers", {"Name": "bench", "Type": "smpp", "Set": pairs})
        _post(server, "/trunkline/v1/routes", {"Carrier": "bench", "Order": 1})
        wait_until(partial(_is_bound, server, lanes), "the carrier is bound")
        yield Gateway(
            pids=[server.pid],
            port=server.port,
            accepted="201",
            render=partial(_trunkline_request, server, around, senders),
        )


def _trunkline_request(
    server: Server, around: Surroundings, senders: Sequence[str], number: int
) -> bytes:
    form = {
        "To": f"+{recipient(number)}",
        "From": senders[number % len(senders)],
        "Body": TEXT.format(number),
        "StatusCallback": around.callback(number),
    }
    body = urlencode(form)
    return (
        f"POST {_account(server)}/Messages.json HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\nAuthorization: {_authorization(server)}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _account(server: Server) -> str:
    return f"/2010-04-01/Accounts/{server.account_sid}"


def _authorization(server: Server) -> str:
    pair = f"{server.account_sid}:{server.auth_token}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _buy_senders(server: Server) -> list[str]:
    path = f"{_account(server)}/AvailablePhoneNumbers/US/Local.json?PageSize={SENDERS}"
    found = _ask(server, "GET", path)["available_phone_numbers"]
    assert isinstance(found, list)
    numbers = [str(number["phone_number"]) for number in found]
    for number in numbers:
        _post(server, f"{_account(server)}/IncomingPhoneNumbers.json", {"PhoneNumber": number})
    return numbers


def _is_bound(server: Server, lanes: int) -> bool:
    bound = _ask(server, "GET", "/trunkline/v1/carriers/bench")["bound"]
    return bound == lanes


def _post(server: Server, path: str, form: Mapping[str, object]) -> None:
    _ask(server, "POST", path, body=urlencode(form, doseq=True))


def _ask(server: Server, method: str, path: str, *, body: str = "") -> dict[str, object]:
    headers = {
        "Authorization": _authorization(server),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    with contextlib.closing(HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {text.decode()}")
    found: dict[str, object] = json.loads(text)
    return found


# dlr-storage is in memory: the other kinds need a database server.
KANNEL = """
group = core
admin-port = {admin_port}
admin-interface = 127.0.0.1
admin-password = bench
smsbox-port = {box_port}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
log-file = {directory}/bearerbox.log
log-level = 3
dlr-storage = internal
store-type = spool
store-location = {directory}/spool
sms-outgoing-queue-limit = 1000000
sms-incoming-queue-limit = 1000000

group = smsc
smsc = smpp
smsc-id = bench
host = 127.0.0.1
port = {smsc_port}
transceiver-mode = true
smsc-username = bench
smsc-password = bench
system-type = ""
max-pending-submits = {window}
source-addr-ton = 1
source-addr-npi = 1
dest-addr-ton = 1
dest-addr-npi = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {send_port}
sendsms-interface = 127.0.0.1
log-file = {directory}/smsbox.log
log-level = 3
max-pending-requests = 512

group = sendsms-user
username = bench
password = bench
"""


def missing_programs() -> list[str]:
    """Return which of Kannel's programs are not installed."""
    return [name for name in ("bearerbox", "smsbox") if _program(name) is None]


def _program(name: str) -> str | None:
    # Debian keeps daemons where not everybody's PATH leads.
    return shutil.which(name, path=os.environ["PATH"] + os.pathsep + "/usr/sbin")


@contextlib.contextmanager
def kannel(around: Surroundings) -> Iterator[Gateway]:
    """Yield a Kannel that spools to the disk."""
    (around.directory / "spool").mkdir(parents=True)
    admin_port, box_port, send_port = _free_ports(3)
    configured = KANNEL.format(
        admin_port=admin_port,
        box_port=box_port,
        send_port=send_port,
        smsc_port=around.smsc_port,
        window=around.window,
        directory=around.directory,
    )
    path = around.directory / "kannel.conf"
    path.write_text(configured)
    with _running_box("bearerbox", path) as bearerbox:
        wait_until(partial(_says, admin_port, "bench", "(online"), "bearerbox is bound")
        with _running_box("smsbox", path) as smsbox:
            wait_until(partial(_says, admin_port, "smsbox:", "(on-line"), "smsbox is connected")
            yield Gateway(
                pids=[bearerbox.pid, smsbox.pid],
                port=send_port,
                accepted="202",
                render=partial(_kannel_request, around),
            )


def _kannel_request(around: Surroundings, number: int) -> bytes:
    query = {
        "username": "bench",
        "password": "bench",
        "from": f"141555501{number % SENDERS:02}",
        "to": recipient(number),
        "text": TEXT.format(number),
        "dlr-mask": EVERY_RECEIPT,
        "dlr-url": f"{around.callback(number)}&d=%d",
    }
    path = f"/cgi-bin/sendsms?{urlencode(query)}"
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def _running_box(
    name: str, configuration: Path
) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    program = _program(name)
    assert program, f"{name} is not installed"
    # Its output goes where nothing has to be read for it to go on.
    return running_program([program, "-v", "4", str(configuration)], output=subprocess.DEVNULL)


def _says(admin_port: int, *words: str) -> bool:
    """Say whether Kannel's page of its state contains some words."""
    with contextlib.closing(HTTPConnection("127.0.0.1", admin_port)) as connection:
        try:
            connection.request("GET", "/status.txt?password=bench")
            page = connection.getresponse().read().decode()
        except ConnectionError:
            return False
    return all(word in page for word in words)


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, for programs that cannot choose one themselves."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
