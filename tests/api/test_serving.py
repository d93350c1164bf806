"""The HTTP server against callers who are slow, endless, silent, or too many."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from trunkline.serving import (
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    PIPELINE_MAX,
    REQUEST_BYTES_MAX,
    Protocol,
    server_for,
)

SOON = 5.0
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
Caller = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[], Awaitable[Caller]]


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Say hello at once, without a look at the body."""
    await PlainTextResponse("hello")(scope, receive, send)


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Serve, and yield what opens a connection."""
    server = server_for(answer)
    started = asyncio.Event()
    server.on_started = started.set
    with socket.create_server(("127.0.0.1", 0)) as sock:
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        await started.wait()
        writers = []

        async def connect() -> Caller:
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            writers.append(writer)
            return reader, writer

        yield connect
        for writer in writers:
            writer.transport.abort()
        server.leave()
        await serving


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what is still to read of a connection that the server closes."""
    try:
        async with asyncio.timeout(SOON):
            return await reader.read()
    except ConnectionError:
        return b"reset"


async def pour(writer: asyncio.StreamWriter, piece: bytes, *, size: int) -> None:
    """Write *size* bytes, or as many as are taken."""
    try:
        for _ in range(size // len(piece) + 1):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        return


async def test_requests_follow_each_other(dial: Dial) -> None:
    """On one connection, with a head and a body that are just within the limits."""
    reader, writer = await dial()
    for _ in range(3):
        big = b"X: " + b"y" * (HEAD_BYTES_MAX - 1000) + b"\r\n"
        writer.write(HEAD + big + b"X: y\r\n" * (HEADERS_MAX - 2) + b"\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"GET / HT",
        HEAD,
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n12",
        HEAD + b"\r\n" + HEAD,
    ],
)
async def test_a_request_that_does_not_come_to_its_end_is_cut(
    dial: Dial, monkeypatch: pytest.MonkeyPatch, given: bytes
) -> None:
    """However far it came; nobody holds a connection by saying nothing."""
    monkeypatch.setattr(Protocol, "request_seconds", 0.2)
    reader, writer = await dial()
    writer.write(given)
    assert b"400" not in await ended(reader)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (HEAD + b"X: ", b"y" * 65536),
        (HEAD, b"X: y\r\n" * 8000),
        (b"GET /", b"y" * 65536),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 8000),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"10000\r\n" + b"y" * 65536 + b"\r\n",
        ),
        (b"POST / HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n", b"y" * 65536),
        (b"", (HEAD + b"\r\n") * (10 * PIPELINE_MAX)),
    ],
)
async def test_what_has_no_end_is_cut(dial: Dial, begin: bytes, piece: bytes) -> None:
    """Heads, URLs, bodies, trailers and requests."""
    reader, writer = await dial()
    writer.write(begin)
    pouring = asyncio.create_task(pour(writer, piece, size=20 * REQUEST_BYTES_MAX))
    await ended(reader)
    async with asyncio.timeout(SOON):
        await pouring
    assert writer.transport.is_closing()


async def test_too_large_a_head_is_told_so(dial: Dial) -> None:
    """The caller may be a browser with too many cookies."""
    reader, writer = await dial()
    writer.write(HEAD + b"Cookie: ")
    writer.write(b"y" * HEAD_BYTES_MAX)
    assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")


async def test_a_request_is_for_one_host(dial: Dial) -> None:
    """Who is in between may have gone by the other one; nothing of such a request is answered."""
    reader, writer = await dial()
    writer.write(HEAD + b"hOST: x\r\n\r\n")
    assert (await ended(reader)).startswith(b"HTTP/1.1 400 ")


async def test_connections_have_a_limit(dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is closed, those that are there go on."""
    monkeypatch.setattr(Protocol, "connections_max", 3)
    callers = [await dial() for _ in range(3)]
    for reader, writer in callers:
        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"hello")
    assert await ended((await dial())[0]) in (b"", b"reset")
    reader, writer = callers[0]
    writer.write(HEAD + b"\r\n")
    await reader.readuntil(b"hello")
