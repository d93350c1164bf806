"""`trunkline up --workers`: several processes that are one server, whatever becomes of them."""

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.test_up import complaint
from tests.esme import Esme
from tests.interop.smpp.certificate import certify
from tests.processes import (
    PHONE,
    READY,
    Receiver,
    Server,
    ask,
    receiving,
    running,
    up,
    wait_until,
)
from tests.scenario.test_drain import SENDERS, Senders
from trunkline.config import WORKERS_MAX
from trunkline.crew.member import ANSWER_SECONDS
from trunkline.smpp.status import CommandStatus

SECONDS = 60.0
STOP_SECONDS = 30.0
CONNECTIONS = 64
TEXTS = 40
SCRAPES = 30
PATIENCE_SECONDS = 5.0
TOKEN = "a-token-of-some-length"
PROGRAM = b"trunkline.cli.worker"

on_postgresql = pytest.mark.postgresql


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, workers=2) as server:
        yield server


def workers_of(server: Server) -> dict[int, int]:
    """Return the processes of the workers by their numbers."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if int(parent) == server.process.popen.pid and PROGRAM in words:
                found[int(words[words.index(PROGRAM) + 1])] = int(entry.name)
    return found


def is_gone(process: int) -> bool:
    """Tell whether a process that is not our child has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def nodes(server: Server) -> list[dict[str, object]]:
    answer = ask("GET", f"{server.base_url}/trunkline/v1/nodes", auth=server.auth)
    assert answer.status == 200, answer.body
    found: list[dict[str, object]] = answer.json["nodes"]
    return found


def degraded(server: Server) -> list[str]:
    answer = ask("GET", f"{server.base_url}/health/ready")
    assert answer.status == 200, answer.body
    found: list[str] = answer.json["degraded"]
    return found


def counted(server: Server) -> dict[tuple[str, str], float]:
    """Return what is counted under each name by each worker."""
    answer = ask("GET", f"{server.base_url}/metrics")
    assert answer.status == 200, answer.body
    return counts(answer.body)


def counts(page: bytes) -> dict[tuple[str, str], float]:
    """Return what a page counts under each name by each worker, all other labels together."""
    found: defaultdict[tuple[str, str], float] = defaultdict(float)
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            found[sample.name, sample.labels["worker"]] += sample.value
    return dict(found)


def both(server: Server, name: str) -> list[float]:
    """Return one count of both workers."""
    found = counted(server)
    return [found[f"trunkline_{name}", number] for number in ("0", "1")]


def replaced(server: Server, *killed: int) -> None:
    """Wait until as many workers serve as there are to be, without those that were killed."""

    def is_so() -> bool:
        now = workers_of(server)
        return len(now) == 2 and not set(now.values()) & set(killed) and not degraded(server)

    wait_until(is_so, SECONDS, what="two workers serve")


def asked_on(connections: list[HTTPConnection], server: Server) -> Counter[str]:
    """Return how many connections are served by each worker."""
    for connection in connections:
        # Shows to the client that its connection is gone, if it is.
        with contextlib.suppress(OSError, HTTPException):
            connection.request("GET", "/health/live")
            connection.getresponse().read()
    return Counter(served_by(connection, server) for connection in connections)


def served_by(connection: HTTPConnection, server: Server) -> str:
    """Return the name of the worker that serves a connection."""
    login = base64.b64encode(":".join(server.auth).encode()).decode()
    connection.request("GET", "/trunkline/v1/nodes", headers={"Authorization": f"Basic {login}"})
    shown = json.loads(connection.getresponse().read())["nodes"]
    return next(str(node["name"]) for node in shown if node["is_this"])


def name_of(server: Server, number: int) -> str:
    """Return what a worker is called among nodes."""
    return f"{socket.gethostname()}:{urlsplit(server.base_url).port}/{number}"


def called(receiver: Receiver, status: str) -> set[str]:
    """Return which messages a status was called back for."""
    seen = list(receiver.seen)
    return {s.form["MessageSid"] for s in seen if s.form["MessageStatus"] == status}


