"""The senders in the pool of a Messaging Service:
https://www.twilio.com/docs/messaging/api/phonenumber-resource"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from trunkline.api.resource import Call, Op, Resource, View
from trunkline.api.resources.services import MESSAGING, PATH, service_url
from trunkline.api.wire import Address, Code, Sid, Url, refused
from trunkline.domain.account import Capabilities
from trunkline.domain.errors import Refusal
from trunkline.domain.service import SenderKind, ServiceSender
from trunkline.flows import services
from trunkline.store.paging import Found, Page

_NUMBERS, _SHORT_CODES, _ALPHA_SENDERS = "/PhoneNumbers", "/ShortCodes", "/AlphaSenders"
_DESTINATIONS, _CHANNELS = "/DestinationAlphaSenders", "/ChannelSenders"

_NO_CHANNELS = "the numbers of a service are its senders in WhatsApp and other channels as well"

Where = Callable[[ServiceSender], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _SenderView:
    """What every sender in a service has but one of a channel."""

    account_sid: Annotated[str, Sid("AC")]
    service_sid: Annotated[str, Sid("MG")]
    date_created: datetime
    date_updated: datetime
    capabilities: tuple[str, ...]
    url: Url


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNumberView(_SenderView):
    """A phone number in a service."""

    sid: Annotated[str, Sid("PN")]
    phone_number: Address
    country_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceShortCodeView(_SenderView):
    """A short code in a service."""

    sid: Annotated[str, Sid("SC")]
    short_code: str
    country_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlphaSenderView(_SenderView):
    """An alphanumeric sender in a service."""

    sid: Annotated[str, Sid("AI")]
    alpha_sender: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationAlphaSenderView(AlphaSenderView):
    """An alphanumeric sender in a service, for one country or, with null, for all others."""

    iso_country_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSenderView:
    """A sender of a channel in a service."""

    account_sid: Annotated[str, Sid("AC")]
    messaging_service_sid: Annotated[str, Sid("MG")]
    sid: Annotated[str, Sid("XE")]
    sender: str
    sender_type: str
    country_code: str | None
    date_created: datetime
    date_updated: datetime
    url: Url


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNumber:
    """A phone number of the account that is to be in a service."""

    phone_number_sid: Annotated[str, Sid("PN"), Code(21421)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddShortCode:
    """A short code of the account that is to be in a service."""

    short_code_sid: Annotated[str, Sid("SC"), Code(21421)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddAlphaSender:
    """An alphanumeric sender that is to be in a service."""

    alpha_sender: Annotated[str, Code(21708)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDestinationAlphaSender(AddAlphaSender):
    """An alphanumeric sender for one country."""

    iso_country_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddChannelSender:
    """A sender of a channel that is to be in a service."""

    sid: Annotated[str, Sid("XE"), refused(_NO_CHANNELS, by_flow=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDestinationAlphaSenders:
    """Whose alphanumeric senders are wanted."""

    iso_country_code: str | None = None


def _url(call: Call, sender: ServiceSender, path: str) -> Url:
    return Url(f"{service_url(call, sender.service_sid)}{path}/{sender.sid}")


def _words(able: Capabilities) -> tuple[str, ...]:
    found = {"MMS": able.mms, "SMS": able.sms, "Voice": able.voice}
    return tuple(word for word, can in found.items() if can)


def _fields(call: Call, sender: ServiceSender, path: str) -> dict[str, Any]:
    return {
        "sid": sender.sid,
        "account_sid": sender.account_sid,
        "service_sid": sender.service_sid,
        "date_created": sender.created_at,
        "date_updated": sender.updated_at,
        "capabilities": _words(sender.capabilities),
        "url": _url(call, sender, path),
    }


def _number_view(call: Call, sender: ServiceSender) -> ServiceNumberView:
    return ServiceNumberView(
        phone_number=Address(sender.sender),
        country_code=sender.country or None,
        **_fields(call, sender, _NUMBERS),
    )


def _short_code_view(call: Call, sender: ServiceSender) -> ServiceShortCodeView:
    return ServiceShortCodeView(
        short_code=sender.sender,
        country_code=sender.country or None,
        **_fields(call, sender, _SHORT_CODES),
    )


def _alpha_view(call: Call, sender: ServiceSender) -> AlphaSenderView:
    return AlphaSenderView(alpha_sender=sender.sender, **_fields(call, sender, _ALPHA_SENDERS))


def _destination_view(call: Call, sender: ServiceSender) -> DestinationAlphaSenderView:
    return DestinationAlphaSenderView(
        alpha_sender=sender.sender,
        iso_country_code=sender.country or None,
        **_fields(call, sender, _DESTINATIONS),
    )


def _channel_view(call: Call, sender: ServiceSender) -> ChannelSenderView:
    return ChannelSenderView(
        account_sid=sender.account_sid,
        messaging_service_sid=sender.service_sid,
        sid=sender.sid,
        sender=sender.sender,
        sender_type=sender.sender.partition(":")[0],
        country_code=sender.country or None,
        date_created=sender.created_at,
        date_updated=sender.updated_at,
        url=_url(call, sender, _CHANNELS),
    )


def is_number(sender: ServiceSender) -> bool:
    """Tell whether a sender is a phone number."""
    return sender.kind is SenderKind.NUMBER


def is_short_code(sender: ServiceSender) -> bool:
    """Tell whether a sender is a short code."""
    return sender.kind is SenderKind.SHORT_CODE


def is_alphanumeric(sender: ServiceSender) -> bool:
    """Tell whether a sender is alphanumeric, for whatever country."""
    return sender.kind is SenderKind.ALPHANUMERIC


def is_for_everywhere(sender: ServiceSender) -> bool:
    """Tell whether a sender is alphanumeric and for no country of its own."""
    return is_alphanumeric(sender) and not sender.country


def is_of_a_channel(sender: ServiceSender) -> bool:
    """Tell whether a sender is of a channel: its address has a prefix."""
    return ":" in sender.sender


async def add_number(call: Call, params: AddNumber) -> ServiceSender:
    """Add a phone number of the account to a service."""
    return await services.add_number(
        call.platform,
        call.account.sid,
        call.path["ServiceSid"],
        sid=params.phone_number_sid,
        kind=SenderKind.NUMBER,
    )


async def add_short_code(call: Call, params: AddShortCode) -> ServiceSender:
    """Add a short code of the account to a service."""
    return await services.add_number(
        call.platform,
        call.account.sid,
        call.path["ServiceSid"],
        sid=params.short_code_sid,
        kind=SenderKind.SHORT_CODE,
    )


async def add_alpha_sender(call: Call, params: AddAlphaSender) -> ServiceSender:
    """Add an alphanumeric sender to a service, for all countries that take one."""
    return await services.add_alphanumeric(
        call.platform, call.account.sid, call.path["ServiceSid"], sender=params.alpha_sender
    )


async def add_destination(call: Call, params: AddDestinationAlphaSender) -> ServiceSender:
    """Add an alphanumeric sender to a service, for one country; without one, for all others."""
    return await services.add_alphanumeric(
        call.platform,
        call.account.sid,
        call.path["ServiceSid"],
        sender=params.alpha_sender,
        country=params.iso_country_code or "",
    )


async def page_destinations(
    call: Call, params: ListDestinationAlphaSenders, page: Page
) -> Found[ServiceSender]:
    """List the alphanumeric senders of a service, those for one country or all, newest first."""
    wanted = (params.iso_country_code or "").upper()

    def is_wanted(sender: ServiceSender) -> bool:
        return is_alphanumeric(sender) and wanted in ("", sender.country)

    return await services.page_senders(
        call.platform, call.account.sid, call.path["ServiceSid"], where=is_wanted, page=page
    )


async def add_channel_sender(call: Call, params: AddChannelSender) -> ServiceSender:
    """Refuse to add a sender of a channel: the numbers of the service are that."""
    await services.require(call.platform, call.account.sid, call.path["ServiceSid"])
    raise Refusal(20422, name="`Sid`", reason=f"not supported here; {_NO_CHANNELS}")


def _page(where: Where) -> Callable[[Call, Page], Awaitable[Found[ServiceSender]]]:
    async def page(call: Call, page: Page) -> Found[ServiceSender]:
        return await services.page_senders(
            call.platform, call.account.sid, call.path["ServiceSid"], where=where, page=page
        )

    page.__doc__ = "List the senders of this kind in a service, newest first."
    return page


def _fetch(where: Where) -> Callable[[Call], Awaitable[ServiceSender]]:
    async def fetch(call: Call) -> ServiceSender:
        return await services.find_sender(
            call.platform,
            call.account.sid,
            call.path["ServiceSid"],
            sid=call.path["Sid"],
            where=where,
        )

    fetch.__doc__ = "Return a sender of a service."
    return fetch


def _delete(where: Where) -> Callable[[Call], Awaitable[bool]]:
    async def delete(call: Call) -> bool:
        return await services.remove_sender(
            call.platform,
            call.account.sid,
            call.path["ServiceSid"],
            sid=call.path["Sid"],
            where=where,
        )

    delete.__doc__ = "Take a sender out of a service; a number stays with the account."
    return delete


def _resource(
    name: str,
    path: str,
    *,
    view: View,
    list_key: str,
    create: Op,
    where: Where,
    page: Op | None = None,
) -> Resource:
    return Resource(
        name=name,
        path=f"{PATH}/{{ServiceSid}}{path}",
        dialect=MESSAGING,
        view=view,
        list_key=list_key,
        create=create,
        page=page or Op(run=_page(where)),
        fetch=Op(run=_fetch(where)),
        delete=Op(run=_delete(where)),
    )


SERVICE_NUMBERS = _resource(
    "messaging service phone number",
    _NUMBERS,
    view=_number_view,
    list_key="phone_numbers",
    create=Op(run=add_number, params=AddNumber),
    where=is_number,
)
SERVICE_SHORT_CODES = _resource(
    "messaging service short code",
    _SHORT_CODES,
    view=_short_code_view,
    list_key="short_codes",
    create=Op(run=add_short_code, params=AddShortCode),
    where=is_short_code,
)
ALPHA_SENDERS = _resource(
    "messaging service alpha sender",
    _ALPHA_SENDERS,
    view=_alpha_view,
    list_key="alpha_senders",
    create=Op(run=add_alpha_sender, params=AddAlphaSender),
    where=is_for_everywhere,
)
DESTINATION_ALPHA_SENDERS = _resource(
    "messaging service destination alpha sender",
    _DESTINATIONS,
    view=_destination_view,
    list_key="alpha_senders",
    create=Op(run=add_destination, params=AddDestinationAlphaSender),
    page=Op(run=page_destinations, params=ListDestinationAlphaSenders),
    where=is_alphanumeric,
)
CHANNEL_SENDERS = _resource(
    "messaging service channel sender",
    _CHANNELS,
    view=_channel_view,
    list_key="senders",
    create=Op(run=add_channel_sender, params=AddChannelSender),
    where=is_of_a_channel,
)
