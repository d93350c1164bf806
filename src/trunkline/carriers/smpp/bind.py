"""One bound connection of a lane, for as long as it takes: connect, bind, and again when it ends.

Rules: hosts are tried in their order, and waiting grows from round to round; a throttled answer is
no reason to bind anew; taking leave is bounded.
"""

import asyncio
import ssl
from asyncio import FIRST_COMPLETED
from collections.abc import Callable
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import NamedTuple

from trunkline.carriers.port import BindPhase, BindState, MaySend, Probe
from trunkline.carriers.smpp.desk import Asked, Counts, Desk
from trunkline.carriers.smpp.link import Link
from trunkline.carriers.smpp.notation import Host
from trunkline.carriers.smpp.sender import Sender
from trunkline.carriers.smpp.settings import SmppSettings
from trunkline.carriers.smpp.tap import Tap
from trunkline.carriers.smpp.trouble import NOT_SMPP, no_bind, no_connection
from trunkline.runtime import Chance, Clock
from trunkline.smpp.events import (
    Answered,
    Bound,
    Event,
    Late,
    Lost,
    PeerSilent,
    ProtocolError,
    Requested,
    StreamBroken,
    TimedOut,
    TimerExpired,
    Unbound,
    Unmatched,
)
from trunkline.smpp.pdu import (
    Bind as BindRequest,
)
from trunkline.smpp.pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DataSm,
    DeliverSm,
    EnquireLink,
    Unbind,
    empty_answer,
)
from trunkline.smpp.session import Session
from trunkline.smpp.states import Role
from trunkline.smpp.status import CommandStatus

# A program that ends has five seconds; answers under way come within this or not at all.
LEAVE_SECONDS = 2.0
# A connection that lasted so long was a good one: the next wait is short again.
GOOD_SECONDS = 10.0
ROUNDS_MAX = 30  # More doublings than any longest wait has room for.
ERROR_LENGTH_MAX = 200

REQUESTS: dict[str, type[BindRequest]] = {
    "transceiver": BindTransceiver,
    "transmitter": BindTransmitter,
    "receiver": BindReceiver,
}


class Surroundings(NamedTuple):
    """What all connections of a carrier share."""

    settings: SmppSettings
    context: ssl.SSLContext | None
    clock: Clock
    chance: Chance
    tap: Tap
    changed: Callable[[], None]
    may_send: MaySend


