"""One connection of an ESME: octets in and out, its session, and what it asks for."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import structlog

from trunkline.domain.carrier import SmppCredential
from trunkline.flows.customers import BindTrouble, sign_in
from trunkline.flows.platform import Platform
from trunkline.smpp.events import (
    Answered,
    Event,
    PeerSilent,
    Requested,
    StreamBroken,
    TimedOut,
    Timer,
    TimerExpired,
)
from trunkline.smpp.pdu import (
    Bind,
    BindReceiver,
    BindReceiverResp,
    BindResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    DeliverSm,
    Pdu,
    SubmitMulti,
    empty_answer,
)
from trunkline.smpp.session import Session
from trunkline.smpp.states import BOUND, Role, State
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.tlv import SC_INTERFACE_VERSION
from trunkline.smpp.wire import PDU_SIZE_MAX
from trunkline.smsc.binds import Binds
from trunkline.smsc.courier import Courier
from trunkline.smsc.desk import SUBMISSIONS, Desk, Reply, Request
from trunkline.store.deliveries import DeliveryRow

# How many deliver_sm an ESME has to answer at once; ten are usual, and most answer at once.
WINDOW_MAX = 50
RESPONSE_SECONDS = 30.0
ENQUIRE_SECONDS = 30.0
SESSION_INIT_SECONDS = 10.0
# What was said last is on its way for so long; who does not read it holds no place for it.
CLOSE_SECONDS = 5.0
# A receiver may have nothing to do for long, and enquire_link tells whether it is there.
INACTIVITY_SECONDS = 86_400.0
# What waits for our answers: beyond it the peer is not read from, so that it sends no faster.
ASKED_MAX = 600
ASKED_OCTETS_MAX = 2_097_152
# Read in one turn of the event loop, of all connections together: who else waits for the loop waits
# no longer than 128 of the smallest PDUs take, some 3 ms.
TURN_OCTETS_MAX = 2_048
# Read at once of what came before a connection ended, some 64 kB.
LAST_TURNS_MAX = 32
# Of one that is not bound: room for a bind with all that it may carry, and for some impatience.
STRANGER_OCTETS_MAX = 4_096
SYSTEM_ID = "Trunkline"
INTERFACE_VERSION = 0x34

_RESPONSES: dict[type[Pdu], type[BindResp]] = {
    BindReceiver: BindReceiverResp,
    BindTransmitter: BindTransmitterResp,
    BindTransceiver: BindTransceiverResp,
}
_TROUBLES = {
    BindTrouble.UNKNOWN: CommandStatus.ESME_RINVSYSID,
    BindTrouble.PASSWORD: CommandStatus.ESME_RINVPASWD,
    BindTrouble.NOT_ALLOWED: CommandStatus.ESME_RBINDFAIL,
}

log = structlog.get_logger()


class Turns:
    """Lets connections read what has come one after the other, some in each turn of the loop.

    Who sends the most gets no more of a turn than who sends a little.
    """

    def __init__(self) -> None:
        self._waiting: deque[Connection] = deque()
        self._is_called = False

    def wait(self, connection: "Connection") -> None:
        """Let a connection, which does not wait yet, have its turn after those that wait."""
        self._waiting.append(connection)
        self._call()

    def _call(self) -> None:
        if not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._is_called = False
        left, count = TURN_OCTETS_MAX, len(self._waiting)
        if count > 1:
            self._call()
        # Each once: who has more to read waits again.
        while left > 0 and count > 0:
            left -= self._waiting.popleft().read_on(left)
            count -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all connections share."""

    platform: Platform
    binds: Binds
    desk: Desk
    courier: Courier
    connected: set["Connection"]
    connections_max: int
    turns: Turns = field(default_factory=Turns)


@dataclass(slots=True)
class _Parcel:
    """A row on its way: how many of its PDUs have no answer, and the worst answer so far."""

    row: DeliveryRow
    left: int
    command_status: int | None = CommandStatus.ESME_ROK


