"""Trunkline and its users' applications as real processes, and what one does to them."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from twilio.rest import Client

from tests.databases import DATABASES
from tests.nursery import Child, Nursery

START_SECONDS = 60.0  # A start takes one second on an idle machine.
STOP_SECONDS = 5.0  # What users are promised.
READY = "Press Ctrl-C to stop."
PHONE = "+15558675310"
PROGRAM = (sys.executable, "-m", "trunkline")
# Has `trunkline` forked where it is called by many.
TRUNKLINES = Nursery("tests.trunklines")

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = 10.0, *, what: str = "") -> T:
    """Return the first true value of *condition*; fail when there is none in time."""
    tick = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if value := condition():
            return value
        tick.wait(0.02)
    value = condition()
    assert value, f"still not so after {seconds} s: {what or condition}"
    return value


class Process:
    """A program that writes what it says into files; a nursery's, where one is given."""

    def __init__(
        self,
        arguments: Sequence[str],
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        number = len(list(directory.glob("*.out")))
        self._out = directory / f"{number}.out"
        self._err = directory / f"{number}.err"
        env = environment(env or {})
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.popen: subprocess.Popen[bytes] | Child
            if nursery is not None:
                self.popen = nursery.fork(arguments, cwd=directory, env=env, stdout=out, stderr=err)
                return
            self.popen = subprocess.Popen(
                arguments,
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,  # No terminal, as under a service manager.
                stdout=out,
                stderr=err,
            )

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """What it has logged so far."""
        return self._err.read_text()

    def wait_for(self, text: str, seconds: float = START_SECONDS) -> None:
        """Return once it has printed *text*; fail when it ends before."""
        wait_until(lambda: text in self.stdout or self.popen.poll() is not None, seconds, what=text)
        assert text in self.stdout, f"exit code {self.popen.returncode}\n{self.stderr}"

    def end(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = STOP_SECONDS) -> int:
        """Send a signal and return the exit code; fail when there is none in time."""
        self.popen.send_signal(number)
        return self.popen.wait(seconds)

    def close(self) -> None:
        """Leave nothing running."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def ask(
    method: str,
    url: str,
    form: Mapping[str, object] | None = None,
    *,
    auth: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Make one HTTP request on a connection of its own."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    sent = dict(headers or {})
    if form is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    if auth is not None:
        sent["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
    body = None if form is None else urlencode(form, doseq=True)
    try:
        path = parts.path + ("?" + parts.query if parts.query else "")
        connection.request(method, path or "/", body, sent)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


class Server:
    """A running Trunkline on a data directory, and short words for what its users do."""

    def __init__(self, data_dir: Path, **settings: object) -> None:
        self.data_dir = data_dir
        self.settings = settings
        self.start()

    def start(self) -> None:
        """Start it; on the same data directory again after it was ended."""
        command = up(self.data_dir, **self.settings)
        said = self.data_dir.parent / "said"
        if "workers" in self.settings:  # They ask who started them how.
            self.process = Process(command, said)
        else:
            self.process = Process(command[len(PROGRAM) :], said, nursery=TRUNKLINES)
        try:
            self.process.wait_for(READY)
        except AssertionError:
            self.process.close()
            raise
        left = json.loads((self.data_dir / "credentials.json").read_text())
        self.base_url: str = left["base_url"]
        self.account_sid: str = left["account_sid"]
        self.auth_token: str = left["auth_token"]
        self.number: str = left["phone_number"]

    @property
    def account_url(self) -> str:
        """Where the account's resources are."""
        return f"{self.base_url}/2010-04-01/Accounts/{self.account_sid}"

    @property
    def auth(self) -> tuple[str, str]:
        """The main account's credentials."""
        return self.account_sid, self.auth_token

    @contextlib.contextmanager
    def client(self, **options: object) -> Iterator[Any]:
        """Yield the official client, pointed here as its documentation says."""
        client = Client(self.account_sid, self.auth_token, **options)
        client.api.base_url = self.base_url
        try:
            yield client
        finally:
            close(client)

    def say(
        self, text: str, *, phone: str = PHONE, to: str = "", media: Sequence[str] = ()
    ) -> None:
        """Let a phone send a text to a number of ours, as a rule the first."""
        form = {"To": to or self.number, "Body": text, "MediaUrl": media}
        answer = ask("POST", f"{self._phone(phone)}/texts", form, auth=self.auth)
        assert answer.status == 201, answer.body

    def inbox(self, phone: str = PHONE) -> list[dict[str, Any]]:
        """Return what a phone received, oldest first."""
        answer = ask("GET", f"{self._phone(phone)}/inbox?limit=1000", auth=self.auth)
        assert answer.status == 200, answer.body
        inbox: list[dict[str, Any]] = answer.json["inbox"]
        return inbox

    def bodies(self, phone: str = PHONE) -> list[str]:
        """Return the texts in a phone's inbox, oldest first."""
        return [text["body"] for text in self.inbox(phone)]

    def trace(self, sid: str) -> dict[str, Any]:
        """Return everything that is known of a message."""
        answer = ask("GET", f"{self.base_url}/trunkline/v1/messages/{sid}/trace", auth=self.auth)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json
        return found

    def configure(self, **form: str) -> None:
        """Set fields of our number."""
        listed = ask("GET", f"{self.account_url}/IncomingPhoneNumbers.json", auth=self.auth)
        sid = next(
            number["sid"]
            for number in listed.json["incoming_phone_numbers"]
            if number["phone_number"] == self.number
        )
        url = f"{self.account_url}/IncomingPhoneNumbers/{sid}.json"
        answer = ask("POST", url, form, auth=self.auth)
        assert answer.status == 200, answer.body

    def _phone(self, number: str) -> str:
        return f"{self.base_url}/trunkline/v1/phones/{quote(number)}"


@contextlib.contextmanager
def running(directory: Path, **settings: object) -> Iterator[Server]:
    """Yield a fresh server with a quick network."""
    server = Server(directory / "data", **{"delivery_delay_seconds": 0.1, **settings})
    try:
        yield server
    finally:
        server.process.close()


@contextlib.contextmanager
def application(path: Path, directory: Path, *, env: Mapping[str, str]) -> Iterator[str]:
    """Run a program that prints the port it listens on; yield its URL."""
    process = Process([sys.executable, "-u", str(path)], directory, env=env)
    try:
        process.wait_for("\n")
        yield f"http://127.0.0.1:{int(process.stdout.split()[0])}"
    finally:
        process.close()


@dataclass(frozen=True)
class Seen:
    """A request that a receiver got."""

    method: str
    path: str
    form: Mapping[str, str]
    headers: Mapping[str, str]


Script = Callable[[Seen], tuple[int, str, bytes]]


@dataclass
class Receiver:
    """A web server in this process: notes what it is asked and answers by a script.

    Its port is taken from the beginning, but connections are refused until it listens.
    """

    script: Script = lambda seen: (204, "", b"")
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._http = ThreadingHTTPServer(
            ("127.0.0.1", 0), handler_of(self), bind_and_activate=False
        )
        self._http.daemon_threads = True
        self._http.request_queue_size = 128
        self._http.server_bind()
        self._thread: threading.Thread | None = None

    def url(self, path: str = "/") -> str:
        """Return the URL of a path here."""
        return f"http://127.0.0.1:{self._http.server_address[1]}{path}"

    def listen(self) -> None:
        """Begin to answer."""
        self._http.server_activate()
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def statuses(self, sid: str) -> list[str]:
        """Return the statuses that were called back for a message, in order."""
        return [s.form["MessageStatus"] for s in list(self.seen) if s.form["MessageSid"] == sid]

    def close(self) -> None:
        """Stop answering."""
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()


@contextlib.contextmanager
def receiving(script: Script | None = None) -> Iterator[Receiver]:
    """Yield a receiver that listens."""
    receiver = Receiver(script) if script else Receiver()
    receiver.listen()
    try:
        yield receiver
    finally:
        receiver.close()


def handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5  # Its thread ends although the other side keeps the connection.

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            form = dict(parse_qsl(body or urlsplit(self.path).query, keep_blank_values=True))
            seen = Seen(self.command, self.path, form, dict(self.headers))
            receiver.seen.append(seen)
            status, content_type, content = receiver.script(seen)
            self.send_response(status)
            if content_type:
                self.send_header("Content-Type", content_type)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = reply  # noqa: N815 - the names are http.server's.

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent."""

    return Handler


def up(data_dir: Path, **settings: object) -> list[str]:
    """Return the command that starts Trunkline on a free port."""
    own = DATABASES.settings(data_dir, has_schema=False)
    given = {"data_dir": data_dir, "port": 0, **own, **settings}
    options = (f"--{name.replace('_', '-')}={value}" for name, value in given.items())
    return [*PROGRAM, "up", *options]


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what speaks of Trunkline or Twilio."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("TRUNKLINE_", "TWILIO_"))}
    return {**own, **extra}


def close(client: Any) -> None:
    """Close the connections that an official client keeps."""
    client.http_client.session.close()
