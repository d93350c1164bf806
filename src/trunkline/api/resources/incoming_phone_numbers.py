"""Phone numbers that an account holds:
https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from trunkline.api.resource import JSON_SUFFIX, V2010, Call, Op, Resource
from trunkline.api.wire import Address, Code, Method, Sid, Url, accepted, refused
from trunkline.domain.account import Account, Number
from trunkline.domain.errors import Refusal
from trunkline.domain.ids import is_sid
from trunkline.domain.inventory import NumberKind
from trunkline.flows import numbers, rehearsal
from trunkline.flows.numbers import SHORT_CODE, Changes
from trunkline.store.paging import Found, Page

_NO_VOICE = "it is kept and given back; there are no calls"
_NO_RULES = "it is kept and given back; no number here requires documents"
_SOLD_HERE = "twilio"  # Twilio's word for a number that was bought, not hosted.


class EmergencyStatus(StrEnum):
    """Whether emergency calls are possible."""

    ACTIVE = "Active"
    INACTIVE = "Inactive"


class ReceiveMode(StrEnum):
    """What an incoming call is taken for."""

    VOICE = "voice"
    FAX = "fax"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindNumberView:
    """A number, as the lists of one kind show it."""

    account_sid: Annotated[str, Sid("AC")]
    address_sid: Annotated[str | None, Sid("AD")]
    address_requirements: str
    api_version: str
    beta: bool
    capabilities: dict[str, Any]
    date_created: datetime
    date_updated: datetime
    friendly_name: str
    identity_sid: Annotated[str | None, Sid("RI")]
    phone_number: Address
    origin: str
    sid: Annotated[str, Sid("PN")]
    sms_application_sid: Annotated[str | None, Sid("AP")]
    sms_fallback_method: str
    sms_fallback_url: str
    sms_method: str
    sms_url: str
    status_callback: str
    status_callback_method: str
    trunk_sid: Annotated[str | None, Sid("TK")]
    uri: str
    voice_receive_mode: str
    voice_application_sid: Annotated[str | None, Sid("AP")]
    voice_caller_id_lookup: bool
    voice_fallback_method: str
    voice_fallback_url: str
    voice_method: str
    voice_url: str
    emergency_status: str
    emergency_address_sid: Annotated[str | None, Sid("AD")]
    emergency_address_status: str
    bundle_sid: Annotated[str | None, Sid("BU")]
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberView(KindNumberView):
    """A number."""

    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Configuration:
    """What can be set on a number, new or old."""

    api_version: Annotated[str | None, accepted("there is one version")] = None
    friendly_name: str | None = None
    sms_application_sid: Annotated[
        str | None, Sid("AP"), refused("there are no TwiML applications", code=21420)
    ] = None
    sms_fallback_method: Annotated[Method | None, Code(21403)] = None
    sms_fallback_url: Url | None = None
    sms_method: Annotated[Method | None, Code(21403)] = None
    sms_url: Url | None = None
    status_callback: Annotated[Url | None, accepted(_NO_VOICE)] = None
    status_callback_method: Annotated[Method | None, Code(21403), accepted(_NO_VOICE)] = None
    voice_application_sid: Annotated[str | None, Sid("AP"), accepted(_NO_VOICE)] = None
    voice_caller_id_lookup: Annotated[bool | None, accepted(_NO_VOICE)] = None
    voice_fallback_method: Annotated[Method | None, Code(21403), accepted(_NO_VOICE)] = None
    voice_fallback_url: Annotated[Url | None, accepted(_NO_VOICE)] = None
    voice_method: Annotated[Method | None, Code(21403), accepted(_NO_VOICE)] = None
    voice_url: Annotated[Url | None, accepted(_NO_VOICE)] = None
    emergency_status: Annotated[EmergencyStatus | None, accepted(_NO_VOICE)] = None
    emergency_address_sid: Annotated[str | None, Sid("AD"), accepted(_NO_VOICE)] = None
    trunk_sid: Annotated[str | None, Sid("TK"), accepted(_NO_VOICE)] = None
    voice_receive_mode: Annotated[ReceiveMode | None, accepted(_NO_VOICE)] = None
    identity_sid: Annotated[str | None, Sid("RI"), accepted(_NO_RULES)] = None
    address_sid: Annotated[str | None, Sid("AD"), accepted(_NO_RULES)] = None
    bundle_sid: Annotated[str | None, Sid("BU"), accepted(_NO_RULES)] = None


# Kept with a number and given back, without effect.
_SETTINGS = (
    *("status_callback", "status_callback_method", "voice_application_sid"),
    *("voice_caller_id_lookup", "voice_fallback_method", "voice_fallback_url", "voice_method"),
    *("voice_url", "emergency_status", "emergency_address_sid", "trunk_sid"),
    *("voice_receive_mode", "identity_sid", "address_sid", "bundle_sid"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNumber(_Configuration):
    """A number to be bought: a certain one, or any of an area code."""

    phone_number: Address | None = None
    area_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKindNumber(_Configuration):
    """A certain number of one kind to be bought."""

    phone_number: Annotated[Address, Code(21421)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateNumber(_Configuration):
    """A change of a number; AccountSid gives it to another account of the same owner."""

    account_sid: Annotated[str | None, Sid("AC"), Code(21470)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNumbers:
    """Which numbers are wanted."""

    beta: bool | None = None
    friendly_name: str | None = None
    phone_number: Address | None = None
    origin: str | None = None

    def wants(self, number: Number) -> bool:
        """Tell whether a number is one of those."""
        return (
            not self.beta
            and number.kind != SHORT_CODE
            and self.friendly_name in (None, "", number.friendly_name)
            and self.origin in (None, "", _SOLD_HERE)
            and (not self.phone_number or numbers.matches(number.phone_number, self.phone_number))
        )


def _fields(call: Call, number: Number) -> dict[str, Any]:
    known = number.settings
    return {
        "account_sid": number.account_sid,
        "address_sid": known.get("address_sid") or None,
        "address_requirements": "none",
        "api_version": "2010-04-01",
        "beta": False,
        "capabilities": asdict(number.capabilities),
        "date_created": number.created_at,
        "date_updated": number.updated_at,
        "friendly_name": number.friendly_name,
        "identity_sid": known.get("identity_sid") or None,
        "phone_number": number.phone_number,
        "origin": _SOLD_HERE,
        "sid": number.sid,
        "sms_application_sid": None,
        "sms_fallback_method": number.sms_fallback_method,
        "sms_fallback_url": number.sms_fallback_url,
        "sms_method": number.sms_method,
        "sms_url": number.sms_url,
        "status_callback": known.get("status_callback", ""),
        "status_callback_method": known.get("status_callback_method", "POST"),
        "trunk_sid": known.get("trunk_sid") or None,
        "uri": f"{call.root}/IncomingPhoneNumbers/{number.sid}{JSON_SUFFIX}",
        "voice_receive_mode": known.get("voice_receive_mode", "voice"),
        "voice_application_sid": known.get("voice_application_sid") or None,
        "voice_caller_id_lookup": known.get("voice_caller_id_lookup") == "True",
        "voice_fallback_method": known.get("voice_fallback_method", "POST"),
        "voice_fallback_url": known.get("voice_fallback_url", ""),
        "voice_method": known.get("voice_method", "POST"),
        "voice_url": known.get("voice_url", ""),
        "emergency_status": known.get("emergency_status", "Inactive"),
        "emergency_address_sid": known.get("emergency_address_sid") or None,
        "emergency_address_status": "unregistered",
        "bundle_sid": known.get("bundle_sid") or None,
        "status": "in-use",
    }


def _view(call: Call, number: Number) -> NumberView:
    return NumberView(type=number.kind.lower(), **_fields(call, number))


def _kind_view(call: Call, number: Number) -> KindNumberView:
    return KindNumberView(**_fields(call, number))


def _sid(call: Call) -> str:
    """Return the SID of the path; a short code's is nobody's here."""
    sid = call.path["Sid"]
    return sid if is_sid(sid, "PN") else ""


def _changes(params: _Configuration) -> Changes:
    settings = {name: getattr(params, name) for name in _SETTINGS}
    return Changes(
        friendly_name=params.friendly_name,
        sms_url=params.sms_url,
        sms_method=params.sms_method,
        sms_fallback_url=params.sms_fallback_url,
        sms_fallback_method=params.sms_fallback_method,
        settings={name: str(value) for name, value in settings.items() if value is not None},
    )


async def create(call: Call, params: CreateNumber) -> Number:
    """Buy a number: the one asked for, or some number of an area code."""
    changes = _changes(params)
    if params.phone_number:
        return await numbers.buy(
            call.platform, call.account, phone_number=params.phone_number, changes=changes
        )
    if params.area_code:
        return await numbers.buy_in_area(
            call.platform, call.account, area_code=params.area_code, changes=changes
        )
    raise Refusal(21421, message="A PhoneNumber or an AreaCode is required")


async def rehearse(call: Call, params: CreateNumber) -> Number:
    """Answer as if a number were bought."""
    return rehearsal.number(
        call.platform,
        call.account,
        phone_number=params.phone_number,
        area_code=params.area_code,
        changes=_changes(params),
    )


async def page(call: Call, params: ListNumbers, page: Page) -> Found[Number]:
    """List the numbers of the account, newest first."""
    return await numbers.page(call.platform, call.account.sid, where=params.wants, page=page)


async def fetch(call: Call) -> Number | None:
    """Return a number."""
    return await numbers.find(call.platform, call.account.sid, _sid(call))


async def update(call: Call, params: UpdateNumber) -> Number | None:
    """Configure a number, or give it to another account of the same owner."""
    target = await _target(call, params.account_sid) if params.account_sid else None
    return await numbers.update(
        call.platform,
        call.account.sid,
        sid=_sid(call),
        changes=_changes(params),
        move_to=target,
    )


async def _target(call: Call, account_sid: str) -> Account:
    """Return whom to give a number to, or refuse (21470) who is not active or of another owner."""
    owner = call.actor.account
    target = await call.platform.directory.account(account_sid)
    is_possible = (
        target is not None
        and target.status == owner.status
        and owner.sid in (target.sid, target.owner_sid)
    )
    if target is None or not is_possible:
        raise Refusal(21470, name=account_sid)
    return target


async def delete(call: Call) -> bool:
    """Give a number back."""
    return await numbers.release(call.platform, call.account.sid, sid=_sid(call))


def _create(kind: NumberKind) -> Callable[[Call, CreateKindNumber], Awaitable[Number]]:
    async def create(call: Call, params: CreateKindNumber) -> Number:
        return await numbers.buy(
            call.platform,
            call.account,
            phone_number=params.phone_number,
            changes=_changes(params),
            kind=kind,
        )

    create.__doc__ = "Buy a number of this kind."
    return create


def _page(kind: NumberKind) -> Callable[[Call, ListNumbers, Page], Awaitable[Found[Number]]]:
    async def page(call: Call, params: ListNumbers, page: Page) -> Found[Number]:
        def is_wanted(number: Number) -> bool:
            return number.kind == kind and params.wants(number)

        return await numbers.page(call.platform, call.account.sid, where=is_wanted, page=page)

    page.__doc__ = "List the numbers of this kind, newest first."
    return page


NUMBERS = Resource(
    name="incoming phone number",
    path="/IncomingPhoneNumbers",
    dialect=V2010,
    view=_view,
    list_key="incoming_phone_numbers",
    create=Op(run=create, rehearse=rehearse, params=CreateNumber),
    page=Op(run=page, params=ListNumbers),
    fetch=Op(run=fetch),
    update=Op(run=update, params=UpdateNumber),
    delete=Op(run=delete),
)
NUMBERS_BY_KIND = {
    kind: Resource(
        name=f"incoming phone number ({kind.value})",
        path=f"/IncomingPhoneNumbers/{kind.value}",
        dialect=V2010,
        view=_kind_view,
        list_key="incoming_phone_numbers",
        create=Op(run=_create(kind), params=CreateKindNumber),
        page=Op(run=_page(kind), params=ListNumbers),
    )
    for kind in (NumberKind.LOCAL, NumberKind.MOBILE, NumberKind.TOLL_FREE)
}
