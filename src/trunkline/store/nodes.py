"""The nodes that work on one database: that they live, what they report, what they stirred up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, delete, select, update

from trunkline.store.leases import release_leases
from trunkline.store.rows import values_of
from trunkline.store.tables import config_version, nodes
from trunkline.store.upserts import upsert

# A row each; more processes than that do not share one database.
NODES_MAX = 1000
# How long a node that is gone without a word is still shown.
DEAD_SHOWN_FOR = timedelta(hours=1)
_THE_ONE = 1


class NodeState(StrEnum):
    """Whether a node takes work."""

    UP = "up"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node. carriers: since when those at work on it are down, in microseconds, None while up.

    news: what it stirred lately, each with a number that grows.
    """

    sid: str
    name: str
    version: str
    state: NodeState = NodeState.UP
    started_at: datetime
    seen_at: datetime
    lease_seconds: int
    carriers: Mapping[str, int | None] = field(default_factory=dict)
    news: Sequence[tuple[int, str]] = ()

    def is_alive(self, at: datetime) -> bool:
        """Tell whether it was heard of within its own lease time."""
        return at - self.seen_at < timedelta(seconds=self.lease_seconds)


@dataclass(frozen=True, slots=True)
class Tidings:
    """What nodes stirred up, by node, and how often settings were changed."""

    news: Mapping[str, Sequence[tuple[int, str]]]
    version: int


def put_node(db: Connection, node: NodeRow) -> None:
    """Store what a node says of itself; what it stirred stays."""
    values = values_of(node)
    fresh = upsert(nodes).values(**values)
    said = {name: fresh.excluded[name] for name in ("state", "seen_at", "carriers")}
    db.execute(fresh.on_conflict_do_update(index_elements=["sid"], set_=said))


def put_news(db: Connection, node_sid: str, news: Sequence[tuple[int, str]]) -> None:
    """Store what a node stirred up."""
    db.execute(update(nodes).where(nodes.c.sid == node_sid).values(news=[list(n) for n in news]))


def all_nodes(db: Connection) -> list[NodeRow]:
    """Return all nodes, those that are gone without a word for some time, too; oldest first."""
    query = select(nodes).order_by(nodes.c.sid).limit(NODES_MAX)
    return [
        NodeRow(**{**row._mapping, "state": NodeState(row.state), "news": _news(row.news)})
        for row in db.execute(query)
    ]


def remove_node(db: Connection, node_sid: str) -> None:
    """Let a node go, and everything that it had."""
    release_leases(db, node_sid)
    db.execute(delete(nodes).where(nodes.c.sid == node_sid))


def forget_dead_nodes(db: Connection, at: datetime) -> None:
    """Remove the nodes that were not heard of for long."""
    db.execute(delete(nodes).where(nodes.c.seen_at < at - DEAD_SHOWN_FOR))


def read_tidings(db: Connection, node_sid: str) -> Tidings:
    """Return what the others stirred up, and how often settings were changed."""
    query = select(nodes.c.sid, nodes.c.news).where(nodes.c.sid != node_sid).limit(NODES_MAX)
    news = {row.sid: _news(row.news) for row in db.execute(query)}
    return Tidings(news, read_version(db))


def read_version(db: Connection) -> int:
    """Return how often what nodes keep in memory of the settings was changed."""
    return db.execute(select(config_version.c.version)).scalar() or 0


def raise_version(db: Connection) -> None:
    """Let all nodes read settings anew; in the commit that changes them."""
    one_more = {"version": config_version.c.version + 1}
    if not db.execute(update(config_version).values(**one_more)).rowcount:
        first = upsert(config_version).values(id=_THE_ONE, version=1)
        db.execute(first.on_conflict_do_update(index_elements=["id"], set_=one_more))


def _news(found: Sequence[Sequence[int | str]]) -> list[tuple[int, str]]:
    return [(int(number), str(topic)) for number, topic in found]
