"""How long things are kept: days by kind, for the platform and where an account differs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta

FOR_EVER = 0
DAYS_MAX = 36_500  # A hundred years; whoever wants more wants 0, which is for ever.

# What an account may keep longer or shorter than the rest; the other kinds belong to nobody.
OF_ACCOUNTS = ("messages", "trace", "media", "attempts", "parked", "alerts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Days for which each kind of thing is kept; 0 is for ever."""

    messages: int = FOR_EVER
    trace: int = FOR_EVER
    media: int = FOR_EVER
    attempts: int = 30
    parked: int = 30
    alerts: int = 30
    strays: int = 30
    phones: int = 30

    def with_days(self, days: Mapping[str, int]) -> "Periods":
        """Return the periods with *days* of some kinds in place of these."""
        return replace(self, **days)

    def days(self, kind: str) -> int:
        """Return for how many days a kind is kept."""
        found: int = getattr(self, kind)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What one account keeps longer or shorter than the rest: days by kind."""

    sid: str
    account_sid: str
    days: dict[str, int] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime


KINDS = tuple(each.name for each in fields(Periods))


def ends_at(days: int, now: datetime) -> datetime | None:
    """Return before when things are too old, or None when they are kept for ever."""
    return None if days == FOR_EVER else now - timedelta(days=days)
