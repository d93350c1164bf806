"""Which sender of a Messaging Service a message leaves from: a pure choice that says why.

https://www.twilio.com/docs/messaging/services#understand-how-the-sender-is-selected
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from trunkline.domain.address import country_of
from trunkline.domain.nanp import overlays_of, region_of
from trunkline.domain.sending import NO_ALPHANUMERIC
from trunkline.domain.service import Pool, PoolSender, SenderKind

# Where media travel to handsets by themselves; elsewhere they are an address in a text.
MMS_COUNTRIES = frozenset({"US", "CA"})
# Twilio: without a sender of the recipient's country, one of the United States.
_ELSEWHERE = "US"
_GEOMATCHED = MMS_COUNTRIES
_NEVER = float("-inf")
_NONE: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Choice:
    """A sender, and the reason for it in the words of a trace."""

    sender: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a sender is wanted for. sticky: the sender that the recipient knows, if there is one.

    channel: where it is wanted, for a recipient that is named without it; "" for SMS and MMS.
    """

    recipient: str
    channel: str = ""
    with_media: bool = False
    sticky: str | None = None


def choose_sender(
    pool: Pool,
    wanted: Wanted,
    *,
    busy: Mapping[str, float] = _NONE,
    without: Collection[str] = (),
) -> Choice | None:
    """Return the sender that a message leaves from, or None when none can send it.

    busy: the seconds until each sender has sent what it has, below zero since it has; who never
    had anything is not in it. without: senders that cannot reach the recipient after all.
    """
    country = country_of(wanted.recipient) or ""
    left = [sender for sender in pool.senders if sender.sender not in without]
    for sender in left:
        if sender.sender == wanted.sticky and _can_send(sender, wanted, country=country):
            return Choice(sender.sender, "the recipient knows this sender")
    usable = [sender for sender in left if _can_send(sender, wanted, country=country)]
    if not usable:
        return None
    kind, found = _first_kind(usable, country=country)
    place = ""
    if not wanted.channel:  # A channel is everywhere.
        found, place = _nearest(found, wanted.recipient, country=country, pool=pool)
    first = min(found, key=lambda sender: busy.get(sender.sender, _NEVER))
    why = [
        kind,
        *([place] if place else []),
        *(["the least busy of them"] if len(found) > 1 else []),
    ]
    return Choice(first.sender, ", ".join(why))


def _can_send(sender: PoolSender, wanted: Wanted, *, country: str) -> bool:
    if wanted.with_media and not sender.capabilities.mms:
        return False
    if sender.sender == wanted.recipient:
        return False
    if wanted.channel:
        return sender.kind is SenderKind.NUMBER
    if sender.kind is SenderKind.SHORT_CODE:
        return sender.country == country
    if sender.kind is SenderKind.ALPHANUMERIC:
        return country not in NO_ALPHANUMERIC and sender.country in ("", country)
    return True


def _first_kind(usable: Sequence[PoolSender], *, country: str) -> tuple[str, Sequence[PoolSender]]:
    """Return the senders of the kind that comes first, and what it is called."""
    if short := [s for s in usable if s.kind is SenderKind.SHORT_CODE]:
        return "a short code", short
    alphanumeric = [s for s in usable if s.kind is SenderKind.ALPHANUMERIC]
    if own := [s for s in alphanumeric if s.country]:
        return "an alphanumeric sender for the country", own
    if alphanumeric:
        return "an alphanumeric sender", alphanumeric
    if country == "CA" and (tollfree := [s for s in usable if s.is_tollfree]):
        return "a toll-free number", tollfree
    return "a number", usable


def _nearest(
    found: Sequence[PoolSender], recipient: str, *, country: str, pool: Pool
) -> tuple[Sequence[PoolSender], str]:
    """Return those of the senders that are nearest to the recipient, and how near they are."""
    if found[0].kind is not SenderKind.NUMBER:
        return found, ""
    here = [s for s in found if s.country == country]
    if not here:
        there = [s for s in found if s.country == _ELSEWHERE]
        return (there, f"of {_ELSEWHERE}") if there else (found, "")
    if country in _GEOMATCHED and pool.service.area_code_geomatch:
        area = _area(recipient)
        if near := [s for s in here if _area(s.sender) == area]:
            return near, "with the recipient's area code"
        places = overlays_of(area)
        if near := [s for s in here if _area(s.sender) in places]:
            return near, "with an area code that lies over the recipient's"
        state = region_of(area)
        if near := [s for s in here if state and region_of(_area(s.sender)) == state]:
            return near, "of the recipient's region"
    return here, "of the recipient's country"


def _area(number: str) -> str:
    return number[2:5]
