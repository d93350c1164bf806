"""Requests byte by byte, as no client library would write them, against a running Trunkline."""

import base64
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import pytest

from tests.processes import PHONE, Server, running

FORM = "Content-Type: application/x-www-form-urlencoded"
NOT_HTTP = b"Invalid HTTP request received."
_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True)
class Wire:
    """Writes requests to one server and reads what comes back."""

    server: Server

    @property
    def path(self) -> str:
        """The path of the account."""
        return urlsplit(self.server.account_url).path

    def head(self, method: str, target: str, *lines: str, version: str = "HTTP/1.1") -> bytes:
        """Return a request's head with credentials; *lines* are its other headers."""
        pair = base64.b64encode(":".join(self.server.auth).encode()).decode()
        first = f"{method} {target} {version}"
        return "\r\n".join([first, f"Authorization: Basic {pair}", *lines, "", ""]).encode(
            "latin-1"
        )

    def form(self, body: str) -> bytes:
        """Return the form of a message."""
        fields = {"To": PHONE, "From": self.server.number, "Body": body}
        return urlencode(fields).encode()

    def exchange(self, request: bytes) -> bytes:
        """Send bytes; return all that comes back until the server closes."""
        url = urlsplit(self.server.base_url)
        with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def statuses(self, request: bytes) -> list[int]:
        """Send bytes; return the statuses of the answers."""
        return [int(status) for status in _ANSWER.findall(self.exchange(request))]


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """Yield the way to a fresh server."""
    with running(tmp_path_factory.mktemp("raw")) as server:
        yield Wire(server)


LAST = ("Host: x", "Connection: close")


def test_a_body_may_come_in_chunks_or_after_a_pause(wire: Wire) -> None:
    """Chunked, or once it was asked for."""
    body = wire.form("in parts")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:5], body[5:])) + b"0\r\n\r\n"
    target = f"{wire.path}/Messages.json"
    head = wire.head("POST", target, *LAST, FORM, "Transfer-Encoding: chunked")
    assert wire.statuses(head + chunks) == [201]
    length = f"Content-Length: {len(body)}"
    head = wire.head("POST", target, *LAST, FORM, length, "Expect: 100-continue")
    assert wire.statuses(head + body)[-1] == 201


@pytest.mark.parametrize("offer", ["h2c", "websocket", "TLS/1.3, h2c"])
def test_an_offer_of_another_protocol_is_declined(wire: Wire, offer: str) -> None:
    """Java's HttpClient and curl --http2 offer HTTP/2, and send the body without waiting."""
    body = wire.form("offered")
    target, length = f"{wire.path}/Messages.json", f"Content-Length: {len(body)}"
    lines = ("Host: x", FORM, "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {offer}")
    first = wire.head("POST", target, *lines, length) + body
    chunked = wire.head("POST", target, *lines, "Transfer-Encoding: chunked")
    second = chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    last = wire.head("GET", f"{wire.path}.json", "Connection: Upgrade, close", *lines[:1])
    assert wire.statuses(first + second + last) == [201, 201, 200]


def test_requests_may_follow_each_other_unanswered(wire: Wire) -> None:
    """Each is answered, in order."""
    first = wire.head("GET", f"{wire.path}.json", "Host: x")
    second = wire.head("GET", f"{wire.path}/Nothing.json", "Host: x")
    last = wire.head("GET", f"{wire.path}/Balance.json", *LAST)
    assert wire.statuses(first + second + last) == [200, 404, 200]


@pytest.mark.parametrize(
    ("host", "version"),
    [
        *(("Host: ", "HTTP/1.1"), ("Host: [::1", "HTTP/1.1"), ("Host: \xff\xfe", "HTTP/1.1")),
        *(("Host: api.twilio.com", "HTTP/1.1"), ("X-No: host", "HTTP/1.0")),
    ],
)
def test_the_host_may_be_anything(wire: Wire, host: str, version: str) -> None:
    """Also none, as in HTTP/1.0, and it may stand in the target."""
    lines = (host, "Connection: close")
    for target in (f"{wire.path}.json", f"http://elsewhere.example{wire.path}.json"):
        assert wire.statuses(wire.head("GET", target, *lines, version=version)) == [200]


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 4", "Content-Length: 5"),
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: gzip",),
        ("Content-Length: -1",),
        ("Content-Length: 9999999999999999999999",),
    ],
    ids=str,
)
def test_a_body_of_doubtful_length_is_no_request(wire: Wire, lines: tuple[str, ...]) -> None:
    """A proxy in front may understand it otherwise, and take its end for another's request."""
    head = wire.head("POST", f"{wire.path}/Messages.json", *LAST, FORM, *lines)
    answer = wire.exchange(head + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(NOT_HTTP)


def test_who_speaks_as_proxies_do_logs_in(wire: Wire) -> None:
    """nginx asks those behind it in HTTP/1.0, and names nobody, unless it is told otherwise."""
    host = urlsplit(wire.server.base_url).netloc
    lines = f"Host: {host}\r\nConnection: close\r\n\r\n"
    assert b"HTTP/1.1 200 " in wire.exchange(f"GET /console/ HTTP/1.1\r\n{lines}".encode())
    assert b"HTTP/1.1 401 " in wire.exchange(f"GET /console/ HTTP/1.0\r\n{lines}".encode())


@pytest.mark.parametrize(
    "request_line",
    [
        *("get / HTTP/1.1", "GET  HTTP/1.1", "GET x HTTP/1.1", "FOO / HTTP/1.1"),
        *("CONNECT x:443 HTTP/1.1", "PRI * HTTP/2.0", "GET /\x80 HTTP/1.1", "\x16\x03\x01"),
    ],
)
def test_what_is_not_http_is_refused(wire: Wire, request_line: str) -> None:
    """At once, and the server goes on."""
    answer = wire.exchange(f"{request_line}\r\nHost: x\r\n\r\n".encode("latin-1"))
    assert answer.endswith(NOT_HTTP)
    assert wire.statuses(wire.head("GET", f"{wire.path}.json", *LAST)) == [200]


@pytest.mark.parametrize(
    "rest",
    [
        *("//Messages.json", "/./Messages.json", "/../x.json", "/Messages/", "/Messages.json/"),
        *("/Messages;a=b.json", "/messages.json", "/Messages.JSON", "/Messages.json.json"),
        *("/Messages.xml", "/Messages.csv", "/Messages%2Fx.json", "/Messages/%00.json"),
        *("/Messages/SM%ff.json", "/Messages/.json", "/Messages/SM" + "A" * 32 + ".json"),
    ],
)
def test_a_path_that_is_nearly_one_is_none(wire: Wire, rest: str) -> None:
    """It is answered with the path as it was asked for."""
    answer = wire.exchange(wire.head("GET", wire.path + rest, *LAST))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert f"The requested resource {wire.path}{rest} was not found".encode() in answer


def test_nonsense_behind_requests_ends_them_without_a_word(wire: Wire) -> None:
    """The connection is closed under the first while it is answered; that is nobody's mistake."""
    asked = wire.head("GET", f"{wire.path}/Messages.json", "Host: x")
    for _ in range(3):
        assert wire.exchange(asked + asked + b"nonsense\r\n\r\n").endswith(NOT_HTTP)
    assert wire.statuses(wire.head("GET", f"{wire.path}/Messages.json", *LAST)) == [200]
    assert "Traceback" not in wire.server.process.stderr
