"""A text on its way in: stored, then told to its owner's application."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

from sqlalchemy import Connection

from trunkline.carriers.port import Incoming
from trunkline.domain.account import Account, AccountStatus, Media, Number
from trunkline.domain.address import country_of
from trunkline.domain.ids import AT_ONCE
from trunkline.domain.message import OPT_OUT_TYPE, Direction, Message, Status
from trunkline.domain.nanp import region_of
from trunkline.domain.sending import Draft
from trunkline.domain.service import MessagingService
from trunkline.flows import reports
from trunkline.flows.caller_ids import take_answers
from trunkline.flows.deliveries import guests_of, texts_owed
from trunkline.flows.keywords import hear
from trunkline.flows.money import cost, usage_of
from trunkline.flows.outbound import Added, add_drafts, announce_accepted
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import announce, event
from trunkline.store.callbacks import CallbackRow, insert_callbacks
from trunkline.store.deliveries import DeliveryRow, insert_deliveries
from trunkline.store.media import MediaFetch, insert_fetches
from trunkline.store.messages import Event, insert_events, insert_messages
from trunkline.store.outbox import CarrierRef, claim_ref, find_refs
from trunkline.store.records import (
    ACCOUNTS,
    NUMBERS,
    SERVICE_SENDERS,
    SERVICES,
    find_record,
    find_unique,
)
from trunkline.store.strays import TEXT, Stray, insert_strays, known_strays
from trunkline.store.usage import add_usage

# Inbound references share a table with outbound ones; the mark keeps the two apart.
INBOUND_MARK = "in:"


@dataclass(frozen=True, slots=True)
class _Webhook:
    """Where an application is told of texts."""

    url: str
    method: str
    fallback_url: str
    fallback_method: str


async def receive(platform: Platform, carrier: str, batch: Sequence[Incoming]) -> None:
    """Store inbound texts; when this returns they may be acknowledged.

    A text that was stored before changes nothing. One that is for no number of ours is kept
    among the strays.
    """

    def work(db: Connection) -> tuple[list[Message], Added]:
        return _receive(platform, db, carrier, batch=batch)

    messages, answers = await platform.store.write(work)
    announce(platform, messages)
    announce_accepted(platform, answers)
    reports.received(platform, carrier, messages)


def inbound_callback(
    platform: Platform,
    message: Message,
    number: Number,
    *,
    service: MessagingService | None = None,
    media: Sequence[Media] = (),
) -> CallbackRow | None:
    """Return the webhook that tells an application of *message*, if one wants to know.

    It is the application of the service that the number is in, or else the number's.
    """
    webhook = _webhook_of(number, service)
    if not webhook.url:
        return None
    now = platform.clock.now()
    return CallbackRow(
        sid=platform.chance.sid("CB", now),
        account_sid=message.account_sid,
        message_sid=message.sid,
        kind="inbound",
        url=webhook.url,
        method=webhook.method,
        fallback_url=webhook.fallback_url,
        fallback_method=webhook.fallback_method,
        parameters=inbound_parameters(platform, message, media),
        token=platform.chance.uuid(),
        due_at=AT_ONCE,
        created_at=now,
    )


def inbound_parameters(
    platform: Platform, message: Message, media: Sequence[Media] = ()
) -> dict[str, str]:
    """Return the form of an inbound webhook."""
    form = {
        **geography(message),
        "SmsMessageSid": message.sid,
        "NumMedia": str(len(media)),
        "SmsSid": message.sid,
        "SmsStatus": Status.RECEIVED.value,
        "Body": message.body,
        "To": message.recipient,
        "NumSegments": str(message.num_segments),
        "MessageSid": message.sid,
        "AccountSid": message.account_sid,
        "From": message.sender or "",
        "ApiVersion": "2010-04-01",
    }
    if message.messaging_service_sid:
        form["MessagingServiceSid"] = message.messaging_service_sid
    if OPT_OUT_TYPE in message.options:
        form["OptOutType"] = message.options[OPT_OUT_TYPE]
    for index, item in enumerate(media):
        form[f"MediaUrl{index}"] = platform.media_url(item)
        form[f"MediaContentType{index}"] = item.content_type
    return form


def geography(message: Message) -> dict[str, str]:
    """Return where the parties of a message are; what is not known is there, and empty."""
    sender, recipient = message.sender or "", message.recipient
    return {
        "ToCountry": country_of(recipient) or "",
        "ToState": _state(recipient),
        "ToCity": "",
        "ToZip": "",
        "FromCountry": country_of(sender) or "",
        "FromState": _state(sender),
        "FromCity": "",
        "FromZip": "",
    }


def service_of(db: Connection, number: Number) -> MessagingService | None:
    """Return the Messaging Service that a number is in, if it is in one."""
    member = find_record(db, SERVICE_SENDERS, number.sid)
    return find_record(db, SERVICES, member.service_sid) if member else None


def wants_webhooks(account: Account | None) -> bool:
    """Whether an account's applications are told of anything."""
    return account is not None and account.status is AccountStatus.ACTIVE


