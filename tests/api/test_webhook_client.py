"""The webhook client against real servers on the loopback: kind, slow, broken and hostile ones."""

import asyncio
import base64
import gzip
import ipaddress
import re
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from trunkline.webhooks.answer import ANSWER_SIZE_MAX, Answer
from trunkline.webhooks.client import WebhookClient
from trunkline.webhooks.guard import Guard, parse_guard
from trunkline.webhooks.overrides import Overrides
from trunkline.webhooks.request import parse_target, render_request
from trunkline.webhooks.slots import Slots

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
PRIVATE = Guard(allow_private=True)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 11\r\n\r\n<Response/>"
FAST = Overrides(connect_ms=400, read_ms=400, total_ms=800)


@dataclass(frozen=True)
class Seen:
    """One request as a server read it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Remote:
    """A running server, and the requests it has seen."""

    port: int
    seen: list[Seen]
    connections: list[int]

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


Reply = bytes | Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[..., Awaitable[Remote]]
Send = Callable[..., Awaitable[Answer]]


async def read_request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.strip().split("\r\n")
    method, path, _ = request_line.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers.get("Content-Length", "0")))
    return Seen(method, path, headers, body)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers that give each request the next reply; the last one is repeated."""
    async with AsyncExitStack() as stack:

        async def start(*replies: Reply, tls: ssl.SSLContext | None = None) -> Remote:
            seen: list[Seen] = []
            connections: list[int] = []

            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                stack.callback(writer.transport.abort)
                connections.append(len(connections))
                try:
                    while not writer.is_closing():
                        seen.append(await read_request(reader))
                        reply = replies[min(len(seen), len(replies)) - 1]
                        if isinstance(reply, bytes):
                            writer.write(reply)
                        else:
                            await reply(seen[-1], writer)
                        await writer.drain()
                except (asyncio.IncompleteReadError, ConnectionError):
                    writer.close()

            server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
            stack.callback(server.close)
            return Remote(server.sockets[0].getsockname()[1], seen, connections)

        yield start


