"""Whom an account may send to: trial accounts only where they were let, everybody where he may.

Rule: what is asked for most often, a full account without limits of its own, costs no lookup.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from trunkline.domain.account import Account
from trunkline.domain.address import Address, AddressKind, country_of
from trunkline.domain.countries import COUNTRY_NAMES
from trunkline.domain.errors import Refusal
from trunkline.domain.sending import SendRequest
from trunkline.domain.trial import MESSAGES_A_DAY_MAX, introduced
from trunkline.flows.platform import Platform
from trunkline.store.messages import has_sent
from trunkline.store.records import CALLER_IDS, find_unique

UNVERIFIED = 21608


async def check_permitted(
    platform: Platform, account: Account, *, recipient: Address, sender: Address | None = None
) -> None:
    """Refuse what an account may not send to a recipient, in Twilio's order.

    A trial account has no alphanumeric sender (21267), verified recipients only (21608) and 50
    messages a day (63038); nobody may send to a country that is not open to him (21408).
    """
    if account.is_trial:
        await _check_trial(platform, account, recipient=recipient, sender=sender)
    if not is_open(platform, account, country_of(recipient.bare)):
        raise Refusal(21408, number=recipient.text)


async def check_reply(
    platform: Platform, account: Account, *, recipient: Address, sender: Address
) -> None:
    """Refuse as `check_permitted` does, but as TwiML says it: a trial's unverified one is 14111."""
    try:
        await check_permitted(platform, account, recipient=recipient, sender=sender)
    except Refusal as refusal:
        raise Refusal(14111) if refusal.code == UNVERIFIED else refusal from None


def said(account: Account, body: str, *, recipient: str) -> str:
    """Return what an account's text says: that of a trial account begins with what it is."""
    return introduced(body, recipient) if account.is_trial else body


def with_banner(account: Account, request: SendRequest) -> SendRequest:
    """Return the request as it is sent: that of a trial account says so in its text."""
    if not account.is_trial:
        return request
    return replace(request, body=said(account, request.body or "", recipient=request.to or ""))


def is_open(platform: Platform, account: Account, country: str | None) -> bool:
    """Tell whether an account may send to a country; to none for a number that belongs nowhere."""
    limits = (platform.rules.countries, account.allowed_countries, account.countries)
    return all(limit is None or country in limit for limit in limits)


def checked_countries(countries: Iterable[str]) -> tuple[str, ...]:
    """Return codes of countries in capitals and in order, or refuse (20422) what is none."""
    codes = {country.strip().upper() for country in countries}
    for code in sorted(codes):
        if code not in COUNTRY_NAMES:
            raise Refusal(20422, name="`Country`", reason=f"`{code}` is no country's code")
    return tuple(sorted(codes))


async def _check_trial(
    platform: Platform, account: Account, *, recipient: Address, sender: Address | None
) -> None:
    if sender is not None and sender.kind is AddressKind.ALPHANUMERIC:
        raise Refusal(21267, number=sender.text)
    number = recipient.bare

    def query(db: Connection) -> tuple[bool, bool]:
        verified = find_unique(db, CALLER_IDS, f"{account.sid}:{number}") is not None
        since = _midnight(platform.clock.now())
        return verified, has_sent(db, account.sid, since, count=MESSAGES_A_DAY_MAX)

    is_verified, has_sent_enough = await platform.store.read(query)
    if not is_verified:
        raise Refusal(UNVERIFIED, number=number)
    # Requests at the same moment may pass together: it keeps a trial small, it bills nobody.
    if has_sent_enough:
        raise Refusal(63038)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
