"""A soak from its beginning to its end: traffic and faults, then peace, then the books."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.scenario.soak.books import (
    LANES,
    RATE,
    RESPONSE_SECONDS,
    WINDOW,
    breaches,
    connections_of,
    repetitions,
    was_answered_soon,
)
from tests.scenario.soak.carrier import Smsc
from tests.scenario.soak.faults import CLOCK_SECONDS, WHENS, NodeFaults, PeerFaults
from tests.scenario.soak.ledger import AGAIN, ONCE, SIMULATED, TAKEN, Ledger, Stored
from tests.scenario.soak.operator import Operator
from tests.scenario.soak.receiver import INBOUND, Application
from tests.scenario.soak.site import Site
from tests.scenario.soak.surroundings import Gate, Surroundings
from tests.scenario.soak.traffic import (
    PASSWORD,
    PREFIXES,
    SYSTEM_ID,
    Customer,
    Handsets,
    Program,
    Traffic,
    User,
)

PROGRAMS = 4
NUMBERS = 4  # Of each account.
QUIET_SECONDS = 300.0
LOOK_SECONDS = 1.0
# While nothing moves, clocks go on by so much: what was put off for long is waited for no longer.
HURRY_SECONDS, HURRY_AFTER_SECONDS, HURRIES_MAX = 60.0, 4.0, 100
PROGRESS_SECONDS = 10.0
BACKLOG_MAX = 500  # Messages that wait; a slow machine sends so many in a minute.

Say = Callable[[str], None]


@dataclass
class Story:
    """What one seed makes of one installation."""

    directory: Path
    seed: int
    nodes: int = 1
    is_shared: bool = False
    mistake: str = ""
    say: Say = print
    ledger: Ledger = field(default_factory=Ledger)
    stored: Stored = field(default_factory=Stored)
    seconds_quiet: float = 0.0

    def chance(self, part: str) -> Random:
        """Return the chance of one part, whatever the others draw."""
        return Random(f"{self.seed} {part}")

    def __post_init__(self) -> None:
        self.surroundings = Surroundings()
        self.smsc = Smsc(self.ledger, self.chance("smsc"))
        self.application = Application(self.ledger, self.chance("application"))
        self.site = Site(self.directory, self.surroundings, self.ledger, mistake=self.mistake)
        self.gate = Gate()

    def begin(self) -> None:
        """Start everything; traffic flows when this returns."""
        call = self.surroundings.call
        call(self.smsc.__aenter__())
        call(self.gate.open(call(self.application.listen())))
        self.application.origin = f"http://127.0.0.1:{self.gate.port}"
        self.site.set_up(self.nodes, is_shared=self.is_shared)
        self._connect()
        users = [self._user(self.site.account_sid, self.site.auth_token, place=0)]
        made = self.site.post("/2010-04-01/Accounts.json", FriendlyName="Another")
        users.append(self._user(made["sid"], made["auth_token"], place=1))
        self._let_bind(users[0].numbers[-1])
        self.traffic = Traffic(self.site, self.ledger, self.application.origin, users, self.smsc)
        self._start()

    def _start(self) -> None:
        """Let everybody begin."""
        ours, *_, customers = self.traffic.users[0].numbers
        customer = Customer(self.traffic, self.chance("customer"), number=customers)
        handsets = Handsets(
            self.traffic,
            self.chance("handsets"),
            smsc=self.smsc,
            number=ours,
            customers=customers,
        )
        for work in (self.smsc.work, customer.work, handsets.work):
            self.surroundings.keep(work)
        self.programs = [
            Program(self.traffic, self.chance(f"program {n}")) for n in range(PROGRAMS)
        ]
        self.operator = Operator(self.traffic, self.chance("operator"))
        self.node_faults = NodeFaults(self.site, self.chance("nodes"))
        self.peer_faults = PeerFaults(
            self.smsc,
            self.application,
            gate=self.gate,
            surroundings=self.surroundings,
            chance=self.chance("peers"),
        )
        for thread in (*self.programs, self.operator, self.peer_faults):
            thread.start()

    def rage(self, *, seconds: float = 0.0, faults: int = 0) -> None:
        """Let things go wrong for so long, and at least so often."""
        began = said = time.monotonic()
        while time.monotonic() < began + seconds or self.ledger.faults.total() < faults:
            self.node_faults.strike()
            self.surroundings.require_sound()
            self.traffic.is_full = self.site.reading.waiting()["outbox"] > BACKLOG_MAX
            if time.monotonic() > said + PROGRESS_SECONDS:
                said = time.monotonic()
                self.say(f"{said - began:.0f} s: {self._progress()}")

    def calm(self) -> None:
        """End traffic and faults, and wait until nothing moves any more."""
        self.traffic.is_over.set()
        self.peer_faults.end()
        self.ledger.faults.update(self.peer_faults.counts)
        self.node_faults.mend()
        workers: list[Program | Operator] = [*self.programs, self.operator]
        for worker in workers:
            worker.join()
            if worker.trouble is not None:
                raise worker.trouble
        began = time.monotonic()
        self._wait_for_quiet(began)
        self.seconds_quiet = time.monotonic() - began
        self.smsc.end()

    def balance(self) -> list[str]:
        """Stop everything and return what the books find."""
        self.site.stop()
        self.stored = self.site.reading.everything()
        self.stored.faults = self.site.check()
        return breaches(self.ledger, self.stored)

    def counts(self) -> dict[str, object]:
        """Return figures for whoever reads them."""
        ledger, faults = self.ledger, self.ledger.faults
        again = Counter(
            first.verdict or "not answered" for first, _ in repetitions(ledger.arrivals)
        )
        connections = connections_of(ledger)
        behind = [
            connections.behind(first)
            for first, _ in repetitions(ledger.arrivals)
            if first.verdict == TAKEN and was_answered_soon(first)
        ]
        told = Counter((each.sid, each.status) for each in ledger.told if each.is_taken)
        return {
            "seed": self.seed,
            "accepted": len(ledger.accepted),
            "unanswered": len(ledger.unanswered),
            "refused": ledger.refused,
            "statuses": Counter(row.status for row in self.stored.messages.values()),
            "segments": len(ledger.arrivals),
            "segments again, by the first answer": again,
            "most segments behind one that came again": max(behind, default=0),
            "callbacks": told.total(),
            "callbacks again": told.total() - len(told),
            "callbacks refused": len(ledger.told) - told.total(),
            "inbound": len(ledger.inbound),
            "made besides": len(ledger.made),
            "kills": self.kills,
            "faults": dict(sorted(faults.items())),
            "commits refused by the disk": ledger.commits_refused,
            "boundaries": dict(sorted(ledger.boundaries.items())),
            "boundaries not met": self._not_met(),
            "seconds until quiet": round(self.seconds_quiet, 1),
        }

    @property
    def kills(self) -> int:
        """How often a process was ended without a warning."""
        return sum(node.kills for node in self.site.nodes)

    def _not_met(self) -> list[str]:
        both = (f"{when} {work}" for work in sorted(self.ledger.works) for when in WHENS)
        return [each for each in both if each not in self.ledger.boundaries]

    def close(self) -> None:
        """Leave nothing running."""
        self.site.close()
        self.surroundings.call(self._hang_up())
        self.surroundings.close()

    async def _hang_up(self) -> None:
        self.application.close()
        for gate in (self.gate, *self.site.gates):
            gate.close()
        if self.smsc.port:
            await self.smsc.__aexit__()

    def _progress(self) -> str:
        ledger = self.ledger
        return (
            f"{len(ledger.accepted)} accepted, {len(ledger.arrivals)} segments,"
            f" {len(ledger.told)} callbacks, {self.kills} kills, faults {dict(ledger.faults)}"
        )

    def _wait_for_quiet(self, began: float) -> None:
        """Wait until nothing is due; what never is, the books will find."""
        before, moved, hurries = None, began, 0
        while (now := time.monotonic()) < began + QUIET_SECONDS:
            waiting = self.site.reading.waiting()
            left = {**waiting, "smsc": self.smsc.debts, "parked": 0}
            if not any(left.values()):
                return
            if left != before:
                before, moved = left, now
            elif now > moved + HURRY_AFTER_SECONDS and hurries < HURRIES_MAX:
                hurries, moved = hurries + 1, now
                self._hurry(hurries)
                self.say(f"still waiting: {left}")
            self.node_faults.rest(LOOK_SECONDS)
            self.surroundings.require_sound()

    def _hurry(self, hurries: int) -> None:
        for node in self.site.nodes:
            node.order(do="clock", seconds=max(CLOCK_SECONDS) + hurries * HURRY_SECONDS)

    def _connect(self) -> None:
        """Let messages leave by two accounts at the SMSC, and by the simulated network."""
        settings: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.smsc.port,
            "window": WINDOW,
            "lanes": LANES,
            "response_seconds": RESPONSE_SECONDS,
            "reconnect_seconds": 0.1,
            "reconnect_seconds_max": 0.5,
            "failover_seconds": 36_000,
        }
        once = {"in_doubt": "fail", "sender_rates": f"long_code={RATE}"}
        for name, more in ((AGAIN, {"in_doubt": "resubmit"}), (ONCE, once)):
            pairs = [f"{k}={v}" for k, v in {**settings, **more, "system_id": name}.items()]
            form = {"Name": name, "Type": "smpp", "Set": pairs}
            self.site.post("/trunkline/v1/carriers", **form)
        for order, name in enumerate((AGAIN, ONCE, SIMULATED), 1):
            self.site.post("/trunkline/v1/routes", Carrier=name, Prefix=PREFIXES[name], Order=order)

    def _user(self, account_sid: str, auth_token: str, *, place: int) -> User:
        """Return an account, which then has numbers."""
        numbers = [f"+1415556{place}{n:03}" for n in range(NUMBERS)]
        for number in numbers:
            url = self.application.origin + INBOUND
            form = {"PhoneNumber": number, "Account": account_sid, "SmsUrl": url}
            self.site.post("/trunkline/v1/numbers", **form)
        self.application.secrets[account_sid] = auth_token
        service_sid = self._service(numbers, auth=(account_sid, auth_token))
        return User(account_sid, auth_token, tuple(numbers), service_sid)

    def _service(self, numbers: Sequence[str], *, auth: tuple[str, str]) -> str:
        """Return the Messaging Service of an account, with all its numbers."""
        form = {
            "FriendlyName": "Soak",
            "SmartEncoding": "false",
            "UseInboundWebhookOnNumber": "true",
        }
        made = self.site.post_as(auth, "/messaging/v1/Services", form)
        listed = self.site.get(f"/2010-04-01/Accounts/{auth[0]}/IncomingPhoneNumbers.json", auth)
        for each in listed["incoming_phone_numbers"]:
            if each["phone_number"] in numbers:
                path = f"/messaging/v1/Services/{made['sid']}/PhoneNumbers"
                self.site.post_as(auth, path, {"PhoneNumberSid": each["sid"]})
        return str(made["sid"])

    def _let_bind(self, number: str) -> None:
        form = {"SystemId": SYSTEM_ID, "Password": PASSWORD, "Address": [number]}
        self.site.post("/trunkline/v1/smpp-credentials", **form)
