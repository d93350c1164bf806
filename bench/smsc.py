"""The SMSC of a benchmark: takes every text at once and sends a receipt for each a moment later.

`serve` runs in a process of its own; `python -m bench.carriers` says how much that alone can do.
"""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection
from typing import NamedTuple, cast

import uvloop

from trunkline.smpp.events import Answered, Event, Requested
from trunkline.smpp.pdu import Bind, DeliverSm, SubmitSm, SubmitSmResp, empty_answer
from trunkline.smpp.receipt import ESM_CLASS_RECEIPT, MessageState, render_receipt
from trunkline.smpp.session import Session
from trunkline.smpp.states import Role

RECEIPT_SECONDS = 0.1
# A receipt that was refused for now comes again after this.
AGAIN_SECONDS = 0.5
# Receipts on their way on one connection. Wider than carriers go, so that the one who is measured
# sets the pace; narrower than the 1,000 beyond which our own connector refuses.
WINDOW_MAX = 500
RESPONSE_SECONDS = 120
STOP, RESET, REPORT = "stop", "reset", "report"


@dataclass(slots=True)
class Seen:
    """What came and what became of the receipts; a repeated text is one that came before."""

    texts: int = 0
    repeated: int = 0
    receipts: int = 0
    receipts_refused: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    cpu_seconds: float = 0.0


class _Owed(NamedTuple):
    due_at: float
    submit: SubmitSm
    message_id: str


class _Smsc:
    """What all connections share, and the pipe to who wants to know it."""

    def __init__(self, control: Connection, stopped: asyncio.Event) -> None:
        self._control = control
        self._stopped = stopped
        self._ids = count(1)
        self._reset()

    def obey(self) -> None:
        """Do what the pipe says; RESET and REPORT are answered with what was seen."""
        order: str = self._control.recv()
        if order == STOP:
            self._stopped.set()
            return
        self.seen.repeated = self.seen.texts - len(self._texts)
        self.seen.cpu_seconds = time.process_time() - self._cpu_before
        self._control.send(self.seen)
        if order == RESET:
            self._reset()

    def take(self, submit: SubmitSm, *, now: float) -> str:
        """Count a text and return its message_id."""
        self._texts[submit.short_message] += 1
        self.seen.texts += 1
        self.seen.first_at = self.seen.first_at or now
        self.seen.last_at = now
        return f"{next(self._ids):010}"

    def _reset(self) -> None:
        self.seen = Seen()
        self._texts: Counter[bytes] = Counter()
        self._cpu_before = time.process_time()


class _Protocol(asyncio.Protocol):
    def __init__(self, smsc: _Smsc) -> None:
        self._smsc = smsc
        self._loop = asyncio.get_running_loop()
        self._owed: deque[_Owed] = deque()
        self._under_way: dict[int, _Owed] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._session = Session(
            Role.SMSC,
            now=self._loop.time(),
            window_max=WINDOW_MAX,
            response_seconds=RESPONSE_SECONDS,
            enquire_seconds=None,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._session.close()
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        for event in self._session.receive(data, now):
            self._take(event, now=now)
        self._send_receipts(now)

    def _take(self, event: Event, *, now: float) -> None:
        match event:
            case Requested(number, SubmitSm() as submit):
                message_id = self._smsc.take(submit, now=now)
                self._session.respond(number, SubmitSmResp(message_id=message_id))
                if submit.registered_delivery:
                    self._owed.append(_Owed(now + RECEIPT_SECONDS, submit, message_id))
            case Requested(number, Bind() as bind):
                self._session.respond(number, empty_answer(bind))
            case Answered(number, command_status):
                owed = self._under_way.pop(number)
                if command_status:
                    self._smsc.seen.receipts_refused += 1
                    self._owed.append(owed._replace(due_at=now + AGAIN_SECONDS))
                else:
                    self._smsc.seen.receipts += 1

    def _on_timer(self) -> None:
        self._timer = None
        self._send_receipts(self._loop.time())

    def _send_receipts(self, now: float) -> None:
        """Send what is due and has room, and everything else that waits to be sent."""
        today = datetime.now(UTC)
        session, owed = self._session, self._owed
        while owed and owed[0].due_at <= now and session.window_free:
            first = owed.popleft()
            self._under_way[session.request(_receipt(first, today), now)] = first
        self._transport.write(session.data_to_send())
        if session.is_over:
            self._transport.close()
        elif owed and session.window_free and self._timer is None:
            self._timer = self._loop.call_at(owed[0].due_at, self._on_timer)


def _receipt(owed: _Owed, today: datetime) -> DeliverSm:
    submit = owed.submit
    text = render_receipt(
        owed.message_id, MessageState.DELIVERED, submit_date=today, done_date=today
    )
    return DeliverSm(
        source_addr_ton=submit.dest_addr_ton,
        source_addr_npi=submit.dest_addr_npi,
        source_addr=submit.destination_addr,
        dest_addr_ton=submit.source_addr_ton,
        dest_addr_npi=submit.source_addr_npi,
        destination_addr=submit.source_addr,
        esm_class=ESM_CLASS_RECEIPT,
        short_message=text.encode("ascii"),
    )


def serve(control: Connection) -> None:
    """Tell the port through the pipe, then serve until told to stop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(control))


async def _serve(control: Connection) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    smsc = _Smsc(control, stopped)
    server = await loop.create_server(lambda: _Protocol(smsc), "127.0.0.1", 0)
    control.send(server.sockets[0].getsockname()[1])
    loop.add_reader(control.fileno(), smsc.obey)
    await stopped.wait()
    loop.remove_reader(control.fileno())
    server.close()
