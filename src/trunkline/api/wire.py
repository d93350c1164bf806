"""The closed vocabulary of values that cross Twilio's wire, and the marks a declaration may carry.

A *kind* belongs to a Python type, so a declaration needs no extra words: the annotation says how
a value is read, written and documented. A text that is not of its kind raises ValueError, whose
text completes the sentence "Invalid parameter `X`: ...".
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, Union, get_args, get_origin

import msgspec

from trunkline.domain.ids import is_sid

# An address or a URL is judged by the flow that uses it, which knows the code Twilio answers with.
Url = NewType("Url", str)
Address = NewType("Address", str)  # A phone number, short code, sender ID or channel:address.

NUMBER_LENGTH_MAX = 30  # No figure of Twilio's has more digits; longer ones cost time to read.
TIME_LENGTH_MAX = 40  # The longest ISO 8601 time with microseconds and an offset has 32 characters.

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_INT64 = range(-(2**63), 2**63)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TRUTH = {"true": True, "false": False, "1": True, "0": False}
# A plus sign that the query did not encode arrives as a space.
_BARE_OFFSET = re.compile(r"(T[0-9:.]+) (?=[0-9]{2}:?[0-9]{2}$)")
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_LATEST = datetime.max.replace(tzinfo=UTC)


class Method(StrEnum):
    """How a webhook is called."""

    GET = "GET"
    POST = "POST"


class Level(StrEnum):
    """What happens to a parameter."""

    FULL = "full"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Support:
    """Mark: a parameter that does not do what Twilio does with it, and why.

    A refused one is answered with `code`; where `by_flow` is set, the flow does that, because
    Twilio judges other parameters first.
    """

    level: Level
    reason: str = ""
    code: int = 20422
    by_flow: bool = False


def accepted(reason: str) -> Support:
    """Mark a parameter that is checked and echoed, but changes nothing."""
    return Support(Level.ACCEPTED, reason)


def refused(reason: str, *, code: int = 20422, by_flow: bool = False) -> Support:
    """Mark a parameter that is answered with an error naming it."""
    return Support(Level.REFUSED, reason, code, by_flow)


@dataclass(frozen=True, slots=True)
class Wire:
    """Mark: the name on the wire, where it does not follow from ours."""

    name: str


@dataclass(frozen=True, slots=True)
class Code:
    """Mark: the error code of a value that is not of its kind, in place of 20422."""

    code: int


@dataclass(frozen=True, slots=True)
class Sid:
    """Mark: a SID with this prefix; "" clears the field."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Period:
    """The time that a filter's value names: a whole GMT day, or one second. `end` is exclusive."""

    start: datetime
    end: datetime

    def as_day(self) -> "Period":
        """Return the day (UTC) in which it begins: SDKs write a date as some time of it."""
        midnight = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        return _period_from(midnight, _DAY)


def _period_from(start: datetime, length: timedelta) -> Period:
    """Return a period that ends with time itself at the latest: 9999-12-31 is a usual bound."""
    return Period(start, start + min(length, _LATEST - start))


@dataclass(frozen=True, slots=True)
class Kind:
    """How one type of value is read, written and documented.

    `takes_empty`: "" is a value of its own; for every other kind it means that nothing was sent.
    """

    name: str
    parse: Callable[[str], Any]
    schema: Mapping[str, Any]
    render: Callable[[Any], Any] | None = None  # None: JSON as it stands.
    takes_empty: bool = False


def _text(text: str) -> str:
    return text


def _boolean(text: str) -> bool:
    if (value := _TRUTH.get(text.lower())) is None:
        raise ValueError("neither true nor false")
    return value


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text) or int(text) not in _INT64:
        raise ValueError("not a whole number")
    return int(text)


def _decimal(text: str) -> Decimal:
    if len(text) > NUMBER_LENGTH_MAX or not _DECIMAL.fullmatch(text):
        raise ValueError("not a number")
    return Decimal(text)


def _instant(text: str) -> datetime:
    """Read an ISO 8601 time; without an offset it is GMT."""
    try:
        if len(text) > TIME_LENGTH_MAX:
            raise ValueError
        at = datetime.fromisoformat(_BARE_OFFSET.sub(r"\1+", text))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("not an ISO 8601 date and time") from None


def _period(text: str) -> Period:
    try:
        if _DATE.fullmatch(text):
            start = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            return _period_from(start, _DAY)
        return _period_from(_instant(text).replace(microsecond=0), _SECOND)
    except ValueError:
        raise ValueError("neither a date (YYYY-MM-DD) nor an ISO 8601 time") from None


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text.encode(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        raise ValueError("not a JSON object") from None


def _string(**more: str) -> dict[str, str]:
    return {"type": "string", **more}


KINDS: Mapping[Any, Kind] = {
    str: Kind("text", _text, _string(), takes_empty=True),
    Url: Kind("URL", _text, _string(format="uri"), takes_empty=True),
    Address: Kind("address", _text, _string(format="phone-number"), takes_empty=True),
    bool: Kind("boolean", _boolean, {"type": "boolean"}),
    int: Kind("integer", _integer, {"type": "integer", "format": "int64"}),
    Decimal: Kind("number", _decimal, {"type": "string"}, str),
    datetime: Kind("time", _instant, _string(format="date-time")),
    Period: Kind("date or time", _period, _string(format="date-time")),
    dict: Kind("JSON object", _object, {"type": "object"}),
}


def _enum_kind(words: type[StrEnum]) -> Kind:
    by_word = {member.value.lower(): member for member in words}
    listed = ", ".join(member.value for member in words)

    def parse(text: str) -> StrEnum:
        if (member := by_word.get(text.lower())) is None:
            raise ValueError(f"must be one of {listed}")
        return member

    schema = {"type": "string", "enum": [member.value for member in words]}
    return Kind(f"one of {listed}", parse, schema, str)


def _sid_kind(prefix: str) -> Kind:
    def parse(text: str) -> str:
        if text and not is_sid(text, prefix):
            raise ValueError(f"not a SID that begins with {prefix}")
        return text

    schema = _string(pattern=f"^{prefix}[0-9a-f]{{32}}$")
    return Kind(f"SID ({prefix}…)", parse, schema, takes_empty=True)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an annotation says: the kind, whether it repeats, whether null is a value; its marks."""

    kind: Kind
    many: bool
    nullable: bool
    marks: tuple[Any, ...]


def meaning_of(annotation: Any) -> Meaning:
    """Resolve the annotation of a declared field."""
    marks: tuple[Any, ...] = ()
    if get_origin(annotation) is Annotated:
        annotation, *rest = get_args(annotation)
        marks = tuple(rest)
    is_union = get_origin(annotation) in (Union, UnionType)
    nullable = is_union and NoneType in get_args(annotation)
    if nullable:
        (annotation,) = (option for option in get_args(annotation) if option is not NoneType)
    many = get_origin(annotation) is tuple
    if many:
        annotation = get_args(annotation)[0]
    return Meaning(_kind_of(annotation, marks), many, nullable, marks)


def _kind_of(annotation: Any, marks: tuple[Any, ...]) -> Kind:
    for mark in marks:
        if isinstance(mark, Sid):
            return _sid_kind(mark.prefix)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return _enum_kind(annotation)
    return KINDS[get_origin(annotation) or annotation]
