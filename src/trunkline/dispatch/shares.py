"""How leases are shared out: each node takes its fair share of what is free, and leaves the rest.

Rule: every node judges by the same rows, and none needs to be told; what differs between them is
the order in which they like leases, so that they seldom reach for the same one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from zlib import crc32

from trunkline.flows.tenure import DELIVERIES, LANES, WEBHOOKS
from trunkline.store.leases import LeaseRow
from trunkline.store.nodes import NodeRow, NodeState

_TASKS = "task"  # Of what there is one of each: they are shared out together.


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a node sees, at a time of the database: all nodes, all leases, and what is wanted."""

    node_sid: str
    at: datetime
    nodes: Sequence[NodeRow]
    leases: Sequence[LeaseRow]
    wanted: Collection[str]

    @property
    def workers(self) -> int:
        """How many nodes the work is shared out among."""
        alive = [n for n in self.nodes if n.state is NodeState.UP and n.is_alive(self.at)]
        return max(len(alive), 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a node does about it: takes some leases, and has others too many or for nothing."""

    take: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    useless: list[str] = field(default_factory=list)


def plan(situation: Situation) -> Plan:
    """Return what a node is to take and what it has too much of, each the likeliest first."""
    found = Plan()
    rows = {row.name: row for row in situation.leases}
    mine = {row.name for row in situation.leases if row.node_sid == situation.node_sid}
    found.useless.extend(sorted(mine - set(situation.wanted)))
    for kind, names in _by_kind(situation.wanted).items():
        free = [n for n in names if n not in rows or rows[n].is_free(situation.at)]
        free = [n for n in free if n not in mine]
        held = [n for n in names if n in mine]
        if kind == DELIVERIES:
            found.take.extend(free)
            continue
        room = ceil(len(names) / situation.workers) - len(held)
        if room > 0:
            found.take.extend(_ranked(free, situation.node_sid, beside=held)[:room])
        elif room < 0:
            found.surplus.extend(_ranked(held, situation.node_sid)[room:])
    return found


def _by_kind(names: Iterable[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        prefixes = (p for p in (LANES, WEBHOOKS, DELIVERIES) if name.startswith(p))
        found[next(prefixes, _TASKS)].append(name)
    return found


def _ranked(names: Iterable[str], node_sid: str, *, beside: Iterable[str] = ()) -> list[str]:
    """Return names in the order in which a node likes them: of each carrier one, then a second."""
    count: dict[str, int] = defaultdict(int)
    for name in beside:
        count[_group(name)] += 1
    ranked: list[tuple[int, int, str]] = []
    for liking, name in sorted((crc32(f"{node_sid}{n}".encode()), n) for n in names):
        ranked.append((count[_group(name)], liking, name))
        count[_group(name)] += 1
    return [name for _, _, name in sorted(ranked)]


def _group(name: str) -> str:
    return name.rpartition("/")[0]
