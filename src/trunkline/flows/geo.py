"""Geographic permissions: an account closes countries to itself and opens them again.

It cannot open what the operator lets nobody send to, or not this account.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trunkline.domain.account import Account
from trunkline.domain.countries import COUNTRY_NAMES
from trunkline.domain.errors import Refusal
from trunkline.flows.accounts import rewrite
from trunkline.flows.permissions import is_open
from trunkline.flows.platform import Platform

INVALID = 30649


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether texts may be sent to a country, or what was wrong with asking for it."""

    country: str
    is_enabled: bool
    trouble: str = ""


def permissions(
    platform: Platform, account: Account, country: str | None = None
) -> list[Permission]:
    """Return an account's permissions, of one country or of all; none for what is no country."""
    wanted = sorted(COUNTRY_NAMES) if country is None else [country.upper()]
    return [
        Permission(code, is_open(platform, account, code))
        for code in wanted
        if code in COUNTRY_NAMES
    ]


async def change(
    platform: Platform, account_sid: str, wishes: Sequence[Mapping[str, object]]
) -> list[Permission]:
    """Open and close countries, each for itself; return what became of each wish, in order."""
    if len(wishes) > len(COUNTRY_NAMES):
        raise Refusal(30648, reason=f"more than {len(COUNTRY_NAMES)} permissions")
    account = await platform.directory.account(account_sid)
    asked = [_permission(platform, account, wish=wish) for wish in wishes]
    good = {each.country: each.is_enabled for each in asked if not each.trouble}

    def changed(before: Account) -> Account:
        countries = set(COUNTRY_NAMES if before.countries is None else before.countries)
        countries |= {country for country, is_enabled in good.items() if is_enabled}
        countries -= {country for country, is_enabled in good.items() if not is_enabled}
        is_all = countries == set(COUNTRY_NAMES)
        return replace(before, countries=None if is_all else tuple(sorted(countries)))

    await rewrite(platform, account_sid, changed)
    return asked


def _permission(
    platform: Platform, account: Account | None, *, wish: Mapping[str, object]
) -> Permission:
    country, is_enabled = wish.get("country_code"), wish.get("enabled")
    if not isinstance(country, str) or country.upper() not in COUNTRY_NAMES:
        return Permission(str(country or "")[:2], False, "country_code is no country's")
    code = country.upper()
    if wish.get("type") != "country":
        return Permission(code, False, "type must be country")
    if not isinstance(is_enabled, bool):
        return Permission(code, False, "enabled must be true or false")
    everybodys, own = platform.rules.countries, account.allowed_countries if account else None
    if is_enabled and everybodys is not None and code not in everybodys:
        return Permission(code, False, "this country is closed to every account")
    if is_enabled and own is not None and code not in own:
        return Permission(code, False, "this country is closed to this account")
    return Permission(code, is_enabled)
