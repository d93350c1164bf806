"""The load: requests over keep-alive connections, each sent when its connection is free again."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import uvloop

from bench.wire import Splitter

# A server that answers nothing for so long is stuck.
ANSWERS_SECONDS_MAX = 120
_STATUS_AT = slice(9, 12)  # HTTP/1.1 201 ...


@dataclass(slots=True)
class Sent:
    """What became of the requests; times are of the monotonic clock that all processes share."""

    sent_at: list[float]
    answered_at: list[float]
    statuses: Counter[str] = field(default_factory=Counter)
    cpu_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """From the first byte of the first request to the last answer."""
        return max(self.answered_at) - min(self.sent_at)

    @property
    def answer_seconds(self) -> list[float]:
        """How long each answer took."""
        return [b - a for a, b in zip(self.sent_at, self.answered_at, strict=True)]


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the last one is answered."""

    def __init__(
        self, requests: Iterator[tuple[int, bytes]], sent: Sent, done: asyncio.Future[None]
    ) -> None:
        self._requests = requests
        self._sent = sent
        self._done = done
        self._splitter = Splitter()
        self._under_way = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        for head, _ in self._splitter.feed(data):
            self._sent.answered_at[self._under_way] = time.monotonic()
            self._sent.statuses[head[_STATUS_AT].decode()] += 1
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError("the server closed a connection"))

    def _next(self) -> None:
        self._under_way, request = next(self._requests, (-1, b""))
        if self._under_way < 0:
            self._done.set_result(None)
            self._transport.close()
            return
        self._sent.sent_at[self._under_way] = time.monotonic()
        self._transport.write(request)


def send_all(port: int, requests: Sequence[bytes], *, connections: int) -> Sent:
    """Send every request to a server on this machine and return what came of them, in order."""
    before = time.process_time()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sent = runner.run(_send_all(port, requests, connections=connections))
    sent.cpu_seconds = time.process_time() - before
    return sent


async def _send_all(port: int, requests: Sequence[bytes], *, connections: int) -> Sent:
    loop = asyncio.get_running_loop()
    count = len(requests)
    sent = Sent([0.0] * count, [0.0] * count)
    ends = [loop.create_future() for _ in range(min(connections, count))]
    waiting = iter(enumerate(requests))
    async with asyncio.timeout(ANSWERS_SECONDS_MAX):
        for end in ends:
            make = partial(_Connection, waiting, sent, end)
            await loop.create_connection(make, "127.0.0.1", port)
        await asyncio.gather(*ends)
    return sent