class Traffic(Senders):
    """Those who send, until they are told to stop."""

    is_over = False

    def stop(self) -> None:
        """Let everybody finish what he is about."""
        self.is_over = True
        self.join()

    def _send(self, connection: HTTPConnection, number: int) -> bool:
        return super()._send(connection, number) and not self.is_over


@on_postgresql
def test_workers_are_one_server(server: Server) -> None:
    """Said once, one address, every callback arrives, and each is a node by itself."""
    assert server.process.stdout.count(READY) == 1
    with receiving() as receiver, server.client() as client:
        sids = {
            client.messages.create(
                to=PHONE, from_=server.number, body=f"{n}", status_callback=receiver.url("/s")
            ).sid
            for n in range(TEXTS)
        }
        for status in ("sent", "delivered"):
            wait_until(lambda s=status: called(receiver, s) == sids, SECONDS, what=status)  # type: ignore[misc]
    found = nodes(server)
    assert [node["name"] for node in found] == [name_of(server, number) for number in (0, 1)]
    assert sum(both(server, "messages_accepted_total")) == TEXTS
    assert server.process.end(seconds=STOP_SECONDS) == 0
    assert server.process.stderr == ""


@on_postgresql
def test_connections_that_are_kept_are_spread_evenly(server: Server) -> None:
    """At once, and again after a worker was killed that had half of them."""
    there = urlsplit(server.base_url)
    connections = [HTTPConnection(there.hostname or "", there.port) for _ in range(CONNECTIONS)]
    with contextlib.ExitStack() as kept:
        for connection in connections:
            kept.callback(connection.close)
        assert sorted(asked_on(connections, server).values()) == [32, 32]
        killed = workers_of(server)[1]
        os.kill(killed, signal.SIGKILL)
        replaced(server, killed)
        assert sorted(asked_on(connections, server).values()) == [32, 32]


@on_postgresql
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(server: Server) -> None:
    """Under traffic; the new one has the leases of the old one at once, which is not seen again."""
    with receiving() as receiver:
        accepted: set[str] = set()
        for number in (0, 1):
            senders = Traffic(server, receiver.url("/status"))
            senders.start()
            wait_until(lambda s=senders: len(s.accepted) >= TEXTS, SECONDS)  # type: ignore[misc]
            killed = workers_of(server)[number]
            os.kill(killed, signal.SIGKILL)
            replaced(server, killed)
            senders.stop()
            accepted |= senders.accepted
            # Only who was being served by the one that was killed was cut off.
            assert 0 < len(senders.others) < SENDERS, senders.others
        assert [node["state"] for node in nodes(server)] == ["up", "up"]
        for status in ("sent", "delivered"):
            wait_until(
                lambda s=status: accepted <= called(receiver, s),  # type: ignore[misc]
                SECONDS,
                what=f"all are {status}",
            )
    assert server.process.stderr.count("a worker ended and is started again") == 2
    assert "Traceback" not in server.process.stderr


@on_postgresql
def test_workers_end_with_their_supervisor(server: Server) -> None:
    """Killed without a word it leaves nobody behind, not even who stood still."""
    pids = workers_of(server)
    os.kill(pids[1], signal.SIGSTOP)
    server.process.popen.kill()
    server.process.popen.wait()
    wait_until(lambda: is_gone(pids[0]), SECONDS)
    os.kill(pids[1], signal.SIGCONT)
    wait_until(lambda: is_gone(pids[1]), SECONDS)
    server.start()
    assert len(workers_of(server)) == 2


@on_postgresql
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_sends_while_it_stops_is_answered(server: Server, number: signal.Signals) -> None:
    """Every request that was made has an answer, and what was answered happens after the start."""
    with receiving() as receiver:
        senders = Traffic(server, receiver.url("/status"))
        senders.start()
        wait_until(lambda: len(senders.accepted) >= TEXTS, SECONDS)
        pids = workers_of(server)
        assert server.process.end(number, seconds=STOP_SECONDS) == 0
        senders.join()
        assert (senders.others, senders.refused) == ([], SENDERS)
        assert all(map(is_gone, pids.values()))
        assert "Traceback" not in server.process.stderr
        server.start()
        wait_until(lambda: senders.accepted <= called(receiver, "delivered"), SECONDS)


