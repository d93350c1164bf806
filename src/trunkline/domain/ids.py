"""SIDs: two letters and 32 lower-case hexadecimal digits, ordered by the time they were made."""

import re
from datetime import UTC, datetime, timedelta

SID = re.compile(r"([A-Z]{2})([0-9a-f]{32})")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Due before any clock: what is to be done at once must not wait when a clock is set back.
AT_ONCE = EPOCH
MICROSECOND = timedelta(microseconds=1)
RANDOM_BITS = 72
MICROS_DIGITS = 14  # They last until the year 4253.
MICROS_MAX = 16**MICROS_DIGITS - 1


def micros(at: datetime) -> int:
    """Return *at* (aware) as microseconds since 1970."""
    return (at - EPOCH) // MICROSECOND


def instant(value: int) -> datetime:
    """Return the aware UTC time that is *value* microseconds after 1970."""
    return EPOCH + timedelta(microseconds=value)


def render_sid(prefix: str, at_micros: int, *, digits: str) -> str:
    """Return a SID: 14 digits of time (microseconds), then *digits*: 18 random ones, 72 bits.

    Time comes first so that new rows go to the end of every index and lists sort by SID.
    """
    return f"{prefix}{at_micros:0{MICROS_DIGITS}x}{digits}"


def position_of(sid: str) -> str:
    """Return the part of a SID that orders: SIDs with several prefixes share one order."""
    return sid[2:]


def position_at(at: datetime) -> str:
    """Return where SIDs made at *at* begin in the order of all; for any time there is."""
    return f"{min(max(micros(at), 0), MICROS_MAX):0{MICROS_DIGITS}x}"


def sid_micros(sid: str) -> int:
    """Return when a SID was made, in microseconds since 1970."""
    return int(sid[2 : 2 + MICROS_DIGITS], 16)


def is_sid(text: str, *prefixes: str) -> bool:
    """Tell whether *text* is a SID, of one of *prefixes* where any are given."""
    match = SID.fullmatch(text)
    return match is not None and (not prefixes or match[1] in prefixes)
