"""Trunkline is killed while its window at an SMSC is full, again and again.

TRUNKLINE_KILLS says how often, 5 times if it is not set.
"""

import asyncio
import contextlib
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.processes import Receiver, Server, ask, receiving, running, wait_until
from tests.smsc import Peer, Script, ScriptedSmsc, receipt
from trunkline.smpp.pdu import SubmitSm

KILLS = int(os.environ.get("TRUNKLINE_KILLS", "5"))
SENDERS = 4
PHONES = 200
WINDOW = 10
# A lane takes twice its window in hand. All of that is in doubt after a kill: what is in the
# window, what waits for it, and the answers that are about to be recorded.
IN_HAND_MAX = 2 * WINDOW
# How many texts are answered between two kills.
ANSWERED_MIN, ANSWERED_MAX = 5, 30
# Where texts may not be sent twice, a kill costs what was in hand.
MESSAGES = (KILLS + 1) * (ANSWERED_MAX + IN_HAND_MAX)
ANSWER_SECONDS = 0.1
RECEIPT_SECONDS = 0.2
RECEIPTS_MAX = 50
SECONDS = 60.0
IN_DOUBT = 30008
ENDS = {"delivered", "failed"}


@dataclass(frozen=True)
class Arrival:
    """A text at the SMSC: on which of its connections, and as which there."""

    text: str
    connection: int
    place: int


class SlowSmsc(ScriptedSmsc):
    """Answers a moment later unless it holds; offers each receipt until it is acknowledged."""

    def __init__(self) -> None:
        super().__init__(Script(submit=self._take))
        self.is_holding = False
        self.answered = 0
        self.arrivals: list[Arrival] = []
        self.places: Counter[int] = Counter()
        self._pending: Counter[int] = Counter()
        self._owed: list[str] = []
        self._offered: dict[str, tuple[Peer, int]] = {}

    @property
    def load(self) -> int:
        """How many texts of the connection at work wait for their answers."""
        return self._pending[len(self.peers) - 1]

    def ring(self) -> None:
        """Look what became of the receipts."""
        super().ring()
        self._settle()

    def _take(self, peer: Peer, number: int, pdu: SubmitSm) -> None:
        connection = self.peers.index(peer)
        self._pending[connection] += 1
        self.places[connection] += 1
        text = pdu.short_message.decode("ascii")
        self.arrivals.append(Arrival(text, connection, self.places[connection]))
        loop = asyncio.get_running_loop()
        loop.call_later(ANSWER_SECONDS, self._answer, peer, number)

    def _answer(self, peer: Peer, number: int) -> None:
        # A text whose answer is held, or nobody waits for any more, is delivered all the same.
        message_id = self.next_id()
        if not self.is_holding:
            self._pending[self.peers.index(peer)] -= 1
            self.answered += 1
            peer.accept(number, message_id)
        asyncio.get_running_loop().call_later(RECEIPT_SECONDS, self._owe, message_id)

    def _owe(self, message_id: str) -> None:
        self._owed.append(message_id)
        self._offer()

    def _settle(self) -> None:
        """Forget receipts that were acknowledged; offer others again."""
        for message_id, (peer, number) in list(self._offered.items()):
            if number in peer.answers:
                del self._offered[message_id]
                if peer.answers[number] != 0:
                    self._owed.append(message_id)
        self._offer()

    def _offer(self) -> None:
        for peer in self.bound:
            while self._owed and len(self._offered) < RECEIPTS_MAX:
                message_id = self._owed.pop(0)
                self._offered[message_id] = (peer, peer.deliver(receipt(message_id)))