@on_postgresql
def test_a_signal_that_reaches_every_process_is_one_signal(tmp_path: Path) -> None:
    """Each worker gets it as well, twice; the drain goes on to its end all the same."""
    with running(tmp_path, workers=2, drain_seconds=3) as server:
        pids = workers_of(server)
        for _ in range(2):
            for pid in pids.values():
                os.kill(pid, signal.SIGTERM)
        server.process.popen.send_signal(signal.SIGTERM)
        wait_until(lambda: ask("GET", f"{server.base_url}/health").status == 503, SECONDS)
        with server.client() as client:
            sid = client.messages.create(to=PHONE, from_=server.number, body="late").sid
        assert server.process.popen.wait(STOP_SECONDS) == 0
        server.start()
        wait_until(lambda: server.trace(sid)["message"]["status"] == "delivered", SECONDS)


@on_postgresql
def test_the_second_signal_is_obeyed_at_once(tmp_path: Path) -> None:
    """By the workers, too."""
    with running(tmp_path, workers=2, drain_seconds=600) as server:
        pids = workers_of(server)
        server.process.popen.send_signal(signal.SIGTERM)
        wait_until(lambda: ask("GET", f"{server.base_url}/health").status == 503, SECONDS)
        assert server.process.end(seconds=STOP_SECONDS) == 1
        wait_until(lambda: all(map(is_gone, pids.values())), SECONDS)


@on_postgresql
def test_a_worker_that_is_told_to_stop_leaves_in_good_order(server: Server) -> None:
    """Its place is taken by another one, and nobody is cut off."""
    with receiving() as receiver:
        senders = Traffic(server, receiver.url("/status"))
        senders.start()
        wait_until(lambda: len(senders.accepted) >= TEXTS, SECONDS)
        told = workers_of(server)[0]
        os.kill(told, signal.SIGTERM)
        replaced(server, told)
        senders.stop()
        assert senders.others == []


@on_postgresql
def test_metrics_are_of_the_whole_machine_whoever_is_asked(server: Server) -> None:
    """No count goes back between scrapes, and each is there under its worker."""
    with receiving() as receiver:
        senders = Traffic(server, receiver.url("/status"))
        senders.start()
        before = [0.0, 0.0]
        for _ in range(SCRAPES):
            now = both(server, "messages_accepted_total")
            assert all(old <= new for old, new in zip(before, now, strict=True)), (before, now)
            before = now
        senders.stop()
    assert sum(both(server, "messages_accepted_total")) == len(senders.accepted)
    assert both(server, "worker_up") == [1, 1]
    assert {number for name, number in counted(server) if name.startswith("process_")} == {"0", "1"}
    assert min(both(server, "messages_accepted_total")) > 0


@on_postgresql
def test_a_worker_that_does_not_answer_is_left_out_and_named(server: Server) -> None:
    """The page comes in time, with what the other one counts."""
    there = urlsplit(server.base_url)
    connections = [HTTPConnection(there.hostname or "", there.port) for _ in range(2)]
    with contextlib.ExitStack() as kept:
        for connection in connections:
            kept.callback(connection.close)
        served = [served_by(connection, server) for connection in connections]
        stopped = workers_of(server)[1]
        os.kill(stopped, signal.SIGSTOP)
        kept.callback(os.kill, stopped, signal.SIGCONT)
        asking = connections[served.index(name_of(server, 0))]
        began = time.monotonic()
        asking.request("GET", "/metrics")
        found = counts(asking.getresponse().read())
        assert time.monotonic() - began < ANSWER_SECONDS + PATIENCE_SECONDS
    assert (found["trunkline_worker_up", "0"], found["trunkline_worker_up", "1"]) == (1, 0)
    assert ("trunkline_messages_accepted_total", "0") in found
    assert ("trunkline_messages_accepted_total", "1") not in found


