"""The routing table: which carrier a message is handed to, and why no other.

Rules: `order` decides first, smallest in front; then the longest prefix of the recipient's number,
where a country counts half a digit more than its calling code; then the most conditions, the
account before the sender, its type and the channel. Equals share the traffic by weight, and a pair
of addresses keeps to the same one as long as the routes stay what they are.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby
from math import log
from operator import attrgetter

from trunkline.domain.address import country_of
from trunkline.domain.carrier import CarrierState, Route, SenderType, sender_type_of

# The table is built anew at every change: 10,000 routes take some 50 ms and 5 MB.
ROUTES_MAX = 10_000
# Senders that are at work at the same time; at 150 bytes each the cache stays below 3 MB.
SENDER_TYPES_MAX = 16_384

# What a route without a channel takes; to the other channels a route must be made on purpose.
PLAIN_CHANNELS = ("sms", "mms")
# Longer than any address, so that cutting a sender to this length leaves it whole.
_WHOLE = 1_000
# Calling codes of one and two digits, ITU-T E.164 annex of 2016; all others have three.
_CALLING_CODE = re.compile(
    r"\+([17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9]{2})"
)
_CHANCES = 1 << 64


@dataclass(slots=True, kw_only=True)
class Ask:
    """A message that needs a route; an empty channel is the one that the recipient's address names.

    A message with media is of the channel `mms`.
    """

    account_sid: str
    sender: str
    recipient: str
    channel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """What became of one route: is_match when its conditions hold, rank from 1 if it may be tried.

    why is a plain sentence without its full stop.
    """

    route: Route
    is_match: bool
    rank: int | None
    why: str


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which conditions a route has: the lengths of its texts; 0 and False for none."""

    prefix: int
    country: bool
    sender: int  # _WHOLE for an exact sender.
    sender_type: bool
    channel: bool
    account: bool

    @property
    def conditions(self) -> int:
        """How many there are."""
        parts = (self.prefix, self.country, self.sender)
        return sum(map(bool, (*parts, self.sender_type, self.channel, self.account)))


@dataclass(frozen=True, slots=True)
class _Facts:
    """What conditions look at."""

    number: str
    country: str
    sender: str
    sender_type: str
    channel: str
    account: str


# What tells shapes apart whose routes know as much of the number; the narrowest is the smallest.
_Narrowness = tuple[int, int, bool, int, bool, bool]
_Rank = tuple[int, float, _Narrowness]
# Routes with the same order and the same conditions.
_Tier = tuple[int, tuple[Route, ...]]
_Key = tuple[str, str, str, str, str, str]


class RoutingTable:
    """Routes, found by hashing: one look into a table per set of conditions that routes have."""

    def __init__(self, routes: Sequence[Route], states: Mapping[str, CarrierState]) -> None:
        self._routes = tuple(routes)
        self._states = dict(states)
        found: dict[_Shape, dict[_Key, list[Route]]] = {}
        for route in self._routes:
            if self._states.get(route.carrier) is CarrierState.ENABLED:
                alike = found.setdefault(_shape_of(route), {})
                alike.setdefault(_conditions_of(route), []).append(route)
        self._shapes = [
            (shape, _narrowness(shape), {key: _tiers(routes) for key, routes in alike.items()})
            for shape, alike in found.items()
        ]
        self._asks_country = any(shape.country for shape in found)
        self._asks_type = any(shape.sender_type for shape in found)

    def candidates(self, ask: Ask) -> list[Route]:
        """Return the routes of enabled carriers that take a message, the best one first."""
        return list(self._in_order(ask))

    def choose(self, ask: Ask, *, avoid: Collection[str] = ()) -> Route | None:
        """Return the best route whose carrier is not in *avoid*; None when there is none."""
        for route in self._in_order(ask):
            if route.carrier not in avoid:
                return route
        return None

    def explain(self, ask: Ask, *, avoid: Mapping[str, str] | None = None) -> list[Considered]:
        """Say of every route whether it takes a message, and why it is not the one that is chosen.

        *avoid* gives reasons by carrier. The chosen route comes first, then the others in the
        order in which they would be tried, then those whose carriers are out of use, then the rest.
        """
        facts = _facts(ask)
        reasons = dict(avoid or {}) | self._unusable()
        usable = [route for route in self._in_order(ask) if route.carrier not in reasons]
        found = [
            _matching(route, why=_why(route, usable, facts=facts), rank=rank)
            for rank, route in enumerate(usable, start=1)
        ]
        misses = [(route, _misses(route, facts)) for route in self._routes]
        for route, miss in misses:
            if not miss and route.carrier in reasons:
                found.append(_matching(route, why=reasons[route.carrier], rank=None))
        for route, miss in misses:
            if miss:
                why = " and ".join(miss)
                found.append(Considered(route=route, is_match=False, rank=None, why=why))
        return found

    def _unusable(self) -> dict[str, str]:
        carriers = {route.carrier for route in self._routes}
        states = {carrier: self._states.get(carrier) for carrier in carriers}
        return {
            carrier: f"the carrier is {state}" if state else "there is no such carrier"
            for carrier, state in states.items()
            if state is not CarrierState.ENABLED
        }

    def _in_order(self, ask: Ask) -> Iterator[Route]:
        facts = _facts(ask, country=self._asks_country, sender_type=self._asks_type)
        found: list[tuple[_Rank, tuple[Route, ...]]] = []
        for shape, narrowness, alike in self._shapes:
            tiers = alike.get(_key(facts, shape), ())
            if tiers and (shape.channel or facts.channel in PLAIN_CHANNELS):
                wideness = -_length(shape, facts)
                found += [((order, wideness, narrowness), routes) for order, routes in tiers]
        # Two ranks differ in every case: routes that do not are in one tier.
        found.sort(key=lambda each: each[0])
        for _, routes in found:
            yield from _by_weight(routes, ask) if len(routes) > 1 else routes


