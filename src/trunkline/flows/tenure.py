"""What this node has to itself at present, and what it would like to have.

Rule: who begins something alone asks for the lease, and asks again before it has an effect outside
the database; a write of what is leased holds the lease in its commit.
"""

from collections.abc import Callable, Collection, Iterable

from trunkline.runtime import Bell, uptime
from trunkline.store.callbacks import SHARDS, shard_of
from trunkline.store.leases import Always, Lease, TimedLease

LANES, CARRIERS, WEBHOOKS, DELIVERIES = "lane:", "carrier:", "webhooks:", "deliveries:"
# Everything that the phones of the simulated network need: one node plays them all.
NETWORK = "network"
SWEEPER, MEDIA, RETENTION, SCHEDULE = "sweeper", "media", "retention", "schedule"
COMMON = frozenset(
    {SWEEPER, MEDIA, RETENTION, SCHEDULE, *(f"{WEBHOOKS}{shard}" for shard in range(SHARDS))}
)
# What takes leave of somebody first; all else is given back as soon as it is to be.
DRAINED = (LANES, CARRIERS, NETWORK)


class Tenure:
    """The leases of this node. One that is alone with its database has whatever it asks for."""

    def __init__(self, *, is_alone: bool = True, time: Callable[[], float] = uptime) -> None:
        self.is_alone = is_alone
        self.node_sid = ""
        self.bell = Bell()  # Rung when a lease came, went or is to be given back.
        self.wishes = Bell()  # Rung when something else is wanted, or was given back.
        self.taken: frozenset[str] = frozenset()  # What any node has, as far as we know.
        self.given_back: set[str] = set()
        self.stirred: set[str] = set()  # What others are to look at: lanes, as topics.
        self._time = time
        self._leases: dict[str, TimedLease] = {}
        self._leaving: frozenset[str] = frozenset()
        self._wished: dict[str, frozenset[str]] = {}

    def lease(self, name: str) -> Lease | None:
        """Return the lease of *name*; None while it is not ours, or is to be given back."""
        if self.is_alone:
            return Always(name)
        lease = self._leases.get(name)
        is_ours = lease is not None and name not in self._leaving and lease.is_valid()
        return lease if is_ours else None

    def owned(self, prefix: str) -> frozenset[str]:
        """Return the names with a prefix that are ours and are not to be given back."""
        known = self.wanted if self.is_alone else self._leases.keys()
        return frozenset(n for n in known if n.startswith(prefix) and self.lease(n) is not None)

    def has_webhooks_of(self, account_sid: str) -> bool:
        """Tell whether the webhooks of an account are this node's to make."""
        return self.is_alone or self.lease(f"{WEBHOOKS}{shard_of(account_sid)}") is not None

    def webhook_shards(self) -> list[int] | None:
        """Return the shards of webhooks that are ours; None where all are."""
        if self.is_alone:
            return None
        return [n for n in range(SHARDS) if self.lease(f"{WEBHOOKS}{n}") is not None]

    def give_back(self, name: str) -> None:
        """Say that nothing is done any more with what is to be given back."""
        if name in self._leases:
            self.given_back.add(name)
            self.wishes.ring()

    def stir(self, topic: str) -> None:
        """Let whoever has something look at it; it is told with the next tidings."""
        self.stirred.add(topic)

    def wish(self, prefix: str, names: Iterable[str]) -> None:
        """Say what with a prefix this node can make use of, and perhaps no other."""
        wished = frozenset(names)
        if self._wished.get(prefix, frozenset()) != wished:
            self._wished[prefix] = wished
            self.wishes.ring()

    @property
    def wished(self) -> frozenset[str]:
        """All that was wished for."""
        return frozenset().union(*self._wished.values())

    @property
    def wanted(self) -> frozenset[str]:
        """What some node must have, and what was wished for."""
        return COMMON | self.wished

    @property
    def held(self) -> frozenset[str]:
        """Return the names of all leases that are ours, also of those to be given back."""
        return frozenset(self._leases)

    @property
    def leaving(self) -> frozenset[str]:
        """Return the names of those to be given back."""
        return self._leaving

    def gained(self, name: str, *, node_sid: str, fence: int, until: float) -> None:
        """Take notice of a lease that was taken or renewed."""
        lease = self._leases.get(name)
        if lease is not None and lease.fence == fence:
            lease.renew(until)
            return
        if lease is not None:
            lease.end()
        self._leases[name] = TimedLease(
            name, node_sid=node_sid, fence=fence, until=until, time=self._time
        )
        self.bell.ring()

    def lost(self, names: Collection[str]) -> None:
        """Take notice of leases that are another's, or nobody's."""
        for name in names:
            if (lease := self._leases.pop(name, None)) is not None:
                lease.end()
                self.bell.ring()
        self.given_back.difference_update(names)
        self._leaving -= frozenset(names)

    def forfeit(self, lease: Lease) -> None:
        """Take notice that a commit found a lease to be another's; a newer one of ours stays."""
        if self._leases.get(lease.name) is lease:
            self.lost([lease.name])

    def leave(self, names: Collection[str]) -> None:
        """Let what is done with some leases end, so that they can be given back."""
        leaving = frozenset(names)
        if leaving != self._leaving:
            self._leaving = leaving
            self.given_back &= leaving
            self.bell.ring()

    def lapse(self) -> frozenset[str]:
        """Let go of the leases whose time is over, and return their names."""
        over = frozenset(n for n, lease in self._leases.items() if not lease.is_valid())
        self.lost(over)
        return over
