"""One SMPP session without I/O: octets and deadlines in, events and octets out.

The same class plays both ends. Rules: the owner sends `data_to_send()` after each call; time is a
number of seconds that the owner hands in; assertions guard the owner's calls, and nothing that a
peer sends raises: it becomes an event, behind the events of what was sent before it.

Hand over at most some 64 KiB at a time: what is answered at once waits in memory to be sent.
"""

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
    Timer,
    TimerExpired,
    Unbound,
    Unmatched,
)
from trunkline.smpp.fields import MalformedPdu
from trunkline.smpp.liveness import Due, Liveness
from trunkline.smpp.pdu import (
    REGISTRY,
    RESPONSE_BIT,
    UNANSWERED,
    Bind,
    BindResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    Pdu,
    Unbind,
    UnbindResp,
    Unknown,
)
from trunkline.smpp.states import BOUND, REQUESTS, STATE_AFTER_BIND, Role, State
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.window import Match, Window
from trunkline.smpp.wire import HEADER_SIZE, Header, decode_body, encode, parse_header

# How many requests of the peer may wait for our answers. Peers keep to windows of at most some
# hundred; who sends more without waiting is told to come again.
PEER_WINDOW_MAX = 1000


class Session:
    """One end of a session; `role` is ours, `state` how far it has come."""

    def __init__(
        self,
        role: Role,
        *,
        now: float,
        window_max: int,
        response_seconds: float,
        enquire_seconds: float | None,
        inactivity_seconds: float | None = None,
        session_init_seconds: float | None = None,
        peer_window_max: int = PEER_WINDOW_MAX,
        sequence_number: int = 0,
    ) -> None:
        self.role = role
        self.state = State.OPEN
        self._window = Window(
            size_max=window_max, response_seconds=response_seconds, sequence_number=sequence_number
        )
        self._liveness = Liveness(
            now, response_seconds, enquire_seconds, inactivity_seconds, session_init_seconds
        )
        self._peer_window_max = peer_window_max
        # The peer's requests without our answer, by number; broken peers use one number twice.
        self._asked: dict[int, list[Pdu]] = {}
        self._asked_count = 0
        self._enquiry: int | None = None
        self._now = now
        self._is_leaving = False
        self._has_asked_to_leave = False
        self._peer_unbind: int | None = None
        self._drain_until = now
        self._inbox = bytearray()
        self._inbox_needs = HEADER_SIZE
        self._outbox = bytearray()

    @property
    def window_free(self) -> int:
        """Say how many requests may be sent now; none while the session ends."""
        is_ending = self._is_leaving or self._peer_unbind is not None or self.is_over
        return 0 if is_ending else max(0, self._window.size_max - len(self._window))

    @property
    def unanswered(self) -> int:
        """Say how many requests of the peer wait for our answers."""
        return self._asked_count

    @property
    def is_over(self) -> bool:
        """Say whether nothing more will be asked: send what there is and close the connection."""
        return self.state in {State.UNBOUND, State.CLOSED}

    def request(self, pdu: Pdu, now: float) -> int:
        """Send a request and return its sequence_number; `window_free` must not be 0.

        Raise ValueError for a field that does not fit, and nothing is sent. An outbind and an
        alert_notification have no response and take no room in the window.
        """
        assert type(pdu) in REQUESTS[self.role][self.state], f"{pdu} in state {self.state}"
        assert not isinstance(pdu, Unbind), "call unbind()"
        assert self.window_free > 0, "wait for window_free"
        self._now = now
        sequence_number = self._ask(pdu)
        if isinstance(pdu, Outbind):
            self.state = State.OUTBOUND
        return sequence_number

    def respond(self, sequence_number: int, pdu: Pdu, *, command_status: int = 0) -> None:
        """Answer a Requested; granting a bind binds the session.

        After the end of the session there is nobody to answer, and it does nothing.
        """
        if self.state is State.CLOSED:
            return
        asked = self._asked.get(sequence_number, [])
        request = next((r for r in asked if _is_answer(pdu, r)), None)
        assert request, f"{pdu} answers no request"
        self._write(pdu, sequence_number, command_status=command_status)
        asked.remove(request)
        self._asked_count -= 1
        if not asked:
            del self._asked[sequence_number]
        if isinstance(pdu, BindResp) and command_status == 0:
            self._bind(request)
        self._leave_when_drained()

    def unbind(self, now: float) -> None:
        """End the session: no more requests, then unbind as soon as both windows are empty.

        After response_seconds it unbinds anyway. The event is Unbound, or TimedOut for the unbind.
        """
        assert self.state in BOUND, f"unbind in state {self.state}"
        self._now = now
        if not self._is_leaving:
            self._is_leaving = True
            self._drain_until = now + self._window.response_seconds
        self._leave_when_drained()

    def close(self) -> list[Event]:
        """Take notice that the connection is gone; return the requests whose fate is unknown."""
        self.state = State.CLOSED
        self._asked.clear()
        self._asked_count = 0
        self._inbox.clear()
        return [Lost(number, pdu) for number, pdu in self._window.clear()]

    def data_to_send(self) -> bytes:
        """Return what is to be sent, once."""
        octets = bytes(self._outbox)
        self._outbox.clear()
        return octets

    def receive(self, octets: bytes, now: float) -> list[Event]:
        """Take octets from the connection and return what they meant; broken pieces wait."""
        if self.state is State.CLOSED:
            return []
        self._now = now
        self._inbox += octets
        # Waiting for all of a PDU keeps one that comes octet by octet from being copied each time.
        if len(self._inbox) < self._inbox_needs:
            return []
        received = bytes(self._inbox)
        events: list[Event] = []
        try:
            at = self._take_all(received, events)
        except MalformedPdu as error:
            at = len(received)
            events.append(self._break(error))
        self._inbox = bytearray(received[at:])
        return events

    def tick(self, now: float) -> list[Event]:
        """Do what is due; call it at `next_deadline()`, sooner is harmless."""
        if self.state is State.CLOSED:
            return []
        self._now = now
        events: list[Event] = []
        for number, pdu in self._window.overdue(now):
            events.append(TimedOut(number, pdu))
            if isinstance(pdu, Unbind):
                self._end()
        for due in self._liveness.due(now):
            events += self._act_on(due)
        self._leave_when_drained()
        return events

    def next_deadline(self) -> float | None:
        """Return when to call tick, or None while nothing will ever be due."""
        if self.state is State.CLOSED:
            return None
        deadlines = [self._window.next_deadline(), self._liveness.next_deadline()]
        if self._is_draining() or self._peer_unbind is not None:
            deadlines.append(self._drain_until)
        return min((at for at in deadlines if at is not None), default=None)

    def _take_all(self, received: bytes, events: list[Event]) -> int:
        """Take every whole PDU and return where the last one ended."""
        at = 0
        self._inbox_needs = HEADER_SIZE
        while len(received) - at >= HEADER_SIZE:
            header = parse_header(received, at)
            end = at + header.command_length
            if end > len(received):
                self._inbox_needs = header.command_length
                break
            body = received[at + HEADER_SIZE : end]
            at = end
            self._liveness.hear(self._now)
            if header.command_id & RESPONSE_BIT:
                events += self._take_response(header, body)
            else:
                events += self._take_request(header, body)
            # At once, so that what follows means the same in whatever pieces it comes.
            self._leave_when_drained()
        return at

    def _take_response(self, header: Header, body: bytes) -> list[Event]:
        pdu = decode_body(header.command_id, body)
        number, status = header.sequence_number, header.command_status
        if isinstance(pdu, EnquireLinkResp):
            self._enquiry = None
        match, request = self._window.match(number, pdu)
        if request:
            self._liveness.act(self._now)
            return [self._settle(header, pdu, request=request)]
        if match is Match.LATE:
            return [Late(number, status, pdu)]
        is_for_enquiry = isinstance(pdu, GenericNack) and number == self._enquiry
        if is_for_enquiry or isinstance(pdu, EnquireLinkResp):
            return []
        return [Unmatched(number, status, pdu)]

    def _settle(self, header: Header, pdu: Pdu, *, request: Pdu) -> Event:
        """Return the event of a response to *request*, and become what it makes of us."""
        number, status = header.sequence_number, header.command_status
        if isinstance(request, Unbind):
            self._end()
            return Unbound(by_peer=False)
        if isinstance(pdu, BindResp) and status == 0:
            self._bind(request)
            return Bound(number, pdu)
        return Answered(number, status, pdu)

    def _take_request(self, header: Header, body: bytes) -> list[Event]:
        number = header.sequence_number
        try:
            pdu = decode_body(header.command_id, body)
        except MalformedPdu as error:
            return [self._refuse(header, error.command_status, reason=str(error))]
        if isinstance(pdu, Unknown):
            return [self._refuse(header, CommandStatus.ESME_RINVCMDID, reason="unknown command")]
        fault = self._fault(pdu)
        if fault is not None:
            return [self._refuse(header, fault, reason=f"{fault.name} in state {self.state}")]
        if isinstance(pdu, EnquireLink):
            self._write(EnquireLinkResp(), number)
            return []
        self._liveness.act(self._now)
        if isinstance(pdu, Unbind):
            self._peer_unbind = number
            self._drain_until = self._now + self._window.response_seconds
            return [Unbound(by_peer=True)]
        if isinstance(pdu, Outbind):
            self.state = State.OUTBOUND
        if type(pdu) not in UNANSWERED:
            self._asked.setdefault(number, []).append(pdu)
            self._asked_count += 1
        return [Requested(number, pdu)]

    def _fault(self, pdu: Pdu) -> CommandStatus | None:
        """Return why a request may not be made now, or None if it may."""
        if isinstance(pdu, Bind) and (self.state in BOUND or self._is_binding()):
            return CommandStatus.ESME_RALYBND
        is_ending = self._peer_unbind is not None and not isinstance(pdu, EnquireLink)
        if is_ending or type(pdu) not in REQUESTS[self.role.peer][self.state]:
            return CommandStatus.ESME_RINVBNDSTS
        needs_room = type(pdu) not in UNANSWERED and not isinstance(pdu, EnquireLink | Unbind)
        if needs_room and self._asked_count >= self._peer_window_max:
            # Each end has its own word for "later".
            is_smsc = self.role is Role.SMSC
            return CommandStatus.ESME_RTHROTTLED if is_smsc else CommandStatus.ESME_RX_T_APPN
        return None

    def _is_binding(self) -> bool:
        return any(isinstance(r, Bind) for asked in self._asked.values() for r in asked)

    def _refuse(self, header: Header, command_status: int, *, reason: str) -> ProtocolError:
        answer = REGISTRY.get(header.command_id | RESPONSE_BIT, GenericNack)
        self._write(answer(), header.sequence_number, command_status=command_status)
        return ProtocolError(header.sequence_number, header.command_id, command_status, reason)

    def _break(self, error: MalformedPdu) -> StreamBroken:
        """End the session: where the next PDU begins is unknown (SMPP 3.4 §4.3.1)."""
        self._write(GenericNack(), 0, command_status=error.command_status)
        self.state = State.CLOSED
        return StreamBroken(str(error))

    def _act_on(self, due: Due) -> list[Event]:
        match due:
            case Due.ENQUIRE:
                self._enquiry = self._window.next_sequence_number()
                self._write(EnquireLink(), self._enquiry)
                return []
            case Due.SILENT:
                return [PeerSilent()]
            case Due.INACTIVITY:
                return [TimerExpired(Timer.INACTIVITY)]
            case Due.SESSION_INIT:
                return [TimerExpired(Timer.SESSION_INIT)]

    def _bind(self, request: Pdu) -> None:
        self.state = STATE_AFTER_BIND[type(request)]
        self._liveness.bind(self._now)

    def _leave_when_drained(self) -> None:
        """Answer the peer's unbind, or send ours, once nothing waits for an answer any more."""
        if not self._is_leaving and self._peer_unbind is None:
            return
        is_time_over = self._now >= self._drain_until
        # An unbind of ours in the window is answered by the end of the session as well.
        awaited = len(self._window) - self._has_asked_to_leave
        if self._peer_unbind is not None and (is_time_over or not (self._asked_count or awaited)):
            self._write(UnbindResp(), self._peer_unbind)
            self._end()
        elif self._is_draining() and (is_time_over or not (self._asked_count or self._window)):
            self._has_asked_to_leave = True
            self._ask(Unbind())

    def _is_draining(self) -> bool:
        return self._is_leaving and not self._has_asked_to_leave and not self.is_over

    def _end(self) -> None:
        self.state = State.UNBOUND
        self._peer_unbind = None
        self._liveness.unbind()

    def _ask(self, pdu: Pdu) -> int:
        sequence_number = self._window.next_sequence_number()
        self._write(pdu, sequence_number)
        self._liveness.act(self._now)
        if type(pdu) not in UNANSWERED:
            self._window.add(sequence_number, pdu, now=self._now)
        return sequence_number

    def _write(self, pdu: Pdu, sequence_number: int, *, command_status: int = 0) -> None:
        self._outbox += encode(pdu, sequence_number, command_status=command_status)


def _is_answer(response: Pdu, request: Pdu) -> bool:
    is_own = response.command_id == request.command_id | RESPONSE_BIT
    return is_own or isinstance(response, GenericNack)