def _webhook_of(number: Number, service: MessagingService | None) -> _Webhook:
    if service is None or service.use_inbound_webhook_on_number:
        return _Webhook(
            number.sms_url,
            number.sms_method,
            number.sms_fallback_url,
            number.sms_fallback_method,
        )
    return _Webhook(
        service.inbound_request_url,
        service.inbound_method,
        service.fallback_url,
        service.fallback_method,
    )


def _state(number: str) -> str:
    return (region_of(number[2:5]) or "") if number.startswith("+1") else ""


def _receive(
    platform: Platform, db: Connection, carrier: str, *, batch: Sequence[Incoming]
) -> tuple[list[Message], Added]:
    refs_here = {INBOUND_MARK + incoming.ref for incoming in batch}
    known = set(find_refs(db, carrier, refs_here)) | known_strays(db, carrier, refs_here)
    messages: list[Message] = []
    calls: list[CallbackRow] = []
    fetches: list[MediaFetch] = []
    trace: list[Event] = []
    strays: list[Stray] = []
    owed: list[DeliveryRow] = []
    answers: list[Draft] = []
    owner_of = cache(partial(_owner_of, db))  # A batch is mostly for one number, or for few.
    for incoming in batch:
        ref = INBOUND_MARK + incoming.ref
        if ref in known:
            continue
        known.add(ref)
        # A channel's address is the number's behind its prefix.
        number, service, is_told = owner_of(incoming.recipient.rpartition(":")[2])
        guests = [] if number else guests_of(platform, db, carrier, incoming=incoming)
        if number is None and not guests:
            strays.append(_stray(platform, carrier, incoming))
            continue
        account_sid = number.account_sid if number else guests[0].account_sid
        message = _message(platform, account_sid, carrier, incoming=incoming, service=service)
        if not claim_ref(db, _inbound_ref(carrier, ref, message=message)):
            continue  # Another node was brought the same text at the same moment.
        owed += texts_owed(platform, db, message, guests=guests)
        trace.append(
            event(platform, message, "received", detail={"carrier": carrier, "ref": incoming.ref})
        )
        heard = hear(platform, db, message, number=number, service=service) if number else None
        if heard:
            message = heard.message
            trace.append(heard.trace)
            answers += [heard.draft] if heard.draft else []
        messages.append(message)
        if incoming.media:
            fetches.append(_fetch(message, incoming))
        elif number and is_told:
            call = inbound_callback(platform, message, number, service=service)
            calls += [call] if call else []
    insert_strays(db, strays)
    if messages:
        insert_messages(db, messages)
        insert_events(db, trace)
        insert_fetches(db, fetches)
        insert_callbacks(db, calls)
        take_answers(platform, db, messages)
        insert_deliveries(db, owed)
        add_usage(db, [usage_of(message) for message in messages])
    return messages, add_drafts(platform, db, answers)


def _owner_of(
    db: Connection, phone_number: str
) -> tuple[Number | None, MessagingService | None, bool]:
    """Return a number of ours, the service it is in, and whether its account is told of texts."""
    number = find_unique(db, NUMBERS, phone_number)
    if number is None:
        return None, None, False
    is_told = wants_webhooks(find_record(db, ACCOUNTS, number.account_sid))
    return number, service_of(db, number), is_told


def _stray(platform: Platform, carrier: str, incoming: Incoming) -> Stray:
    doc = {
        "from": incoming.sender,
        "to": incoming.recipient,
        "body": incoming.body,
        "encoding": incoming.encoding,
        "media": list(incoming.media),
    }
    return Stray(
        sid=platform.chance.sid("SY", platform.clock.now()),
        carrier=carrier,
        kind=TEXT,
        refs=(INBOUND_MARK + incoming.ref,),
        at=incoming.at,
        doc=doc,
    )


def _message(
    platform: Platform,
    account_sid: str,
    carrier: str,
    *,
    incoming: Incoming,
    service: MessagingService | None,
) -> Message:
    now = platform.clock.now()
    message = Message(
        account_sid=account_sid,
        sid=platform.chance.sid("MM" if incoming.media else "SM", now),
        direction=Direction.INBOUND,
        status=Status.RECEIVED,
        sender=incoming.sender,
        recipient=incoming.recipient,
        body=incoming.body,
        encoding=incoming.encoding,
        num_segments=incoming.num_segments,
        num_media=len(incoming.media),
        messaging_service_sid=service.sid if service else None,
        carrier=carrier,
        created_at=now,
        updated_at=now,
        sent_at=now,
    )
    return message.priced(cost(platform.prices, message))


def _inbound_ref(carrier: str, ref: str, *, message: Message) -> CarrierRef:
    return CarrierRef(
        carrier=carrier,
        ref=ref,
        account_sid=message.account_sid,
        message_sid=message.sid,
        segment_index=0,
        segment_count=1,
        delivered=True,
    )


def _fetch(message: Message, incoming: Incoming) -> MediaFetch:
    return MediaFetch(
        message_sid=message.sid,
        account_sid=message.account_sid,
        urls=incoming.media,
        due_at=AT_ONCE,
    )