def _shape_of(route: Route) -> _Shape:
    sender = route.sender
    return _Shape(
        prefix=len(route.prefix),
        country=bool(route.country),
        sender=len(sender) - 1 if sender.endswith("*") else _WHOLE if sender else 0,
        sender_type=bool(route.sender_type),
        channel=bool(route.channel),
        account=bool(route.for_account),
    )


def _conditions_of(route: Route) -> _Key:
    sender = route.sender.removesuffix("*")
    others = (route.sender_type, route.channel, route.for_account)
    return (route.prefix, route.country, sender, *others)


def _key(facts: _Facts, shape: _Shape) -> _Key:
    """Return what the conditions of a route of a shape must read to hold."""
    return (
        facts.number[: shape.prefix],
        facts.country if shape.country else "",
        facts.sender[: shape.sender],
        facts.sender_type if shape.sender_type else "",
        facts.channel if shape.channel else "",
        facts.account if shape.account else "",
    )


def _tiers(routes: Sequence[Route]) -> tuple[_Tier, ...]:
    """Put routes with the same conditions together by their order."""
    by_order = attrgetter("order")
    return tuple(
        (order, tuple(equals)) for order, equals in groupby(sorted(routes, key=by_order), by_order)
    )


def _narrowness(shape: _Shape) -> _Narrowness:
    return (
        -shape.conditions,
        -shape.prefix,
        not shape.account,
        -shape.sender,
        not shape.sender_type,
        not shape.channel,
    )


def _length(shape: _Shape, facts: _Facts) -> float:
    """Return how many digits of the number a route knows."""
    digits = max(shape.prefix - 1, 0)
    if not shape.country:
        return digits
    found = _CALLING_CODE.match(facts.number)
    return max(digits, len(found[1]) + 0.5 if found else 0.5)


def _by_weight(routes: Sequence[Route], ask: Ask) -> list[Route]:
    """Order equals by weighted rendezvous hashing; those without weight come last.

    The route with the smallest of independent exponential times, each as quick as its weight, comes
    first: that happens in proportion to the weights, and a route that goes or comes moves no other
    pair of addresses than its own.
    """
    pair = f"{ask.sender} {ask.recipient} "

    def time_of(route: Route) -> tuple[bool, float]:
        digest = blake2b((pair + route.sid).encode(), digest_size=8).digest()
        chance = (int.from_bytes(digest) + 0.5) / _CHANCES
        return route.weight <= 0, -log(chance) / max(route.weight, 1)

    return sorted(routes, key=time_of)


