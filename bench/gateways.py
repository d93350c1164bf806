"""What is measured between the load and the SMSC: Trunkline in its kinds, and its peers."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from bench.ceiling import ACCOUNT_SID, AUTH_TOKEN
from bench.programs import find_program, free_ports, running_program, wait_until
from bench.site import (
    SENDERS,
    TEXT,
    Customer,
    Server,
    Site,
    add_carrier,
    buy_senders,
    recipient,
    running_trunkline,
    wait_for_binds,
)

# dlr-mask: delivered, failed, queued at the SMSC, taken by the SMSC, refused by the SMSC.
EVERY_RECEIPT = 31
# Several lanes for each process: one that waits for its answers leaves the others at work.
LANES_PER_WORKER = 2
CORES = os.cpu_count() or 1


def no_groups() -> tuple[float, float]:
    """Say that nothing is known of works and commits."""
    return 0.0, 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway at work: its processes, and the request that sends message *number*.

    *groups* tells how many works and how many commits there were, where that is known.
    """

    pids: Sequence[int]
    port: int
    accepted: int
    render: Callable[[int], bytes]
    groups: Callable[[], tuple[float, float]] = no_groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a gateway finds the SMSC and the receiver of callbacks, and where it may store."""

    smsc_port: int
    callback_port: int
    window: int
    directory: Path
    database: str = ""
    database_pids: Sequence[int] = ()

    def callback(self, number: int) -> str:
        """Return the callback URL of a message."""
        return f"http://127.0.0.1:{self.callback_port}/status?n={number}"


@contextlib.contextmanager
def trunkline(around: Surroundings, *, workers: int = 1) -> Iterator[Gateway]:
    """Yield a fresh Trunkline whose only carrier is the SMSC."""
    lanes = 1 if workers == 1 else workers * LANES_PER_WORKER
    site = Site(directory=around.directory, database=around.database, workers=workers)
    with running_trunkline(site) as server:
        customer = buy_senders(server, server.main)
        add_carrier(server, around.smsc_port, window=around.window, lanes=lanes)
        wait_for_binds(server, lanes)
        yield gateway_of(server, customer, around)


def gateway_of(server: Server, customer: Customer, around: Surroundings) -> Gateway:
    """Return a server that runs as a gateway, used by one customer."""

    def render(number: int) -> bytes:
        return server.request(customer, number, callback=around.callback(number))

    return Gateway(
        pids=[server.pid, *around.database_pids],
        port=server.port,
        accepted=201,
        render=render,
        groups=server.groups,
    )


@contextlib.contextmanager
def probed(around: Surroundings) -> Iterator[Gateway]:
    """Yield the probe."""
    around.directory.mkdir()
    options = {
        "smsc-port": around.smsc_port,
        "window": around.window,
        "file": around.directory / "probe.db",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    with running_program([sys.executable, "-m", "bench.probe", *arguments]) as process:
        assert process.stdout is not None
        server = Server(
            pid=process.pid,
            port=int(process.stdout.readline()),
            main=Customer(
                account_sid=ACCOUNT_SID,
                auth_token=AUTH_TOKEN,
                senders=[f"+141555501{number:02}" for number in range(SENDERS)],
            ),
            started_at=0.0,
        )
        gateway = gateway_of(server, server.main, around)
        yield Gateway(
            pids=gateway.pids, port=gateway.port, accepted=gateway.accepted, render=gateway.render
        )


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
    return [name for name in ("bearerbox", "smsbox") if find_program(name) is None]


@contextlib.contextmanager
def kannel(around: Surroundings) -> Iterator[Gateway]:
    """Yield a Kannel that spools to the disk."""
    (around.directory / "spool").mkdir(parents=True)
    admin_port, box_port, send_port = free_ports(3)
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
                accepted=202,
                render=partial(_kannel_request, around),
            )


def _kannel_request(around: Surroundings, number: int) -> bytes:
    query = {
        "username": "bench",
        "password": "bench",
        "from": f"141555501{number % SENDERS:02}",
        "to": recipient(number).removeprefix("+"),
        "text": TEXT.format(number),
        "dlr-mask": EVERY_RECEIPT,
        "dlr-url": f"{around.callback(number)}&d=%d",
    }
    path = f"/cgi-bin/sendsms?{urlencode(query)}"
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def _running_box(
    name: str, configuration: Path
) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    program = find_program(name)
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