def trusting(certificate: Path) -> ssl.SSLContext:
    """Return what a client needs who knows a server by its certificate, whatever its name."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    return context


@on_postgresql
async def test_smpp_clients_are_spread_over_workers(tmp_path: Path) -> None:
    """With TLS and without; each port is one, also where any free one was asked for."""
    pair = certify(tmp_path)
    settings = {"smpp_port": 0, "smpp_tls_port": 0, "smpp_tls_cert": pair.certificate}
    with running(tmp_path, workers=2, smpp_tls_key=pair.key, **settings) as server:
        shown = re.findall(r"SMPP +127\.0\.0\.1:(\d+)( \(TLS\))?", server.process.stdout)
        assert [bool(tls) for _, tls in shown] == [False, True]
        async with contextlib.AsyncExitStack() as stack:
            for port, is_tls in shown:
                tls = trusting(pair.certificate) if is_tls else None
                for _ in range(4):
                    esme = await stack.enter_async_context(await Esme.connect(int(port), tls=tls))
                    assert await esme.bind("simulator", "password") == CommandStatus.ESME_ROK
            assert both(server, "smpp_customer_binds") == [4, 4]
        await asyncio.to_thread(
            wait_until, lambda: both(server, "smpp_customer_binds") == [0, 0], SECONDS
        )


@on_postgresql
def test_settings_are_read_again_by_every_worker(server: Server) -> None:
    """A mistake is said once and changes nothing; who is started again has them, too."""
    file = server.data_dir / "trunkline.toml"
    file.write_text('metrics_token = "short"')
    server.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: "settings are not reloaded" in server.process.stderr, SECONDS)
    assert server.process.stderr.count("settings are not reloaded") == 1
    file.write_text(f'metrics_token = "{TOKEN}"\nbase_url = "http://x.example"')
    server.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: server.process.stderr.count("settings reloaded") == 2, SECONDS)
    wait_until(lambda: server.process.stderr.count("settings that need a restart") == 2, SECONDS)
    there = {"X-Forwarded-For": "198.51.100.7", "Authorization": f"Bearer {TOKEN}"}
    killed = workers_of(server)[0]
    assert scraped(server, there) == {200}
    os.kill(killed, signal.SIGKILL)
    replaced(server, killed)
    assert scraped(server, there) == {200}
    assert server.process.stdout.count(READY) == 1


def scraped(server: Server, headers: dict[str, str]) -> set[int]:
    """Return how either worker answers."""
    asked = [ask("GET", f"{server.base_url}/metrics", headers=headers) for _ in range(4)]
    return {answer.status for answer in asked}


@on_postgresql
@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"clock": "manual"}, 2, ("workers is 2 from --workers", "clock to system")),
        ({"seed": 7}, 2, ("workers is 2 from --workers", "seed")),
        ({"workers": 0}, 2, (f"from 1 to {WORKERS_MAX}",)),
        ({"workers": WORKERS_MAX + 1}, 2, (f"from 1 to {WORKERS_MAX}",)),
        ({"secret_key": "x"}, 1, ("secret_key",)),
        ({"database": "postgresql://nobody@127.0.0.1:1/x"}, 1, ("database",)),
        ({"smpp_tls_port": 0}, 1, ("smpp_tls_cert",)),
    ],
)
def test_a_start_that_fails_says_once_why(
    tmp_path: Path, settings: dict[str, object], code: int, words: tuple[str, ...]
) -> None:
    """In one sentence, as with one process, whichever of them found out."""
    given = {"workers": 2, **settings}
    found, said = complaint(up(tmp_path / "data", **given), tmp_path)
    assert (found, [word for word in words if word not in said]) == (code, []), said


@pytest.mark.sqlite
def test_several_processes_need_postgresql(tmp_path: Path) -> None:
    """The sentence says why, and what to do; nothing is made."""
    found, said = complaint(up(tmp_path / "data", workers=2), tmp_path)
    assert (found, "workers is 2 from --workers" in said, "PostgreSQL URL" in said) == (
        2,
        True,
        True,
    )
    assert not (tmp_path / "data" / "secret.key").exists()


@on_postgresql
def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """That of SMPP, too, before any worker is started."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        for name in ("port", "smpp_port"):
            settings = {"workers": 2, name: port}
            code, said = complaint(up(tmp_path / "data", **settings), tmp_path)
            assert (code, "--" + name.replace("_", "-") in said) == (1, True), said
