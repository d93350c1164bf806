"""Phone numbers: what is for sale, buying, configuring, moving and releasing them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from trunkline.domain.account import Account, AccountStatus, Capabilities, Number
from trunkline.domain.address import AddressKind, parse_recipient
from trunkline.domain.countries import COUNTRY_NAMES
from trunkline.domain.errors import Refusal
from trunkline.domain.inventory import (
    AvailableNumber,
    Criteria,
    NumberKind,
    describe,
    search,
)
from trunkline.domain.service import ServiceSender
from trunkline.domain.trial import TRIAL_NUMBERS_MAX
from trunkline.flows.accounts import NUMBERS_MAX, checked_name
from trunkline.flows.platform import Platform
from trunkline.flows.pools import forget_senders
from trunkline.store.paging import Found, Page
from trunkline.store.pools import leave_pool
from trunkline.store.records import (
    NUMBERS,
    all_records,
    alone,
    child_records,
    delete_record,
    find_record,
    find_unique,
    insert_record,
    page_records,
    update_record,
)
from trunkline.webhooks.request import may_be_configured

SEARCH_ROUNDS_MAX = 5  # Each round leaves out what the last one found to be taken.
PURCHASE_CANDIDATES_MAX = 50
AREA_CODE_COUNTRIES = ("US", "CA")
SHORT_CODE = "ShortCode"
# A code does not say where it works; most that are rented work there.
SHORT_CODE_COUNTRY = "US"

# The filter of Twilio's number lists: digits, a leading plus, and a star for any one digit.
_PATTERN = re.compile(r"\+?[0-9*]{1,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a caller wants of a number; None: as it is. `settings` are kept and given back only."""

    friendly_name: str | None = None
    sms_url: str | None = None
    sms_method: str | None = None
    sms_fallback_url: str | None = None
    sms_fallback_method: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Gone:
    """Whether a number was given up, and what it was in the pool of a service."""

    was_there: bool = False
    left: ServiceSender | None = None


async def available(
    platform: Platform, country: str, *, kind: NumberKind, criteria: Criteria, limit: int
) -> list[AvailableNumber]:
    """Return numbers that nobody has bought; a last round may return fewer than there are."""
    taken: set[str] = set()
    found: list[AvailableNumber] = []
    for _ in range(SEARCH_ROUNDS_MAX):
        found = search(country, kind, criteria=criteria, taken=taken.__contains__, limit=limit)
        bought = await _bought(platform, found)
        if not bought:
            return found
        taken |= bought
    return [number for number in found if number.phone_number not in taken]


async def buy(
    platform: Platform,
    account: Account,
    *,
    phone_number: str,
    changes: Changes,
    kind: NumberKind | None = None,
) -> Number:
    """Give a number to an account, or refuse: no number (21421), or not to be had (21422).

    That is one which somebody holds, or which is not of the kind asked for.
    """
    number = drafted(platform, account, phone_number=_parsed(phone_number), changes=changes)
    if kind not in (None, number.kind):
        raise Refusal(21422, number=number.phone_number)
    return await _keep(platform, [number], is_trial=account.is_trial)


def drafted(platform: Platform, account: Account, *, phone_number: str, changes: Changes) -> Number:
    """Return a number as an account would hold it, or refuse what it is to be like."""
    _check_changes(changes)
    number = _new_number(platform, account, phone_number=phone_number)
    return _changed(platform, number, changes=changes)


async def buy_in_area(
    platform: Platform, account: Account, *, area_code: str, changes: Changes
) -> Number:
    """Give an account some number of a North American area code, or refuse (21451, 21452)."""
    _check_changes(changes)
    found: list[AvailableNumber] = []
    for country in AREA_CODE_COUNTRIES:
        found = found or await available(
            platform,
            country,
            kind=NumberKind.LOCAL,
            criteria=Criteria(area_code=area_code),
            limit=PURCHASE_CANDIDATES_MAX,
        )
    if not found:
        raise Refusal(21452, number=area_code)
    numbers = [_new_number(platform, account, phone_number=n.phone_number) for n in found]
    wanted = [_changed(platform, number, changes=changes) for number in numbers]
    return await _keep(platform, wanted, is_trial=account.is_trial)


