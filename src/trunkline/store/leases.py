"""Leases: what one node at a time has to itself, and how its writes are kept apart from the next's.

Rule 1: expiry is judged by the database's clock alone, so that nodes need not agree on the time.
Rule 2: whoever takes a lease raises its fence; a write that holds the lease names the fence that it
        was given, and commits before the lease can be taken over, or not at all.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, bindparam, literal, or_, select, text, update

from trunkline.domain.ids import EPOCH, instant
from trunkline.store.tables import leases
from trunkline.store.upserts import upsert

NOBODY = ""
# The longest that can be set. A lease that lasts longer was given before the clock was set back.
LEASE_SECONDS_MAX = 300
# Lanes, shards and customers' deliveries: some hundred on a large installation.
LEASES_MAX = 10_000

_DATABASE_TIME = text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)")
_OURS = (leases.c.name == bindparam("b_name")) & (leases.c.node_sid == bindparam("b_node"))
# The weakest lock that a take-over waits for. Renewing changes no key, so it waits for none.
_HOLD = (
    select(literal(1))
    .where(_OURS, leases.c.fence == bindparam("b_fence"))
    .with_for_update(read=True, key_share=True)
)


class LeaseLost(Exception):
    """What was leased is another node's now; the work that asked has changed nothing."""


class Lease(Protocol):
    """The right to do something alone."""

    @property
    def name(self) -> str:
        """What is leased."""

    def is_valid(self) -> bool:
        """Tell whether nobody else can have it at this moment."""

    def hold(self, db: Connection) -> None:
        """Keep others from taking it until this work's commit; raise LeaseLost if one has."""


@dataclass(frozen=True, slots=True)
class Always:
    """The lease of a program that is alone with its database."""

    name: str

    def is_valid(self) -> bool:
        """Return True: there is nobody else."""
        return True

    def hold(self, db: Connection) -> None:
        """Do nothing."""


class TimedLease:
    """A lease among several nodes; *time* is a clock that never stops, not even while we do."""

    def __init__(
        self, name: str, *, node_sid: str, fence: int, until: float, time: Callable[[], float]
    ) -> None:
        self.name = name
        self.node_sid = node_sid
        self.fence = fence
        self._until = until
        self._time = time

    def is_valid(self) -> bool:
        """Tell whether the time that the last renewal gave is not over."""
        return self._time() < self._until

    def renew(self, until: float) -> None:
        """Take notice of a renewal."""
        self._until = max(self._until, until)

    def end(self) -> None:
        """Take notice that it is another node's, or nobody's."""
        self._until = float("-inf")

    def hold(self, db: Connection) -> None:
        """Keep others from taking it until this work's commit; raise LeaseLost if one has."""
        ours = {"b_name": self.name, "b_node": self.node_sid, "b_fence": self.fence}
        if db.execute(_HOLD, ours).first() is None:
            raise LeaseLost(self.name)


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """Who has what, and until when by the database's clock."""

    name: str
    node_sid: str
    fence: int
    expires_at: datetime

    def is_free(self, at: datetime) -> bool:
        """Tell whether it can be taken."""
        too_long = at + timedelta(seconds=LEASE_SECONDS_MAX)
        return self.node_sid == NOBODY or not at < self.expires_at <= too_long


def database_time(db: Connection, now: datetime) -> datetime:
    """Return the time that leases go by; SQLite has no clock of its own, so it is *now*."""
    if db.dialect.name == "sqlite":
        return now
    return instant(int(db.execute(_DATABASE_TIME).scalar_one()))


def all_leases(db: Connection) -> list[LeaseRow]:
    """Return every lease that was ever given."""
    query = select(leases).order_by(leases.c.name).limit(LEASES_MAX)
    return [LeaseRow(**row._mapping) for row in db.execute(query)]


def renew_leases(db: Connection, node_sid: str, *, until: datetime) -> None:
    """Let all of a node's leases last until a time; one that ran out and nobody took is its own."""
    db.execute(update(leases).where(leases.c.node_sid == node_sid).values(expires_at=until))


def take_leases(
    db: Connection, names: Iterable[str], *, node_sid: str, at: datetime, until: datetime
) -> list[LeaseRow]:
    """Give a node those of some leases that are free; return what it got."""
    wanted = sorted(set(names))
    if not wanted:
        return []
    _add_missing(db, wanted)
    # What another node is about to take, or is held by a work under way, is passed over.
    query = (
        select(leases.c.name)
        .where(leases.c.name.in_(wanted), _is_free(at))
        .order_by(leases.c.name)
        .with_for_update(skip_locked=True)
    )
    free = list(db.execute(query).scalars())
    if not free:
        return []
    new = {"node_sid": node_sid, "fence": leases.c.fence + 1, "expires_at": until}
    db.execute(update(leases).where(leases.c.name.in_(free)).values(**new))
    rows = db.execute(select(leases).where(leases.c.name.in_(free)).order_by(leases.c.name))
    return [LeaseRow(**row._mapping) for row in rows]


def _add_missing(db: Connection, names: Sequence[str]) -> None:
    """Let each name have a row. What is there is not inserted: that waits for who is taking it."""
    there = set(db.execute(select(leases.c.name).where(leases.c.name.in_(names))).scalars())
    blank = {"node_sid": NOBODY, "fence": 0, "expires_at": EPOCH}
    rows = [{"name": name, **blank} for name in names if name not in there]
    if rows:
        db.execute(upsert(leases).on_conflict_do_nothing(), rows)


def release_leases(db: Connection, node_sid: str, *, names: Collection[str] | None = None) -> None:
    """Give some or all of a node's leases back, so that others may take them at once."""
    here = leases.c.node_sid == node_sid
    if names is not None:
        here &= leases.c.name.in_(sorted(names))
    db.execute(update(leases).where(here).values(node_sid=NOBODY, expires_at=EPOCH))


def _is_free(at: datetime) -> ColumnElement[bool]:
    """Say in SQL what `LeaseRow.is_free` says."""
    return or_(
        leases.c.node_sid == NOBODY,
        leases.c.expires_at <= at,
        leases.c.expires_at > at + timedelta(seconds=LEASE_SECONDS_MAX),
    )
