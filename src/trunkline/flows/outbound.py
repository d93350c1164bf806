"""A message is asked for, checked, and accepted.

Rule: a message and the work it causes commit together, before anybody is told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from trunkline.domain.account import Account
from trunkline.domain.address import AddressKind
from trunkline.domain.carrier import sender_type_of
from trunkline.domain.errors import Refusal
from trunkline.domain.ids import AT_ONCE, is_sid
from trunkline.domain.media import ways
from trunkline.domain.message import (
    REQUEST_ID,
    VALIDITY_SECONDS_MAX,
    VIA,
    Direction,
    Message,
    Status,
)
from trunkline.domain.sending import (
    SERVICE,
    UNSCHEDULED_CHANNELS,
    Draft,
    Parties,
    SendRequest,
    check_content,
    check_parties,
    check_presence,
    check_recipient,
    check_short_code,
    check_timing,
)
from trunkline.domain.service import Pool
from trunkline.domain.text import Encoding, encoding_of, smart_encode, split
from trunkline.flows import mms, reports
from trunkline.flows.alerts import ended_badly
from trunkline.flows.choosing import choose_senders
from trunkline.flows.consent import wanted, with_terms
from trunkline.flows.idempotency import in_time
from trunkline.flows.lanes import ask_of, flow_for, outbox_row, routed
from trunkline.flows.permissions import check_permitted, with_banner
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import status_callback, tell
from trunkline.runtime import request_id
from trunkline.store.callbacks import CallbackRow, insert_callbacks
from trunkline.store.media import MediaFetch, insert_fetches
from trunkline.store.messages import insert_events, insert_messages
from trunkline.store.outbox import OutboxRow, insert_outbox
from trunkline.store.schedule import Scheduled, insert_scheduled
from trunkline.webhooks.request import is_webhook_url, may_be_configured

__all__ = ["SendRequest", "accept", "prepare", "send"]

# A sender that is named beside a service has to be in it. Twilio's code is not documented for
# this; of its two that fit, this one says what is wrong.
NOT_IN_SERVICE = 21711


async def send(platform: Platform, account: Account, request: SendRequest) -> Message:
    """Accept the message that *request* asks for, or refuse it; when this returns it is on disk."""
    try:
        draft = await prepare(platform, account, request)
        await platform.accepting.add(draft, partial(accept, platform))
        if draft.error_code is not None:
            raise Refusal(draft.error_code)
    except Refusal as refusal:
        platform.meter.count("messages_refused", code=str(refusal.code))
        raise
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
    if request.status_callback and not may_be_configured(request.status_callback):
        raise Refusal(21609, name=request.status_callback)
    check_timing(request, platform.clock.now())
    pool = await _pool(platform, account, request)
    if request.content_sid:
        raise Refusal(21655, name=request.content_sid)
    if request.application_sid and not request.status_callback:
        raise Refusal(21420, name=request.application_sid)
    request = with_banner(account, request)
    if pool is not None:
        await check_permitted(platform, account, recipient=check_recipient(request))
        return await _prepare_for_service(platform, request, pool)
    parties = check_parties(request)
    if not may_use_any_sender:
        await check_ownership(platform, account, parties)
        await check_permitted(platform, account, recipient=parties.recipient, sender=parties.sender)
    message = _message(platform, account, request, parties=parties, via=via)
    await mms.check_sender(platform, message)
    await check_queue(platform, message)
    draft = Draft(message, request.media_url)
    return draft if may_use_any_sender else await with_terms(platform, draft)


async def _pool(platform: Platform, account: Account, request: SendRequest) -> Pool | None:
    """Return the Messaging Service that is to send, with its senders; None: a sender does."""
    sid = request.service_sid
    if sid is None:
        return None
    if not is_sid(sid, SERVICE):
        raise Refusal(21705, name=sid)
    pool = await platform.directory.pool(sid)
    if pool is None or pool.service.account_sid != account.sid:
        raise Refusal(21701, name=sid)
    return pool


async def _prepare_for_service(platform: Platform, request: SendRequest, pool: Pool) -> Draft:
    """Return a message whose sender is chosen when it is accepted, or when its time comes."""
    service, sender = pool.service, None
    if request.named_sender is None:
        recipient = check_recipient(request)
    else:
        parties = check_parties(request)
        recipient, sender = parties.recipient, parties.sender.text
        member = next((s for s in pool.senders if s.sender == parties.sender.bare), None)
        if member is None:
            raise Refusal(NOT_IN_SERVICE, name=sender)
        check_short_code(parties, member.country)
    if request.send_at is not None:
        if recipient.channel in UNSCHEDULED_CHANNELS:
            raise Refusal(35126)
        await _check_schedule(platform, service.account_sid)
    body = request.body or ""
    is_smart = request.smart_encoded
    if is_smart is None:
        is_smart = service.smart_encoding
    message = _unsent(
        platform,
        service.account_sid,
        status=Status.ACCEPTED if request.send_at is None else Status.SCHEDULED,
        sender=sender,
        recipient=recipient.text,
        body=smart_encode(body) if is_smart else body,
        num_media=len(request.media_url),
        status_callback=request.status_callback or service.status_callback or None,
        validity_seconds=request.validity_period or service.validity_period,
        options=dict(request.options),
        service_sid=service.sid,
    )
    return Draft(message, request.media_url, pool, request.send_at)


async def _check_schedule(platform: Platform, account_sid: str) -> None:
    """Refuse (35125) what an account would schedule beyond its limit."""
    now = platform.clock.now()
    if not await platform.schedules.has_room(platform.store, account_sid, now=now):
        raise Refusal(35125)


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
    check_short_code(parties, number.country)


async def check_queue(platform: Platform, message: Message) -> None:
    """Refuse (21611) a message whose sender has more waiting than leaves within ten hours."""
    policy = platform.switchboard.policy(message.carrier)
    per_second = policy.sender_rates.get(sender_type_of(message.sender or ""))
    if per_second is None:
        return
    lane = platform.switchboard.lane(message.carrier, message.sender)
    has_room = await platform.queues.has_room(
        platform.store,
        (lane, flow_for(message)),
        segments=message.num_segments,
        per_second=per_second,
        now=platform.clock.now(),
    )
    if not has_room:
        raise Refusal(21611, sender=message.sender or "")


@dataclass(frozen=True, slots=True)
class Added:
    """What is on disk now: messages as they are, what waits in lanes, webhooks to be made."""

    messages: Sequence[Message] = ()
    rows: Sequence[OutboxRow] = ()
    webhooks: Sequence[CallbackRow] = ()
    has_media: bool = False


# Says within the commit which of some drafts are still to be stored; it may be asked again.
Claim = Callable[[Connection, Sequence[Draft]], Sequence[Draft]]


async def accept(
    platform: Platform, drafts: Sequence[Draft], *, claim: Claim = lambda db, drafts: drafts
) -> None:
    """Take responsibility: when this returns, the messages and the work they cause are on disk.

    What the recipient does not want is left out, and its draft says so; *claim* chooses from the
    others.
    """

    def work(db: Connection) -> Added:
        return add_drafts(platform, db, claim(db, wanted(db, drafts)))

    announce_accepted(platform, await platform.store.write(work))


def announce_accepted(platform: Platform, added: Added) -> None:
    """Hand new messages over to whoever sends them, after the commit."""
    platform.recent.keep(added.messages)
    platform.switchboard.offer(added.rows)
    if added.webhooks:
        platform.webhooks.offer(added.webhooks)
    if added.has_media:
        platform.bells.media.ring()
    tell(platform, added.messages)
    reports.accepted(platform, added.messages)


def add_drafts(platform: Platform, db: Connection, drafts: Sequence[Draft]) -> Added:
    """Store messages with the work they cause, and choose senders for those of services.

    A message that failed already causes but a webhook; one whose key is taken is left out.
    """
    drafts = in_time(db, drafts)
    if not drafts:
        return Added()
    drafts = with_senders(platform, db, drafts)
    insert_messages(db, [draft.message for draft in drafts])
    let_wait(db, drafts)
    return set_out(platform, db, drafts)


def let_wait(db: Connection, drafts: Sequence[Draft]) -> None:
    """Put messages whose time has not come into the schedule."""
    insert_scheduled(
        db,
        [
            Scheduled(
                account_sid=draft.message.account_sid,
                message_sid=draft.message.sid,
                due_at=draft.send_at,
                media_urls=draft.media_urls,
            )
            for draft in drafts
            if draft.send_at is not None
        ],
    )


def with_senders(platform: Platform, db: Connection, drafts: Sequence[Draft]) -> Sequence[Draft]:
    """Return drafts whose senders are chosen, or that failed for want of one."""
    choosing = [draft for draft in drafts if draft.message.status is Status.ACCEPTED]
    if not choosing:
        return drafts
    chosen = choose_senders(platform, db, choosing)
    insert_events(db, chosen.trace)
    known = {draft.message.sid: draft for draft in chosen.drafts}
    return [known.get(draft.message.sid, draft) for draft in drafts]


def set_out(platform: Platform, db: Connection, drafts: Sequence[Draft]) -> Added:
    """Queue what messages that are stored need next, as their status says."""
    live = [draft for draft in drafts if draft.message.status is Status.QUEUED]
    rows = [outbox_row(platform, draft.message) for draft in live if not draft.media_urls]
    insert_outbox(db, rows)
    fetches = [
        MediaFetch(
            message_sid=draft.message.sid,
            account_sid=draft.message.account_sid,
            urls=draft.media_urls,
            due_at=AT_ONCE,
        )
        for draft in live
        if draft.media_urls
    ]
    insert_fetches(db, fetches)
    messages = [draft.message for draft in drafts]
    webhooks = [row for message in messages if (row := status_callback(platform, message))]
    insert_callbacks(db, webhooks)
    ended_badly(platform, db, messages)
    return Added(messages, rows, webhooks, bool(fetches))


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
    # Segments are a matter of SMS: an MMS or a channel's message is one however long.
    parts = None if num_media or ":" in recipient else split(body)
    message = _unsent(
        platform,
        account_sid,
        direction=direction,
        status=Status.QUEUED,
        sender=sender,
        recipient=recipient,
        body=body,
        encoding=parts.encoding if parts else None,
        num_segments=len(parts.segments) if parts else 1,
        num_media=num_media,
        status_callback=status_callback,
        validity_seconds=validity_seconds,
        options={**(options or {}), **({VIA: via} if via else {})},
        via=via,
    )
    if via is not None:
        return message
    for way in ways(message):
        route = platform.switchboard.choose(ask_of(way), message.created_at)
        if route is not None:
            return routed(way, route)
    # Nobody carries that channel, so its sender is nobody's.
    code = 63007 if ":" in recipient else 21612
    raise Refusal(code, recipient=recipient, sender=sender)


def _unsent(
    platform: Platform,
    account_sid: str,
    *,
    direction: Direction = Direction.OUTBOUND_API,
    status: Status,
    sender: str | None,
    recipient: str,
    body: str,
    encoding: Encoding | None = None,
    num_segments: int = 0,
    num_media: int,
    status_callback: str | None,
    validity_seconds: int,
    options: dict[str, str],
    service_sid: str | None = None,
    via: str | None = None,
) -> Message:
    """Return a message that is new; one whose sender is not chosen has no segments yet."""
    now = platform.clock.now()
    asked = request_id.get()
    return Message(
        account_sid=account_sid,
        sid=platform.chance.sid("MM" if num_media else "SM", now),
        direction=direction,
        status=status,
        sender=sender,
        recipient=recipient,
        body=body,
        encoding=(encoding or encoding_of(body)).value,
        num_segments=num_segments,
        num_media=num_media,
        messaging_service_sid=service_sid,
        carrier=via or "",
        status_callback=status_callback,
        validity_seconds=validity_seconds,
        created_at=now,
        updated_at=now,
        options=options | ({REQUEST_ID: asked} if asked else {}),
    )


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