async def adopt(
    platform: Platform,
    account_sid: str,
    *,
    phone_number: str,
    changes: Changes,
    country: str | None = None,
) -> Number:
    """Let an account use a number or short code that the operator has from a carrier of his own.

    A short code works in one country only. Refuses what is neither (21421), what somebody holds
    (21422), and an unknown account or country (20422).
    """
    _check_changes(changes)
    account = await platform.directory.account(account_sid)
    if account is None or account.status is AccountStatus.CLOSED:
        raise Refusal(20422, name="`Account`", reason=f"there is no account `{account_sid}`")
    address = parse_recipient(phone_number)
    if address is None or address.kind is AddressKind.CHANNEL:
        raise Refusal(21421, number=phone_number)
    number = _new_number(platform, account, phone_number=address.text)
    if address.kind is AddressKind.SHORT_CODE:
        number = _as_short_code(platform, number, country=country or SHORT_CODE_COUNTRY)
    elif country and country.upper() != number.country:
        raise Refusal(20422, name="`Country`", reason="the number itself says where it belongs")
    # What the carrier lets it do is the carrier's business, but calls go nowhere here.
    able = Capabilities(voice=False, sms=True, mms=True, fax=False)
    number = replace(number, capabilities=able)
    return await _keep(platform, [_changed(platform, number, changes=changes)])


async def first(platform: Platform, account_sid: str) -> str:
    """Return an account's oldest number; "" when it has none."""
    held = await platform.store.read(lambda db: child_records(db, NUMBERS, account_sid, limit=1))
    return held[0].phone_number if held else ""


async def of_all_accounts(platform: Platform, *, limit: int) -> list[Number]:
    """Return the numbers that are held, by whomever, oldest first."""
    return await platform.store.read(lambda db: all_records(db, NUMBERS, limit=limit))


async def disown(platform: Platform, phone_number: str) -> bool:
    """Take a number from whoever holds it; say whether somebody did."""
    address = parse_recipient(phone_number)

    def work(db: Connection) -> _Gone:
        alone(db)
        held = find_unique(db, NUMBERS, address.text) if address else None
        return _Gone() if held is None else _remove(db, held.sid)

    return await _forget(platform, await platform.store.write(work))


async def find(platform: Platform, account_sid: str, sid: str) -> Number | None:
    """Return a number of an account."""
    return await platform.store.read(lambda db: _number(db, account_sid, sid=sid))


async def page(
    platform: Platform, account_sid: str, *, where: Callable[[Number], bool], page: Page
) -> Found[Number]:
    """Return a page of an account's numbers, newest first."""
    return await platform.store.read(
        lambda db: page_records(db, NUMBERS, page, account_sid=account_sid, where=where)
    )


async def update(
    platform: Platform,
    account_sid: str,
    *,
    sid: str,
    changes: Changes,
    move_to: Account | None = None,
) -> Number | None:
    """Configure a number, and give it to another account; None when there is no such number.

    Who may move it where is for the caller to judge; a trial gets no second one (21404).
    """
    _check_changes(changes)

    def work(db: Connection) -> tuple[Number | None, ServiceSender | None]:
        alone(db)
        before = _number(db, account_sid, sid=sid)
        if before is None:
            return None, None
        after = _changed(platform, before, changes=changes)
        after = replace(after, account_sid=move_to.sid if move_to else after.account_sid)
        has_moved = after.account_sid != account_sid
        if has_moved and move_to is not None:
            _check_room(db, move_to.sid, is_trial=move_to.is_trial, number=after.phone_number)
        update_record(db, NUMBERS, after)
        return after, leave_pool(db, sid) if has_moved else None

    number, left = await platform.store.write(work)
    platform.directory.forget()
    await forget_senders(platform, [left])
    return number


async def release(platform: Platform, account_sid: str, *, sid: str) -> bool:
    """Give a number back; say whether there was one."""

    def work(db: Connection) -> _Gone:
        alone(db)
        return _Gone() if _number(db, account_sid, sid=sid) is None else _remove(db, sid)

    return await _forget(platform, await platform.store.write(work))


def matches(phone_number: str, pattern: str) -> bool:
    """Tell whether a number has the wanted digits somewhere; a star stands for any one of them.

    A pattern with other characters is matched by none.
    """
    bare = re.sub(r"[ ().-]", "", pattern)
    if not _PATTERN.fullmatch(bare):
        return False
    return re.search(re.escape(bare).replace(r"\*", "[0-9]"), phone_number) is not None


