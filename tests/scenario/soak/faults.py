"""What goes wrong, drawn from the seed: nodes end, halt and are cut off; others misbehave."""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from signal import SIGTERM

import psycopg

from tests.scenario.soak.carrier import MOODS, NORMAL, Smsc
from tests.scenario.soak.receiver import Application
from tests.scenario.soak.site import DATABASE, LEASE_SECONDS, Node, Site
from tests.scenario.soak.surroundings import Gate, Surroundings

PAUSE_SECONDS = 1.0  # Between two faults, at most.
BOUNDARY_SECONDS = 5.0  # How long a boundary may be waited for; then the node is killed anyway.
CLOCK_SECONDS = (-90, -15, -1, 1, 15, 90)
DISK_SECONDS = 2.0
NOTING_SECONDS = 0.2  # Within so much a node notes that a trouble is over.
# How often a node ends as it starts, and where it happens to be.
AT_START, ANYWHERE = 0.25, 0.25
WHENS = ("inside", "after")
ANY_WORK = ""
# How often each is drawn. Schedules and opt-outs get faults of their own when there are any.
KILL, BOUNDARY, HALT, RESTART = "killed", "killed at a boundary", "stood still", "restarted"
DISK, SYNC, CLOCK = "disk", "disk that does not sync", "clock"
SERVER, STOP, CONNECTIONS = "server killed", "server restarted", "connections ended"
CUT, CABLE, ALL = "cut off", "cable pulled", "all killed"
EVERYWHERE = {KILL: 4, BOUNDARY: 10, HALT: 1, RESTART: 1, DISK: 2, CLOCK: 2}
# A node that has no file syncs nothing; a PostgreSQL that cannot sync ends as if it was killed. The
# kernel that can be asked to refuse is Linux.
ALONE = {**EVERYWHERE, SYNC: int(sys.platform == "linux")}
SHARED = {**EVERYWHERE, SERVER: 1, STOP: 1, CONNECTIONS: 1, CUT: 1, CABLE: 1, ALL: 1}


