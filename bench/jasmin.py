"""Jasmin as a gateway to be measured, with the Redis and the RabbitMQ that it needs.

It is measured where `redis-server` and `rabbitmq-server` are installed and the environment variable
BENCH_JASMIN names the directory in which `jasmind.py` is: a virtual environment of its own.
"""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from bench.gateways import Gateway, Surroundings
from bench.programs import As, find_program, free_ports, running_program, wait_until
from bench.site import SENDERS, TEXT, recipient

PLACE = "BENCH_JASMIN"
# Debian's own command starts it as another user, whose files ours are not.
BROKER_FOLDER = "/usr/lib/rabbitmq/bin"
EVERY_RECEIPT = 3
QUIET_SECONDS = 0.3

# Everything in one process, as its documentation begins.
SERVICES = ("--enable-dlr-thrower", "--enable-dlr-lookup")
CONFIGURATION = """
[jcli]
bind = 127.0.0.1
port = {console_port}
authentication = False
[http-api]
bind = 127.0.0.1
port = {send_port}
log_level = ERROR
[amqp-broker]
port = {broker_port}
spec = {protocol}
log_level = ERROR
[redis-client]
port = {redis_port}
log_level = ERROR
[smpp-server]
bind = 127.0.0.1
port = {server_port}
log_level = ERROR
[smpp-server-pb]
bind = 127.0.0.1
port = {server_client_port}
log_level = ERROR
[router]
bind = 127.0.0.1
port = {router_port}
log_level = ERROR
[client-management]
bind = 127.0.0.1
port = {client_port}
log_level = ERROR
[sm-listener]
log_level = ERROR
[dlr]
log_level = ERROR
[dlr-thrower]
log_level = ERROR
"""
# Without a throughput of 0 it submits one text a second.
ORDERS = """
group -a
gid bench
ok
user -a
uid bench
gid bench
username bench
password bench
ok
smppccm -a
cid bench
host 127.0.0.1
port {smsc_port}
username bench
password bench
submit_throughput 0
ok
mtrouter -a
type defaultroute
connector smppc(bench)
rate 0
ok
smppccm -1 bench
"""


def missing() -> str:
    """Return why Jasmin cannot be measured here, or nothing."""
    if _daemon() is None:
        return f"{PLACE} names no directory with jasmind.py"
    absent = [
        name
        for name, path in (("redis-server", _redis()), ("rabbitmq-server", _broker()))
        if path is None
    ]
    return f"not installed: {', '.join(absent)}" if absent else ""


def _daemon() -> Path | None:
    path = Path(os.environ.get(PLACE, "/nowhere")) / "jasmind.py"
    return path if path.exists() else None


def _redis() -> str | None:
    return find_program("redis-server")


def _broker() -> str | None:
    path = Path(BROKER_FOLDER) / "rabbitmq-server"
    return str(path) if path.exists() else None


@contextlib.contextmanager
def jasmin(around: Surroundings) -> Iterator[Gateway]:
    """Yield a Jasmin with queues of its own."""
    around.directory.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        redis_port, redis = stack.enter_context(_running_redis(around.directory))
        broker_port, broker = stack.enter_context(_running_broker(around.directory))
        console_port, send_port, *others = free_ports(6)
        names = ("router_port", "client_port", "server_port", "server_client_port")
        configured = CONFIGURATION.format(
            **dict(zip(names, others, strict=True)),
            console_port=console_port,
            send_port=send_port,
            broker_port=broker_port,
            redis_port=redis_port,
            protocol=_protocol(),
        )
        daemon = stack.enter_context(_running_daemon(around.directory, configured))
        wait_until(partial(_listens, console_port), "Jasmin's console is there")
        wait_until(partial(_listens, send_port), "Jasmin takes requests")
        _order(console_port, ORDERS.format(smsc_port=around.smsc_port))
        wait_until(partial(_is_bound, console_port), "Jasmin is bound")
        yield Gateway(
            pids=[daemon.pid, redis.pid, broker.pid],
            port=send_port,
            accepted=200,
            render=partial(_request, around),
        )


@contextlib.contextmanager
def _running_redis(directory: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    (port,) = free_ports(1)
    program = _redis()
    assert program
    settings = {"port": port, "bind": "127.0.0.1", "dir": directory, "save": ""}
    options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    with running_program([program, *options], output=subprocess.DEVNULL) as process:
        wait_until(partial(_listens, port), "Redis is there")
        yield port, process


@contextlib.contextmanager
def _running_broker(directory: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    port, names_port, peers_port = free_ports(3)
    program, names = _broker(), find_program("epmd")
    assert program
    assert names
    environment = {
        "HOME": str(directory),
        "ERL_EPMD_PORT": str(names_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "bench@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(peers_port),
        "RABBITMQ_MNESIA_BASE": str(directory / "broker"),
        "RABBITMQ_LOG_BASE": str(directory / "broker-log"),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "no-such-file"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
    }
    who = As(environment=environment)
    with (
        running_program([names], output=subprocess.DEVNULL, who=who),
        running_program([program], output=subprocess.DEVNULL, who=who) as process,
    ):
        wait_until(partial(_listens, port), "RabbitMQ is there")
        yield port, process


def _running_daemon(
    directory: Path, configured: str
) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    daemon = _daemon()
    assert daemon
    for name in ("store", "log"):
        (directory / name).mkdir()
    path = directory / "jasmin.cfg"
    path.write_text(configured)
    environment = {
        "ROOT_PATH": str(directory),
        "CONFIG_PATH": str(directory),
        "STORE_PATH": str(directory / "store"),
        "LOG_PATH": str(directory / "log"),
    }
    command = [str(daemon.with_name("python")), str(daemon), "--config", str(path), *SERVICES]
    return running_program(command, output=subprocess.DEVNULL, who=As(environment=environment))


def _protocol() -> Path:
    """Return the description of AMQP that came with Jasmin's library."""
    daemon = _daemon()
    assert daemon
    places = daemon.parent.parent.glob("lib/*/site-packages/txamqp/specs/standard")
    return next(places) / "amqp0-9-1.stripped.xml"


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_bound(console_port: int) -> bool:
    return "BOUND_TRX" in _order(console_port, "smppccm -l\n")


def _order(console_port: int, orders: str) -> str:
    """Return what the console says to some lines; it is meant for people, who wait and look."""
    with socket.create_connection(("127.0.0.1", console_port), timeout=QUIET_SECONDS) as sock:
        said = _read_until_quiet(sock)
        for line in orders.strip().splitlines():
            sock.sendall(line.encode() + b"\r\n")
            said += _read_until_quiet(sock)
    return said


def _read_until_quiet(sock: socket.socket) -> str:
    said = b""
    with contextlib.suppress(TimeoutError):
        while piece := sock.recv(4096):
            said += piece
    return said.decode(errors="replace")


def _request(around: Surroundings, number: int) -> bytes:
    query: dict[str, object] = {
        "username": "bench",
        "password": "bench",
        "from": f"141555501{number % SENDERS:02}",
        "to": recipient(number).removeprefix("+"),
        "content": TEXT.format(number),
        "dlr": "yes",
        "dlr-url": around.callback(number),
        "dlr-level": EVERY_RECEIPT,
        "dlr-method": "POST",
    }
    return f"GET /send?{urlencode(query)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
