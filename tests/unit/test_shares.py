"""How leases are shared out among nodes, as every node works it out for itself."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from trunkline.dispatch.shares import Situation, plan
from trunkline.domain.ids import EPOCH
from trunkline.flows.tenure import COMMON
from trunkline.store.callbacks import SHARDS, shard_of
from trunkline.store.leases import NOBODY, LeaseRow
from trunkline.store.nodes import NodeRow, NodeState

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LEASE = timedelta(seconds=10)
LANES = frozenset(f"lane:{carrier}/{n}" for carrier in ("acme", "best") for n in range(3))


class World:
    """Nodes that look in turn, and the leases that they have."""

    def __init__(self, nodes: int, wanted: frozenset[str] = LANES | COMMON) -> None:
        self.names = [f"ND{n}" for n in range(nodes)]
        self.leaving: set[str] = set()
        self.wanted = wanted
        self.owners: dict[str, str] = {}

    def look(self, name: str, *, gives_back: bool = True) -> int:
        """Let a node do what its plan says; return how much that was."""
        found = plan(self.situation(name))
        for lease in [*found.useless, *(found.surplus if gives_back else ())]:
            del self.owners[lease]
        self.owners |= dict.fromkeys(found.take, name)
        return len(found.take) + len(found.surplus) + len(found.useless)

    def settle(self) -> None:
        """Let all look until nobody does anything any more."""
        for _ in range(10):
            if not sum([self.look(name) for name in self.names if name not in self.leaving]):
                return
        raise AssertionError("they never come to rest")

    def situation(self, name: str) -> Situation:
        nodes = [
            NodeRow(
                sid=sid,
                name=sid,
                version="1",
                state=NodeState.LEAVING if sid in self.leaving else NodeState.UP,
                started_at=NOON,
                seen_at=NOON,
                lease_seconds=10,
            )
            for sid in self.names
        ]
        rows = [LeaseRow(n, owner, 1, NOON + LEASE) for n, owner in self.owners.items()]
        return Situation(node_sid=name, at=NOON, nodes=nodes, leases=rows, wanted=self.wanted)

    def counts(self, prefix: str) -> list[int]:
        """Return how many leases with a prefix each node has, sorted."""
        found = Counter(owner for n, owner in self.owners.items() if n.startswith(prefix))
        return sorted(found[name] for name in self.names)


def test_a_node_alone_takes_everything() -> None:
    """There is nobody to share with."""
    world = World(1)
    world.settle()
    assert set(world.owners) == LANES | COMMON


def test_nodes_share_alike() -> None:
    """Lanes, shards and the rest each by themselves, and of each carrier one lane before two."""
    world = World(3)
    world.settle()
    assert world.counts("lane:") == [2, 2, 2]
    assert world.counts("lane:acme") == world.counts("lane:best") == [1, 1, 1]
    assert sum(world.counts("webhooks:")) == SHARDS
    assert max(world.counts("webhooks:")) == 6
    assert set(world.owners) == LANES | COMMON


def test_whoever_joins_gets_a_share_and_little_else_moves() -> None:
    """Only what is too much for the others goes to the new one."""
    world = World(2)
    world.settle()
    before = dict(world.owners)
    world.names.append("ND9")
    world.settle()
    assert world.counts("lane:") == [2, 2, 2]
    moved = {name for name, owner in world.owners.items() if before[name] != owner}
    assert {world.owners[name] for name in moved} == {"ND9"}


def test_what_a_dead_node_had_is_shared_by_those_who_live() -> None:
    """Its leases are free once they ran out."""
    world = World(3)
    world.settle()
    gone = world.names.pop()
    world.owners = {name: owner for name, owner in world.owners.items() if owner != gone}
    world.settle()
    assert world.counts("lane:") == [3, 3]
    assert set(world.owners) == LANES | COMMON


def test_whoever_leaves_is_not_counted() -> None:
    """Others may take its share before it has given anything back."""
    world = World(2)
    world.leaving = {"ND1"}
    world.settle()
    assert world.counts("lane:") == [0, 6]


def test_what_nobody_wants_any_more_is_given_back() -> None:
    """A carrier with fewer lanes, for example."""
    world = World(2)
    world.settle()
    world.wanted -= {"lane:acme/2"}
    world.settle()
    assert set(world.owners) == world.wanted


def test_more_nodes_than_lanes_leave_some_idle() -> None:
    """And nothing goes round in circles."""
    world = World(5, frozenset({"lane:acme/0", "lane:acme/1"}))
    world.settle()
    assert world.counts("lane:") == [0, 0, 0, 1, 1]


def test_deliveries_are_taken_by_whoever_has_the_customer() -> None:
    """They are no common work, so nobody takes a share of them."""
    wanted = frozenset(f"deliveries:c{n}" for n in range(10))
    situation = World(3, wanted).situation("ND0")
    assert set(plan(situation).take) == wanted


def test_what_another_has_is_left_alone_until_it_is_free() -> None:
    """By its time, or because it was given back."""
    world = World(2, frozenset({"lane:acme/0"}))
    world.owners = {"lane:acme/0": "ND1"}
    assert plan(world.situation("ND0")).take == []
    for row in (
        LeaseRow("lane:acme/0", "ND1", 1, NOON),
        LeaseRow("lane:acme/0", NOBODY, 1, EPOCH),
    ):
        situation = Situation(
            node_sid="ND0",
            at=NOON,
            nodes=world.situation("ND0").nodes,
            leases=[row],
            wanted=world.wanted,
        )
        assert plan(situation).take == ["lane:acme/0"]


def test_an_accounts_webhooks_are_always_in_one_shard() -> None:
    """On every node the same one, and accounts use all of them."""
    assert shard_of("AC" + "0" * 32) == shard_of("AC" + "0" * 32)
    shards = {shard_of(f"AC{n:032x}") for n in range(200)}
    assert shards == set(range(SHARDS))