@dataclass
class Senders:
    """Threads that send numbered texts, each once, and keep what was answered with 201."""

    server: Server
    callback: str
    accepted: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    is_up: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._numbers = iter(range(MESSAGES))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]

    def start(self) -> None:
        """Begin to send whenever the server is up."""
        self.is_up.set()
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Return once every text was tried."""
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive()

    def _run(self) -> None:
        while (number := self._next()) is not None:
            self.is_up.wait(SECONDS)
            self._send(number)

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)

    def _send(self, number: int) -> None:
        form = {
            "To": f"+1202555{number % PHONES:04}",
            "From": self.server.number,
            "Body": f"text {number}",
            "StatusCallback": self.callback,
        }
        try:
            url = f"{self.server.account_url}/Messages.json"
            answer = ask("POST", url, form, auth=self.server.auth)
        except (OSError, HTTPException):
            self.unanswered.add(form["Body"])
            return
        assert answer.status == 201, answer.body
        self.accepted[answer.json["sid"]] = form["Body"]


@dataclass(frozen=True)
class Outcome:
    """What became of everything, when no more happened."""

    rule: str
    accepted: dict[str, str]
    unanswered: set[str]
    callbacks: list[tuple[str, str]]
    statuses: dict[str, tuple[str, int | None]]
    arrivals: list[Arrival]
    places: Counter[int]

    @property
    def seen(self) -> Counter[str]:
        """How often each text came to the SMSC."""
        return Counter(arrival.text for arrival in self.arrivals)

    @property
    def failed(self) -> list[str]:
        """The accepted texts that did not end as delivered."""
        return [text for sid, text in self.accepted.items() if self.statuses[sid][0] != "delivered"]

    @property
    def repetitions(self) -> list[tuple[Arrival, Arrival]]:
        """The texts that came again: two arrivals that follow each other."""
        by_text: dict[str, list[Arrival]] = {}
        for arrival in self.arrivals:
            by_text.setdefault(arrival.text, []).append(arrival)
        return [pair for mine in by_text.values() for pair in pairwise(mine)]

    def behind(self, arrival: Arrival) -> int:
        """Return how many texts came behind one on its connection."""
        return self.places[arrival.connection] - arrival.place

    def was_in_hand(self, arrival: Arrival) -> bool:
        """Say whether a text was among the last on a connection that a kill ended."""
        return arrival.connection < KILLS and self.behind(arrival) < IN_HAND_MAX


@pytest.fixture(scope="module", params=["resubmit", "fail"])
def outcome(request, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Send and kill, and wait until everything has happened."""
    directory = tmp_path_factory.mktemp("kill")
    return asyncio.run(played(directory, str(request.param)))


async def played(directory: Path, rule: str) -> Outcome:
    """Have an SMSC on this loop, and everything else on a thread."""
    async with SlowSmsc() as smsc:
        return await asyncio.to_thread(drive, smsc, directory, rule=rule)


def drive(smsc: SlowSmsc, directory: Path, *, rule: str) -> Outcome:
    """Kill at random moments in which the window is at least half full."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    with receiving() as receiver, running_at(smsc, directory, rule=rule) as server:
        senders = Senders(server, receiver.url("/status"))
        senders.start()
        for _ in range(KILLS):
            due = smsc.answered + chance.randint(ANSWERED_MIN, ANSWERED_MAX)
            load = chance.randint(WINDOW // 2, WINDOW)
            wait_until(partial(has_answered, smsc, due), SECONDS)
            smsc.is_holding = True
            wait_until(partial(has_load, smsc, load), SECONDS)
            kill(senders, smsc)
        senders.join()
        # If something is missing after that long, the tests say what.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: is_done(senders, receiver), SECONDS)
            wait_until(lambda: nothing_moves(server), SECONDS)
        return found(senders, receiver, smsc, rule=rule)


@contextlib.contextmanager
def running_at(smsc: SlowSmsc, directory: Path, *, rule: str) -> Iterator[Server]:
    """Yield a server whose carrier is the SMSC."""
    settings = {
        "host": "127.0.0.1",
        "port": smsc.port,
        "system_id": "esme",
        "window": WINDOW,
        "in_doubt": rule,
    }
    pairs = [f"{name}={value}" for name, value in settings.items()]
    with running(directory) as server:
        for path, form in (
            ("carriers", {"Name": "smsc", "Type": "smpp", "Set": pairs}),
            ("routes", {"Carrier": "smsc", "Order": 1}),
        ):
            answer = ask("POST", f"{server.base_url}/trunkline/v1/{path}", form, auth=server.auth)
            assert answer.status == 201, answer.body
        yield server


def has_answered(smsc: SlowSmsc, count: int) -> bool:
    """Say whether the SMSC has answered so many texts."""
    return smsc.answered >= count


def has_load(smsc: SlowSmsc, count: int) -> bool:
    """Say whether so many texts wait for the SMSC's answers."""
    return smsc.load >= count


def kill(senders: Senders, smsc: SlowSmsc) -> None:
    """End the server without a warning and start it again."""
    senders.is_up.clear()
    senders.server.process.end(SIGKILL)
    smsc.is_holding = False
    senders.server.start()
    senders.is_up.set()


