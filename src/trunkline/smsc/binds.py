"""Who is bound: how many at once, how fast they may be, and who guesses passwords."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Protocol

from trunkline.domain.carrier import SmppCredential
from trunkline.smpp.pdu import DeliverSm
from trunkline.store.deliveries import DeliveryRow

# A few wrong passwords are typing errors; each one after them doubles the wait.
FREE_FAILURES = 5
FIRST_WAIT_SECONDS = 0.5
# Who waits longer than a connection may do without a bind is never let in, however right he is.
WAIT_SECONDS_MAX = 8.0
FORGOTTEN_AFTER_SECONDS = 600.0
# Hosts that failed lately; past it the one that has been quiet the longest is forgotten.
HOSTS_MAX = 10_000
# Of one host; a customer's pool opens some at once, and the places are for all customers.
STRANGERS_MAX = 100
# More than there are customers; past it the oldest fills up again.
BUCKETS_MAX = 2_000
# One network of IPv6 is one host: whoever has it has all of its addresses.
_IPV6_PREFIX = 64

Customer = tuple[str, str]


class Peer(Protocol):
    """One bound connection."""

    credential: SmppCredential

    @property
    def host(self) -> str:
        """From where it comes."""

    @property
    def is_receiver(self) -> bool:
        """Whether it takes deliver_sm at all."""

    @property
    def room(self) -> int:
        """How many deliver_sm it can take now; 0 for a transmitter."""

    def deliver(self, row: DeliveryRow, pdus: list[DeliverSm]) -> None:
        """Send what is owed; whoever started the server hears how it went."""

    def dismiss(self) -> None:
        """Unbind."""


@dataclass(slots=True)
class Bucket:
    """Lets through so many a second, and as many at once after a second of silence.

    More than that at once waits for a full bucket, and is paid for later.
    """

    per_second: int
    filled_at: float
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = float(self.per_second)

    def take(self, count: int, *, now: float) -> bool:
        """Take *count* at once, or nothing."""
        filled = self.tokens + (now - self.filled_at) * self.per_second
        self.tokens, self.filled_at = min(float(self.per_second), filled), now
        if self.tokens < min(count, self.per_second):
            return False
        self.tokens -= count
        return True


@dataclass(slots=True)
class _Failures:
    count: int
    at: float
    is_waiting: bool = False


class Binds:
    """All bound connections by customer, and the hosts of those that are not bound yet."""

    def __init__(self) -> None:
        self._peers: dict[Customer, list[Peer]] = {}
        self._buckets: dict[Customer, Bucket] = {}
        self._failures: dict[str, _Failures] = {}
        self._strangers: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Peer]:
        return iter([peer for peers in self._peers.values() for peer in peers])

    @property
    def receiving(self) -> list[Customer]:
        """Who is bound so that something can be delivered to him."""
        return [c for c, peers in self._peers.items() if any(p.is_receiver for p in peers)]

    def come(self, host: str) -> bool:
        """Let a stranger connect, unless his host has as many who are not bound as it may."""
        place = _place(host)
        if self._strangers[place] >= STRANGERS_MAX:
            return False
        self._strangers[place] += 1
        return True

    def go(self, host: str) -> None:
        """Take notice that a stranger is gone, or is one no more."""
        place = _place(host)
        self._strangers[place] -= 1
        if not self._strangers[place]:
            del self._strangers[place]

    def join(self, peer: Peer) -> bool:
        """Let a connection in, unless its customer has as many as he may."""
        credential = peer.credential
        peers = self._peers.get(customer_of(credential), [])
        if len(peers) >= credential.binds_max:
            return False
        self._peers[customer_of(credential)] = [*peers, peer]
        return True

    def leave(self, peer: Peer) -> None:
        """Let a connection go; one that is not here is no trouble."""
        customer = customer_of(peer.credential)
        left = [each for each in self._peers.get(customer, ()) if each is not peer]
        if left:
            self._peers[customer] = left
        else:
            self._peers.pop(customer, None)

    def receiver(self, customer: Customer) -> Peer | None:
        """Return the connection of a customer with the most room to deliver, if any has some."""
        best = max(self._peers.get(customer, ()), key=lambda peer: peer.room, default=None)
        return best if best is not None and best.room > 0 else None

    def may_submit(self, credential: SmppCredential, count: int, *, now: float) -> bool:
        """Tell whether a customer may submit *count* more now, and count them if so."""
        per_second = credential.per_second_max
        if not per_second:
            return True
        # It outlives the connection, or whoever binds anew could begin anew.
        bucket = self._buckets.get(customer_of(credential))
        if bucket is None or bucket.per_second != per_second:
            bucket = self._buckets[customer_of(credential)] = Bucket(per_second, now)
            if len(self._buckets) > BUCKETS_MAX:
                del self._buckets[next(iter(self._buckets))]
        return bucket.take(count, now=now)

    def turn(self, host: str, *, is_good: bool, now: float) -> float | None:
        """Return for how long the answer to a bind waits, or None for one that gets no turn.

        Where passwords were guessed, whatever is tried waits, good or bad, and one at a time:
        guesses side by side are no faster. Who waited says so with `waited`.
        """
        place = _place(host)
        before = self._failures.get(place)
        if before is not None and now - before.at >= FORGOTTEN_AFTER_SECONDS:
            before = None
        if before is not None and before.is_waiting:
            return None
        over = before.count - FREE_FAILURES if before else 0
        if not is_good:
            self._failed(place, before, now=now)
        if over <= 0:
            return 0.0
        self._failures[place].is_waiting = True
        return min(WAIT_SECONDS_MAX, FIRST_WAIT_SECONDS * 2.0 ** min(over, 10))

    def waited(self, host: str) -> None:
        """Give the turn to the next."""
        failures = self._failures.get(_place(host))
        if failures is not None:
            failures.is_waiting = False

    def succeeded(self, host: str) -> None:
        """Take notice of a good bind."""
        self._failures.pop(_place(host), None)

    def _failed(self, place: str, before: _Failures | None, *, now: float) -> None:
        self._failures.pop(place, None)
        self._failures[place] = _Failures(before.count + 1 if before else 1, now)
        if len(self._failures) > HOSTS_MAX:
            del self._failures[next(iter(self._failures))]


def customer_of(credential: SmppCredential) -> Customer:
    """Return whose a credential is; a system_id alone may be somebody else's later."""
    return credential.account_sid, credential.system_id


def _place(host: str) -> str:
    """Return what is held to account for a host: itself, or its network."""
    if ":" not in host:
        return host
    address = ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or ip_network((int(address), _IPV6_PREFIX), strict=False))
