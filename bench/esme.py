"""The least that can submit texts and acknowledge receipts: shows what the SMSC alone can do."""

import asyncio
import time
from typing import cast

import uvloop

from trunkline.smpp.events import Answered, Bound, Event, Requested
from trunkline.smpp.pdu import BindTransceiver, DeliverSm, DeliverSmResp, SubmitSm
from trunkline.smpp.session import Session
from trunkline.smpp.states import Role

SECONDS_MAX = 120


class _Protocol(asyncio.Protocol):
    """Keeps its window full until every text has its receipt."""

    def __init__(self, messages: int, window: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._texts = iter(range(messages))
        self._receipts_left = messages
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._session = Session(
            Role.ESME,
            now=self._loop.time(),
            window_max=window,
            response_seconds=SECONDS_MAX,
            enquire_seconds=None,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._session.request(BindTransceiver(system_id="ceiling"), self._loop.time())
        self._transport.write(self._session.data_to_send())

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        for event in self._session.receive(data, now):
            self._take(event, now)
        self._transport.write(self._session.data_to_send())
        if not self._receipts_left and not self.done.done():
            self.done.set_result(None)

    def _take(self, event: Event, now: float) -> None:
        match event:
            case Requested(number, DeliverSm()):
                self._session.respond(number, DeliverSmResp())
                self._receipts_left -= 1
            case Bound() | Answered():
                self._submit(now)

    def _submit(self, now: float) -> None:
        while self._session.window_free and (number := next(self._texts, None)) is not None:
            submit = SubmitSm(
                source_addr="14155550100",
                destination_addr=f"1202555{number % 10_000:04}",
                registered_delivery=1,
                short_message=b"Your code is %06d. It is good for ten minutes." % number,
            )
            self._session.request(submit, now)


def round_trips_per_second(port: int, messages: int, window: int) -> float:
    """Submit texts to an SMSC on this machine; return how many a second had their receipts."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(port, messages, window))


async def _measure(port: int, messages: int, window: int) -> float:
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    async with asyncio.timeout(SECONDS_MAX):
        transport, protocol = await loop.create_connection(
            lambda: _Protocol(messages, window), "127.0.0.1", port
        )
        await protocol.done
    seconds = time.monotonic() - began
    transport.close()
    return messages / seconds
