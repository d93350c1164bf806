"""The webhook client's connections: what receivers do to them, and how many there are."""

import asyncio
import contextlib
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.api.test_webhook_client import Certificates, Seen, read_request
from trunkline.webhooks import connections, resolver, wire
from trunkline.webhooks.answer import ANSWER_SIZE_MAX, Answer
from trunkline.webhooks.client import WebhookClient
from trunkline.webhooks.guard import Guard, parse_guard
from trunkline.webhooks.overrides import Overrides
from trunkline.webhooks.request import Rendered, Target
from trunkline.webhooks.slots import Slots

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FAST = Overrides(connect_ms=900, read_ms=400, total_ms=900, retries=0)
# The longest that anything here may take before it counts as hanging.
PATIENCE_SECONDS = 10

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Remote:
    """A server that has each connection talked to by the next script; the last one is repeated."""

    scripts: tuple[Talk, ...]
    port: int = 0
    connections: int = 0
    # One for each connection that the client has closed.
    farewells: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        try:
            await script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.farewells.release()
        finally:
            writer.close()

    async def forsaken(self, times: int = 1) -> None:
        """Return once the client has closed so many connections."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(times):
                await self.farewells.acquire()


Serve = Callable[..., Awaitable[Remote]]
Ask = Callable[..., Awaitable[Answer]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers on one address each."""
    async with AsyncExitStack() as stack:

        async def start(*scripts: Talk, host: str = "127.0.0.1", port: int = 0) -> Remote:
            remote = Remote(scripts)
            server = await asyncio.start_server(remote.talk, host, port)
            stack.callback(server.close)
            remote.port = server.sockets[0].getsockname()[1]
            return remote

        yield start


@pytest.fixture
async def client() -> AsyncIterator[WebhookClient]:
    client = WebhookClient(Guard(allow_private=True), lambda: NOON)
    await client.start()
    yield client
    await client.close()


