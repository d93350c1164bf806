"""Messaging Services: making, changing and deleting them, and the senders in their pools."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from sqlalchemy import Connection

from trunkline.domain.account import Number
from trunkline.domain.address import AddressKind, parse_sender
from trunkline.domain.countries import COUNTRY_NAMES
from trunkline.domain.errors import Refusal
from trunkline.domain.ids import is_sid
from trunkline.domain.message import VALIDITY_SECONDS_MAX
from trunkline.domain.quiet import QuietHours
from trunkline.domain.sending import NO_ALPHANUMERIC
from trunkline.domain.service import (
    ALPHANUMERIC_CAPABILITIES,
    POOL_MAX,
    MessagingService,
    Scan,
    SenderKind,
    ServiceSender,
    Usecase,
)
from trunkline.flows.accounts import checked_name
from trunkline.flows.numbers import SHORT_CODE
from trunkline.flows.optout import forget_rules
from trunkline.flows.platform import Platform
from trunkline.flows.pools import forget_recipients, forget_senders
from trunkline.store.paging import Found, Page
from trunkline.store.pools import empty_pool
from trunkline.store.records import (
    NUMBERS,
    SERVICE_SENDERS,
    SERVICES,
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

# Of one account; enough for one service to each customer of a platform, and read in a moment.
SERVICES_MAX = 1000

_URLS = {
    "inbound_request_url": ("InboundRequestUrl", 20422),
    "fallback_url": ("FallbackUrl", 20422),
    "status_callback": ("StatusCallback", 21609),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a caller wants of a service; None: as it is."""

    friendly_name: str | None = None
    inbound_request_url: str | None = None
    inbound_method: str | None = None
    fallback_url: str | None = None
    fallback_method: str | None = None
    status_callback: str | None = None
    sticky_sender: bool | None = None
    mms_converter: bool | None = None
    smart_encoding: bool | None = None
    scan_message_content: Scan | None = None
    fallback_to_long_code: bool | None = None
    area_code_geomatch: bool | None = None
    validity_period: int | None = None
    synchronous_validation: bool | None = None
    usecase: Usecase | None = None
    use_inbound_webhook_on_number: bool | None = None
    requires_consent: bool | None = None
    quiet_hours: QuietHours | None = None
    without_quiet_hours: bool = False

    def applied_to(self, service: MessagingService) -> MessagingService:
        """Return the service as it is wanted."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        ends_quiet = named.pop("without_quiet_hours")
        changed = replace(service, **{k: value for k, value in named.items() if value is not None})
        return replace(changed, quiet_hours=None) if ends_quiet else changed


def parse_usecase(text: str) -> Usecase:
    """Read what a service is for, or refuse (21713)."""
    try:
        return Usecase(text.lower())
    except ValueError:
        raise Refusal(21713, name=text) from None


async def create(platform: Platform, account_sid: str, changes: Changes) -> MessagingService:
    """Make a service, or refuse what it cannot be, or one too many (20403)."""
    _check(changes)
    now = platform.clock.now()
    plain = MessagingService(
        sid=platform.chance.sid("MG", now),
        account_sid=account_sid,
        friendly_name="",
        created_at=now,
        updated_at=now,
    )
    service = changes.applied_to(plain)

    def work(db: Connection) -> None:
        alone(db)
        if len(child_records(db, SERVICES, account_sid, limit=SERVICES_MAX)) >= SERVICES_MAX:
            reason = f"An account has {SERVICES_MAX} Messaging Services at most"
            raise Refusal(20403, message=reason)
        insert_record(db, SERVICES, service)

    await platform.store.write(work)
    platform.directory.forget()
    return service


async def find(platform: Platform, account_sid: str, sid: str) -> MessagingService | None:
    """Return a service of an account."""
    return await platform.store.read(lambda db: _service(db, account_sid, sid=sid))


async def page(platform: Platform, account_sid: str, *, page: Page) -> Found[MessagingService]:
    """Return a page of an account's services, newest first."""
    return await platform.store.read(
        lambda db: page_records(db, SERVICES, page, account_sid=account_sid)
    )


