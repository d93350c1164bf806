"""An SMSC that does what a test says: real sockets on the loopback, the protocol by Session.

`async with ScriptedSmsc() as smsc` listens on `smsc.port`. A script answers binds and submissions;
what is not scripted is granted. `until` waits for a condition; `ring` tells it to look again.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self, TypeVar, cast

from trunkline.smpp.events import Answered, Bound, Event, Lost, Requested, TimedOut
from trunkline.smpp.pdu import (
    Bind,
    DeliverSm,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    empty_answer,
)
from trunkline.smpp.receipt import ESM_CLASS_RECEIPT
from trunkline.smpp.session import Session
from trunkline.smpp.states import BOUND, Role

HOST = "127.0.0.1"
UNTIL_SECONDS = 60.0  # For what takes a second at most on an idle machine.
LOOK_AGAIN_SECONDS = 0.02
PEER_WINDOW = 100_000  # Tests may send as much as they like without waiting.

T = TypeVar("T")


class Peer(asyncio.Protocol):
    """One connection of the SMSC; `answers` has the status of each deliver_sm by its number."""

    def __init__(self, smsc: "ScriptedSmsc") -> None:
        self._smsc = smsc
        self._loop = asyncio.get_running_loop()
        self.session = Session(
            Role.SMSC,
            now=self._loop.time(),
            window_max=PEER_WINDOW,
            response_seconds=30,
            enquire_seconds=None,
            peer_window_max=PEER_WINDOW,
        )
        self.transport: asyncio.Transport | None = None
        self.bind: Bind | None = None
        self.events: list[Event] = []
        self.answers: dict[int, int | None] = {}
        self.unanswered: list[tuple[int, SubmitSm]] = []
        self.is_gone = False

    @property
    def is_bound(self) -> bool:
        """Say whether the ESME is bound here."""
        return self.session.state in BOUND and not self.is_gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the SMSC's peers."""
        # uvloop's transports are Transports by what they do, not by their class.
        self.transport = cast(asyncio.Transport, transport)
        self._smsc.peers.append(self)
        self._smsc.ring()

    def data_received(self, data: bytes) -> None:
        """Read, let the script answer, and write."""
        if self._smsc.is_deaf:
            return
        for event in self.session.receive(data, self._loop.time()):
            self.events.append(event)
            self._take(event)
        self.flush()
        if self.session.is_over and self.transport:
            self.transport.close()
        self._smsc.ring()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take notice of the end."""
        self.is_gone = True
        for event in self.session.close():
            self._take(event)
        self._smsc.ring()

    def answer(self, number: int, pdu: Pdu, *, command_status: int = 0) -> None:
        """Answer a request at once."""
        self.session.respond(number, pdu, command_status=command_status)
        self.flush()

    def accept(self, number: int, message_id: str | None = None) -> None:
        """Answer a submit_sm with an id."""
        self.answer(number, SubmitSmResp(message_id=message_id or self._smsc.next_id()))

    def refuse(self, number: int, command_status: int) -> None:
        """Answer a submit_sm with an error."""
        self.answer(number, SubmitSmResp(), command_status=command_status)

    def deliver(self, pdu: Pdu) -> int:
        """Send a request of the SMSC's and return its number."""
        number = self.session.request(pdu, self._loop.time())
        self.flush()
        return number

    def unbind(self) -> None:
        """Ask the ESME to go."""
        self.session.unbind(self._loop.time())
        self.flush()

    def send_raw(self, octets: bytes) -> None:
        """Write octets that no Session would."""
        assert self.transport
        self.transport.write(octets)

    def drop(self) -> None:
        """Cut the connection."""
        assert self.transport
        self.transport.abort()

    def flush(self) -> None:
        """Write what there is: octet by octet where the SMSC does so."""
        octets = self.session.data_to_send()
        if self.is_gone or not octets or not self.transport:
            return
        self.transport.write(octets)

    def _take(self, event: Event) -> None:
        match event:
            case Requested(number, pdu):
                self._smsc.seen.append((self, number, pdu))
                self._smsc.play(self, number, pdu)
            case Answered(number, command_status, _):
                self.answers[number] = command_status
            case TimedOut(number, _) | Lost(number, _):
                self.answers[number] = None
            case Bound():
                raise AssertionError("an SMSC is bound by its own answer")


OnBind = Callable[[Peer, int, Bind], None]
OnSubmit = Callable[[Peer, int, SubmitSm], None]


def grant(peer: Peer, number: int, pdu: Bind) -> None:
    """Let the ESME in."""
    peer.answer(number, empty_answer(pdu))


def refuse_bind(command_status: int) -> OnBind:
    """Return a script that does not let the ESME in."""
    return lambda peer, number, pdu: peer.answer(
        number, empty_answer(pdu), command_status=command_status
    )


def accept(peer: Peer, number: int, pdu: SubmitSm) -> None:
    """Take a text."""
    peer.accept(number)


def hold(peer: Peer, number: int, pdu: SubmitSm) -> None:
    """Leave a text unanswered, for the test to answer."""
    peer.unanswered.append((number, pdu))


@dataclass
class Script:
    """What the SMSC does; tests change it while it runs."""

    bind: OnBind = grant
    submit: OnSubmit = accept
    ids: Iterator[str] = field(default_factory=lambda: map(str, range(1, 1_000_000)))


class ScriptedSmsc:
    """A listening SMSC; a deaf one accepts connections and says nothing at all."""

    def __init__(self, script: Script | None = None, *, context: ssl.SSLContext | None = None):
        self.script = script or Script()
        self.is_deaf = False
        self.peers: list[Peer] = []
        self.seen: list[tuple[Peer, int, Pdu]] = []
        self.port = 0
        self._context = context
        self._news = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Peer(self), HOST, self.port, ssl=self._context
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Cut all connections and listen no more."""
        assert self._server
        self._server.close()
        for peer in self.peers:
            if not peer.is_gone:
                peer.drop()
        await self._server.wait_closed()

    @property
    def bound(self) -> list[Peer]:
        """The connections that are bound now."""
        return [peer for peer in self.peers if peer.is_bound]

    @property
    def submits(self) -> list[SubmitSm]:
        """Every text that came, on whichever connection."""
        return [pdu for _, _, pdu in self.seen if isinstance(pdu, SubmitSm)]

    def next_id(self) -> str:
        """Return a message id."""
        return next(self.script.ids)

    def play(self, peer: Peer, number: int, pdu: Pdu) -> None:
        """Do what the script says about a request."""
        if isinstance(pdu, Bind):
            peer.bind = pdu
            self.script.bind(peer, number, pdu)
        elif isinstance(pdu, SubmitSm):
            self.script.submit(peer, number, pdu)

    def ring(self) -> None:
        """Let `until` look again."""
        self._news.set()

    async def until(self, condition: Callable[[], T], seconds: float = UNTIL_SECONDS) -> T:
        """Return the first true value of *condition*; fail when there is none in time."""
        async with asyncio.timeout(seconds):
            while not (found := condition()):
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                        await self._news.wait()
        return found


def receipt(message_id: str, stat: str = "DELIVRD", *, err: str = "000") -> DeliverSm:
    """Return a receipt as most carriers write it."""
    text = (
        f"id:{message_id} sub:001 dlvrd:001 submit date:2611201200 done date:2611201201"
        f" stat:{stat} err:{err} text:"
    )
    return DeliverSm(
        esm_class=ESM_CLASS_RECEIPT,
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr="14155550123",
        destination_addr="12025550100",
        short_message=text.encode(),
    )