class Connection(asyncio.Protocol):
    """One connection; it is a Peer of the binds while it is bound.

    *is_stranger* says that it was counted among them already.
    """

    def __init__(self, house: House, *, is_stranger: bool = False) -> None:
        self._house = house
        self._is_stranger = is_stranger
        self._loop = asyncio.get_running_loop()
        self._session = Session(
            Role.SMSC,
            now=self._loop.time(),
            window_max=WINDOW_MAX,
            response_seconds=RESPONSE_SECONDS,
            enquire_seconds=ENQUIRE_SECONDS,
            inactivity_seconds=INACTIVITY_SECONDS,
            session_init_seconds=SESSION_INIT_SECONDS,
        )
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._credential: SmppCredential | None = None
        self._host = ""
        self._is_dismissed = False
        self._knows_tlvs = False
        self._inbox = bytearray()
        self._asked: list[Request] = []
        self._asked_octets = 0
        self._unasked_octets = 0
        self._strange_octets = 0
        self._is_waiting = False
        self._serving: asyncio.Task[None] | None = None
        self._binding: asyncio.Task[None] | None = None
        self._to_send: deque[tuple[DeliverSm, _Parcel]] = deque()
        self._flights: dict[int, _Parcel] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_choked = False

    @property
    def credential(self) -> SmppCredential:
        """Whose connection it is; only a bound one is somebody's."""
        assert self._credential
        return self._credential

    @credential.setter
    def credential(self, credential: SmppCredential) -> None:
        self._credential = credential

    @property
    def host(self) -> str:
        """From where it comes."""
        return self._host

    @property
    def is_receiver(self) -> bool:
        """Whether it takes deliver_sm at all."""
        return self._session.state in {State.BOUND_RX, State.BOUND_TRX}

    @property
    def room(self) -> int:
        """How many deliver_sm it can take now; 0 for a transmitter."""
        if not self.is_receiver or self._is_choked:
            return 0
        return max(0, self._session.window_free - len(self._to_send))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, unless there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self._host = address[0] if address else ""
        self._house.connected.add(self)
        self._is_stranger = self._is_stranger or self._house.binds.come(self._host)
        is_full = len(self._house.connected) > self._house.connections_max
        if is_full or not self._is_stranger:
            self._transport.abort()
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; what was on its way to the peer is sent again."""
        # What it said last may be that it took something, or a text for which it awaits no answer.
        for _ in range(LAST_TURNS_MAX):
            if not self._read(TURN_OCTETS_MAX):
                break
        self._inbox.clear()
        self._session.close()
        self._lose()
        self._house.connected.discard(self)
        self._is_no_stranger()
        if self._credential is not None:
            self._house.binds.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Take octets, to be read in turns."""
        self._inbox += data
        self._wait_for_turn()
        self._see_to_reading()

    def pause_writing(self) -> None:
        """Send no more: the peer does not read."""
        self._is_choked = True

    def resume_writing(self) -> None:
        """Go on."""
        self._is_choked = False
        self._wait_for_turn()
        self._after()
        self._house.courier.wake()

    def deliver(self, row: DeliveryRow, pdus: list[DeliverSm]) -> None:
        """Send what is owed, as the window allows."""
        if not self._knows_tlvs:
            pdus = [replace(pdu, tlvs=()) for pdu in pdus]
        parcel = _Parcel(row, len(pdus))
        if not self._to_send:
            # What is delivered in one turn leaves in one write.
            self._loop.call_soon(self._after)
        self._to_send.extend((pdu, parcel) for pdu in pdus)

    def dismiss(self) -> None:
        """Unbind, or close a connection that is not bound; nothing more is taken from it."""
        self._is_dismissed = True
        if self._session.state in BOUND:
            self._session.unbind(self._loop.time())
            self._after()
        else:
            self._close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._inbox.clear()
        if self._transport is not None:
            self._transport.abort()

    def read_on(self, octets_max: int) -> int:
        """Read some of what has come, in a turn that was waited for; return how much."""
        self._is_waiting = False
        count = self._read(octets_max)
        self._after()
        self._wait_for_turn()
        return count

    def _read(self, octets_max: int) -> int:
        """Read some of what has come, unless we are behind with answers; return how much."""
        if not self._keeps_up():
            return 0
        if self._is_stranger:
            octets_max = min(octets_max, STRANGER_OCTETS_MAX - self._strange_octets)
        octets = bytes(self._inbox[:octets_max])
        del self._inbox[:octets_max]
        requests: list[Request] = []
        for event in self._session.receive(octets, self._loop.time()):
            self._take(event, requests)
        if self._is_stranger:
            self._strange_octets += len(octets)
        # The first of the requests may have begun in a turn before.
        self._unasked_octets = min(self._unasked_octets + len(octets), PDU_SIZE_MAX)
        if requests:
            self._asked += requests
            self._asked_octets += self._unasked_octets
            self._unasked_octets = 0
            if self._serving is None:
                self._serving = asyncio.create_task(self._serve())
        return len(octets)

    def _wait_for_turn(self) -> None:
        if self._inbox and self._keeps_up() and not self._is_waiting:
            self._is_waiting = True
            self._house.turns.wait(self)

    def _see_to_reading(self) -> None:
        """Take no more from the peer than we can read soon."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if len(self._inbox) > TURN_OCTETS_MAX or (self._inbox and not self._keeps_up()):
            transport.pause_reading()
        elif not transport.is_reading():
            transport.resume_reading()

    def _keeps_up(self) -> bool:
        is_behind = self._session.unanswered >= ASKED_MAX or self._asked_octets > ASKED_OCTETS_MAX
        return not (is_behind or self._is_choked or self._is_spent())

    def _is_spent(self) -> bool:
        """Tell whether a stranger has said as much as he may before he is bound."""
        return self._is_stranger and self._strange_octets >= STRANGER_OCTETS_MAX

    def _take(self, event: Event, requests: list[Request]) -> None:
        """Act on what the session says; what is to be done together is added to *requests*."""
        match event:
            case Requested(number, Bind() as pdu):
                self._binding = asyncio.create_task(self._bind(number, pdu))
            case Requested(number, pdu) if self._may_ask(pdu):
                requests.append(Request(number, pdu))
            case Requested(number, pdu):
                status = CommandStatus.ESME_RTHROTTLED
                self._session.respond(number, empty_answer(pdu), command_status=status)
            case Answered(number, status, _):
                self._landed(number, status)
            case TimedOut(number, _):
                self._landed(number, None)
            case PeerSilent() | TimerExpired(Timer.SESSION_INIT):
                self.abort()
            case TimerExpired():
                self.dismiss()
            case StreamBroken(reason):
                log.info("an SMPP peer is not understood", host=self._host, reason=reason)

    def _may_ask(self, pdu: Pdu) -> bool:
        if self._is_dismissed:
            return False
        if not isinstance(pdu, SUBMISSIONS):
            return True
        count = _destinations(pdu)
        return self._house.binds.may_submit(self.credential, count, now=self._loop.time())

    async def _serve(self) -> None:
        """Answer what was asked, much of what waits at once, in the order in which it came."""
        while self._asked:
            requests = self._next_requests()
            replies = await self._replies(requests)
            for number, pdu, command_status in replies:
                self._session.respond(number, pdu, command_status=command_status)
            if not self._asked:
                self._asked_octets = 0
            self._after()
            self._wait_for_turn()
        self._serving = None

    def _next_requests(self) -> list[Request]:
        """Take out what is answered next: so much that all of it has ASKED_MAX destinations."""
        left, end = ASKED_MAX, 0
        while end < len(self._asked) and (left > 0 or not end):
            left -= _destinations(self._asked[end].pdu)
            end += 1
        requests, self._asked = self._asked[:end], self._asked[end:]
        return requests

    async def _replies(self, requests: Sequence[Request]) -> Sequence[Reply]:
        now = self._loop.time()
        answering = self._house.desk.answer(self.credential, requests, now=now)
        (outcome,) = await asyncio.gather(answering, return_exceptions=True)
        if isinstance(outcome, BaseException):
            log.error("an SMPP request failed", exc_info=outcome)
            status = CommandStatus.ESME_RSYSERR
            return [Reply(number, empty_answer(pdu), status) for number, pdu in requests]
        return outcome

    async def _bind(self, number: int, pdu: Bind) -> None:
        """Let the peer in, or tell it why not and close the connection."""
        signing = sign_in(self._house.platform, pdu.system_id, pdu.password, host=self._host)
        (outcome,) = await asyncio.gather(signing, return_exceptions=True)
        status = await self._admit(outcome)
        if self._session.state is State.CLOSED:
            return
        response = _RESPONSES[type(pdu)]
        if status == CommandStatus.ESME_ROK:
            # SMPP 3.4 §5.2.4: below it, a peer must not be sent optional parameters.
            self._knows_tlvs = pdu.interface_version >= INTERFACE_VERSION
            tlvs = (SC_INTERFACE_VERSION.make(INTERFACE_VERSION),) * self._knows_tlvs
            self._session.respond(number, response(system_id=SYSTEM_ID, tlvs=tlvs))
        else:
            self._session.respond(number, response(), command_status=status)
        log.info("smpp bind", host=self._host, system_id=pdu.system_id, status=status.name)
        if status == CommandStatus.ESME_ROK:
            self._is_no_stranger()
        self._after()
        if status == CommandStatus.ESME_ROK:
            self._wait_for_turn()
            self._house.courier.wake()
        else:
            self._close()

    async def _admit(self, outcome: SmppCredential | BindTrouble | BaseException) -> CommandStatus:
        """Join the bound connections, or return why that cannot be."""
        if isinstance(outcome, BaseException):
            log.error("a bind failed", exc_info=outcome)
            return CommandStatus.ESME_RSYSERR
        binds, is_good = self._house.binds, isinstance(outcome, SmppCredential)
        wait = binds.turn(self._host, is_good=is_good, now=self._loop.time())
        if wait:
            await asyncio.sleep(wait)
            binds.waited(self._host)
        if wait is None or self._session.state is State.CLOSED:
            return CommandStatus.ESME_RBINDFAIL
        if isinstance(outcome, BindTrouble):
            return _TROUBLES[outcome]
        self._credential = outcome
        if not binds.join(self):
            return CommandStatus.ESME_RBINDFAIL
        binds.succeeded(self._host)
        return CommandStatus.ESME_ROK

    def _is_no_stranger(self) -> None:
        """Make room for another of the same host that is not bound yet."""
        if self._is_stranger:
            self._is_stranger = False
            self._house.binds.go(self._host)

    def _landed(self, number: int, command_status: int | None) -> None:
        """Take notice of the answer to a deliver_sm, or of none."""
        parcel = self._flights.pop(number, None)
        if parcel is not None:
            self._count(parcel, command_status)

    def _lose(self) -> None:
        """Give back what the peer has not answered, in the order in which it was sent."""
        sent = list(self._flights.values())
        parcels = {id(each): each for each in (*sent, *(each for _, each in self._to_send))}
        self._flights.clear()
        self._to_send.clear()
        lost = [each for each in parcels.values() if each.command_status == CommandStatus.ESME_ROK]
        for parcel in parcels.values():
            if parcel.command_status != CommandStatus.ESME_ROK:
                self._house.courier.delivered(parcel.row, parcel.command_status)
        if lost:
            first = lost[0].row if any(each is lost[0] for each in sent) else None
            self._house.courier.lost([each.row for each in lost], first=first)

    def _count(self, parcel: _Parcel, command_status: int | None) -> None:
        parcel.left -= 1
        if command_status != CommandStatus.ESME_ROK:
            parcel.command_status = command_status
        if parcel.left == 0:
            self._house.courier.delivered(parcel.row, parcel.command_status)

    def _after(self) -> None:
        """Send what there is, once a turn, and see to the timer and the end."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        now = self._loop.time()
        while self._to_send and not self._is_choked and self._session.window_free:
            pdu, parcel = self._to_send.popleft()
            self._flights[self._session.request(pdu, now)] = parcel
        octets = self._session.data_to_send()
        if octets:
            transport.write(octets)
        is_asking = self._binding is not None and not self._binding.done()
        if self._session.is_over or (self._is_spent() and not is_asking):
            self._close()
            return
        self._see_to_reading()
        self._arm()

    def _close(self) -> None:
        """Close the connection when the peer has read what was said, or did not for too long."""
        if self._transport is None:
            return
        self._inbox.clear()
        self._transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(CLOSE_SECONDS, self._transport.abort)

    def _arm(self) -> None:
        """See to it that the session is asked when its next timer runs out."""
        deadline = self._session.next_deadline()
        if deadline is None:
            return
        if self._timer is not None:
            # Deadlines mostly move on, and a look too early does no harm.
            if not self._timer.cancelled() and self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        for event in self._session.tick(self._loop.time()):
            self._take(event, [])
        self._after()


def _destinations(pdu: Pdu) -> int:
    return len(pdu.dest_address) if isinstance(pdu, SubmitMulti) else 1