@pytest.fixture
def ask(client: WebhookClient) -> Ask:
    """Send a form to a URL; nothing takes longer than its limits."""

    async def send(
        url: str,
        *,
        body: bytes = b"Body=Hi",
        overrides: Overrides = FAST,
        size_max: int = ANSWER_SIZE_MAX,
        over: WebhookClient = client,
    ) -> Answer:
        request = Rendered("POST", url, {"Accept": "*/*"}, body)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await over.send(request, Target(url=url, overrides=overrides), size_max=size_max)

    return send


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return the name server's table; under "asked" stands who has been asked for."""
    table: dict[str, list[str]] = {"asked": []}

    def look_up(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        table["asked"].append(host)
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
            for a in table[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return table


def replies(*answers: bytes) -> Talk:
    """Answer one request after another; then wait for the client to close, and close."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read_request(reader)
            writer.write(answer)
        await reader.readexactly(1)

    return talk


def last_words(*answers: bytes) -> Talk:
    """Answer one request after another; close after the last answer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read_request(reader)
            writer.write(answer)

    return talk


def endless(beginning: bytes, more: bytes) -> Talk:
    """Begin an answer and never end it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(beginning)
        while not writer.is_closing():
            writer.write(more)
            await writer.drain()

    return talk


async def always(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(OK)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hello"),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\nLocation: /y\r\n\r\n" * 3 + OK, b"hello"),
        (CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", b"hello"),
        (CHUNKED.lower().replace(b"http", b"HTTP") + b"1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n", b"x"),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", b"hi"),
        (b"HTTP/1.1 204 None\r\nContent-Type: text/xml\r\n\r\n", b""),
        (b"HTTP/1.1 304 Same\r\nContent-Length: 70\r\n\r\n", b""),
        (b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=99\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    ],
)  # fmt: skip
async def test_a_whole_answer_leaves_the_connection_for_the_next(
    serve: Serve, ask: Ask, answer: bytes, body: bytes
) -> None:
    remote = await serve(replies(answer, answer, OK))
    first, second, third = [await ask(remote.url()) for _ in range(3)]
    assert first.body == second.body == body
    assert first.status == second.status
    assert (third.status, third.body, remote.connections) == (200, b"hello", 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"more",
        OK + b"HTTP/1.1 200",
        OK + OK,
        OK + b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_a_connection_that_cannot_go_on_is_closed(
    serve: Serve, ask: Ask, answer: bytes
) -> None:
    remote = await serve(replies(answer))
    first, second = [await ask(remote.url()) for _ in range(2)]
    assert (first.status, first.body, first.error_code) == (200, b"hello", None)
    assert (second.status, second.body, remote.connections) == (200, b"hello", 2)
    await remote.forsaken(2)


async def test_an_answer_may_end_with_the_connection(serve: Serve, ask: Ask) -> None:
    remote = await serve(
        last_words(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n<Response/>")
    )
    for _ in range(2):
        answer = await ask(remote.url())
        assert (answer.status, answer.body, answer.error_code) == (200, b"<Response/>", None)
    assert remote.connections == 2


async def test_what_comes_unasked_ends_a_waiting_connection(serve: Serve, ask: Ask) -> None:
    """A connection that has something to say before the next request answers no such request."""

    async def speak_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await speaking.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await reader.readexactly(1)

    speaking = asyncio.Event()
    remote = await serve(speak_up, always)
    await ask(remote.url())
    speaking.set()
    await remote.forsaken()
    assert (await ask(remote.url())).body == b"hello"
    assert remote.connections == 2


@pytest.mark.parametrize(
    ("beginning", "more", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000, None),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10, None),
        (b"HTTP/1.1 200 ", b"OK" * 1000, None),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", None),
        (b"", b"\r\n" * 100, None),
        (CHUNKED, b"0" * 1000, 200),
        (CHUNKED + b"1;", b"x" * 1000, 200),
        (CHUNKED + b"0\r\n", b"X: y\r\n" * 9, 200),
        (CHUNKED + b"0\r\nX:", b"x" * 900, 200),
    ],
)
async def test_what_never_ends_ends_by_its_limit(
    serve: Serve, ask: Ask, beginning: bytes, more: bytes, status: int | None
) -> None:
    remote = await serve(endless(beginning, more))
    answer = await ask(remote.url(), overrides=Overrides(total_ms=9000, retries=0))
    assert (answer.status, answer.error_code, answer.body) == (status, 11206, b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
    ],
)
async def test_an_answer_that_ends_early_is_broken(serve: Serve, ask: Ask, answer: bytes) -> None:
    remote = await serve(last_words(answer))
    found = await ask(remote.url())
    assert (found.status, found.error_code, found.body) == (200, 11206, b"")
    assert found.attempts[0].reason == "the answer's body is broken"


async def test_a_switch_of_protocols_is_no_answer(serve: Serve, ask: Ask) -> None:
    upgrade = b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    remote = await serve(replies(upgrade + b"\x00\x01"))
    for _ in range(2):
        answer = await ask(remote.url())
        assert (answer.status, answer.error_code) == (101, 11200)
    assert remote.connections == 2


async def test_one_new_connection_is_tried_after_a_closed_one(serve: Serve, ask: Ask) -> None:
    """A receiver that hangs up on every request sees one twice, and never more often."""
    remote = await serve(last_words(OK, b""), last_words(b""))
    assert (await ask(remote.url())).status == 200
    answer = await ask(remote.url(), overrides=Overrides())
    assert (answer.status, answer.error_code, len(answer.attempts)) == (None, 11205, 1)
    assert answer.attempts[0].reason == "the connection ended before the answer"
    assert remote.connections == 2


async def test_a_server_that_greets_by_hanging_up(serve: Serve, ask: Ask) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    remote = await serve(hang_up)
    answers = [await ask(remote.url()) for _ in range(50)]
    assert {(answer.status, answer.error_code) for answer in answers} == {(None, 11205)}


async def test_a_begun_answer_is_not_asked_for_again(serve: Serve, ask: Ask) -> None:
    remote = await serve(last_words(OK, b"HTTP/1.1 2"))
    assert (await ask(remote.url())).status == 200
    answer = await ask(remote.url())
    assert (answer.status, answer.error_code, remote.connections) == (None, 11205, 1)


async def test_an_answer_may_come_before_the_request_is_read(serve: Serve, ask: Ask) -> None:
    """The rest of the request is in nobody's way: it goes with its connection."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too large\r\nContent-Length: 2\r\n\r\nno")
        await answered.wait()

    answered = asyncio.Event()
    remote = await serve(refuse, always)
    answer = await ask(remote.url(), body=b"x" * 20_000_000)
    assert (answer.status, answer.body) == (413, b"no")
    answered.set()
    assert (await ask(remote.url())).status == 200
    assert remote.connections == 2


async def test_bytes_that_trickle_in_run_into_the_total_time(serve: Serve, ask: Ask) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = asyncio.ensure_future(reader.read())
        while not (await asyncio.wait({gone}, timeout=0.02))[0]:
            writer.write(b"\r\n")

    remote = await serve(trickle)
    answer = await ask(remote.url(), overrides=Overrides(read_ms=150, total_ms=200))
    assert (answer.status, answer.error_code) == (None, 11203)


def packed(data: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(data) + packer.flush()


HELLO = b"hello " * 100
ZLIB, RAW = packed(HELLO, 15), packed(HELLO, -15)


@pytest.mark.parametrize(
    ("encoding", "body", "code"),
    [
        ("gzip", gzip.compress(HELLO, mtime=0), None),
        ("X-Gzip", gzip.compress(HELLO, mtime=0), None),
        ("deflate", ZLIB, None),
        ("deflate", RAW, None),
        ("identity", HELLO, None),
        ("gzip", b"", None),
        ("br", b"", None),
        ("gzip", gzip.compress(HELLO, mtime=0)[:-9], 11206),
        ("deflate", ZLIB[:-5], 11206),
        ("br", b"whatever", 11206),
    ],
)
async def test_bodies_are_unpacked(
    serve: Serve, ask: Ask, encoding: str, body: bytes, code: int | None
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = await ask((await serve(replies(head.encode() + body))).url())
    assert answer.error_code == code
    assert answer.body == (HELLO if body and not code else b"")


async def test_a_compressed_stream_of_nothing_is_cut(serve: Serve, ask: Ask) -> None:
    """Empty blocks of a compressed stream may go on for ever without a byte of what they mean."""
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n"
    remote = await serve(endless(head, b"\x00\x00\x00\xff\xff" * 1000))
    answer = await ask(remote.url(), overrides=Overrides(total_ms=9000))
    assert (answer.status, answer.body, answer.is_cut) == (200, b"", True)


async def test_a_waiting_connection_closes_by_itself(
    serve: Serve, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.05)
    remote = await serve(replies(OK))
    await ask(remote.url())
    await remote.forsaken()


async def test_a_server_may_say_how_long_it_waits(serve: Serve, ask: Ask) -> None:
    kept = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n"
    remote = await serve(replies(kept))
    await ask(remote.url())
    began = asyncio.get_running_loop().time()
    await remote.forsaken()
    assert asyncio.get_running_loop().time() - began < wire.IDLE_SECONDS


async def test_a_host_gets_so_many_connections_and_no_more(serve: Serve, ask: Ask) -> None:
    """Those beyond wait for a place, and all are answered over the same connections."""
    remote = await serve(always)
    answers = await asyncio.gather(*(ask(remote.url(), overrides=Overrides()) for _ in range(100)))
    assert [each.attempts for each in answers if each.status != 200] == []
    assert 1 <= remote.connections <= connections.CONNECTIONS_PER_HOST_MAX


async def test_the_longest_waiting_connection_makes_room(
    serve: Serve, ask: Ask, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 2)
    remotes = [await serve(always) for _ in range(3)]
    for remote in remotes:
        assert (await ask(remote.url())).status == 200
    await remotes[0].forsaken()
    for remote in remotes[1:]:
        assert (await ask(remote.url())).status == 200
    assert [remote.connections for remote in remotes] == [1, 1, 1]
    assert names["asked"] == []


async def test_whoever_gives_up_leaves_no_connection(serve: Serve, ask: Ask) -> None:
    asked = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await reader.readexactly(1)

    remote = await serve(keep_silent, always)
    sending = asyncio.ensure_future(ask(remote.url(), overrides=Overrides()))
    await asked.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await remote.forsaken()
    assert (await ask(remote.url())).status == 200


async def test_closing_the_client_ends_what_is_under_way(
    serve: Serve, ask: Ask, client: WebhookClient
) -> None:
    asked = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await reader.readexactly(1)

    remote = await serve(keep_silent)
    sending = asyncio.ensure_future(ask(remote.url(), overrides=Overrides()))
    await asked.wait()
    await client.close()
    assert (await sending).error_code == 11205
    await remote.forsaken()
    assert (await ask(remote.url())).error_code == 11205


async def test_a_header_cannot_break_out_of_its_line(client: WebhookClient) -> None:
    url = "http://127.0.0.1/"
    request = Rendered("POST", url, {"X": "1\r\nEvil: 1"}, b"")
    with pytest.raises(AssertionError, match="break out"):
        await client.send(request, Target(url=url))


async def test_another_address_is_tried_where_one_refuses(
    serve: Serve, ask: Ask, names: dict[str, list[str]]
) -> None:
    remote = await serve(always)
    names["app.example"] = ["::1", "127.0.0.3", "127.0.0.1"]
    answer = await ask(remote.url("app.example"))
    assert (answer.status, len(answer.attempts)) == (200, 1)


async def test_an_address_that_never_answers_costs_a_moment(
    serve: Serve, ask: Ask, names: dict[str, list[str]]
) -> None:
    remote = await serve(always)
    names["app.example"] = ["127.0.0.2", "127.0.0.1"]
    with socket.socket() as full:
        full.bind(("127.0.0.2", remote.port))
        full.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        answer = await ask(remote.url("app.example"))
        for caller in callers:
            caller.close()
    assert (answer.status, len(answer.attempts)) == (200, 1)


async def test_the_guard_judges_each_address(
    serve: Serve, ask: Ask, names: dict[str, list[str]]
) -> None:
    """What it refuses is not connected to, whatever stands beside it."""
    guarded = WebhookClient(parse_guard(["127.0.0.1"]), lambda: NOON)
    await guarded.start()
    inside = await serve(always, host="127.0.0.2")
    outside = await serve(always, port=inside.port)
    names["both.example"] = ["127.0.0.2", "127.0.0.1"]
    names["in.example"] = ["127.0.0.2", "10.0.0.1", "::ffff:10.0.0.2"]
    both = await ask(outside.url("both.example"), over=guarded)
    blocked = await ask(outside.url("in.example"), over=guarded, overrides=Overrides())
    await guarded.close()
    assert (both.status, inside.connections, outside.connections) == (200, 0, 1)
    assert (blocked.error_code, len(blocked.attempts)) == (11205, 1)
    assert blocked.attempts[0].reason == "the address is not one that webhooks may reach"


async def test_a_refusal_beside_a_guarded_address_may_pass(
    ask: Ask, names: dict[str, list[str]]
) -> None:
    guarded = WebhookClient(parse_guard(["127.0.0.1"]), lambda: NOON)
    await guarded.start()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        names["app.example"] = ["10.0.0.1", "127.0.0.1"]
        url = f"http://app.example:{unused.getsockname()[1]}/"
        answer = await ask(url, over=guarded, overrides=Overrides())
    await guarded.close()
    assert [a.reason for a in answer.attempts] == ["no connection could be made"] * 2


async def test_a_name_is_looked_up_once_for_many(
    serve: Serve, ask: Ask, names: dict[str, list[str]]
) -> None:
    remote = await serve(always)
    names["app.example"] = ["127.0.0.1"]
    url = remote.url("app.example")
    answers = await asyncio.gather(*(ask(url, overrides=Overrides()) for _ in range(20)))
    assert [each.attempts for each in answers if each.status != 200] == []
    assert names["asked"] == ["app.example"]


async def test_a_name_is_looked_up_again_after_a_while(
    serve: Serve, ask: Ask, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "ANSWER_SECONDS", 0)
    remote = await serve(last_words(OK))
    names["app.example"] = ["127.0.0.1"]
    for _ in range(2):
        assert (await ask(remote.url("app.example"))).status == 200
    assert names["asked"] == ["app.example"] * 2


async def test_addresses_of_a_name_take_turns(names: dict[str, list[str]]) -> None:
    names["app.example"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    found = resolver.ThreadResolver()
    firsts = [(await found.resolve("app.example", 80))[0].text for _ in range(4)]
    assert firsts == ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]


async def test_names_that_are_kept_are_bounded(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "ANSWERS_MAX", 2)
    found = resolver.ThreadResolver()
    for host in ("a.example", "b.example", "c.example", "c.example", "a.example"):
        names[host] = ["127.0.0.1"]
        await found.resolve(host, 80)
    assert names["asked"] == ["a.example", "b.example", "c.example", "a.example"]


async def test_secure_connections_are_used_again(tmp_path: Path) -> None:
    certificates = Certificates.new()
    seen: list[Seen] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                seen.append(await read_request(reader))
                writer.write(OK)
        writer.close()
        gone.release()

    accepted: list[asyncio.StreamWriter] = []
    gone = asyncio.Semaphore(0)
    tls = certificates.server(tmp_path, "127.0.0.1", days=30)
    client = WebhookClient(Guard(allow_private=True), lambda: NOON, tls=certificates.trust())
    await client.start()
    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for _ in range(3):
            answer = await client.send(Rendered("POST", url, {}, b"x=1"), Target(url=url))
            assert (answer.status, answer.body) == (200, b"hello")
        await client.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await gone.acquire()
    assert (len(seen), len(accepted)) == (3, 1)


async def test_whoever_stops_waiting_for_a_place_takes_none() -> None:
    slots = Slots(1, per_host_max=1)
    await slots.take("a")
    same, other = [asyncio.ensure_future(slots.take(host)) for host in ("a", "b")]
    for waiting in (same, other):
        await asyncio.wait({waiting}, timeout=0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    slots.leave("a")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await slots.take("b")
        slots.leave("b")
        await slots.take("a")