class NodeFaults:
    """Hurts nodes and their database, one after another, on the thread of the caller."""

    def __init__(self, site: Site, chance: Random) -> None:
        self._site, self._chance = site, chance
        self._tick = threading.Event()
        self._weights = ALONE if site.cluster is None else SHARED
        self._tried: Counter[tuple[str, str]] = Counter()
        self._faults: Mapping[str, Callable[[Node], None]] = {
            KILL: self._kill,
            BOUNDARY: self._kill_at_boundary,
            HALT: self._halt,
            RESTART: self._restart,
            DISK: self._trouble_disk,
            SYNC: self._refuse_to_sync,
            CLOCK: self._move_clock,
            SERVER: self._kill_server,
            STOP: self._restart_server,
            ALL: self._kill_all,
            CONNECTIONS: self._end_connections,
            CUT: self._cut_off,
            CABLE: self._pull_cable,
        }

    def strike(self) -> str:
        """Let something happen, and mend it; return what it was."""
        self._tick.wait(PAUSE_SECONDS * self._chance.random())
        node = self._chance.choice(self._site.nodes)
        if node.has_ended():  # By an order that it followed late.
            self._begin_again(node)
        (kind,) = self._chance.choices(list(self._weights), list(self._weights.values()))
        self._site.disturb()
        self._faults[kind](node)
        self._site.disturb()
        self._site.ledger.faults[kind] += 1
        for node in self._site.nodes:
            self._read(node)
        return kind

    def rest(self, seconds: float) -> None:
        """Let some time pass."""
        self._tick.wait(seconds)

    def mend(self) -> None:
        """Let everything be as it was, and all clocks be ahead of what they ever were."""
        for gate in self._site.gates:
            gate.mend()
        for node in self._site.nodes:
            node.go_on()
            node.clock_seconds = max(CLOCK_SECONDS)
            if node.has_ended():
                node.start()
            node.order(do="clock", seconds=node.clock_seconds)

    def _read(self, node: Node) -> None:
        """Take notice of what a node noted."""
        ledger = self._site.ledger
        for line in node.news():
            match line.split():
                case ["saw", name]:
                    ledger.works.add(name)
                case ["refused", count, trouble]:
                    ledger.commits_refused[trouble] += int(count)
                case _:
                    ledger.boundaries[line] += 1

    def _begin_again(self, node: Node, **order: object) -> None:
        node.end()
        self._site.disturb()
        node.start(**order)

    def _kill(self, node: Node) -> None:
        self._begin_again(node)

    def _kill_at_boundary(self, node: Node) -> None:
        """Let the node end in the midst of a commit, or between it and what follows."""
        work, when = self._boundary()
        order = {"do": "end", "work": work, "when": when, "commits": self._chance.randrange(3)}
        if self._chance.random() < AT_START:
            self._begin_again(node, **order)
        else:
            node.order(**order)
        for _ in range(int(BOUNDARY_SECONDS / 0.02)):
            if node.has_ended() or self._tick.wait(0.02):
                break
        self._begin_again(node)

    def _boundary(self) -> tuple[str, str]:
        """Return where to end: anywhere, or where that was tried least of all."""
        known = sorted(self._site.ledger.works)
        if not known or self._chance.random() < ANYWHERE:
            return ANY_WORK, self._chance.choice(WHENS)
        both = [(work, when) for work in known for when in WHENS]
        self._chance.shuffle(both)
        rarest = min(both, key=self._tried.__getitem__)
        self._tried[rarest] += 1
        return rarest

    def _kill_all(self, node: Node) -> None:
        for each in self._site.nodes:
            each.end()
        for each in self._site.nodes:
            self._site.disturb()
            each.start()

    def _halt(self, node: Node) -> None:
        node.halt()
        self._tick.wait(LEASE_SECONDS * self._chance.uniform(0.3, 2))
        node.go_on()

    def _restart(self, node: Node) -> None:
        if not node.end(SIGTERM):
            self._site.ledger.faults["did not stop in time"] += 1
        node.start()

    def _trouble_disk(self, node: Node) -> None:
        """Let there be no more room than up to a place in the database's log, or no writing."""
        seconds = DISK_SECONDS * self._chance.uniform(0.3, 1)
        limit = int(node.log_bytes() * self._chance.random() / 2)
        trouble = self._chance.choice(("full", "broken"))
        node.order(do="disk", trouble=trouble, seconds=seconds, limit_bytes=limit)
        self._tick.wait(seconds)

    def _refuse_to_sync(self, node: Node) -> None:
        """Let the kernel fail all that the node syncs: that ends with its process alone."""
        seconds = DISK_SECONDS * self._chance.uniform(0.3, 1)
        node.order(do="disk", trouble="unsynced", seconds=seconds)
        self._tick.wait(seconds + NOTING_SECONDS)
        self._begin_again(node)

    def _move_clock(self, node: Node) -> None:
        node.clock_seconds = self._chance.choice(CLOCK_SECONDS)
        node.order(do="clock", seconds=node.clock_seconds)

    def _kill_server(self, node: Node) -> None:
        assert self._site.cluster is not None
        self._site.cluster.kill()
        self._tick.wait(self._chance.random())
        self._site.cluster.start()

    def _restart_server(self, node: Node) -> None:
        assert self._site.cluster is not None
        self._site.cluster.stop()
        self._tick.wait(self._chance.random())
        self._site.cluster.start()

    def _end_connections(self, node: Node) -> None:
        assert self._site.cluster is not None
        with psycopg.connect(self._site.cluster.url(DATABASE), autocommit=True) as db:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def _cut_off(self, node: Node) -> None:
        self._isolate(node, Gate.shut)

    def _pull_cable(self, node: Node) -> None:
        self._isolate(node, Gate.stop_up)

    def _isolate(self, node: Node, way: Callable[[Gate], None]) -> None:
        gate = self._site.gates[self._site.nodes.index(node)]
        way(gate)
        self._tick.wait(LEASE_SECONDS * self._chance.uniform(0.3, 2))
        gate.mend()


class PeerFaults(threading.Thread):
    """Puts the SMSC and the customers' application in trouble, beside everything else."""

    def __init__(
        self,
        smsc: Smsc,
        application: Application,
        *,
        gate: Gate,
        surroundings: Surroundings,
        chance: Random,
    ) -> None:
        super().__init__(daemon=True)
        self._loop = surroundings.loop
        self.counts: dict[str, int] = {}
        self._smsc, self._application, self._gate = smsc, application, gate
        self._chance, self._over = chance, threading.Event()

    def run(self) -> None:
        """Go on until the end."""
        kinds = (*MOODS, "hung up", "broken", "gone", "deaf")
        while not self._over.wait(PAUSE_SECONDS * self._chance.random()):
            kind = self._chance.choice(kinds)
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self._begin(kind)
            self._over.wait(3 * self._chance.random())
            self.mend()

    def end(self) -> None:
        """Let nothing more happen."""
        self._over.set()
        self.join()
        self.mend()

    def mend(self) -> None:
        """Let everybody be well."""
        self._smsc.mood, self._application.is_broken = NORMAL, False
        self._application.is_deaf = False
        self._gate.mend()

    def _begin(self, kind: str) -> None:
        match kind:
            case "hung up":
                self._loop.call_soon_threadsafe(self._smsc.hang_up)
            case "broken":
                self._application.is_broken = True
            case "deaf":
                self._application.is_deaf = True
            case "gone":
                self._gate.shut()
            case _:
                self._smsc.mood = kind