async def update(
    platform: Platform, account_sid: str, *, sid: str, changes: Changes
) -> MessagingService | None:
    """Change a service; None when there is no such service."""
    _check(changes)

    def work(db: Connection) -> MessagingService | None:
        alone(db)
        before = _service(db, account_sid, sid=sid)
        if before is None:
            return None
        after = replace(changes.applied_to(before), updated_at=platform.clock.now())
        update_record(db, SERVICES, after)
        return after

    service = await platform.store.write(work)
    platform.directory.forget()
    return service


async def delete(platform: Platform, account_sid: str, *, sid: str) -> bool:
    """Delete a service, whose numbers stay with the account; say whether there was one."""

    def work(db: Connection) -> bool:
        alone(db)
        if _service(db, account_sid, sid=sid) is None:
            return False
        empty_pool(db, sid)
        forget_rules(db, sid)
        return delete_record(db, SERVICES, sid)

    was_there = await platform.store.write(work)
    platform.directory.forget()
    if was_there:
        await forget_recipients(platform, account_sid, sid)
    return was_there


async def add_number(
    platform: Platform, account_sid: str, service_sid: str, *, sid: str, kind: SenderKind
) -> ServiceSender:
    """Put a number or short code into a service.

    Refuses one that the account has not (21421), that carries no texts (21715), or that is in this
    (21710) or in another service (21712).
    """
    now = platform.clock.now()

    def work(db: Connection) -> ServiceSender:
        alone(db)
        _require_service(db, account_sid, service_sid)
        number = find_record(db, NUMBERS, sid)
        if number is None or number.account_sid != account_sid or _kind_of(number) is not kind:
            raise Refusal(21421, number=sid)
        if not (number.capabilities.sms or number.capabilities.mms):
            raise Refusal(21715, name=sid)
        if held := find_record(db, SERVICE_SENDERS, sid):
            raise Refusal(21710 if held.service_sid == service_sid else 21712, name=sid)
        member = ServiceSender(
            sid=sid,
            account_sid=account_sid,
            service_sid=service_sid,
            sender=number.phone_number,
            kind=kind,
            country=number.country,
            capabilities=number.capabilities,
            created_at=now,
            updated_at=now,
        )
        return _added(db, member)

    return await _written(platform, work)


async def add_alphanumeric(
    platform: Platform, account_sid: str, service_sid: str, *, sender: str, country: str = ""
) -> ServiceSender:
    """Put an alphanumeric sender into a service, for one country or for all without one of theirs.

    Refuses what is none, or is used for a country where none is delivered (21709), a country that
    there is not (20422), and one that is there already (21710).
    """
    address = parse_sender(sender)
    if address is None or address.kind is not AddressKind.ALPHANUMERIC:
        raise Refusal(21709, name=sender)
    country = country.upper()
    if country and country not in COUNTRY_NAMES:
        raise Refusal(20422, name="`IsoCountryCode`", reason="not the code of a country")
    if country in NO_ALPHANUMERIC:
        raise Refusal(21709, name=sender)
    now = platform.clock.now()
    member = ServiceSender(
        sid=platform.chance.sid("AI", now),
        account_sid=account_sid,
        service_sid=service_sid,
        sender=address.text,
        kind=SenderKind.ALPHANUMERIC,
        country=country,
        capabilities=ALPHANUMERIC_CAPABILITIES,
        created_at=now,
        updated_at=now,
    )

    def work(db: Connection) -> ServiceSender:
        alone(db)
        _require_service(db, account_sid, service_sid)
        if find_unique(db, SERVICE_SENDERS, SERVICE_SENDERS.unique_key(member) or ""):
            raise Refusal(21710, name=address.text)
        return _added(db, member)

    return await _written(platform, work)


