"""Who is bound: how many at once, how fast they may be, and who guesses passwords."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from trunkline.domain.carrier import SmppCredential
from trunkline.smpp.pdu import DeliverSm
from trunkline.store.deliveries import DeliveryRow

# A few wrong passwords are typing errors; each one after them doubles the wait.
FREE_FAILURES = 5
FIRST_WAIT_SECONDS = 0.5
WAIT_SECONDS_MAX = 30.0
FORGOTTEN_AFTER_SECONDS = 600.0
# Hosts that failed lately; past it the one that has been quiet the longest is forgotten.
HOSTS_MAX = 10_000


class Peer(Protocol):
    """One bound connection."""

    credential: SmppCredential

    @property
    def room(self) -> int:
        """How many deliver_sm it can take now; 0 for a transmitter."""

    def deliver(self, row: DeliveryRow, pdus: list[DeliverSm]) -> None:
        """Send what is owed; whoever started the server hears how it went."""

    def dismiss(self) -> None:
        """Unbind."""


@dataclass(slots=True)
class Bucket:
    """Lets through so many a second, and as many at once after a second of silence."""

    per_second: int
    filled_at: float
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = float(self.per_second)

    def take(self, count: int, *, now: float) -> bool:
        """Take *count* at once, or nothing."""
        filled = self.tokens + (now - self.filled_at) * self.per_second
        self.tokens, self.filled_at = min(float(self.per_second), filled), now
        if self.tokens < count:
            return False
        self.tokens -= count
        return True


@dataclass(slots=True)
class _Failures:
    count: int
    at: float


class Binds:
    """All bound connections, by system_id."""

    def __init__(self) -> None:
        self._peers: dict[str, list[Peer]] = {}
        self._buckets: dict[str, Bucket] = {}
        self._failures: dict[str, _Failures] = {}

    def __iter__(self) -> Iterator[Peer]:
        return iter([peer for peers in self._peers.values() for peer in peers])

    @property
    def system_ids(self) -> list[str]:
        """Who is bound at all."""
        return list(self._peers)

    def join(self, peer: Peer) -> bool:
        """Let a connection in, unless its customer has as many as he may."""
        credential = peer.credential
        peers = self._peers.setdefault(credential.system_id, [])
        if len(peers) >= credential.binds_max:
            return False
        peers.append(peer)
        return True

    def leave(self, peer: Peer) -> None:
        """Let a connection go; one that is not here is no trouble."""
        system_id = peer.credential.system_id
        left = [each for each in self._peers.get(system_id, ()) if each is not peer]
        if left:
            self._peers[system_id] = left
        else:
            self._peers.pop(system_id, None)
            self._buckets.pop(system_id, None)

    def receiver(self, system_id: str) -> Peer | None:
        """Return the connection of a customer with the most room to deliver, if any has some."""
        best = max(self._peers.get(system_id, ()), key=lambda peer: peer.room, default=None)
        return best if best is not None and best.room > 0 else None

    def may_submit(self, credential: SmppCredential, count: int, *, now: float) -> bool:
        """Tell whether a customer may submit *count* more now, and count them if so."""
        per_second = credential.per_second_max
        if not per_second:
            return True
        bucket = self._buckets.get(credential.system_id)
        if bucket is None or bucket.per_second != per_second:
            bucket = self._buckets[credential.system_id] = Bucket(per_second, now)
        return bucket.take(count, now=now)

    def failed(self, host: str, *, now: float) -> None:
        """Take notice of a bind that was refused."""
        before = self._failures.pop(host, None)
        is_fresh = before is not None and now - before.at < FORGOTTEN_AFTER_SECONDS
        self._failures[host] = _Failures(before.count + 1 if before and is_fresh else 1, now)
        if len(self._failures) > HOSTS_MAX:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, host: str) -> None:
        """Take notice of a good bind."""
        self._failures.pop(host, None)

    def wait_seconds(self, host: str) -> float:
        """Return how long a host waits for the answer to a bind."""
        failures = self._failures.get(host)
        over = failures.count - FREE_FAILURES if failures else 0
        if over <= 0:
            return 0.0
        return min(WAIT_SECONDS_MAX, FIRST_WAIT_SECONDS * 2.0 ** min(over, 10))
