"""A message is asked for, checked, and accepted.

Rule: a message and the work it causes commit together, before anybody is told.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from msgspec.structs import replace
from sqlalchemy import Connection

from trunkline.domain.account import Account
from trunkline.domain.address import AddressKind
from trunkline.domain.carrier import Route, sender_type_of
from trunkline.domain.errors import Refusal
from trunkline.domain.ids import AT_ONCE
from trunkline.domain.message import (
    REQUEST_ID,
    ROUTE_PRICE,
    ROUTE_PRIORITY,
    VALIDITY_SECONDS_MAX,
    VIA,
    Direction,
    Message,
    Status,
)
from trunkline.domain.routing import Ask
from trunkline.domain.sending import (
    Draft,
    Parties,
    SendRequest,
    check_content,
    check_parties,
    check_presence,
    check_timing,
)
from trunkline.domain.text import encoding_of, smart_encode, split
from trunkline.flows import reports
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import status_callback, tell
from trunkline.flows.switchboard import flow_of
from trunkline.runtime import request_id
from trunkline.store.callbacks import insert_callbacks
from trunkline.store.media import MediaFetch, insert_fetches
from trunkline.store.messages import insert_messages
from trunkline.store.outbox import OutboxRow, insert_outbox
from trunkline.webhooks.request import is_webhook_url

__all__ = ["SendRequest", "accept", "prepare", "send"]

MESSAGING_SERVICE = "MG"


async def send(platform: Platform, account: Account, request: SendRequest) -> Message:
    """Accept the message that *request* asks for, or refuse it; when this returns it is on disk."""
    try:
        draft = await prepare(platform, account, request)
    except Refusal as refusal:
        platform.meter.count("messages_refused", code=str(refusal.code))
        raise
    await platform.accepting.add(draft, partial(accept, platform))
    return draft.message


async def prepare(
    platform: Platform,
    account: Account,
    request: SendRequest,
    *,
    via: str | None = None,
    may_use_any_sender: bool = False,
) -> Draft:
    """Return the message that *request* asks for, or refuse, in Twilio's order of checks.

    It takes the route that the operator set, or goes *via* a carrier in spite of all routes.
    """
    platform.pressure.check(accepting=platform.accepting.waiting, writing=platform.store.waiting)
    check_presence(request)
    check_content(request)
    for url in request.media_url:
        if not is_webhook_url(url):
            raise Refusal(21620, name=url)
    if request.status_callback and not is_webhook_url(request.status_callback):
        raise Refusal(21609, name=request.status_callback)
    check_timing(request)
    service = request.messaging_service_sid
    if not service and request.from_ and request.from_.startswith(MESSAGING_SERVICE):
        service = request.from_ if len(request.from_) == len(account.sid) else None
    if service:
        raise Refusal(21701, name=service, number=service)
    if request.content_sid:
        raise Refusal(21655, name=request.content_sid)
    if request.application_sid and not request.status_callback:
        raise Refusal(21420, name=request.application_sid)
    parties = check_parties(request)
    if not may_use_any_sender:
        await check_ownership(platform, account, parties)
    message = _message(platform, account, request, parties=parties, via=via)
    await check_queue(platform, message)
    return Draft(message, request.media_url)


async def check_ownership(platform: Platform, account: Account, parties: Parties) -> None:
    """Refuse a sender that this account may not use; a channel's sender is the number's owner's."""
    sender = parties.sender
    if sender.kind is AddressKind.ALPHANUMERIC:
        return
    number = await platform.directory.number(sender.bare)
    if sender.kind is AddressKind.CHANNEL:
        if number is None or number.account_sid != account.sid:
            raise Refusal(63007, sender=sender.text)
        return
    if number is None:
        raise Refusal(21659, number=sender.text, sender=sender.text)
    if number.account_sid != account.sid:
        raise Refusal(21660, number=sender.text, sender=sender.text, account=account.sid)
    if not number.capabilities.sms:
        raise Refusal(21606, number=sender.text, sender=sender.text)


async def check_queue(platform: Platform, message: Message) -> None:
    """Refuse (21611) a message whose sender has more waiting than leaves within ten hours."""
    policy = platform.switchboard.policy(message.carrier)
    per_second = policy.sender_rates.get(sender_type_of(message.sender or ""))
    if per_second is None:
        return
    lane = platform.switchboard.lane(message.carrier, message.sender)
    has_room = await platform.queues.has_room(
        platform.store,
        (lane, _flow(message)),
        segments=message.num_segments,
        per_second=per_second,
        now=platform.clock.now(),
    )
    if not has_room:
        raise Refusal(21611, sender=message.sender or "")


async def accept(platform: Platform, drafts: Sequence[Draft]) -> None:
    """Take responsibility: when this returns, the messages and the work they cause are on disk."""

    def work(db: Connection) -> list[OutboxRow]:
        return add_drafts(platform, db, drafts)

    rows = await platform.store.write(work)
    announce_accepted(platform, drafts, rows)


