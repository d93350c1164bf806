"""Whatever a receiver answers, however it is cut up: an Answer comes of it, and nothing raises."""

import asyncio
import contextlib
import gzip
from datetime import UTC, datetime
from itertools import pairwise
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.webhooks.client import WebhookClient
from trunkline.webhooks.guard import Guard
from trunkline.webhooks.overrides import Overrides
from trunkline.webhooks.request import Rendered, Target
from trunkline.webhooks.wire import Reader, Reply

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SIZE_MAX = 40
PATIENCE_SECONDS = 10
OVERRIDES = Overrides(connect_ms=500, read_ms=60, total_ms=120, retries=0)

ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 11\r\n\r\n<Response/>",
    b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=1; Max-Age=5\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nwiki\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 2\r\n\r\nhi",
    b'HTTP/1.1 401 Who\r\nWWW-Authenticate: Digest realm="a", nonce="b"\r\n\r\n',
    b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\x00\x01",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello " * 30),
    b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nKeep-Alive: timeout=9\r\n\r\n\x78\x9c",
    b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
]
SCRAPS = [
    *(
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"0\r\n\r\n",
        b"HTTP/1.1 ",
        b"Content-Length: 5\r\n",
        b": ",
        b"\0",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"-1", b"99999999999999999999"),
    *(b"Content-Encoding: gzip\r\n", b"Location: \xff\r\n", b"Set-Cookie: =;=\r\n", b"x" * 9000),
]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Return an answer with something cut out, put in or turned over, or any bytes at all."""
    answer = bytearray(draw(st.sampled_from(ANSWERS) | st.binary(max_size=60)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(answer)))
        scrap = draw(st.sampled_from(SCRAPS) | st.binary(max_size=4))
        answer[at : at + draw(st.integers(0, 6))] = scrap
    return bytes(answer)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


def read(parts: list[bytes]) -> Reply:
    reader = Reader()
    reader.expect(SIZE_MAX)
    if not any(reader.feed(part) for part in parts):
        reader.end()
    return reader.reply


CUTS = st.lists(st.integers(0, 20_000), max_size=6)


@given(answers(), CUTS)
@settings(max_examples=600, deadline=None)
def test_any_bytes_are_read(data, cuts):
    """However the bytes are cut up, the same comes of them, and no more is kept than is wanted."""
    reply = read(pieces(data, cuts))
    assert len(reply.body) <= SIZE_MAX
    assert reply.status is not None or not reply.body
    assert reply == read([data]) == read([data[at : at + 1] for at in range(len(data))])


@given(st.lists(answers(), min_size=1, max_size=3), CUTS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_answer_ends_a_request(replies, cuts, is_reset):
    """Over real connections, two requests after another: each ends, by its time at the latest."""
    asyncio.run(exchange(replies, cuts, is_reset=is_reset))


async def exchange(replies: list[bytes], cuts: list[int], *, is_reset: bool) -> None:
    left = list(replies)
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(cast(asyncio.Task[None], asyncio.current_task()))
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536) and left:
                for piece in pieces(left.pop(), cuts):
                    writer.write(piece)
            if is_reset:
                writer.transport.abort()
            writer.close()
            await writer.wait_closed()

    client = WebhookClient(Guard(allow_private=True), lambda: NOON)
    await client.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            target = Target(url=url, username="me", password="pw", overrides=OVERRIDES)
            for _ in range(2):
                request = Rendered("POST", url, {}, b"Body=Hi")
                answer = await client.send(request, target, size_max=SIZE_MAX)
                assert len(answer.body) <= SIZE_MAX
                assert answer.error_code or answer.status in range(200, 300)
            await client.close()
        await asyncio.gather(*talks)
