"""An ESME for tests: binds to an SMPP server over a real socket, and notes what it is brought."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TypeVar, cast

from trunkline.app import App
from trunkline.smpp.events import Answered, Bound, Event, Lost, Requested, Unbound
from trunkline.smpp.pdu import (
    Bind,
    BindTransceiver,
    DeliverSm,
    DeliverSmResp,
    Pdu,
    SubmitSm,
    SubmitSmResp,
)
from trunkline.smpp.session import Session
from trunkline.smpp.states import Role
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.tlv import SAR_MSG_REF_NUM, SAR_SEGMENT_SEQNUM, SAR_TOTAL_SEGMENTS
from trunkline.smsc.server import Listen, SmscServer

# Far beyond what anything here takes; a test that waits so long has failed.
PATIENCE_SECONDS = 10.0
WINDOW_MAX = 5_000
PHONE = "15558675310"

P = TypeVar("P", bound=Pdu)
Answer = tuple[int, Pdu]


class Esme(asyncio.Protocol):
    """One connection; `verdict` says how each deliver_sm is answered, None for not at all."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.session = Session(
            Role.ESME,
            now=self.loop.time(),
            window_max=WINDOW_MAX,
            response_seconds=PATIENCE_SECONDS,
            enquire_seconds=None,
        )
        self.delivered: asyncio.Queue[DeliverSm] = asyncio.Queue()
        self.verdict: Callable[[DeliverSm], int | None] = lambda pdu: CommandStatus.ESME_ROK
        self.answers: dict[int, asyncio.Future[Answer]] = {}
        self.unbound = self.loop.create_future()
        self.closed = self.loop.create_future()
        self.transport: asyncio.Transport | None = None

    async def __aenter__(self) -> "Esme":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @classmethod
    async def connect(cls, port: int, *, tls: ssl.SSLContext | None = None) -> "Esme":
        """Return an ESME with a connection and no bind."""
        loop = asyncio.get_running_loop()
        host = "localhost" if tls else None
        _, esme = await loop.create_connection(
            cls, "127.0.0.1", port, ssl=tls, server_hostname=host
        )
        return esme

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for event in self.session.close():
            self.observe(event)
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        for event in self.session.receive(data, self.loop.time()):
            self.observe(event)
        self.flush()

    def observe(self, event: Event) -> None:
        match event:
            case Bound(number, pdu):
                self._settle(number, (0, pdu))
            case Answered(number, status, pdu):
                self._settle(number, (status, pdu))
            case Lost(number, _):
                self._settle(number, None)
            case Requested(number, DeliverSm() as deliver):
                verdict = self.verdict(deliver)
                if verdict is not None:
                    self.session.respond(number, DeliverSmResp(), command_status=verdict)
                self.delivered.put_nowait(deliver)
            case Unbound():
                self.unbound.set_result(None)

    def _settle(self, number: int, answer: Answer | None) -> None:
        """Give whoever asked an answer, or none; he may have lost patience."""
        waiting = self.answers.pop(number)
        if waiting.done():
            return
        if answer is None:
            waiting.set_exception(ConnectionError())
        else:
            waiting.set_result(answer)

    def flush(self) -> None:
        octets = self.session.data_to_send()
        if octets and self.transport:
            self.transport.write(octets)

    def ask(self, pdu: Pdu) -> "asyncio.Future[Answer]":
        """Send a request, with whatever is asked in the same turn."""
        answer: asyncio.Future[Answer] = self.loop.create_future()
        self.answers[self.session.request(pdu, self.loop.time())] = answer
        self.loop.call_soon(self.flush)
        return answer

    async def request(self, pdu: Pdu) -> Answer:
        """Send a request and return the status and the PDU of its answer."""
        return await asyncio.wait_for(self.ask(pdu), PATIENCE_SECONDS)

    async def bind(self, system_id: str, password: str, kind: type[Bind] = BindTransceiver) -> int:
        """Bind; return the status."""
        status, _ = await self.request(kind(system_id=system_id, password=password))
        return status

    async def submit(self, *pdus: SubmitSm) -> list[tuple[int, str]]:
        """Submit all at once; return status and message_id of each."""
        answers = await asyncio.wait_for(
            asyncio.gather(*(self.ask(pdu) for pdu in pdus)), PATIENCE_SECONDS
        )
        return [(status, cast(SubmitSmResp, pdu).message_id) for status, pdu in answers]

    async def next_delivery(self) -> DeliverSm:
        """Return the next deliver_sm."""
        return await asyncio.wait_for(self.delivered.get(), PATIENCE_SECONDS)

    async def deliveries(self, count: int) -> Sequence[DeliverSm]:
        """Return the next *count* of them."""
        return [await self.next_delivery() for _ in range(count)]

    async def until(self, future: "asyncio.Future[None]") -> None:
        """Wait until the peer unbound or closed the connection."""
        await asyncio.wait_for(asyncio.shield(future), PATIENCE_SECONDS)

    async def close(self) -> None:
        """Close the connection without a word."""
        if self.transport:
            self.transport.abort()
        await asyncio.wait_for(asyncio.shield(self.closed), PATIENCE_SECONDS)


@asynccontextmanager
async def serving(
    app: App, *, tls: ssl.SSLContext | None = None, connections_max: int = 100
) -> AsyncIterator[SmscServer]:
    """Yield an SMPP server on a free port of this machine."""
    server = SmscServer(
        app.platform,
        host="127.0.0.1",
        listens=[Listen(0, tls)],
        simulator_password="password",
        connections_max=connections_max,
    )
    await server.start()
    if app.ownership is not None:
        # A server works by itself, and so must the leases that it asks for.
        app.ownership.start()
    try:
        yield server
    finally:
        await server.stop()
        if app.ownership is not None:
            await app.ownership.rest()


def text(body: bytes = b"Hello", **fields: object) -> SubmitSm:
    """Return a submit_sm from a number that is nobody's to a phone, with a receipt wanted."""
    given: dict[str, object] = {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": "442071838750",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": PHONE,
        "registered_delivery": 1,
        "short_message": body,
        **fields,
    }
    return SubmitSm(**given)  # type: ignore[arg-type]


def part(number: int, *, total: int = 2, reference: int = 7, **fields: object) -> SubmitSm:
    """Return one segment of a longer text."""
    tlvs = (
        SAR_MSG_REF_NUM.make(reference),
        SAR_TOTAL_SEGMENTS.make(total),
        SAR_SEGMENT_SEQNUM.make(number),
    )
    return text(**{"body": b"Half", **fields}, tlvs=tlvs)  # type: ignore[arg-type]
