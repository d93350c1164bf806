"""Trunkline is killed in the midst of work, again and again: what it accepted still happens."""

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from signal import SIGKILL

import pytest

from tests.processes import Receiver, Server, ask, receiving, running, wait_until

MESSAGES = 1000
SENDERS = 6
PHONES = [f"+155586900{n:02}" for n in range(20)]
SECONDS = 60.0
LAST_SECONDS = 20.0


@dataclass
class Senders:
    """Threads that send numbered texts, each once, and keep what was answered with 201."""

    server: Server
    callback: str
    accepted: dict[str, str] = field(default_factory=dict)
    in_doubt: set[str] = field(default_factory=set)
    is_up: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._waiting = iter(range(MESSAGES))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]

    def start(self) -> None:
        """Begin to send whenever the server is up."""
        for thread in self._threads:
            thread.start()

    def has_sent(self, count: int) -> bool:
        """Say whether so many texts were accepted."""
        return len(self.accepted) >= count

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
            return next(self._waiting, None)

    def _send(self, number: int) -> None:
        form = {
            "To": PHONES[number % len(PHONES)],
            "From": self.server.number,
            "Body": f"text {number}",
            "StatusCallback": self.callback,
        }
        try:
            url = f"{self.server.account_url}/Messages.json"
            answer = ask("POST", url, form, auth=self.server.auth)
        except (OSError, HTTPException):
            self.in_doubt.add(form["Body"])
            return
        assert answer.status == 201, answer.body
        self.accepted[answer.json["sid"]] = form["Body"]


@dataclass(frozen=True)
class Outcome:
    """What became of everything, when no more happened."""

    accepted: dict[str, str]
    in_doubt: set[str]
    callbacks: list[tuple[str, str]]
    statuses: dict[str, str]
    received: Counter[str]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Send, kill three times at random moments, and wait until everything has happened."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    with (
        receiving() as receiver,
        running(tmp_path_factory.mktemp("kill"), delivery_delay_seconds=1) as server,
    ):
        senders = Senders(server, receiver.url("/status"))
        senders.is_up.set()
        senders.start()
        for share in (chance.uniform(0.1, 0.4), chance.uniform(0.5, 0.9)):
            wait_until(partial(senders.has_sent, int(MESSAGES * share)), SECONDS)
            kill(senders)
        senders.join()
        # Nothing is accepted any more, and the texts of the last second are still on their way.
        due = len(receiver.seen) + int(MESSAGES * chance.uniform(0.01, 0.1))
        wait_until(lambda: len(receiver.seen) >= due or is_done(senders, receiver), SECONDS)
        kill(senders)
        # If something is missing after that long, the tests say what.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: is_done(senders, receiver), LAST_SECONDS)
        yield found(senders, receiver)


def kill(senders: Senders) -> None:
    """End the server without a warning and start it again."""
    senders.is_up.clear()
    senders.server.process.end(SIGKILL)
    senders.server.start()
    senders.is_up.set()


def is_done(senders: Senders, receiver: Receiver) -> bool:
    delivered = {s.form["MessageSid"] for s in list(receiver.seen) if is_delivery(s.form)}
    return senders.accepted.keys() <= delivered


def is_delivery(form: Mapping[str, str]) -> bool:
    return form["MessageStatus"] == "delivered"


def found(senders: Senders, receiver: Receiver) -> Outcome:
    with senders.server.client() as client:
        statuses = {m.sid: m.status for m in client.messages.stream(page_size=1000)}
    outcome = Outcome(
        accepted=senders.accepted,
        in_doubt=senders.in_doubt,
        callbacks=[(s.form["MessageSid"], s.form["MessageStatus"]) for s in receiver.seen],
        statuses=statuses,
        received=Counter(body for phone in PHONES for body in senders.server.bodies(phone)),
    )
    print(
        f"{len(outcome.accepted)} accepted, {len(outcome.in_doubt)} in doubt,"
        f" {len(outcome.callbacks)} callbacks of which"
        f" {len(outcome.callbacks) - len(set(outcome.callbacks))} repeated,"
        f" {outcome.received.total()} texts received"
    )
    return outcome


def test_nearly_everything_was_accepted(outcome: Outcome) -> None:
    """Only requests that were under way when a kill came have no answer."""
    assert len(outcome.accepted) + len(outcome.in_doubt) == MESSAGES
    assert len(outcome.in_doubt) <= 3 * SENDERS


def test_every_accepted_message_ends(outcome: Outcome) -> None:
    """A message that got a 201 is there after any kill, and is delivered."""
    lost = {sid: outcome.statuses.get(sid) for sid in outcome.accepted}
    assert {sid: status for sid, status in lost.items() if status != "delivered"} == {}


def test_every_status_was_called_back_in_order(outcome: Outcome) -> None:
    """At least once each, `sent` first; a repetition is allowed, a gap is not."""
    first = list(dict.fromkeys(outcome.callbacks))
    order: dict[str, list[str]] = {}
    for sid, status in first:
        order.setdefault(sid, []).append(status)
    wrong = {sid: order.get(sid) for sid in outcome.accepted}
    assert {sid: got for sid, got in wrong.items() if got != ["sent", "delivered"]} == {}


def test_no_phone_misses_a_text_or_gets_it_twice(outcome: Outcome) -> None:
    """What was accepted arrived once; what was in doubt arrived once or never."""
    assert {body: n for body, n in outcome.received.items() if n > 1} == {}
    assert set(outcome.accepted.values()) - set(outcome.received) == set()
    assert set(outcome.received) - set(outcome.accepted.values()) <= outcome.in_doubt