def announce_accepted(
    platform: Platform, drafts: Sequence[Draft], rows: Sequence[OutboxRow]
) -> None:
    """Hand new messages over to whoever sends them, after the commit."""
    messages = [draft.message for draft in drafts]
    platform.recent.keep(messages)
    platform.switchboard.offer(rows)
    if len(rows) < len(drafts):  # Some have media to be fetched, or failed already.
        platform.bells.media.ring()
        platform.webhooks.ring()
    tell(platform, messages)
    reports.accepted(platform, messages)


def add_drafts(platform: Platform, db: Connection, drafts: Sequence[Draft]) -> list[OutboxRow]:
    """Store messages with the work they cause, and return what waits in lanes now.

    A message that failed already causes but a webhook.
    """
    if not drafts:
        return []
    insert_messages(db, [draft.message for draft in drafts])
    live = [draft for draft in drafts if draft.message.status is Status.QUEUED]
    rows = [outbox_row(platform, draft.message) for draft in live if not draft.media_urls]
    insert_outbox(db, rows)
    insert_fetches(
        db,
        [
            MediaFetch(
                message_sid=draft.message.sid,
                account_sid=draft.message.account_sid,
                urls=draft.media_urls,
                due_at=AT_ONCE,
            )
            for draft in live
            if draft.media_urls
        ],
    )
    failed = [d.message for d in drafts if d.message.status is Status.FAILED]
    insert_callbacks(db, [row for m in failed if (row := status_callback(platform, m))])
    return rows


def outbox_row(platform: Platform, message: Message) -> OutboxRow:
    """Return the row that makes a lane hand *message* over."""
    return OutboxRow(
        lane=platform.switchboard.lane(message.carrier, message.sender),
        message_sid=message.sid,
        account_sid=message.account_sid,
        flow=_flow(message),
        sender=message.sender or "",
        recipient=message.recipient,
        segments=message.num_segments,
        due_at=AT_ONCE,
        expires_at=message.created_at + timedelta(seconds=message.validity_seconds),
    )


def _flow(message: Message) -> str:
    priority = int(message.options.get(ROUTE_PRIORITY, "0"))
    return flow_of(message.account_sid, message.sender, priority=priority)


def ask_of(message: Message) -> Ask:
    """Return what the routing table is asked for a message."""
    return Ask(
        account_sid=message.account_sid,
        sender=message.sender or "",
        recipient=message.recipient,
        channel="mms" if message.num_media and ":" not in message.recipient else "",
    )


def routed(message: Message, route: Route) -> Message:
    """Return the message as it is when it takes *route*."""
    kept = {k: v for k, v in message.options.items() if k not in (ROUTE_PRICE, ROUTE_PRIORITY)}
    if route.price is not None:
        kept[ROUTE_PRICE] = str(route.price)
    if route.priority:
        kept[ROUTE_PRIORITY] = str(route.priority)
    return replace(message, carrier=route.carrier, options=kept)


def new_message(
    platform: Platform,
    account_sid: str,
    *,
    direction: Direction,
    sender: str,
    recipient: str,
    body: str,
    num_media: int = 0,
    status_callback: str | None = None,
    validity_seconds: int = VALIDITY_SECONDS_MAX,
    options: dict[str, str] | None = None,
    via: str | None = None,
) -> Message:
    """Return a message that is to leave; refuse (21612, 63007) one that no route is for."""
    now = platform.clock.now()
    asked = request_id.get()
    # Segments are a matter of SMS: an MMS or a channel's message is one however long.
    parts = None if num_media or ":" in recipient else split(body)
    message = Message(
        account_sid=account_sid,
        sid=platform.chance.sid("MM" if num_media else "SM", now),
        direction=direction,
        status=Status.QUEUED,
        sender=sender,
        recipient=recipient,
        body=body,
        encoding=parts.encoding.value if parts else encoding_of(body).value,
        num_segments=len(parts.segments) if parts else 1,
        num_media=num_media,
        carrier=via or "",
        status_callback=status_callback,
        validity_seconds=validity_seconds,
        created_at=now,
        updated_at=now,
        options=(options or {})
        | ({VIA: via} if via else {})
        | ({REQUEST_ID: asked} if asked else {}),
    )
    if via is not None:
        return message
    route = platform.switchboard.choose(ask_of(message), now)
    if route is None:
        # Nobody carries that channel, so its sender is nobody's.
        code = 63007 if ":" in recipient else 21612
        raise Refusal(code, recipient=recipient, sender=sender)
    return routed(message, route)


def _message(
    platform: Platform,
    account: Account,
    request: SendRequest,
    *,
    parties: Parties,
    via: str | None,
) -> Message:
    return new_message(
        platform,
        account.sid,
        direction=Direction.OUTBOUND_API,
        sender=parties.sender.text,
        recipient=parties.recipient.text,
        body=smart_encode(request.body or "") if request.smart_encoded else request.body or "",
        num_media=len(request.media_url),
        status_callback=request.status_callback,
        validity_seconds=request.validity_period or VALIDITY_SECONDS_MAX,
        options=dict(request.options),
        via=via,
    )