def _facts(ask: Ask, *, country: bool = True, sender_type: bool = True) -> _Facts:
    channel, _, number = ask.recipient.rpartition(":")
    return _Facts(
        number,
        (country_of(number) or "") if country else "",
        ask.sender,
        _type_of(ask.sender) if sender_type else "",
        ask.channel or channel or "sms",
        ask.account_sid,
    )


@lru_cache(maxsize=SENDER_TYPES_MAX)
def _type_of(sender: str) -> SenderType:
    return sender_type_of(sender)


def _matching(route: Route, *, why: str, rank: int | None) -> Considered:
    return Considered(route=route, is_match=True, rank=rank, why=why)


def _misses(route: Route, facts: _Facts) -> list[str]:
    """Return which conditions of a route do not hold, in words."""
    sender, is_prefix = route.sender.removesuffix("*"), route.sender.endswith("*")
    same_sender = facts.sender.startswith(sender) if is_prefix else facts.sender == sender
    starts = "does not start with" if is_prefix else "is not"
    kind = facts.channel
    needs_channel = not route.channel and kind not in PLAIN_CHANNELS
    country = facts.country or "unknown"
    checks = (
        (facts.number.startswith(route.prefix), f"the number does not start with {route.prefix}"),
        (
            route.country in ("", facts.country),
            f"the number's country is {country}, not {route.country}",
        ),
        (not sender or same_sender, f"the sender {starts} {sender}"),
        (
            route.sender_type in ("", facts.sender_type),
            f"the sender's type is {facts.sender_type}, not {route.sender_type}",
        ),
        (not needs_channel, f"only a route that names the channel takes {kind}"),
        (route.channel in ("", kind), f"the channel is {kind}, not {route.channel}"),
        (route.for_account in ("", facts.account), f"it is for the account {route.for_account}"),
    )
    return [miss for holds, miss in checks if not holds]


def _why(route: Route, usable: Sequence[Route], *, facts: _Facts) -> str:
    """Say why a route is the chosen one, the first of *usable*, or what put that before it."""
    best = usable[0]
    if route is best:
        return f"it is the first of {len(usable)} that match" if usable[1:] else "it alone matches"
    if route.order != best.order:
        return f"its order {route.order} comes after {best.order}"
    mine, other = _shape_of(route), _shape_of(best)
    if _length(mine, facts) != _length(other, facts):
        return _why_wider(route, best)
    if mine != other:
        return _why_narrower(best, other, than=route, shape=mine)
    if route.weight <= 0 < best.weight:
        return "its weight is 0, so it comes behind its equals"
    return "it is an equal, and by weight these two addresses fall to the other one"


def _why_wider(route: Route, best: Route) -> str:
    mine, other = _reach(route), _reach(best)
    if not mine:
        return f"it has no prefix or country, which is wider than {other}"
    if route.prefix and best.prefix and not (route.country or best.country):
        return f"its {mine} is shorter than {best.prefix}"
    return f"its {mine} is wider than {other}"


def _reach(route: Route) -> str:
    prefix = f"prefix {route.prefix}" if route.prefix else ""
    country = f"country {route.country}" if route.country else ""
    return " in ".join(filter(None, (prefix, country)))


def _why_narrower(best: Route, other: _Shape, *, than: Route, shape: _Shape) -> str:
    """Say why one of two routes that know as much of the number comes first."""
    if shape.conditions != other.conditions:
        plural = "" if shape.conditions == 1 else "s"
        return f"it has {shape.conditions} condition{plural}, not {other.conditions}"
    if shape.prefix != other.prefix:
        return f"its prefix {than.prefix} is shorter than {best.prefix}"
    both_name_senders = shape.sender and other.sender and shape.account == other.account
    if both_name_senders and shape.sender != other.sender:
        return f"its sender {than.sender} is wider than {best.sender}"
    counts, less = (_conditions_that_count(each) for each in (other, shape))
    first, second = next(pair for pair in zip(counts, less, strict=True) if pair[0] != pair[1])
    return f"a condition on the {first} counts more than one on the {second}"


def _conditions_that_count(shape: _Shape) -> list[str]:
    """Name a shape's conditions beside what says most of the number; those in front count most."""
    named = {
        "account": shape.account,
        "sender": shape.sender,
        "sender's type": shape.sender_type,
        "channel": shape.channel,
        "country": shape.country and shape.prefix,
    }
    return [name for name, is_there in named.items() if is_there]
