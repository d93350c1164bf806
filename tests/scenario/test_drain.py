"""Trunkline is told to stop while everybody sends: nobody is cut off, nothing is lost."""

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from urllib.parse import urlencode, urlsplit

import pytest

from tests.processes import Receiver, Server, ask, receiving, running, wait_until

SENDERS = 6
ENOUGH = 150
SECONDS = 60.0
STOP_SECONDS = 10.0
# Between two texts on one connection, so that most of them are idle when the signal comes.
THINK_SECONDS = 0.02


@dataclass
class Senders:
    """Threads that send on connections of their own, one text after the other, until refused."""

    server: Server
    callback: str
    accepted: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self._thinking = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(SENDERS)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Return once nobody can send any more."""
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive()

    def _run(self, number: int) -> None:
        there = urlsplit(self.server.base_url)
        connection = HTTPConnection(there.hostname or "", there.port, timeout=SECONDS)
        try:
            while self._send(connection, number):
                self._thinking.wait(THINK_SECONDS)
        except ConnectionRefusedError:
            # Nobody listens any more, so nothing was asked.
            self.refused += 1
        except (OSError, HTTPException) as error:
            self.others.append(repr(error))
        finally:
            connection.close()

    def _send(self, connection: HTTPConnection, number: int) -> bool:
        form = {"To": f"+1555867{number:04}", "From": self.server.number, "Body": "x"}
        form["StatusCallback"] = self.callback
        login = base64.b64encode(":".join(self.server.auth).encode()).decode()
        headers = {
            "Authorization": f"Basic {login}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        path = urlsplit(f"{self.server.account_url}/Messages.json").path
        connection.request("POST", path, urlencode(form), headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 201:
            self.others.append(f"{answer.status} {body}")
            return False
        self.accepted.add(body.partition('"sid":"')[2][:34])
        return True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_who_sends_while_it_stops_is_answered(
    tmp_path: Path, receiver: Receiver, number: Signals
) -> None:
    """Every request that was made has an answer, and what was answered happens after the start."""
    with running(tmp_path) as server:
        senders = Senders(server, receiver.url("/status"))
        senders.start()
        wait_until(lambda: len(senders.accepted) >= ENOUGH, SECONDS)
        assert server.process.end(number, seconds=STOP_SECONDS) == 0
        senders.join()
        assert (senders.others, senders.refused) == ([], SENDERS)
        assert "Traceback" not in server.process.stderr
        server.start()
        for status in ("sent", "delivered"):
            wait_until(lambda s=status: senders.accepted <= called(receiver, s), SECONDS)  # type: ignore[misc]


def called(receiver: Receiver, status: str) -> set[str]:
    seen = list(receiver.seen)
    return {s.form["MessageSid"] for s in seen if s.form["MessageStatus"] == status}


def test_a_load_balancer_hears_of_it_first(tmp_path: Path) -> None:
    """For drain_seconds everything goes on as before, but that the server says that it leaves."""
    with running(tmp_path, drain_seconds=1.5) as server:
        assert ask("GET", f"{server.base_url}/health").status == 200
        server.process.popen.send_signal(SIGTERM)
        wait_until(lambda: ask("GET", f"{server.base_url}/health/ready").status == 503)
        assert ask("GET", f"{server.base_url}/health/live").status == 200
        sid = send(server)
        assert server.process.popen.wait(STOP_SECONDS) == 0
        server.start()
        wait_until(lambda: server.trace(sid)["message"]["status"] == "delivered", SECONDS)


def test_the_second_signal_is_obeyed_at_once(tmp_path: Path) -> None:
    """Nothing that was promised is lost by it."""
    with running(tmp_path, drain_seconds=600) as server:
        server.process.popen.send_signal(SIGTERM)
        wait_until(lambda: ask("GET", f"{server.base_url}/health").status == 503)
        sid = send(server)
        assert server.process.end(seconds=STOP_SECONDS) == 1
        server.start()
        wait_until(lambda: server.trace(sid)["message"]["status"] == "delivered", SECONDS)


def test_a_webhook_under_way_is_waited_for(tmp_path: Path) -> None:
    """A receiver that answers within a second or two is not asked again after the start."""
    is_asked, may_answer = threading.Event(), threading.Event()

    def answer(_: object) -> tuple[int, str, bytes]:
        is_asked.set()
        may_answer.wait(SECONDS)
        return 204, "", b""

    with receiving(answer) as receiver, running(tmp_path, delivery_delay_seconds=600) as server:
        sid = send(server, StatusCallback=receiver.url("/status"))
        assert is_asked.wait(SECONDS)
        server.process.popen.send_signal(SIGTERM)
        wait_until(lambda: is_refused(server), SECONDS)
        may_answer.set()
        assert server.process.popen.wait(STOP_SECONDS) == 0
        server.start()
        assert [a["http_status"] for a in server.trace(sid)["attempts"]] == [204]
        assert server.trace(sid)["waiting"] == []


def send(server: Server, **form: str) -> str:
    """Send a text and return its SID."""
    given = {"To": "+15558675310", "From": server.number, "Body": "late", **form}
    answer = ask("POST", f"{server.account_url}/Messages.json", given, auth=server.auth)
    assert answer.status == 201, answer.body
    sid: str = answer.json["sid"]
    return sid


def is_refused(server: Server) -> bool:
    try:
        ask("GET", f"{server.base_url}/health")
    except ConnectionRefusedError:
        return True
    except (OSError, HTTPException):
        return False
    return False
