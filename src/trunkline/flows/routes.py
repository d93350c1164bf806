"""Routes: which messages a carrier may take, and why a message takes the one it takes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from sqlalchemy import Connection

from trunkline.domain.account import AccountStatus
from trunkline.domain.address import parse_sender
from trunkline.domain.carrier import PRIORITY_MAX, Route, SenderType
from trunkline.domain.countries import COUNTRY_NAMES
from trunkline.domain.errors import Refusal
from trunkline.domain.routing import ROUTES_MAX, Ask, Considered
from trunkline.flows.platform import Platform
from trunkline.flows.switchboard import Switchboard
from trunkline.store.records import (
    ACCOUNTS,
    CARRIERS,
    ROUTES,
    all_records,
    alone,
    delete_record,
    find_record,
    find_unique,
    insert_record,
    update_record,
)

# Any would do; these can be read at a glance and leave room between the routes there are.
ORDER_MAX = 1_000_000
WEIGHT_MAX = 1_000
CHANNELS = ("sms", "mms", "whatsapp", "rcs", "messenger")

# E.164 §6.2.1: no calling code starts with 0, no number has more than 15 digits.
_PREFIX = re.compile(r"\+?([1-9][0-9]{0,14})").fullmatch
_PUNCTUATION = str.maketrans("", "", " ()-.")
_SENDER_START = re.compile(r"[A-Za-z0-9 \-+_&:.]{1,64}\*").fullmatch
_PRICE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,8})?").fullmatch
_WHOLE = re.compile(r"[0-9]{1,9}").fullmatch

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted of a route, as texts; None: as it is, "": no such condition, or the default.

    prefix may be written "+1415", "+1 415" or "1415". sender is one sender, or ends with a star.
    """

    carrier: str | None = None
    prefix: str | None = None
    country: str | None = None
    sender: str | None = None
    sender_type: str | None = None
    channel: str | None = None
    for_account: str | None = None
    order: str | None = None
    weight: str | None = None
    price: str | None = None
    priority: str | None = None


async def listed(platform: Platform) -> list[Route]:
    """Return all routes, by order and then oldest first."""
    found = await platform.store.read(lambda db: all_records(db, ROUTES, limit=ROUTES_MAX))
    return sorted(found, key=lambda route: route.order)


async def find(platform: Platform, sid: str) -> Route | None:
    """Return a route."""
    return await platform.store.read(lambda db: find_record(db, ROUTES, sid))


async def add(platform: Platform, wish: Wish) -> Route:
    """Make a route, or refuse (20422) what cannot be, named after the parameter."""
    now = platform.clock.now()
    blank = Route(
        sid=platform.chance.sid("RX", now),
        account_sid=platform.rules.main_account_sid,
        carrier="",
        created_at=now,
        updated_at=now,
    )
    route = _granted(blank, wish)

    def work(db: Connection) -> None:
        alone(db)
        _check_references(db, route)
        if len(all_records(db, ROUTES, limit=ROUTES_MAX)) >= ROUTES_MAX:
            raise Refusal(20409, reason=f"there are {ROUTES_MAX} routes, and no more can be")
        insert_record(db, ROUTES, route)

    await platform.store.write(work)
    await platform.switchboard.refresh()
    return route


async def change(platform: Platform, sid: str, wish: Wish) -> Route:
    """Change a route; refuse (20404) one that is not there."""

    def work(db: Connection) -> Route:
        alone(db)
        before = find_record(db, ROUTES, sid)
        if before is None:
            raise Refusal(20404)
        after = replace(_granted(before, wish), updated_at=platform.clock.now())
        _check_references(db, after)
        update_record(db, ROUTES, after)
        return after

    route = await platform.store.write(work)
    await platform.switchboard.refresh()
    return route


async def remove(platform: Platform, sid: str) -> None:
    """Forget a route; refuse (20404) one that is not there."""

    def work(db: Connection) -> None:
        if not delete_record(db, ROUTES, sid):
            raise Refusal(20404)

    await platform.store.write(work)
    await platform.switchboard.refresh()


def explain(platform: Platform, ask: Ask) -> list[Considered]:
    """Say of every route whether it takes a message now, and why; the chosen one comes first."""
    switchboard, now = platform.switchboard, platform.clock.now()
    unfit = dict.fromkeys(switchboard.unfit(ask), "the carrier takes no media, but a link to them")
    down = dict.fromkeys(switchboard.down(now), "the carrier has been down for too long")
    avoid = _with_simulated(switchboard, ask, avoid=down | unfit)
    if switchboard.table.choose(ask, avoid=avoid) is None:
        # A carrier that is down is better than none: what matches waits for it.
        avoid = _with_simulated(switchboard, ask, avoid=unfit)
    return switchboard.table.explain(ask, avoid=avoid)


