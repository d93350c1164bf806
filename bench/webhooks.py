"""Signed status callbacks through the product's own HTTP client and through aiohttp's.

`python -m bench.webhooks [--calls N] [--in-flight N] [--rounds R]` prints one JSON document.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import aiohttp
import uvloop

from bench import machine
from trunkline.webhooks.client import WebhookClient
from trunkline.webhooks.guard import Guard
from trunkline.webhooks.request import parse_target, render_request

AUTH_TOKEN = "f" * 32
REPLY = b"HTTP/1.1 204 No Content\r\n\r\n"
# What a callback that says `delivered` carries; the sid is each call's own.
FORM = {
    "MessageSid": "SM" + "0" * 32,
    "SmsSid": "SM" + "0" * 32,
    "AccountSid": "AC" + "0" * 32,
    "MessageStatus": "delivered",
    "SmsStatus": "delivered",
    "To": "+14155550123",
    "From": "+12025550100",
    "ApiVersion": "2010-04-01",
    "RawDlrDoneDate": "2611201200",
}
WARM_UP = 500

Call = Callable[[int], Awaitable[int]]


class Receiver(asyncio.Protocol):
    """The least of servers: it answers each form as soon as the whole of it is there."""

    def __init__(self) -> None:
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].lower()
            size = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            if len(self._read) < end + 4 + size:
                return
            self._read = self._read[end + 4 + size :]
            self._transport.write(REPLY)


async def receive() -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def ours(stack: AsyncExitStack, url: str) -> Call:
    """Return a call through the product's client."""
    client = WebhookClient(Guard(allow_private=True), lambda: datetime.now(UTC))
    await client.start()
    stack.push_async_callback(client.close)

    async def call(number: int) -> int:
        target = parse_target(url)
        form = FORM | {"MessageSid": f"SM{number:032x}"}
        request = render_request(
            target, "POST", parameters=form, auth_token=AUTH_TOKEN, token=f"{number:036x}"
        )
        return (await client.send(request, target)).status or 0

    return call


async def aiohttps(stack: AsyncExitStack, url: str) -> Call:
    """Return the same call through aiohttp, without redirects, attempts and cookies."""
    connector = aiohttp.TCPConnector(limit=0)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    await stack.enter_async_context(session)

    async def call(number: int) -> int:
        target = parse_target(url)
        form = FORM | {"MessageSid": f"SM{number:032x}"}
        request = render_request(
            target, "POST", parameters=form, auth_token=AUTH_TOKEN, token=f"{number:036x}"
        )
        async with session.post(request.url, headers=request.headers, data=request.body) as answer:
            await answer.read()
            return answer.status

    return call


async def signing(stack: AsyncExitStack, url: str) -> Call:
    """Return what comes before each call: the URL taken apart, the form, its signature."""

    async def call(number: int) -> int:
        target = parse_target(url)
        form = FORM | {"MessageSid": f"SM{number:032x}"}
        render_request(
            target, "POST", parameters=form, auth_token=AUTH_TOKEN, token=f"{number:036x}"
        )
        return 204

    return call


async def measure(
    make: Callable[[AsyncExitStack, str], Awaitable[Call]], *, url: str, calls: int, in_flight: int
) -> dict[str, float]:
    """Return how many calls a second there were, and the processor time of each."""
    async with AsyncExitStack() as stack:
        call = await make(stack, url)

        async def work(numbers: range) -> None:
            for number in numbers:
                assert await call(number) == 204

        async def run(total: int) -> None:
            async with asyncio.TaskGroup() as group:
                for first in range(in_flight):
                    group.create_task(work(range(first, total, in_flight)))

        await run(WARM_UP)
        began, cpu = time.perf_counter(), time.process_time()
        await run(calls)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"per_second": calls / seconds, "cpu_us": cpu / calls * 1e6}


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.receive:
        uvloop.run(receive())
        return
    command = [sys.executable, "-m", "bench.webhooks", "--receive"]
    found: dict[str, list[dict[str, float]]] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        url = f"http://127.0.0.1:{receiver.stdout.readline().strip()}/status"
        for _ in range(asked.rounds):
            for make in (ours, aiohttps, signing):
                figures = uvloop.run(
                    measure(make, url=url, calls=asked.calls, in_flight=asked.in_flight)
                )
                found.setdefault(make.__name__, []).append(figures)
        receiver.terminate()
    medians = {
        name: {
            key: round(statistics.median(figures[key] for figures in rounds), 1)
            for key in ("per_second", "cpu_us")
        }
        for name, rounds in found.items()
    }
    print(json.dumps({"machine": machine.facts(Path.cwd()), **medians, "rounds": found}, indent=2))


if __name__ == "__main__":
    main()
