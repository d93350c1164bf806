"""Three nodes on one database: one dies, one stands still, one is cut off; messages go on.

Each test has an SMSC on its own loop; the nodes are processes, driven from a thread.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

import pytest

from tests.databases import DATABASES
from tests.nodes import LEASE_SECONDS, SECONDS, Nodes, ports_of, running_nodes
from tests.processes import Server, ask, wait_until
from tests.smsc import Peer, Script, ScriptedSmsc, receipt
from trunkline.smpp.pdu import SubmitSm

pytestmark = pytest.mark.postgresql

LANES = 6
SENDERS = 30  # Enough that every lane has some.
WINDOW = 5


@dataclass
class Arrivals:
    """An SMSC that answers and delivers at once, unless it holds; and what came to it."""

    smsc: ScriptedSmsc = field(init=False)
    seen: list[tuple[Peer, str]] = field(default_factory=list)
    held: list[tuple[Peer, int]] = field(default_factory=list)
    is_holding: bool = False

    def __post_init__(self) -> None:
        self.smsc = ScriptedSmsc(Script(submit=self._take))

    @property
    def texts(self) -> Counter[str]:
        """How often each text came."""
        return Counter(text for _, text in list(self.seen))

    def of(self, ports: set[int]) -> list[str]:
        """Return the texts that came from some ports."""
        return [text for peer, text in list(self.seen) if port_of(peer) in ports]

    def _take(self, peer: Peer, number: int, pdu: SubmitSm) -> None:
        self.seen.append((peer, pdu.short_message.decode("ascii")))
        if self.is_holding:
            self.held.append((peer, number))
            return
        message_id = self.smsc.next_id()
        peer.accept(number, message_id)
        peer.deliver(receipt(message_id))


def port_of(peer: Peer) -> int:
    """Return from which port a connection comes."""
    assert peer.transport is not None
    name = peer.transport.get_extra_info("peername")
    return int(name[1]) if name else 0


Drive = Callable[[Nodes, Arrivals], None]


async def played(directory: Path, drive: Drive, *, nodes: int = 3) -> None:
    """Have an SMSC on this loop, and everything else on a thread."""
    arrivals = Arrivals()

    def play() -> None:
        with running_nodes(directory, nodes) as running:
            connect(running.servers[0], arrivals.smsc.port)
            drive(running, arrivals)

    # Not by the thread: the server ends with the thread that started it.
    DATABASES.settings(directory / "shared")
    async with arrivals.smsc:
        await asyncio.to_thread(play)


def connect(server: Server, port: int) -> None:
    """Let messages leave by the SMSC at a port, in several lanes."""
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "system_id": "esme",
        "window": WINDOW,
        "lanes": LANES,
        "reconnect_seconds": 0.1,
        "reconnect_seconds_max": 0.2,
    }
    form = {"Name": "acme", "Type": "smpp", "Set": [f"{k}={v}" for k, v in settings.items()]}
    for path, given in (("carriers", form), ("routes", {"Carrier": "acme", "Order": 1})):
        answer = ask("POST", f"{server.base_url}/trunkline/v1/{path}", given, auth=server.auth)
        assert answer.status == 201, answer.body
    for number in range(SENDERS):
        add = {"PhoneNumber": sender(number)}
        answer = ask("POST", f"{server.base_url}/trunkline/v1/numbers", add, auth=server.auth)
        assert answer.status == 201, answer.body


def sender(number: int) -> str:
    """Return one of our numbers."""
    return f"+1415555{number % SENDERS:04}"


def send(server: Server, number: int) -> str:
    """Send a numbered text and return its SID."""
    form = {"To": f"+1202555{number:04}", "From": sender(number), "Body": f"text {number}"}
    answer = ask("POST", f"{server.account_url}/Messages.json", form, auth=server.auth)
    assert answer.status == 201, answer.body
    return str(answer.json["sid"])


def statuses(server: Server, sids: list[str]) -> Counter[str]:
    """Return how many messages have which status."""
    with server.client() as client:
        found = {m.sid: m.status for m in client.messages.stream(page_size=1000)}
    return Counter(found[sid] for sid in sids)


def all_delivered(server: Server, sids: list[str]) -> None:
    """Wait until every message was delivered."""
    wait_until(
        lambda: statuses(server, sids) == {"delivered": len(sids)},
        SECONDS,
        what=f"{len(sids)} delivered",
    )


async def test_lanes_are_spread_and_taken_over_when_a_node_is_killed(tmp_path: Path) -> None:
    """Its messages go on by the others, whichever node they were given to."""

    def drive(nodes: Nodes, arrivals: Arrivals) -> None:
        nodes.spread([2, 2, 2], asked=0)
        wait_until(lambda: len(arrivals.smsc.bound) == LANES, SECONDS)
        sids = [send(nodes.servers[n % 3], n) for n in range(60)]
        all_delivered(nodes.servers[1], sids)
        assert max(arrivals.texts.values()) == 1
        arrivals.is_holding = True
        sids += [send(nodes.servers[n % 3], n) for n in range(60, 180)]
        wait_until(lambda: len(arrivals.held) == LANES * WINDOW, SECONDS)
        nodes.kill(2)
        arrivals.is_holding = False
        for peer, number in arrivals.held:
            peer.accept(number)
        nodes.spread([3, 3], asked=0)
        wait_until(lambda: len(arrivals.smsc.bound) == LANES, SECONDS)
        wait_until(lambda: len(arrivals.texts) == 180, SECONDS, what="every text came")
        again = sum(count - 1 for count in arrivals.texts.values())
        assert again <= 2 * 2 * WINDOW, "only what was in hand of two lanes may come twice"
        ended = statuses(nodes.servers[0], sids)
        assert ended.keys() <= {"delivered", "sent", "sending", "queued"}, ended

    await played(tmp_path, drive)


async def test_a_node_that_stood_still_does_no_harm(tmp_path: Path) -> None:
    """Others have its lanes meanwhile; when it goes on, nothing of the past leaves it."""

    def drive(nodes: Nodes, arrivals: Arrivals) -> None:
        nodes.spread([2, 2, 2], asked=0)
        wait_until(lambda: len(arrivals.smsc.bound) == LANES, SECONDS)
        ports = ports_of(nodes.servers[2].process.popen.pid)
        arrivals.is_holding = True
        sids = [send(nodes.servers[2], n) for n in range(150)]
        wait_until(lambda: len(arrivals.held) == LANES * WINDOW, SECONDS)
        nodes.stand_still(2)
        before = len(arrivals.of(ports))
        assert before == 2 * WINDOW
        arrivals.is_holding = False
        for peer, number in arrivals.held:
            peer.accept(number)
        nodes.spread([3, 3], asked=0)
        wait_until(lambda: len(arrivals.texts) == len(sids), SECONDS, what="every text came")
        nodes.go_on(2)
        nodes.spread([2, 2, 2], asked=2)
        assert len(arrivals.of(ports)) == before
        more = [send(nodes.servers[2], n) for n in range(200, 260)]
        all_delivered(nodes.servers[2], more)
        assert {arrivals.texts[f"text {n}"] for n in range(200, 260)} == {1}
        again = sum(count - 1 for count in arrivals.texts.values())
        assert again <= 2 * 2 * WINDOW
        assert "failed" not in statuses(nodes.servers[0], sids)

    await played(tmp_path, drive)


async def test_a_node_that_is_cut_off_sends_nothing_when_its_leases_are_over(
    tmp_path: Path,
) -> None:
    """It still has the carrier, but not the database; when that is back it takes part again."""

    def drive(nodes: Nodes, arrivals: Arrivals) -> None:
        nodes.start(2, through_proxy=True)
        nodes.spread([2, 2, 2], asked=0)
        wait_until(lambda: len(arrivals.smsc.bound) == LANES, SECONDS)
        ports = ports_of(nodes.servers[2].process.popen.pid)
        arrivals.is_holding = True
        sids = [send(nodes.servers[0], n) for n in range(150)]
        wait_until(lambda: len(arrivals.held) == LANES * WINDOW, SECONDS)
        nodes.proxies[2].cut()
        nodes.spread([3, 3], asked=0)
        before = len(arrivals.of(ports))
        arrivals.is_holding = False
        for peer, number in arrivals.held:
            peer.accept(number)
        wait_until(lambda: len(arrivals.texts) == len(sids), SECONDS, what="every text came")
        assert len(arrivals.of(ports)) == before
        nodes.proxies[2].mend()
        nodes.spread([2, 2, 2], asked=0)
        assert len(arrivals.of(ports)) == before
        more = [send(nodes.servers[2], n) for n in range(200, 260)]
        all_delivered(nodes.servers[2], more)

    await played(tmp_path, drive, nodes=2)


async def test_a_node_that_is_told_to_leave_gives_its_leases_back_at_once(tmp_path: Path) -> None:
    """Nobody waits for them to run out, and the node is gone from the list."""

    def drive(nodes: Nodes, arrivals: Arrivals) -> None:
        nodes.spread([3, 3], asked=0)
        leaving = nodes.servers.pop(1)
        assert leaving.process.end(SIGTERM, seconds=10) == 0
        nodes.spread([6], asked=0, seconds=LEASE_SECONDS / 2)
        assert len(nodes.shown(0)["nodes"]) == 1
        wait_until(lambda: len(arrivals.smsc.bound) == LANES, SECONDS)

    await played(tmp_path, drive, nodes=2)