@pytest.fixture
async def send() -> AsyncIterator[Send]:
    """Send one request with a client that lives as long as the test, one per guard."""
    async with AsyncExitStack() as stack:
        clients: dict[tuple[Guard, ssl.SSLContext | None], WebhookClient] = {}

        async def send_one(
            url: str,
            *,
            method: str = "POST",
            guard: Guard = PRIVATE,
            tls: ssl.SSLContext | None = None,
            overrides: Overrides | None = None,
            cookies: dict[str, str] | None = None,
            size_max: int = ANSWER_SIZE_MAX,
        ) -> Answer:
            client = clients.get((guard, tls))
            if client is None:
                client = clients[guard, tls] = WebhookClient(guard, lambda: NOON, tls=tls)
                await client.start()
                stack.push_async_callback(client.close)
            target = parse_target(url)
            target = replace(target, overrides=overrides or target.overrides)
            request = render_request(
                target, method, parameters={"Body": "Hi"}, auth_token="secret", token="token-1"
            )
            return await client.send(request, target, cookies=cookies or {}, size_max=size_max)

        yield send_one


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the name server's table: host name to address."""
    table: dict[str, str] = {}

    def look_up(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (table[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return table


def page(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def keep_silent(_: Seen, writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


async def hang_up(_: Seen, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def drip(_: Seen, writer: asyncio.StreamWriter) -> None:
    """Send one byte every 20 ms until the other side has gone."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    gone = asyncio.ensure_future(writer.wait_closed())
    while not (await asyncio.wait({gone}, timeout=0.02))[0]:
        writer.write(b"x")
    assert gone.done()


async def never_end(_: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 10000)
        await writer.drain()


async def test_a_form_arrives_with_exactly_its_headers(serve: Serve, send: Send) -> None:
    remote = await serve(OK)
    answer = await send(remote.url("/sms?x=1#rc=2"))
    (seen,) = remote.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/sms?x=1", b"Body=Hi")
    assert seen.headers.keys() == {
        "Host",
        "Accept",
        "User-Agent",
        "Content-Type",
        "Content-Length",
        "X-Twilio-Signature",
        "I-Twilio-Idempotency-Token",
    }
    assert seen.headers["Host"] == f"127.0.0.1:{remote.port}"
    assert seen.headers["I-Twilio-Idempotency-Token"] == "token-1"
    assert (answer.status, answer.content_type, answer.body) == (200, "text/xml", b"<Response/>")
    assert (answer.error_code, answer.is_cut) == (None, False)
    assert answer.final_url == remote.url("/sms?x=1")


async def test_an_attempt_is_recorded(serve: Serve, send: Send) -> None:
    remote = await serve(page("200 OK", body=b"y" * 3000))
    (attempt,) = (await send(remote.url())).attempts
    assert (attempt.started_at, attempt.status, attempt.error_code) == (NOON, 200, None)
    assert (attempt.url_host, attempt.head, attempt.reason) == ("127.0.0.1", b"y" * 1024, "")
    assert attempt.duration_ms >= 0


async def test_the_configured_query_is_sent_byte_for_byte(serve: Serve, send: Send) -> None:
    remote = await serve(OK)
    await send(remote.url("/a%2fb//c?q=%2f&r='\"<>&s=a+b&t[]=é"), method="GET")
    (seen,) = remote.seen
    assert (seen.method, seen.body) == ("GET", b"")
    assert seen.path == "/a%2fb//c?q=%2f&r='\"<>&s=a+b&t[]=%C3%A9&Body=Hi"


async def test_an_empty_answer_is_fine(serve: Serve, send: Send) -> None:
    remote = await serve(b"HTTP/1.1 204 No Content\r\n\r\n")
    answer = await send(remote.url())
    assert (answer.status, answer.body, answer.error_code) == (204, b"", None)


@pytest.mark.parametrize("status", ["304 Same", "400 Bad", "404 Gone", "500 Oops", "503 Busy"])
async def test_an_error_status_is_not_repeated_by_default(
    serve: Serve, send: Send, status: str
) -> None:
    remote = await serve(page(status))
    answer = await send(remote.url())
    assert (answer.status, answer.error_code) == (int(status[:3]), 11200)
    assert len(remote.seen) == 1


async def test_overrides_repeat_with_the_same_token(serve: Serve, send: Send) -> None:
    remote = await serve(page("500 Oops"), page("429 Slow"), OK)
    answer = await send(remote.url("/#rc=3&rp=4xx,5xx"))
    assert (answer.status, answer.error_code) == (200, None)
    assert [attempt.status for attempt in answer.attempts] == [500, 429, 200]
    assert [attempt.error_code for attempt in answer.attempts] == [11200, 11200, None]
    assert {seen.headers["I-Twilio-Idempotency-Token"] for seen in remote.seen} == {"token-1"}
    assert len({seen.headers["X-Twilio-Signature"] for seen in remote.seen}) == 1


async def test_retries_end_with_their_number(serve: Serve, send: Send) -> None:
    remote = await serve(page("500 Oops"))
    answer = await send(remote.url("/#rc=5&rp=all"))
    assert len(answer.attempts) == len(remote.seen) == 6
    assert answer.error_code == 11200


async def test_a_refused_connection_is_tried_twice(send: Send) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        answer = await send(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert (answer.status, answer.error_code, len(answer.attempts)) == (None, 11205, 2)


async def test_a_silent_server_runs_into_the_read_time(serve: Serve, send: Send) -> None:
    remote = await serve(keep_silent)
    answer = await send(remote.url(), overrides=Overrides(read_ms=50))
    assert (answer.status, answer.error_code) == (None, 11205)
    assert answer.attempts[0].reason == "reading took too long"
    assert len(remote.seen) == 1


async def test_overrides_repeat_after_a_read_timeout(serve: Serve, send: Send) -> None:
    remote = await serve(keep_silent, OK)
    overrides = Overrides(read_ms=50, retry_on=frozenset({"rt"}))
    answer = await send(remote.url(), overrides=overrides)
    assert (answer.status, len(answer.attempts)) == (200, 2)


async def test_a_handshake_that_never_ends_runs_into_the_connect_time(send: Send) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}/"
        answer = await send(url, overrides=Overrides(connect_ms=50))
    assert (answer.error_code, len(answer.attempts)) == (11205, 2)
    assert answer.attempts[0].reason == "connecting took too long"


async def test_a_slow_drip_runs_into_the_total_time(serve: Serve, send: Send) -> None:
    remote = await serve(drip)
    overrides = Overrides(read_ms=150, total_ms=200, retries=5, retry_on=frozenset({"rt", "ct"}))
    answer = await send(remote.url(), overrides=overrides)
    assert (answer.status, answer.error_code, len(answer.attempts)) == (200, 11203, 1)
    assert answer.attempts[0].duration_ms < 2000


async def test_the_total_time_includes_retries(serve: Serve, send: Send) -> None:
    remote = await serve(keep_silent)
    overrides = Overrides(read_ms=60, total_ms=150, retries=5, retry_on=frozenset({"rt"}))
    answer = await send(remote.url(), overrides=overrides)
    assert answer.error_code == 11203
    assert 2 <= len(answer.attempts) <= 3


async def test_an_endless_body_is_cut(serve: Serve, send: Send) -> None:
    remote = await serve(never_end)
    answer = await send(remote.url())
    assert (answer.status, answer.error_code, answer.is_cut) == (200, None, True)
    assert answer.body == b"x" * 65536


async def test_a_body_of_the_largest_size_is_whole(serve: Serve, send: Send) -> None:
    remote = await serve(page("200 OK", body=b"x" * 65536))
    answer = await send(remote.url())
    assert (len(answer.body), answer.is_cut) == (65536, False)


@pytest.mark.parametrize("size_max", [10, 200_000])
async def test_another_limit_can_be_asked_for(serve: Serve, send: Send, size_max: int) -> None:
    remote = await serve(page("200 OK", body=b"x" * 100_000))
    answer = await send(remote.url(), size_max=size_max)
    assert (len(answer.body), answer.is_cut) == (min(size_max, 100_000), size_max < 100_000)


async def test_a_compressed_bomb_is_cut(serve: Serve, send: Send) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    remote = await serve(page("200 OK", "Content-Encoding: gzip", body=bomb))
    answer = await send(remote.url())
    assert (answer.status, len(answer.body), answer.is_cut) == (200, 65536, True)


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x00\xff" * 200,
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
async def test_what_is_not_http_is_a_protocol_violation(
    serve: Serve, send: Send, reply: bytes
) -> None:
    remote = await serve(reply)
    answer = await send(remote.url(), overrides=FAST)
    assert answer.error_code == 11206


async def test_a_body_that_ends_early_is_a_protocol_violation(serve: Serve, send: Send) -> None:
    async def promise_too_much(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        writer.close()

    answer = await send((await serve(promise_too_much)).url())
    assert (answer.status, answer.error_code) == (200, 11206)


async def test_a_connection_closed_without_an_answer(serve: Serve, send: Send) -> None:
    remote = await serve(hang_up)
    answer = await send(remote.url())
    assert (answer.status, answer.error_code) == (None, 11205)
    assert len(remote.seen) == 1


async def test_an_idle_connection_that_closed_is_no_failure(serve: Serve, send: Send) -> None:
    remote = await serve(OK, hang_up, OK)
    await send(remote.url())
    answer = await send(remote.url())
    assert (answer.status, len(answer.attempts)) == (200, 1)
    assert (len(remote.seen), len(remote.connections)) == (3, 2)


async def test_an_answer_that_breaks_off_is_not_asked_for_again(serve: Serve, send: Send) -> None:
    async def reset(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        await writer.drain()
        linger_not = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        writer.transport.abort()

    remote = await serve(OK, reset, OK)
    await send(remote.url())
    answer = await send(remote.url())
    assert answer.error_code in {11205, 11206}
    assert len(remote.seen) == 2


async def test_connections_are_used_again(serve: Serve, send: Send) -> None:
    remote = await serve(OK)
    for _ in range(5):
        assert (await send(remote.url())).status == 200
    assert len(remote.connections) == 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See"])
async def test_a_redirect_becomes_a_get(serve: Serve, send: Send, status: str) -> None:
    remote = await serve(page(status, "Location: /b?c=1#d"), OK)
    answer = await send(remote.url("/a"))
    first, second = remote.seen
    assert (second.method, second.path, second.body) == ("GET", "/b?c=1", b"")
    assert "Content-Type" not in second.headers
    assert second.headers["X-Twilio-Signature"] == first.headers["X-Twilio-Signature"]
    assert (answer.status, answer.final_url) == (200, remote.url("/b?c=1"))
    assert len(answer.attempts) == 1


@pytest.mark.parametrize("status", ["307 Temporary", "308 Permanent"])
async def test_a_strict_redirect_keeps_the_form(serve: Serve, send: Send, status: str) -> None:
    remote = await serve(page(status, "Location: b"), OK)
    await send(remote.url("/x/a"))
    second = remote.seen[1]
    assert (second.method, second.path, second.body) == ("POST", "/x/b", b"Body=Hi")


async def test_a_redirect_loop_ends(serve: Serve, send: Send) -> None:
    remote = await serve(page("302 Found", "Location: /"))
    answer = await send(remote.url())
    assert (answer.status, answer.error_code, len(remote.seen)) == (302, 11215, 11)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://[/", "http://a_b/", "gopher:x"])
async def test_a_redirect_to_nowhere_is_not_followed(
    serve: Serve, send: Send, location: str
) -> None:
    remote = await serve(page("302 Found", f"Location: {location}"))
    answer = await send(remote.url())
    assert (answer.error_code, len(remote.seen)) == (11100, 1)


async def test_the_guard_judges_addresses_and_names_alike(
    serve: Serve, send: Send, names: dict[str, str]
) -> None:
    """A public-looking name that leads inside is refused where the connection is made."""
    remote = await serve(OK)
    names["rebound.example"] = "127.0.0.1"
    for host in ("127.0.0.1", "rebound.example"):
        answer = await send(remote.url(host=host), guard=Guard())
        assert (answer.status, answer.error_code, len(answer.attempts)) == (None, 11205, 1)
        assert answer.attempts[0].reason == "the address is not one that webhooks may reach"
    assert remote.connections == []


async def test_the_guard_judges_redirects(serve: Serve, send: Send, names: dict[str, str]) -> None:
    names["app.example"] = "127.0.0.1"
    inside = await serve(OK)
    outside = await serve(page("307 Away", f"Location: {inside.url()}"))
    answer = await send(outside.url(host="app.example"), guard=parse_guard(["app.example"]))
    assert answer.attempts[0].reason == "the address is not one that webhooks may reach"
    assert (len(outside.seen), inside.connections) == (1, [])


async def test_names_that_nobody_answers_for_hold_up_no_other(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop's own threads are few; these names would take all of them."""
    silence = threading.Event()

    def look_up(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host.startswith("dead"):
            silence.wait(30)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    dead = [asyncio.ensure_future(send(f"http://dead{n}.example/")) for n in range(60)]
    answer = await asyncio.wait_for(send("http://live.example/"), 4)
    assert (answer.error_code, any(task.done() for task in dead)) == (11210, False)
    silence.set()
    assert {(await task).error_code for task in dead} == {11210}


async def test_an_unknown_host_name(send: Send, names: dict[str, str]) -> None:
    assert "nowhere.example" not in names
    answer = await send("http://nowhere.example/")
    assert (answer.status, answer.error_code, len(answer.attempts)) == (None, 11210, 1)


BASIC = page("401 Who", 'WWW-Authenticate: Basic realm="x"')


async def test_user_info_is_sent_only_when_asked_for(serve: Serve, send: Send) -> None:
    remote = await serve(BASIC, OK)
    answer = await send(remote.url(host="me:p%3Aw@127.0.0.1"))
    first, second = remote.seen
    assert "Authorization" not in first.headers
    credentials = base64.b64encode(b"me:p:w").decode()
    assert second.headers["Authorization"] == f"Basic {credentials}"
    assert second.body == b"Body=Hi"
    assert (answer.status, len(answer.attempts)) == (200, 1)


async def test_a_digest_challenge_is_answered(serve: Serve, send: Send) -> None:
    challenge = 'WWW-Authenticate: Digest realm="x", nonce="n", qop="auth", algorithm=SHA-256'
    remote = await serve(page("401 Who", challenge), OK)
    assert (await send(remote.url("/a?b=c", host="me:pw@127.0.0.1"))).status == 200
    authorization = remote.seen[1].headers["Authorization"]
    assert re.fullmatch(r'Digest username="me", .*response="[0-9a-f]{64}".*', authorization)
    assert 'uri="/a?b=c"' in authorization


@pytest.mark.parametrize(("host", "requests"), [("127.0.0.1", 1), ("me:wrong@127.0.0.1", 2)])
async def test_a_challenge_that_is_not_met(
    serve: Serve, send: Send, host: str, requests: int
) -> None:
    remote = await serve(BASIC)
    answer = await send(remote.url(host=host))
    assert (answer.status, answer.error_code, len(remote.seen)) == (401, 11200, requests)


async def test_user_info_and_cookies_stay_at_home(serve: Serve, send: Send) -> None:
    stranger = await serve(
        page("401 Who", 'WWW-Authenticate: Basic realm="x"', "Set-Cookie: theirs=1")
    )
    home = await serve(page("302 Found", f"Location: {stranger.url()}", "Set-Cookie: ours=2"))
    answer = await send(home.url(host="me:pw@127.0.0.1"), cookies={"old": "1"})
    (seen,) = stranger.seen
    assert not {"Authorization", "Cookie"} & seen.headers.keys()
    assert answer.cookies == {"old": "1", "ours": "2"}


async def test_cookies_are_returned_and_forgotten(serve: Serve, send: Send) -> None:
    remote = await serve(
        page(
            "200 OK",
            "Set-Cookie: a=1; Path=/; HttpOnly",
            'Set-Cookie: b="x y"; Max-Age=60',
            "Set-Cookie: old=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "Set-Cookie: gone=; Max-Age=0",
        ),
        OK,
    )
    answer = await send(remote.url(), cookies={"old": "1", "gone": "2", "kept": "3"})
    assert answer.cookies == {"kept": "3", "a": "1", "b": '"x y"'}
    again = await send(remote.url(), cookies=dict(answer.cookies))
    assert remote.seen[0].headers["Cookie"] == "old=1; gone=2; kept=3"
    assert remote.seen[1].headers["Cookie"] == 'kept=3; a=1; b="x y"'
    assert again.cookies == answer.cookies


async def test_cookies_cannot_add_headers(serve: Serve, send: Send) -> None:
    remote = await serve(OK)
    await send(remote.url(), cookies={"a": "1\r\nEvil: 1", "b": "2"})
    assert remote.seen[0].headers["Cookie"] == "b=2"
    assert "Evil" not in remote.seen[0].headers


@dataclass(frozen=True)
class Certificates:
    """Make server contexts whose certificates one throw-away authority has signed."""

    key: ec.EllipticCurvePrivateKey
    authority: x509.Certificate

    @classmethod
    def new(cls) -> "Certificates":
        key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=True, path_length=0)
        builder = _certificate("Test authority", key, days=30).issuer_name(_name("Test authority"))
        return cls(key, builder.add_extension(basic, critical=True).sign(key, hashes.SHA256()))

    def trust(self) -> ssl.SSLContext:
        pem = self.authority.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def server(self, folder: Path, address: str, *, days: int) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = _certificate("server", key, days=days).issuer_name(self.authority.subject)
        certificate = builder.add_extension(names, critical=False).sign(self.key, hashes.SHA256())
        path = folder / "server.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + _pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
    )


TlsPair = Callable[..., Awaitable[tuple[Remote, ssl.SSLContext]]]


@pytest.fixture
def tls_pair(serve: Serve, tmp_path: Path) -> TlsPair:
    """Start a server with a new certificate; return it and a context that trusts its authority."""

    async def start(address: str, *, days: int) -> tuple[Remote, ssl.SSLContext]:
        certificates = Certificates.new()
        remote = await serve(OK, tls=certificates.server(tmp_path, address, days=days))
        return remote, certificates.trust()

    return start


async def test_https_with_a_trusted_certificate(tls_pair: TlsPair, send: Send) -> None:
    remote, trust = await tls_pair("127.0.0.1", days=30)
    answer = await send(f"https://127.0.0.1:{remote.port}/", tls=trust)
    assert (answer.status, answer.error_code) == (200, None)


@pytest.mark.parametrize(
    ("address", "days", "code"), [("127.0.0.2", 30, 11235), ("127.0.0.1", -1, 11236)]
)
async def test_certificates_that_are_refused(
    tls_pair: TlsPair, send: Send, address: str, days: int, code: int
) -> None:
    remote, trust = await tls_pair(address, days=days)
    answer = await send(f"https://127.0.0.1:{remote.port}/", tls=trust)
    assert (answer.status, answer.error_code, len(answer.attempts)) == (None, code, 1)
    assert remote.seen == []


async def test_a_certificate_of_an_unknown_authority_is_refused(
    tls_pair: TlsPair, send: Send
) -> None:
    remote, _ = await tls_pair("127.0.0.1", days=30)
    answer = await send(f"https://127.0.0.1:{remote.port}/")
    assert (answer.status, answer.error_code, len(answer.attempts)) == (None, 11237, 1)
    assert remote.seen == []


async def test_a_server_that_speaks_no_tls(serve: Serve, send: Send) -> None:
    async def talk_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(talk_plainly, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answer = await send(f"https://127.0.0.1:{port}/", overrides=FAST)
    assert (answer.status, answer.error_code) == (None, 11220)


async def test_a_slow_host_leaves_room_for_the_others() -> None:
    slots = Slots(3, per_host_max=2)
    entered: list[str] = []
    entries = asyncio.Semaphore(0)
    leave = asyncio.Event()

    async def stay(host: str) -> None:
        await slots.take(host)
        entered.append(host)
        entries.release()
        await leave.wait()
        slots.leave(host)

    async with asyncio.TaskGroup() as group:
        for host in ("slow", "slow", "slow", "fast", "third"):
            group.create_task(stay(host))
        for _ in range(3):
            await entries.acquire()
        assert entered == ["slow", "slow", "fast"]
        leave.set()
    assert sorted(entered) == ["fast", "slow", "slow", "slow", "third"]
