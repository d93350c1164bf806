"""The nodes on our database as people want to see them: which live, and who has what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from trunkline.flows.platform import Platform
from trunkline.store.leases import LeaseRow, all_leases, database_time
from trunkline.store.nodes import NodeRow, all_nodes

SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Node:
    """One node, with what it has. state: 'up', 'leaving', or 'silent' for one not heard of."""

    row: NodeRow
    state: str
    is_this: bool
    leases: tuple[LeaseRow, ...]


@dataclass(frozen=True, slots=True)
class Nodes:
    """All nodes by the database's time; waiting is what some node must have and none has."""

    at: datetime
    is_alone: bool
    nodes: Sequence[Node]
    waiting: Sequence[str]


async def listed(platform: Platform) -> Nodes:
    """Return the nodes, oldest first; a program that is alone with its database has no rows."""
    now = platform.clock.now()

    def query(db: Connection) -> tuple[datetime, list[NodeRow], list[LeaseRow]]:
        return database_time(db, now), all_nodes(db), all_leases(db)

    tenure = platform.tenure
    if tenure.is_alone:
        return Nodes(now, is_alone=True, nodes=(), waiting=())
    at, rows, leases = await platform.store.read(query)
    taken = [lease for lease in leases if not lease.is_free(at)]
    nodes = [
        Node(
            row=row,
            state=row.state.value if row.is_alive(at) else SILENT,
            is_this=row.sid == tenure.node_sid,
            leases=tuple(lease for lease in taken if lease.node_sid == row.sid),
        )
        for row in rows
    ]
    waiting = sorted(tenure.wanted - {lease.name for lease in taken})
    return Nodes(at, is_alone=False, nodes=nodes, waiting=waiting)