def is_done(senders: Senders, receiver: Receiver) -> bool:
    """Say whether the end of every accepted message was called back."""
    forms = [seen.form for seen in list(receiver.seen)]
    ended = {form["MessageSid"] for form in forms if form["MessageStatus"] in ENDS}
    return senders.accepted.keys() <= ended


def nothing_moves(server: Server) -> bool:
    """Say whether every message has ended, also one whose request a kill left unanswered."""
    return all(status in ENDS for status, _ in statuses(server).values())


def statuses(server: Server) -> dict[str, tuple[str, int | None]]:
    """Return the status and the error of each message that is there."""
    with server.client() as client:
        listed = client.messages.stream(page_size=1000)
        return {m.sid: (m.status, m.error_code) for m in listed}


def found(senders: Senders, receiver: Receiver, smsc: SlowSmsc, *, rule: str) -> Outcome:
    outcome = Outcome(
        rule=rule,
        accepted=senders.accepted,
        unanswered=senders.unanswered,
        callbacks=[(s.form["MessageSid"], s.form["MessageStatus"]) for s in receiver.seen],
        statuses=statuses(senders.server),
        arrivals=list(smsc.arrivals),
        places=smsc.places,
    )
    repeated = [first for first, _ in outcome.repetitions]
    print(
        f"{rule}: {KILLS} kills, {len(outcome.accepted)} accepted,"
        f" {len(outcome.unanswered)} requests unanswered,"
        f" {len(repeated)} texts submitted again"
        f" ({len({first.text for first in repeated})} different; the first of them"
        f" {max(map(outcome.behind, repeated), default=0)} before the last of its connection),"
        f" {len(outcome.failed)} failed,"
        f" {len(outcome.callbacks) - len(set(outcome.callbacks))} callbacks repeated"
    )
    return outcome


def test_nearly_everything_was_accepted(outcome: Outcome) -> None:
    """Only requests that were under way when a kill came have no answer."""
    assert len(outcome.accepted) + len(outcome.unanswered) == MESSAGES
    assert len(outcome.unanswered) <= KILLS * SENDERS


def test_every_message_ends(outcome: Outcome) -> None:
    """It is delivered; or it fails, if it may not be sent twice and was in doubt."""
    ends = {("delivered", None)} | ({("failed", IN_DOUBT)} if outcome.rule == "fail" else set())
    others = {sid: got for sid, got in outcome.statuses.items() if got not in ends}
    assert others == {}
    assert outcome.accepted.keys() <= outcome.statuses.keys()


def test_no_accepted_text_is_kept_from_the_carrier(outcome: Outcome) -> None:
    """What was delivered came to the SMSC; what came there was accepted, or not answered."""
    failed = set(outcome.failed)
    assert set(outcome.accepted.values()) - failed - set(outcome.seen) == set()
    assert set(outcome.seen) - set(outcome.accepted.values()) <= outcome.unanswered


def test_a_text_comes_again_only_if_a_kill_met_it_in_hand(outcome: Outcome) -> None:
    """Never on the same connection, and never what had left long before."""
    pairs = outcome.repetitions
    assert [pair for pair in pairs if pair[0].connection >= pair[1].connection] == []
    assert [pair for pair in pairs if not outcome.was_in_hand(pair[0])] == []
    assert len(pairs) <= KILLS * IN_HAND_MAX
    if outcome.rule == "fail":
        assert pairs == []


def test_only_what_was_in_hand_fails(outcome: Outcome) -> None:
    """A text that is given up was among the last to leave before a kill, or in hand to leave."""
    failed = set(outcome.failed)
    came = [arrival for arrival in outcome.arrivals if arrival.text in failed]
    assert [arrival for arrival in came if not outcome.was_in_hand(arrival)] == []
    assert len(failed) <= (KILLS * IN_HAND_MAX if outcome.rule == "fail" else 0)


def test_every_status_was_called_back_in_order(outcome: Outcome) -> None:
    """At least once each; a repetition is allowed, a gap is not."""
    order: dict[str, list[str]] = {}
    for sid, status in dict.fromkeys(outcome.callbacks):
        order.setdefault(sid, []).append(status)
    ways = {"delivered": ["sent", "delivered"], "failed": ["failed"]}
    expected = {sid: ways[outcome.statuses[sid][0]] for sid in outcome.accepted}
    assert {sid: order.get(sid) for sid in outcome.accepted} == expected
