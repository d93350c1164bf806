"""Messaging Services: https://www.twilio.com/docs/messaging/api/service-resource"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from trunkline.api.resource import Call, Op, Resource, v1
from trunkline.api.wire import Code, Method, Sid, Url, accepted
from trunkline.domain.service import USECASES, MessagingService, Scan
from trunkline.flows import services
from trunkline.flows.services import Changes
from trunkline.store.paging import Found, Page

MESSAGING = v1("messaging")
PATH = "/Services"

_LINKS = {
    "phone_numbers": "/PhoneNumbers",
    "short_codes": "/ShortCodes",
    "alpha_senders": "/AlphaSenders",
    "messages": "/Messages",
    "us_app_to_person": "/Compliance/Usa2p",
    "us_app_to_person_usecases": "/Compliance/Usa2p/Usecases",
    "channel_senders": "/ChannelSenders",
    "destination_alpha_senders": "/DestinationAlphaSenders",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView:
    """A Messaging Service."""

    sid: Annotated[str, Sid("MG")]
    account_sid: Annotated[str, Sid("AC")]
    friendly_name: str
    date_created: datetime
    date_updated: datetime
    inbound_request_url: str | None
    inbound_method: str
    fallback_url: str | None
    fallback_method: str
    status_callback: str | None
    sticky_sender: bool
    mms_converter: bool
    smart_encoding: bool
    scan_message_content: Scan
    fallback_to_long_code: bool
    area_code_geomatch: bool
    synchronous_validation: bool
    validity_period: int
    url: Url
    links: dict[str, Any]
    usecase: str
    us_app_to_person_registered: bool
    use_inbound_webhook_on_number: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateService:
    """What can be set on a service; an empty URL is none."""

    friendly_name: str | None = None
    inbound_request_url: Url | None = None
    inbound_method: Method | None = None
    fallback_url: Url | None = None
    fallback_method: Method | None = None
    status_callback: Url | None = None
    sticky_sender: bool | None = None
    mms_converter: bool | None = None
    smart_encoding: bool | None = None
    scan_message_content: Annotated[
        Scan | None, accepted("it is kept and given back; contents are not looked through")
    ] = None
    fallback_to_long_code: Annotated[
        bool | None, accepted("it is kept and given back; every sender of the pool is tried anyway")
    ] = None
    area_code_geomatch: bool | None = None
    validity_period: Annotated[int | None, Code(21624)] = None
    synchronous_validation: Annotated[
        bool | None, accepted("it is kept and given back; Twilio reserves it")
    ] = None
    usecase: str | None = None
    use_inbound_webhook_on_number: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateService(UpdateService):
    """A service to be made; what is not given is as Twilio has it."""

    friendly_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsecasesView:
    """What services may be for."""

    usecases: tuple[dict[str, Any], ...]


def service_url(call: Call, sid: str) -> str:
    """Return the address of a service, as the caller reaches us."""
    return f"{call.base_url}{MESSAGING.prefix}{PATH}/{sid}"


def _view(call: Call, service: MessagingService) -> ServiceView:
    url = service_url(call, service.sid)
    return ServiceView(
        sid=service.sid,
        account_sid=service.account_sid,
        friendly_name=service.friendly_name,
        date_created=service.created_at,
        date_updated=service.updated_at,
        inbound_request_url=service.inbound_request_url or None,
        inbound_method=service.inbound_method,
        fallback_url=service.fallback_url or None,
        fallback_method=service.fallback_method,
        status_callback=service.status_callback or None,
        sticky_sender=service.sticky_sender,
        mms_converter=service.mms_converter,
        smart_encoding=service.smart_encoding,
        scan_message_content=service.scan_message_content,
        fallback_to_long_code=service.fallback_to_long_code,
        area_code_geomatch=service.area_code_geomatch,
        synchronous_validation=service.synchronous_validation,
        validity_period=service.validity_period,
        url=Url(url),
        links={name: url + path for name, path in _LINKS.items()},
        usecase=service.usecase,
        us_app_to_person_registered=False,
        use_inbound_webhook_on_number=service.use_inbound_webhook_on_number,
    )


def _usecases_view(_: Call, found: tuple[dict[str, Any], ...]) -> UsecasesView:
    return UsecasesView(usecases=found)


def _changes(params: UpdateService) -> Changes:
    return Changes(
        friendly_name=params.friendly_name or None,
        inbound_request_url=params.inbound_request_url,
        inbound_method=params.inbound_method,
        fallback_url=params.fallback_url,
        fallback_method=params.fallback_method,
        status_callback=params.status_callback,
        sticky_sender=params.sticky_sender,
        mms_converter=params.mms_converter,
        smart_encoding=params.smart_encoding,
        scan_message_content=params.scan_message_content,
        fallback_to_long_code=params.fallback_to_long_code,
        area_code_geomatch=params.area_code_geomatch,
        validity_period=params.validity_period,
        synchronous_validation=params.synchronous_validation,
        usecase=services.parse_usecase(params.usecase) if params.usecase else None,
        use_inbound_webhook_on_number=params.use_inbound_webhook_on_number,
    )


async def create(call: Call, params: CreateService) -> MessagingService:
    """Make a Messaging Service."""
    return await services.create(call.platform, call.account.sid, _changes(params))


async def page(call: Call, page: Page) -> Found[MessagingService]:
    """List the Messaging Services, newest first."""
    return await services.page(call.platform, call.account.sid, page=page)


async def fetch(call: Call) -> MessagingService | None:
    """Return a Messaging Service."""
    return await services.find(call.platform, call.account.sid, call.path["Sid"])


async def update(call: Call, params: UpdateService) -> MessagingService | None:
    """Change a Messaging Service."""
    return await services.update(
        call.platform, call.account.sid, sid=call.path["Sid"], changes=_changes(params)
    )


async def delete(call: Call) -> bool:
    """Delete a Messaging Service; its numbers stay with the account."""
    return await services.delete(call.platform, call.account.sid, sid=call.path["Sid"])


async def fetch_usecases(_: Call) -> tuple[dict[str, Any], ...]:
    """Return what a Messaging Service may be for."""
    return tuple(
        {"usecase": usecase.value, "purpose": purpose, "description": description}
        for usecase, (purpose, description) in USECASES.items()
    )


SERVICES = Resource(
    name="messaging service",
    path=PATH,
    dialect=MESSAGING,
    view=_view,
    list_key="services",
    create=Op(run=create, params=CreateService),
    page=Op(run=page),
    fetch=Op(run=fetch),
    update=Op(run=update, params=UpdateService),
    delete=Op(run=delete),
)
USECASES_OF_SERVICES = Resource(
    name="messaging service use cases",
    path=f"{PATH}/Usecases",
    dialect=MESSAGING,
    one="",
    view=_usecases_view,
    fetch=Op(run=fetch_usecases),
)
