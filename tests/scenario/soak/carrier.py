"""The carriers: one SMSC for two accounts, which is late, refuses, throttles and hangs up.

Everything here runs on the loop of the surroundings; faults change `mood` from outside.
"""

import asyncio
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.scenario.soak.ledger import (
    DELIVERED,
    MISSED,
    PUT_OFF,
    REFUSED,
    TAKEN,
    Arrival,
    Ledger,
    Offer,
)
from tests.scenario.soak.surroundings import pause
from tests.scenario.soak.texts import read, token_of, written
from tests.smsc import Peer, Script, ScriptedSmsc, grant, receipt, refuse_bind
from trunkline.smpp.concatenation import Carriage, carry
from trunkline.smpp.pdu import Bind, DeliverSm, SubmitSm
from trunkline.smpp.status import CommandStatus

RECEIPT_SECONDS = 1.0
ANSWER_SECONDS, SLOW_SECONDS = 0.03, 0.5
TICK_SECONDS = 0.05
PATIENCE_SECONDS = 1.8  # A little less than response_seconds.
LATENESS_KEPT_SECONDS = 3.0  # What is read late was sent up to response_seconds before.
BROUGHT_AT_ONCE_MAX = 30  # A connection of ours takes so many that it need not put any off.
SEGMENT_WORDS = 12  # Of a text that is longer than one segment.

NORMAL, SLOW, SILENT = "normal", "slow", "silent"
THROTTLING, REFUSING, BUSY, FLAPPING = "throttling", "refusing", "busy", "flapping"
MOODS = (SLOW, SILENT, THROTTLING, REFUSING, BUSY, FLAPPING)
FLAPS = 0.2  # How many submissions end their connection while the SMSC flaps; binds, twice that.
PUTS_OFF = {THROTTLING: CommandStatus.ESME_RTHROTTLED, BUSY: CommandStatus.ESME_RSYSERR}


@dataclass(frozen=True)
class Brought:
    """Something that the SMSC brings until it is acknowledged: a receipt, or a segment."""

    carrier: str
    pdu: DeliverSm
    ref: str = ""
    offer: Offer | None = None
    segment: int = 0


