"""One connection to an SMSC: the octets and timers around a Session.

Rules: what is to be sent leaves together at the end of the loop's turn; a peer that does not read
is not read either once what waits for it has grown large; every end of the connection is told once.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from trunkline.carriers.smpp.tap import Splitter, Tap
from trunkline.smpp.events import Event
from trunkline.smpp.pdu import Pdu
from trunkline.smpp.session import Session
from trunkline.smpp.states import BOUND

# A Session asks to be fed at most this much at a time.
SLICE_OCTETS = 64 * 1024
# A thousand answers and a full window of the longest texts are less.
UNSENT_OCTETS_MAX = 1024 * 1024
# So many requests are written before the turn ends, to learn whether the peer still reads.
REQUESTS_UNWRITTEN_MAX = 100
# How long what was written last may take to leave.
CLOSE_SECONDS = 1.0


class Owner(Protocol):
    """Whoever a connection belongs to."""

    def new_session(self, now: float) -> Session:
        """Return the session of a connection that was just made, its bind asked for."""

    def take(self, event: Event) -> None:
        """Take what a session tells."""

    def turn_over(self) -> None:
        """Look for what to send now: events were told, or there is room to write again."""


class Link(asyncio.Protocol):
    """A connection and its session; `gone` is done when it has ended."""

    def __init__(self, owner: Owner, *, tap: Tap, lane: int, may_send: Callable[[], bool]) -> None:
        self._may_send = may_send
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._tap = tap
        self._lane = lane
        self._received = Splitter()
        self._sent = Splitter()
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Handle | None = None
        self._unwritten = 0
        self._is_writable = True
        self._is_closing = False
        self.gone: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_bound(self) -> bool:
        """Say whether requests may be made."""
        session = self._session
        return session is not None and session.state in BOUND and not self._is_closing

    @property
    def room(self) -> int:
        """Say how many requests may be sent now."""
        session = self._session
        return session.window_free if session and self.is_bound and self._is_writable else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the session."""
        # uvloop's transports are Transports by what they do, not by their class.
        self._transport = cast(asyncio.Transport, transport)
        self._session = self._owner.new_session(self._loop.time())
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Feed the session."""
        for at in range(0, len(data), SLICE_OCTETS):
            piece = data[at : at + SLICE_OCTETS]
            for octets in self._received.feed(piece):
                self._tap.keep(octets, lane=self._lane, is_outgoing=False)
            if self._session:
                self._tell(self._session.receive(piece, self._loop.time()))
            self._flush()

    def eof_received(self) -> None:
        """Let the transport close: who sends nothing more can answer nothing."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what is lost by it."""
        self._is_closing = True
        for handle in (self._timer, self._flushing):
            if handle:
                handle.cancel()
        self._timer = self._flushing = None
        lost = self._session.close() if self._session else []
        if not self.gone.done():
            self.gone.set_result(None)
        self._tell(lost)

    def pause_writing(self) -> None:
        """Ask nothing more until the peer reads."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """Go on."""
        self._is_writable = True
        if self._transport and not self._is_closing:
            self._transport.resume_reading()
        self._owner.turn_over()

    def request(self, pdu: Pdu) -> int:
        """Send a request and return its number; there must be room. Raise ValueError as it does."""
        assert self._session
        number = self._session.request(pdu, self._loop.time())
        self._unwritten += 1
        if self._unwritten >= REQUESTS_UNWRITTEN_MAX:
            self._flush()
        else:
            self._wake()
        return number

    def respond(self, sequence_number: int, pdu: Pdu, *, command_status: int = 0) -> None:
        """Answer a request of the peer; nobody minds if it has left."""
        if self._session and not self._is_closing:
            self._session.respond(sequence_number, pdu, command_status=command_status)
            self._wake()

    def unbind(self) -> None:
        """Leave in good order: wait for answers, unbind, and close."""
        if self._session and self.is_bound:
            self._session.unbind(self._loop.time())
            self._wake()
        else:
            self.close()

    def close(self) -> None:
        """Send what there is, and end the connection."""
        if self._is_closing or not self._transport:
            return
        self._write()
        self._is_closing = True
        self._transport.close()
        self._loop.call_later(CLOSE_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """End the connection at once."""
        self._is_closing = True
        if self._transport:
            self._transport.abort()

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            self._owner.take(event)
        if self._session and self._session.is_over and not self._is_closing:
            self.close()
        if events:
            self._owner.turn_over()

    def _wake(self) -> None:
        if self._flushing is None and not self._is_closing:
            self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what there is, and see to the timer."""
        if self._flushing:
            self._flushing.cancel()
            self._flushing = None
        if self._session and not self._is_closing:
            self._write()
            if self._session.is_over:
                self.close()
            self._set_timer()

    def _write(self) -> None:
        if self._unwritten and not self._may_send():
            # The program stood still since they were asked for; another node may have them by now.
            self.abort()
            return
        octets = self._session.data_to_send() if self._session else b""
        self._unwritten = 0
        if not octets or not self._transport:
            return
        for pdu in self._sent.feed(octets):
            self._tap.keep(pdu, lane=self._lane, is_outgoing=True)
        self._transport.write(octets)
        if self._transport.get_write_buffer_size() > UNSENT_OCTETS_MAX:
            self._transport.pause_reading()

    def _set_timer(self) -> None:
        """Be called at the next deadline; one that moved away is looked at when it would be due."""
        deadline = self._session.next_deadline() if self._session else None
        if deadline is None or self._is_closing:
            return
        if self._timer and self._timer.when() <= deadline:
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._session:
            # The loop may be early by its clock's resolution; the deadline itself never is.
            self._tell(self._session.tick(self._loop.time()))
        self._flush()