async def find_sender(
    platform: Platform,
    account_sid: str,
    service_sid: str,
    *,
    sid: str,
    where: Callable[[ServiceSender], bool],
) -> ServiceSender:
    """Return a sender of a service, or refuse (21711) what is not in it."""
    return await platform.store.read(
        lambda db: _member(db, account_sid, service_sid, sid=sid, where=where)
    )


async def page_senders(
    platform: Platform,
    account_sid: str,
    service_sid: str,
    *,
    where: Callable[[ServiceSender], bool],
    page: Page,
) -> Found[ServiceSender]:
    """Return a page of the senders of a service, newest first."""

    def query(db: Connection) -> Found[ServiceSender]:
        _require_service(db, account_sid, service_sid)
        return page_records(db, SERVICE_SENDERS, page, parent_sid=service_sid, where=where)

    return await platform.store.read(query)


async def remove_sender(
    platform: Platform,
    account_sid: str,
    service_sid: str,
    *,
    sid: str,
    where: Callable[[ServiceSender], bool],
) -> bool:
    """Take a sender out of a service, or refuse (21711); a number stays with the account."""

    def work(db: Connection) -> ServiceSender:
        alone(db)
        member = _member(db, account_sid, service_sid, sid=sid, where=where)
        delete_record(db, SERVICE_SENDERS, sid)
        return member

    left = await _written(platform, work)
    await forget_senders(platform, [left])
    return True


async def require(platform: Platform, account_sid: str, sid: str) -> None:
    """Refuse a service that the account has not (21701), or what is no SID of one (21705)."""
    await platform.store.read(lambda db: _require_service(db, account_sid, sid))


async def _written(
    platform: Platform, work: Callable[[Connection], ServiceSender]
) -> ServiceSender:
    member = await platform.store.write(work)
    platform.directory.forget()
    return member


def _check(changes: Changes) -> None:
    """Refuse a name that is too long (20002), no URL (20422, 21609), and no period (21624)."""
    checked_name(changes.friendly_name or "")
    for name, (wire, code) in _URLS.items():
        url = getattr(changes, name)
        if url and not may_be_configured(url):
            raise Refusal(code, name=f"`{wire}`", reason="not an absolute HTTP URL")
    period = changes.validity_period
    if period is not None and not 1 <= period <= VALIDITY_SECONDS_MAX:
        raise Refusal(21624, reason=f"from 1 to {VALIDITY_SECONDS_MAX} seconds")


def _service(db: Connection, account_sid: str, *, sid: str) -> MessagingService | None:
    service = find_record(db, SERVICES, sid)
    return service if service is not None and service.account_sid == account_sid else None


def _require_service(db: Connection, account_sid: str, sid: str) -> None:
    if not is_sid(sid, "MG"):
        raise Refusal(21705, name=sid)
    if _service(db, account_sid, sid=sid) is None:
        raise Refusal(21701, name=sid)


def _member(
    db: Connection,
    account_sid: str,
    service_sid: str,
    *,
    sid: str,
    where: Callable[[ServiceSender], bool],
) -> ServiceSender:
    _require_service(db, account_sid, service_sid)
    member = find_record(db, SERVICE_SENDERS, sid)
    if member is None or member.service_sid != service_sid or not where(member):
        raise Refusal(21711, name=sid)
    return member


def _added(db: Connection, member: ServiceSender) -> ServiceSender:
    """Store a sender, or refuse (21714): the pool is full."""
    if len(child_records(db, SERVICE_SENDERS, member.service_sid, limit=POOL_MAX)) >= POOL_MAX:
        raise Refusal(21714)
    insert_record(db, SERVICE_SENDERS, member)
    return member


def _kind_of(number: Number) -> SenderKind:
    return SenderKind.SHORT_CODE if number.kind == SHORT_CODE else SenderKind.NUMBER
