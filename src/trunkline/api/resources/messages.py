"""Messages: https://www.twilio.com/docs/messaging/api/message-resource"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

from trunkline.api.resource import JSON_SUFFIX, V2010, Call, Op, Resource
from trunkline.api.wire import Address, Code, Period, Sid, Url, Wire, accepted, refused
from trunkline.domain.address import parse_sender
from trunkline.domain.message import PRICE_UNIT, Direction, Message, Status
from trunkline.domain.sending import SendRequest
from trunkline.flows import messages, outbound, rehearsal
from trunkline.flows.idempotency import once
from trunkline.flows.messages import MessageFilter
from trunkline.store.paging import Found, Page

_STORED = "it is kept with the message and changes nothing"
_NO_TEMPLATES = "there are no content templates"
_NO_APPLICATIONS = "there are no TwiML applications"


class ScheduleType(StrEnum):
    """How a message is scheduled."""

    FIXED = "fixed"


class ContentRetention(StrEnum):
    """What becomes of a body once it is handed over."""

    RETAIN = "retain"
    DISCARD = "discard"


class AddressRetention(StrEnum):
    """What becomes of a recipient once the message is handed over."""

    RETAIN = "retain"
    OBFUSCATE = "obfuscate"


class TrafficType(StrEnum):
    """Reserved by Twilio."""

    FREE = "free"


class RiskCheck(StrEnum):
    """Whether a message is checked for traffic pumping."""

    ENABLE = "enable"
    DISABLE = "disable"


class UpdateStatus(StrEnum):
    """What a caller can make of a message."""

    CANCELED = "canceled"


@dataclass(slots=True, kw_only=True)
class MessageView:
    """A message."""

    body: str
    num_segments: str
    direction: Direction
    from_: Address | None
    to: str
    date_updated: datetime
    price: str | None
    error_message: str | None
    uri: str
    account_sid: Annotated[str, Sid("AC")]
    num_media: str
    status: Status
    messaging_service_sid: Annotated[str | None, Sid("MG")]
    sid: str
    date_sent: datetime | None
    date_created: datetime
    error_code: int | None
    price_unit: str
    api_version: str
    subresource_uris: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class CreateMessage:
    """A message to be sent. What is missing is judged by the flow, in Twilio's order."""

    to: Address | None = None
    status_callback: Url | None = None
    application_sid: Annotated[str | None, refused(_NO_APPLICATIONS, by_flow=True)] = None
    max_price: Annotated[Decimal | None, accepted(_STORED), Code(21627)] = None
    provide_feedback: Annotated[bool | None, accepted(_STORED)] = None
    attempt: Annotated[int | None, accepted(_STORED)] = None
    validity_period: Annotated[int | None, Code(21624)] = None
    force_delivery: Annotated[bool | None, accepted(_STORED)] = None
    content_retention: Annotated[ContentRetention | None, Code(30029), accepted(_STORED)] = None
    address_retention: Annotated[AddressRetention | None, Code(30030), accepted(_STORED)] = None
    smart_encoded: bool | None = None
    persistent_action: Annotated[tuple[str, ...], accepted(_STORED)] = ()
    traffic_type: Annotated[TrafficType | None, accepted(_STORED)] = None
    shorten_urls: Annotated[
        bool, refused("links are shortened under a domain of a Messaging Service")
    ] = False
    schedule_type: Annotated[ScheduleType | None, Code(35119)] = None
    send_at: Annotated[datetime | None, Code(35114)] = None
    send_as_mms: Annotated[bool, refused("a text is sent as text")] = False
    content_variables: Annotated[
        str | None, accepted("it is checked, and means nothing without a template")
    ] = None
    message_intent: Annotated[str | None, accepted(_STORED)] = None
    risk_check: Annotated[RiskCheck | None, accepted(_STORED)] = None
    from_: Address | None = None
    fallback_from: Annotated[Address | None, accepted(_STORED)] = None
    messaging_service_sid: str | None = None
    body: str | None = None
    media_url: tuple[Url, ...] = ()
    content_sid: Annotated[str | None, refused(_NO_TEMPLATES, by_flow=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateMessage:
    """A change of a message: Body may be emptied, a scheduled message canceled."""

    body: str | None = None
    status: UpdateStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMessages:
    """Which messages are wanted."""

    to: Address | None = None
    from_: Address | None = None
    date_sent: Period | None = None
    date_sent_before: Annotated[Period | None, Wire("DateSent<")] = None
    date_sent_after: Annotated[Period | None, Wire("DateSent>")] = None


def _view(call: Call, message: Message) -> MessageView:
    return _shown(call, message, subresources=("media", "feedback"))


def _created_view(call: Call, message: Message) -> MessageView:
    # Captures of Twilio's answer to a create name the media only.
    return _shown(call, message, subresources=("media",))


def _shown(call: Call, message: Message, *, subresources: tuple[str, ...]) -> MessageView:
    own = f"{call.root}/Messages/{message.sid}"
    return MessageView(
        body=message.body,
        num_segments=str(message.num_segments),
        direction=message.direction,
        from_=None if message.sender is None else Address(message.sender),
        to=message.recipient,
        date_updated=message.updated_at,
        price=_price(message.price),
        error_message=message.error_message,
        uri=own + JSON_SUFFIX,
        account_sid=message.account_sid,
        num_media=str(message.num_media),
        status=message.status,
        messaging_service_sid=message.messaging_service_sid,
        sid=message.sid,
        date_sent=message.sent_at,
        date_created=message.created_at,
        error_code=message.error_code,
        price_unit=PRICE_UNIT,
        api_version="2010-04-01",
        subresource_uris={n: f"{own}/{n.capitalize()}{JSON_SUFFIX}" for n in subresources},
    )


def _price(cost: Decimal | None) -> str | None:
    """Write a cost as Twilio does, negative; nothing costs "0.00000"."""
    return None if cost is None else f"{-cost or cost:.5f}"


async def create(call: Call, params: CreateMessage) -> Message:
    """Send a message."""
    send = partial(outbound.send, call.platform, call.account)
    request = _request(params)
    return await once(call.platform, call.account.sid, request, key=call.idempotency_key, send=send)


async def rehearse(call: Call, params: CreateMessage) -> Message:
    """Answer as if a message were sent."""
    return rehearsal.message(call.platform, call.account.sid, _request(params))


def _request(params: CreateMessage) -> SendRequest:
    return SendRequest(
        to=params.to,
        from_=params.from_,
        messaging_service_sid=params.messaging_service_sid or None,
        body=params.body,
        media_url=params.media_url,
        content_sid=params.content_sid or None,
        content_variables=params.content_variables or None,
        status_callback=params.status_callback or None,
        application_sid=params.application_sid or None,
        validity_period=params.validity_period,
        smart_encoded=params.smart_encoded,
        schedule_type=params.schedule_type,
        send_at=params.send_at,
        options=_options(params),
    )


def _options(params: CreateMessage) -> Mapping[str, str]:
    """Return what is kept with a message and changes nothing."""
    given = {
        "MaxPrice": params.max_price,
        "ProvideFeedback": params.provide_feedback,
        "Attempt": params.attempt,
        "ForceDelivery": params.force_delivery,
        "ContentRetention": params.content_retention,
        "AddressRetention": params.address_retention,
        "PersistentAction": "\n".join(params.persistent_action) or None,
        "TrafficType": params.traffic_type,
        "MessageIntent": params.message_intent,
        "RiskCheck": params.risk_check,
        "FallbackFrom": params.fallback_from,
    }
    return {name: str(value) for name, value in given.items() if value is not None}


async def page(call: Call, params: ListMessages, page: Page) -> Found[Message]:
    """List the messages, newest first; a filter by DateSent leaves out what is not sent yet."""
    day = params.date_sent.as_day() if params.date_sent else None
    after, before = params.date_sent_after, params.date_sent_before
    starts = [period.start for period in (day, after) if period]
    ends = [period.end for period in (day, before) if period]
    wanted = MessageFilter(
        recipient=_normal(params.to),
        sender=_normal(params.from_),
        sent_from=max(starts, default=None),
        sent_before=min(ends, default=None),
    )
    return await messages.page(call.platform, call.account.sid, wanted, page)


def _normal(address: Address | None) -> str | None:
    """Return an address as messages hold it; what is no address matches none."""
    parsed = parse_sender(address) if address else None
    return parsed.text if parsed else address or None


async def fetch(call: Call) -> Message | None:
    """Return a message."""
    return await messages.find(call.platform, call.account.sid, call.path["Sid"])


async def update(call: Call, params: UpdateMessage) -> Message:
    """Redact a message (Body empty) or cancel a scheduled one (Status canceled)."""
    return await messages.amend(
        call.platform,
        call.account.sid,
        call.path["Sid"],
        body=params.body,
        status=params.status,
    )


async def delete(call: Call) -> bool:
    """Delete a message that is in a final state; its media stay."""
    await messages.remove(call.platform, call.account.sid, call.path["Sid"])
    return True


MESSAGES = Resource(
    name="message",
    path="/Messages",
    dialect=V2010,
    view=_view,
    list_key="messages",
    create=Op(
        run=create, rehearse=rehearse, params=CreateMessage, view=_created_view, takes_key=True
    ),
    page=Op(run=page, params=ListMessages),
    fetch=Op(run=fetch),
    update=Op(run=update, params=UpdateMessage),
    delete=Op(run=delete),
)