async def _bought(platform: Platform, found: list[AvailableNumber]) -> set[str]:
    """Return which of the numbers somebody holds."""
    numbers = [number.phone_number for number in found]

    def query(db: Connection) -> set[str]:
        return {number for number in numbers if find_unique(db, NUMBERS, number)}

    return await platform.store.read(query)


async def _keep(platform: Platform, candidates: list[Number], *, is_trial: bool = False) -> Number:
    """Store the first of the numbers that nobody has, or refuse (21422; a trial's second 21404)."""

    def work(db: Connection) -> Number:
        alone(db)
        first = candidates[0]
        _check_room(db, first.account_sid, is_trial=is_trial, number=first.phone_number)
        for number in candidates:
            if find_unique(db, NUMBERS, number.phone_number) is None:
                insert_record(db, NUMBERS, number)
                return number
        raise Refusal(21422, number=candidates[0].phone_number)

    number = await platform.store.write(work)
    platform.directory.forget()
    return number


def _check_room(db: Connection, account_sid: str, *, is_trial: bool, number: str) -> None:
    """Refuse an account a number more than it may have: a trial's second, or one too many."""
    held = child_records(db, NUMBERS, account_sid, limit=NUMBERS_MAX)
    if is_trial and len(held) >= TRIAL_NUMBERS_MAX:
        raise Refusal(21404)
    if len(held) >= NUMBERS_MAX:
        raise Refusal(21422, number=number)


def _remove(db: Connection, sid: str) -> _Gone:
    return _Gone(delete_record(db, NUMBERS, sid), leave_pool(db, sid))


async def _forget(platform: Platform, gone: _Gone) -> bool:
    """Let nothing in memory know of a number any more; say whether there was one."""
    platform.directory.forget()
    await forget_senders(platform, [gone.left])
    return gone.was_there


def _as_short_code(platform: Platform, number: Number, *, country: str) -> Number:
    if country.upper() not in COUNTRY_NAMES:
        raise Refusal(20422, name="`Country`", reason="not the code of a country")
    sid = platform.chance.sid("SC", number.created_at)
    return replace(number, sid=sid, kind=SHORT_CODE, country=country.upper())


def _parsed(phone_number: str) -> str:
    address = parse_recipient(phone_number)
    if address is None or address.kind is not AddressKind.NUMBER:
        raise Refusal(21421, number=phone_number)
    return address.text


def _new_number(platform: Platform, account: Account, *, phone_number: str) -> Number:
    facts = describe(phone_number)
    able = facts.capabilities
    now = platform.clock.now()
    return Number(
        sid=platform.chance.sid("PN", now),
        account_sid=account.sid,
        phone_number=phone_number,
        friendly_name=facts.friendly_name,
        country=facts.iso_country or "",
        kind=facts.kind.value,
        capabilities=Capabilities(voice=able.voice, sms=able.sms, mms=able.mms, fax=able.fax),
        created_at=now,
        updated_at=now,
    )


def _check_changes(changes: Changes) -> None:
    """Refuse a name that is too long (20002) and what is no URL (21402)."""
    checked_name(changes.friendly_name or "")
    urls = {"SmsUrl": changes.sms_url, "SmsFallbackUrl": changes.sms_fallback_url}
    urls |= {_on_the_wire(name): changes.settings[name] for name in _url_settings(changes)}
    for name, url in urls.items():
        if url and not may_be_configured(url):
            raise Refusal(21402, name=name)


def _url_settings(changes: Changes) -> list[str]:
    return [name for name in changes.settings if name.endswith(("_url", "status_callback"))]


def _on_the_wire(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _changed(platform: Platform, number: Number, *, changes: Changes) -> Number:
    def chosen(wish: str | None, known: str) -> str:
        return known if wish is None else wish

    return replace(
        number,
        friendly_name=chosen(changes.friendly_name, number.friendly_name),
        sms_url=chosen(changes.sms_url, number.sms_url),
        sms_method=chosen(changes.sms_method, number.sms_method),
        sms_fallback_url=chosen(changes.sms_fallback_url, number.sms_fallback_url),
        sms_fallback_method=chosen(changes.sms_fallback_method, number.sms_fallback_method),
        settings={**number.settings, **changes.settings},
        updated_at=platform.clock.now(),
    )


def _number(db: Connection, account_sid: str, *, sid: str) -> Number | None:
    number = find_record(db, NUMBERS, sid)
    return number if number is not None and number.account_sid == account_sid else None