class Bind:
    """A connection that is kept up; with a sender it submits, with a desk it receives."""

    def __init__(
        self,
        around: Surroundings,
        kind: str,
        *,
        lane: int,
        sender: Sender | None = None,
        desk: Desk | None = None,
    ) -> None:
        self._around = around
        self._settings = around.settings
        self._kind = kind
        self._lane = lane
        self._sender = sender
        self._desk = desk
        self._counts = sender.counts if sender else Counts()
        self._link: Link | None = None
        self._bind_number = 0
        self._is_bound = False
        self._granted: asyncio.Future[None] | None = None
        self._enquiries: dict[int, asyncio.Future[str]] = {}
        self._phase = BindPhase.WAITING
        self._since: datetime = around.clock.now()
        self._peer = ""
        self._last_error = ""

    @property
    def is_bound(self) -> bool:
        """Say whether it is of use now."""
        return self._phase is BindPhase.BOUND

    def state(self) -> BindState:
        """Return how it is doing."""
        counts = self._counts
        sender = self._sender
        return BindState(
            lane=self._lane,
            kind=self._kind,
            phase=self._phase,
            since=self._since,
            peer=self._peer,
            window_used=sender.flying if sender else 0,
            window_max=self._settings.window if sender else 0,
            per_second=sender.per_second() if sender else None,
            submitted=counts.submitted,
            taken=counts.taken,
            refused=counts.refused,
            throttled=counts.throttled,
            in_doubt=counts.in_doubt,
            receipts=counts.receipts,
            texts=counts.texts,
            errors=counts.errors,
            last_error=self._last_error,
            last_receipt_at=counts.last_receipt_at,
        )

    async def run(self) -> None:
        """Stay bound until cancelled; then unbind."""
        loop = asyncio.get_running_loop()
        rounds = 0
        try:
            while True:
                began = loop.time()
                await self._visit_hosts()
                rounds = 0 if loop.time() - began >= GOOD_SECONDS else rounds
                self._enter(BindPhase.WAITING)
                await asyncio.sleep(self._wait_seconds(rounds))
                rounds = min(rounds + 1, ROUNDS_MAX)
        finally:
            self._enter(BindPhase.CLOSED)

    async def probe(self) -> Probe:
        """Measure a round trip: an enquire_link where it is bound, else a bind of its own.

        The loop's time may have whole milliseconds only.
        """
        began = perf_counter()
        if self._link and self.is_bound:
            trouble = await self._enquire(self._link)
            detail = trouble or f"{self._peer} answers"
            return Probe(not trouble, detail, 1000 * (perf_counter() - began))
        for host in self._settings.hosts:
            began = perf_counter()
            link = await self._open(host)
            milliseconds = 1000 * (perf_counter() - began)
            if link:
                await self._leave(link)
                return Probe(True, f"bound as {self._kind} to {host}", milliseconds)
        return Probe(False, self._last_error, 1000 * (perf_counter() - began))

    def new_session(self, now: float) -> Session:
        """Return the session of a new connection, its bind asked for."""
        settings = self._settings
        session = Session(
            Role.ESME,
            now=now,
            window_max=settings.window,
            response_seconds=settings.response_seconds,
            enquire_seconds=settings.enquire_seconds,
            inactivity_seconds=settings.inactivity_seconds,
        )
        request = REQUESTS[self._kind](
            system_id=settings.system_id,
            password=settings.password,
            system_type=settings.system_type,
            interface_version=settings.interface_version,
            address_range=settings.address_range,
        )
        self._bind_number = session.request(request, now)
        return session

    def take(self, event: Event) -> None:
        """Take what the session tells."""
        match event:
            case Bound():
                self._bound()
            case Answered(number, _, _) if number in self._enquiries:
                self._enquired(number, "")
            case Answered(number, command_status, _) if number == self._bind_number:
                self._end(no_bind(command_status))
            case Answered(number, command_status, pdu) if self._sender:
                self._sender.answered(number, pdu, command_status=command_status)
            case Late(number, command_status, pdu) if self._sender:
                self._sender.late(number, pdu, command_status=command_status)
            case TimedOut(number, pdu) | Lost(number, pdu):
                self._unanswered(event)
            case Requested(number, DeliverSm() | DataSm()):
                self._receive(event)
            case _:
                self._take_trouble(event)

    def turn_over(self) -> None:
        """Send what there is room for again."""
        if self._sender:
            self._sender.pump()

    def _take_trouble(self, event: Event) -> None:
        """Take what goes wrong; an outbind or an alert_notification does not."""
        match event:
            case Unbound(by_peer=True):
                self._note("the SMSC unbinds")
                self._stop("the SMSC unbinds")
            case PeerSilent():
                self._end("the SMSC is silent")
            case TimerExpired() if self._link:
                self._note("nothing came for too long")
                self._stop("the connection is made anew")
                self._link.unbind()
            case ProtocolError() | StreamBroken():
                self._counts.errors += 1
                self._note(f"bad PDU: {event.reason}")
            case Unmatched():
                self._counts.errors += 1

    def _bound(self) -> None:
        assert self._link
        assert self._granted
        self._is_bound = True
        self._granted.set_result(None)
        self._enter(BindPhase.BOUND)
        if self._sender:
            self._sender.attach(self._link)

    def _receive(self, event: Requested) -> None:
        link, pdu = self._link, event.pdu
        assert link
        assert isinstance(pdu, DeliverSm | DataSm)
        if self._desk:
            self._desk.put(Asked(link, event.sequence_number, pdu, self._counts))
            return
        # Only a probe has no desk; this comes again on a connection that has one.
        link.respond(
            event.sequence_number, empty_answer(pdu), command_status=CommandStatus.ESME_RX_T_APPN
        )

    def _unanswered(self, event: TimedOut | Lost) -> None:
        number, is_late = event.sequence_number, isinstance(event, TimedOut)
        reason = "no answer in time" if is_late else "the connection was lost"
        if number in self._enquiries:
            self._enquired(number, reason)
        elif isinstance(event.pdu, BindRequest | Unbind):
            is_bind = isinstance(event.pdu, BindRequest)
            lost = NOT_SMPP if is_bind else reason
            self._end(f"{reason} to {type(event.pdu).__name__}" if is_late else lost)
        elif self._sender:
            self._sender.doubt(number, reason, may_be_late=is_late)

    def _enquired(self, number: int, trouble: str) -> None:
        """Tell a probe, unless it is waited for no longer."""
        answer = self._enquiries.pop(number)
        if not answer.done():
            answer.set_result(trouble)

    def _stop(self, reason: str) -> None:
        """Submit nothing more over this connection."""
        if self._sender and self._is_bound:
            self._sender.detach(reason)

    def _end(self, reason: str) -> None:
        self._note(reason)
        if self._link:
            self._link.abort()

    def _note(self, reason: str) -> None:
        self._last_error = reason[:ERROR_LENGTH_MAX]

    def _enter(self, phase: BindPhase) -> None:
        if phase is not self._phase:
            self._phase = phase
            self._since = self._around.clock.now()
            self._around.changed()

    async def _visit_hosts(self) -> None:
        """Stay with the first host that lets us in, until that ends."""
        for host in self._settings.hosts:
            self._enter(BindPhase.CONNECTING)
            link = await self._open(host)
            if link:
                await self._stay(link)
                return

    async def _stay(self, link: Link) -> None:
        try:
            # Shielded, so that being cancelled here does not cancel what others wait for.
            await asyncio.shield(link.gone)
        finally:
            self._stop("the connection ends")
            await self._leave(link)

    async def _open(self, host: Host) -> Link | None:
        """Connect and bind; return None, with the reason noted, where that fails."""
        self._peer = str(host)
        self._is_bound = False
        granted = self._granted = asyncio.get_running_loop().create_future()
        may_send = partial(self._around.may_send, self._lane)
        link = self._link = Link(self, tap=self._around.tap, lane=self._lane, may_send=may_send)
        if not await self._connect(host, link):
            return None
        try:
            await asyncio.wait([granted, link.gone], return_when=FIRST_COMPLETED)
        finally:
            if not self._is_bound:
                await self._drop(link)
        return link if self._is_bound else None

    async def _connect(self, host: Host, link: Link) -> bool:
        context = self._around.context
        name = (self._settings.tls.server_name or host.name) if context else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.connect_seconds):
                await loop.create_connection(
                    lambda: link, host.name, host.port, ssl=context, server_hostname=name
                )
        except TimeoutError:
            self._note(f"{host} does not answer")
            return False
        except (OSError, UnicodeError) as error:
            # A name can be one that no address is asked for.
            self._note(no_connection(host, error))
            return False
        return True

    async def _leave(self, link: Link) -> None:
        """Unbind, and end the connection when that takes too long."""
        if not link.gone.done():
            link.unbind()
            await asyncio.wait([link.gone], timeout=LEAVE_SECONDS)
        await self._drop(link)

    async def _drop(self, link: Link) -> None:
        """End a connection at once; when this returns it tells nothing more."""
        link.abort()
        await asyncio.wait([link.gone], timeout=LEAVE_SECONDS)

    async def _enquire(self, link: Link) -> str:
        """Return what is wrong with a connection, or nothing."""
        if not link.room:
            # It is busy: everything in the window is being waited for already.
            return "" if link.is_bound else "the connection ends"
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._enquiries[link.request(EnquireLink())] = answer
        return await answer

    def _wait_seconds(self, rounds: int) -> float:
        settings = self._settings
        seconds = min(settings.reconnect_seconds_max, settings.reconnect_seconds * 2.0**rounds)
        # Jitter keeps lanes that were thrown out together from coming back together.
        return seconds * (0.5 + self._around.chance.fraction() / 2)
