"""Quiet hours by the clocks of recipients, and the zones that numbers are in."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from phonenumbers import SUPPORTED_REGIONS

from trunkline.domain.nanp import COUNTRY_BY_AREA_CODE, region_of
from trunkline.domain.quiet import QuietHours, QuietRule, parse_quiet_hours, quiet_until
from trunkline.domain.zones import ZONE_BY_COUNTRY, ZONES_BY_REGION, zones_of

NIGHT, NOON = "21:00-08:00", "12:00-14:00"
BOSTON, DALLAS, OAKLAND = "+16175550100", "+12145550100", "+15105550100"
BERLIN, TOKYO, TOLLFREE = "+493055500100", "+81355550100", "+18005550100"


def hours(text: str) -> QuietHours:
    """Return quiet hours."""
    return parse_quiet_hours(text, QuietRule.HOLD)


def at(text: str) -> datetime:
    """Return a time of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "quiet", "now", "until"),
    [
        (BOSTON, NIGHT, "2026-11-20T12:59", "2026-11-20T13:00"),
        (BOSTON, NIGHT, "2026-11-20T13:00", None),
        (BOSTON, NIGHT, "2026-11-21T01:59", None),
        (BOSTON, NIGHT, "2026-11-21T02:00", "2026-11-21T13:00"),
        (BERLIN, NIGHT, "2026-11-20T12:00", None),
        (TOKYO, NIGHT, "2026-11-20T12:00", "2026-11-20T23:00"),
        (OAKLAND, NIGHT, "2026-11-20T12:00", "2026-11-20T16:00"),
        # In two zones: quiet in one is quiet.
        (DALLAS, NIGHT, "2026-11-20T14:30", "2026-11-20T15:00"),
        (TOLLFREE, NIGHT, "2026-11-20T14:00", "2026-11-20T16:00"),
        (TOLLFREE, NIGHT, "2026-11-21T02:30", "2026-11-21T16:00"),
        (BERLIN, NOON, "2026-11-20T11:00", "2026-11-20T13:00"),
        (BERLIN, NOON, "2026-11-20T13:00", None),
        # The clock goes forward and back in these nights; the wall says when they end.
        (BOSTON, NIGHT, "2026-03-08T06:00", "2026-03-08T12:00"),
        (BOSTON, NIGHT, "2026-11-01T05:00", "2026-11-01T13:00"),
        (f"whatsapp:{BOSTON}", NIGHT, "2026-11-20T12:59", "2026-11-20T13:00"),
        ("whatsapp:US.1234", NIGHT, "2026-11-20T12:00", None),
        ("whatsapp:US.1234", NIGHT, "2026-11-20T22:00", "2026-11-21T08:00"),
        # Two coasts that are three hours apart have none of two hours in common: the first counts.
        (TOLLFREE, "12:00-10:00", "2026-11-20T14:00", "2026-11-20T15:00"),
        (TOLLFREE, "12:00-10:00", "2026-11-20T15:00", None),
        (TOLLFREE, "12:00-10:00", "2026-11-20T18:00", "2026-11-21T15:00"),
    ],
)
def test_until_when_a_recipient_is_left_alone(
    number: str, quiet: str, now: str, until: str | None
) -> None:
    """By the clock on the wall where the number is from; UTC for what is no number."""
    assert quiet_until(number, hours(quiet), now=at(now)) == (at(until) if until else None)


@pytest.mark.parametrize("text", ["", "21-08", "21:00", "24:00-08:00", "21:00-21:00", "9:00-10:00"])
def test_what_are_no_hours(text: str) -> None:
    """It is said what they are to be."""
    with pytest.raises(ValueError, match="must"):
        hours(text)


def test_every_zone_is_known() -> None:
    """To the database of this machine, or the one that comes along."""
    names = {*ZONE_BY_COUNTRY.values(), *(z for zones in ZONES_BY_REGION.values() for z in zones)}
    assert [name for name in sorted(names) if ZoneInfo(name).key != name] == []


def test_every_state_and_every_country_has_a_zone() -> None:
    """Whatever has area codes of its own."""
    regions = {region for code in COUNTRY_BY_AREA_CODE if (region := region_of(code))}
    assert regions - ZONES_BY_REGION.keys() == set()
    countries = {*COUNTRY_BY_AREA_CODE.values(), *SUPPORTED_REGIONS} - {"US", "CA"}
    assert countries - ZONE_BY_COUNTRY.keys() == set()
    assert zones_of(BERLIN) == ("Europe/Berlin",)