def _with_simulated(
    switchboard: Switchboard, ask: Ask, *, avoid: Mapping[str, str]
) -> dict[str, str]:
    """Return carriers to avoid, with the simulated ones where a real one would be the best."""
    best, found = switchboard.table.choose(ask), dict(avoid)
    if best is not None and best.carrier in avoid and not switchboard.is_simulated(best.carrier):
        reason = "what was for a real carrier does not end in the simulated network"
        found |= dict.fromkeys(filter(switchboard.is_simulated, switchboard.accounts), reason)
    return found


def _granted(route: Route, wish: Wish) -> Route:
    """Return the route as *wish* makes it, every text read."""

    def chosen(text: str | None, known: V, *, parse: Callable[[str], V]) -> V:
        return known if text is None else parse(text.strip(" "))

    def figure(text: str | None, known: int, *, name: str) -> int:
        return known if text is None else _figure(name, text.strip(" "))

    return replace(
        route,
        carrier=chosen(wish.carrier, route.carrier, parse=str),
        prefix=chosen(wish.prefix, route.prefix, parse=_prefix),
        country=chosen(wish.country, route.country, parse=_country),
        sender=chosen(wish.sender, route.sender, parse=_sender),
        sender_type=chosen(wish.sender_type, route.sender_type, parse=_sender_type),
        channel=chosen(wish.channel, route.channel, parse=channel),
        for_account=chosen(wish.for_account, route.for_account, parse=str),
        order=figure(wish.order, route.order, name="Order"),
        weight=figure(wish.weight, route.weight, name="Weight"),
        price=chosen(wish.price, route.price, parse=_price),
        priority=figure(wish.priority, route.priority, name="Priority"),
    )


def _check_references(db: Connection, route: Route) -> None:
    """Refuse (20422) a carrier or an account that there is not."""
    if find_unique(db, CARRIERS, route.carrier) is None:
        raise _refusal("Carrier", f"there is no carrier `{route.carrier}`")
    if not route.for_account:
        return
    account = find_record(db, ACCOUNTS, route.for_account)
    if account is None or account.status is AccountStatus.CLOSED:
        raise _refusal("Account", f"there is no account `{route.for_account}`")


def _refusal(name: str, reason: str) -> Refusal:
    return Refusal(20422, name=f"`{name}`", reason=reason)


def _prefix(text: str) -> str:
    if not text:
        return ""
    found = _PREFIX(text.translate(_PUNCTUATION))
    if found is None:
        raise _refusal("Prefix", "must be the first digits of a number, like +1415")
    return f"+{found[1]}"


def _country(text: str) -> str:
    country = text.upper()
    if country and country not in COUNTRY_NAMES:
        raise _refusal("Country", "must be two letters of ISO 3166, like US")
    return country


def _sender(text: str) -> str:
    if text in ("", "*"):
        return ""
    if _SENDER_START(text):
        return text
    address = parse_sender(text)
    if address is None:
        raise _refusal("Sender", "must be a sender, or the beginning of one and a star")
    return address.text


def _sender_type(text: str) -> str:
    kind = text.lower().replace("-", "_")
    if kind and kind not in set(SenderType):
        raise _refusal("SenderType", f"must be one of {', '.join(SenderType)}")
    return kind


def channel(text: str) -> str:
    """Return a channel by its name; "" for none, a refusal (20422) for what is none."""
    name = text.lower()
    if name and name not in CHANNELS:
        raise _refusal("Channel", f"must be one of {', '.join(CHANNELS)}")
    return name


def _price(text: str) -> Decimal | None:
    if not text:
        return None
    if not _PRICE(text):
        raise _refusal("Price", "must be US dollars a segment, like 0.0075")
    return Decimal(text)


# What a figure is when nothing is said, and the largest that it can be.
_FIGURES: Mapping[str, tuple[int, int]] = {
    "Order": (100, ORDER_MAX),
    "Weight": (1, WEIGHT_MAX),
    "Priority": (0, PRIORITY_MAX),
}


def _figure(name: str, text: str) -> int:
    default, most = _FIGURES[name]
    if not text:
        return default
    if not _WHOLE(text) or int(text) > most:
        raise _refusal(name, f"must be a whole number from 0 to {most}")
    return int(text)
