"""Quiet hours: when recipients are to be left alone, by the clocks where they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from trunkline.domain.zones import zones_of

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])").fullmatch
# A night that ends in another zone's night goes on; more than a day round there are none.
_ENDS_MAX = 4


class QuietRule(StrEnum):
    """What becomes of a message in quiet hours."""

    HOLD = "hold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """From when to when, as `21:00`, by the recipient's clock; over midnight where start > end."""

    start: str
    end: str
    rule: QuietRule = QuietRule.HOLD


def parse_quiet_hours(text: str, rule: QuietRule) -> QuietHours:
    """Read `21:00-08:00`; raises ValueError that says what is wrong."""
    start, dash, end = text.partition("-")
    if not dash or not _TIME(start) or not _TIME(end):
        raise ValueError("must be two times, as 21:00-08:00")
    if start == end:
        raise ValueError("must end at another time than they begin")
    return QuietHours(start=start, end=end, rule=rule)


def quiet_until(number: str, hours: QuietHours, *, now: datetime) -> datetime | None:
    """Return when a recipient may be texted again, in UTC; None: now.

    Where a number may be in two zones, quiet hours of either count; if that leaves no time of the
    day at all, those of the first.
    """
    zones = [ZoneInfo(name) for name in zones_of(number.rpartition(":")[2])]
    moment = _first_open(zones, hours, now=now) or _first_open(zones[:1], hours, now=now)
    return moment if moment and moment > now else None


def _first_open(zones: Sequence[ZoneInfo], hours: QuietHours, *, now: datetime) -> datetime | None:
    """Return the first moment from now on that is quiet in no zone; None if there is none."""
    moment = now
    for _ in range(_ENDS_MAX):
        ends = [end for zone in zones if (end := _end(hours, moment.astimezone(zone)))]
        if not ends:
            return moment
        moment = max(ends).astimezone(now.tzinfo)
    return None


def _end(hours: QuietHours, local: datetime) -> datetime | None:
    """Return when the quiet hours end in which a local time is; None: it is in none."""
    start, end = time.fromisoformat(hours.start), time.fromisoformat(hours.end)
    at = local.time().replace(tzinfo=None)
    is_quiet = start <= at < end if start < end else at >= start or at < end
    if not is_quiet:
        return None
    day = local.date() + timedelta(days=1 if start > end and at >= start else 0)
    # By the wall, whatever the clock does in between.
    return datetime.combine(day, end, tzinfo=local.tzinfo)