class Smsc(ScriptedSmsc):
    """An SMSC whose accounts are named as the carriers are."""

    def __init__(self, ledger: Ledger, chance: Random) -> None:
        super().__init__(Script(bind=self._let_in, submit=self._take))
        self.mood = NORMAL
        self._ledger, self._chance = ledger, chance
        self._started = time.monotonic()
        self._numbers: dict[Peer, int] = {}
        self._places: Counter[int] = Counter()
        self._unanswered: defaultdict[int, dict[str, float]] = defaultdict(dict)
        self._owed: deque[Brought] = deque()
        self._offered: dict[tuple[Peer, int], Brought] = {}
        self._later = 0
        self._is_over = False
        self._late: deque[tuple[float, float]] = (
            deque()
        )  # When this loop was late, and by how much.

    @property
    def now(self) -> float:
        """The time by which arrivals are noted, in seconds."""
        return time.monotonic() - self._started

    @property
    def debts(self) -> int:
        """How much is still to be brought."""
        return len(self._owed) + len(self._offered) + self._later

    async def work(self) -> None:
        """Bring what is owed, for ever."""
        while True:
            self._settle()
            self._tidy()
            began = self.now
            await pause(TICK_SECONDS)
            self._note_lateness(self.now - began - TICK_SECONDS)

    def _note_lateness(self, seconds: float) -> None:
        self._late.append((self.now, seconds))
        while self.now - self._late[0][0] > LATENESS_KEPT_SECONDS:
            self._late.popleft()

    @property
    def _patience(self) -> float:
        """How long we count as unanswered what we read: who sent it began to wait before that."""
        return PATIENCE_SECONDS - max((seconds for _, seconds in self._late), default=0.0)

    def end(self) -> None:
        """Take no notice of connections that end from now on."""
        self._is_over = True

    def hang_up(self) -> None:
        """Drop every connection."""
        for peer in self.bound:
            peer.drop()

    def text(
        self,
        token: int,
        carrier: str,
        *,
        phone: str,
        number: str,
        wants_reply: bool,
        is_customers: bool,
    ) -> None:
        """Let a handset send a text, now and then one of two segments."""
        is_long = self._chance.random() < 0.2
        texts = [written(token, words=SEGMENT_WORDS)] * (2 if is_long else 1)
        offer = Offer(len(texts), wants_reply, is_customers)
        self._ledger.inbound[token] = offer
        carried = carry([t.encode() for t in texts], by=Carriage.UDH8, reference=token % 256)
        for place, each in enumerate(carried):
            pdu = DeliverSm(
                source_addr_ton=1,
                source_addr_npi=1,
                source_addr=phone.lstrip("+"),
                dest_addr_ton=1,
                dest_addr_npi=1,
                destination_addr=number.lstrip("+"),
                esm_class=each.esm_class,
                short_message=each.short_message,
            )
            self._owed.append(Brought(carrier, pdu, offer=offer, segment=place))

    def _let_in(self, peer: Peer, number: int, pdu: Bind) -> None:
        if self.mood == FLAPPING and self._chance.random() < 2 * FLAPS:
            refuse_bind(CommandStatus.ESME_RBINDFAIL)(peer, number, pdu)
        else:
            grant(peer, number, pdu)

    def _take(self, peer: Peer, number: int, pdu: SubmitSm) -> None:
        connection = self._numbers.setdefault(peer, len(self._numbers))
        self._places[connection] += 1
        at, ref, text = time.monotonic() - self._started, self.next_id(), read(pdu)
        unanswered, patience = self._unanswered[connection], self._patience
        unanswered[ref] = at
        arrival = Arrival(
            token=token_of(text),
            key=f"{token_of(text)} {text}",
            carrier=peer.bind.system_id if peer.bind else "",
            sender=pdu.source_addr,
            recipient=f"+{pdu.destination_addr.lstrip('+')}",
            connection=connection,
            place=self._places[connection],
            at=at,
            # What we were silent about for long does not count with whoever submits.
            in_flight=sum(at - since < patience for since in unanswered.values()),
            ref=ref,
        )
        self._ledger.arrivals.append(arrival)
        if self.mood == FLAPPING and self._chance.random() < FLAPS:
            peer.drop()
        if self.mood == SILENT:
            return
        seconds = SLOW_SECONDS if self.mood == SLOW else ANSWER_SECONDS
        answer = partial(self._answer, peer, number, arrival=arrival)
        asyncio.get_running_loop().call_later(seconds * self._chance.random(), answer)

    def _answer(self, peer: Peer, number: int, *, arrival: Arrival) -> None:
        """Take a text, put it off or refuse it; what is said to nobody is not said."""
        status = self._verdict()
        if status == CommandStatus.ESME_ROK:
            self._promise(arrival, peer)
        if peer.is_gone:
            return
        del self._unanswered[arrival.connection][arrival.ref]
        arrival.answered_at = time.monotonic() - self._started
        if status == CommandStatus.ESME_ROK:
            arrival.verdict = TAKEN
            peer.accept(number, arrival.ref)
        else:
            arrival.verdict = REFUSED if status == CommandStatus.ESME_RINVDSTADR else PUT_OFF
            peer.refuse(number, status)

    def _verdict(self) -> CommandStatus:
        drawn = self._chance.random()
        if drawn < (0.3 if self.mood == REFUSING else 0.01):
            return CommandStatus.ESME_RINVDSTADR
        if self.mood in PUTS_OFF and drawn < 0.8:
            return PUTS_OFF[self.mood]
        return CommandStatus.ESME_RTHROTTLED if drawn > 0.99 else CommandStatus.ESME_ROK

    def _promise(self, arrival: Arrival, peer: Peer) -> None:
        """Owe the receipt of a text that was taken: one as a rule, none, or two.

        Of two the second says the same again, or the contrary.
        """
        drawn = self._chance.random()
        if drawn < 0.02:
            return
        stat = MISSED if drawn < 0.07 else DELIVERED
        brought = self._receipt(arrival, stat)
        if drawn > 0.95 and peer.is_bound and peer.session.window_free > 0:
            self._offer(peer, brought)  # It overtakes the answer.
            return
        self._owe_later(brought)
        if drawn > 0.9:
            self._owe_later(self._receipt(arrival, self._chance.choice((DELIVERED, MISSED))))

    def _receipt(self, arrival: Arrival, stat: str) -> Brought:
        self._ledger.receipts[arrival.ref].add(stat)
        return Brought(arrival.carrier, receipt(arrival.ref, stat), ref=arrival.ref)

    def _owe_later(self, brought: Brought) -> None:
        self._later += 1
        seconds = RECEIPT_SECONDS * self._chance.random()
        asyncio.get_running_loop().call_later(seconds, self._owe, brought)

    def _owe(self, brought: Brought) -> None:
        self._later -= 1
        self._owed.append(brought)

    def _settle(self) -> None:
        """Note what was acknowledged; bring the rest again, and what is new."""
        for (peer, number), brought in list(self._offered.items()):
            if number in peer.answers:
                del self._offered[peer, number]
                self._acknowledge(brought, peer.answers.pop(number))
        bound = self.bound
        for brought in [self._owed.popleft() for _ in range(len(self._owed))]:
            free = [peer for peer in bound if self._has_room(peer, brought.carrier)]
            if free:
                self._offer(self._chance.choice(free), brought)
            else:
                self._owed.append(brought)

    def _has_room(self, peer: Peer, carrier: str) -> bool:
        is_theirs = peer.bind is not None and peer.bind.system_id == carrier
        if not is_theirs or not peer.is_bound or peer.session.window_free <= 0:
            return False
        return sum(one is peer for one, _ in self._offered) < BROUGHT_AT_ONCE_MAX

    def _offer(self, peer: Peer, brought: Brought) -> None:
        if brought.offer is not None:
            brought.offer.offers[brought.segment] += 1
        self._offered[peer, peer.deliver(brought.pdu)] = brought

    def _acknowledge(self, brought: Brought, status: int | None) -> None:
        if status != CommandStatus.ESME_ROK:
            self._owed.append(brought)
        elif brought.offer is not None:
            brought.offer.acknowledged.add(brought.segment)
        else:
            self._ledger.receipts_acknowledged.add(brought.ref)

    def _tidy(self) -> None:
        """Keep nothing of what was said, and of peers that are gone only that they were."""
        self.seen.clear()
        for peer in self.peers:
            peer.events.clear()
            if peer.is_gone and peer in self._numbers and not self._is_over:
                now = time.monotonic() - self._started
                self._ledger.ended.setdefault(self._numbers[peer], now)
        offering = {peer for peer, _ in self._offered}
        self.peers = [peer for peer in self.peers if not peer.is_gone or peer in offering]
