"""The sink: takes status callbacks and notes when each message was reported delivered.

A callback is Trunkline's, a form whose URL has the number of the message, or Kannel's, which has
everything in the URL.
"""

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from bench.wire import Splitter

STOP = "stop"
REPORT = "report"
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_NUMBER = re.compile(rb"[?&]n=([0-9]+)")
_STATUS = re.compile(rb"(?:^|&)MessageStatus=([a-z]+)")
_SIGNATURE = re.compile(rb"\r\nx-twilio-signature: *[0-9a-z+/]{27}=", re.IGNORECASE)
# Kannel's %d: taken by the SMSC, and delivered to the phone. Its callbacks have no body.
_KINDS = {b"8": "sent", b"1": "delivered"}
_KIND = re.compile(rb"&d=([0-9]+)")


@dataclass(slots=True)
class Tally:
    """What has come in; times are of the monotonic clock that all processes share.

    Unknown are callbacks for messages of no or of an earlier run, unsigned those without a
    signature; whether a signature is right is for tests to say.
    """

    delivered_at: dict[int, float] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    unknown: int = 0
    unsigned: int = 0
    cpu_seconds: float = 0.0


class _Sink:
    """The tally of one run, and the pipe to who wants to know it.

    A range of message numbers in the pipe begins a run; it is acknowledged, and answered with the
    tally when all of them are delivered. REPORT asks for the tally as it is, STOP ends the sink.
    """

    def __init__(self, control: Connection, stopped: asyncio.Event) -> None:
        self._control = control
        self._stopped = stopped
        self._tally = Tally()
        self._expected = range(0)
        self._seen: set[tuple[int, str]] = set()
        self._cpu_before = 0.0

    def obey(self) -> None:
        """Do what the pipe says."""
        order: range | str = self._control.recv()
        if order == STOP:
            self._stopped.set()
        elif isinstance(order, range):
            self._tally, self._expected = Tally(), order
            self._seen.clear()
            self._cpu_before = time.process_time()
            self._control.send(order)
        else:
            self._report()

    def take(self, head: bytes, body: bytes) -> None:
        """Count one callback."""
        line = head.partition(b"\r\n")[0]
        number, status = _NUMBER.search(line), _status(line, body)
        if number is None or not status or int(number[1]) not in self._expected:
            self._tally.unknown += 1
            return
        self._tally.unsigned += _SIGNATURE.search(head) is None
        key = int(number[1]), status
        self._tally.statuses[key[1]] += 1
        if key in self._seen:
            self._tally.repeated += 1
            return
        self._seen.add(key)
        if key[1] == "delivered":
            self._tally.delivered_at[key[0]] = time.monotonic()
            if len(self._tally.delivered_at) == len(self._expected):
                self._report()

    def _report(self) -> None:
        self._tally.cpu_seconds = time.process_time() - self._cpu_before
        self._control.send(self._tally)


def _status(line: bytes, body: bytes) -> str:
    if body:
        status = _STATUS.search(body)
        return status[1].decode() if status else ""
    kind = _KIND.search(line)
    return _KINDS.get(kind[1], kind[1].decode()) if kind else ""


class _Protocol(asyncio.Protocol):
    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self._splitter = Splitter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for head, body in self._splitter.feed(data):
            # Answered first: what follows is the benchmark's own work.
            self._transport.write(_ANSWER)
            self._sink.take(head, body)


def serve(control: Connection) -> None:
    """Tell the port through the pipe, then serve until told to stop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(control))


async def _serve(control: Connection) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    sink = _Sink(control, stopped)
    server = await loop.create_server(lambda: _Protocol(sink), "127.0.0.1", 0, backlog=512)
    control.send(server.sockets[0].getsockname()[1])
    loop.add_reader(control.fileno(), sink.obey)
    await stopped.wait()
    loop.remove_reader(control.fileno())
    server.close()
