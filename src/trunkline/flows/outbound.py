"""A message is asked for, checked, and accepted.

Rule: a message and the work it causes commit together, before anybody is told.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from zlib import crc32

from sqlalchemy import Connection

from trunkline.domain.account import Account
from trunkline.domain.address import AddressKind
from trunkline.domain.errors import Refusal
from trunkline.domain.ids import AT_ONCE
from trunkline.domain.message import VALIDITY_SECONDS_MAX, Direction, Message, Status
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
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import announce, status_callback
from trunkline.store.callbacks import insert_callbacks
from trunkline.store.media import MediaFetch, insert_fetches
from trunkline.store.messages import insert_messages
from trunkline.store.outbox import OutboxRow, insert_outbox
from trunkline.webhooks.request import is_webhook_url

__all__ = ["SendRequest", "accept", "prepare", "send"]

MESSAGING_SERVICE = "MG"


async def send(platform: Platform, account: Account, request: SendRequest) -> Message:
    """Accept the message that *request* asks for, or refuse it; when this returns it is on disk."""
    draft = await prepare(platform, account, request)
    await platform.accepting.add(draft, partial(accept, platform))
    return draft.message


async def prepare(platform: Platform, account: Account, request: SendRequest) -> Draft:
    """Return the message that *request* asks for, or refuse, in Twilio's order of checks."""
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
    await check_ownership(platform, account, parties)
    return Draft(_message(platform, account, request, parties=parties), request.media_url)


async def check_ownership(platform: Platform, account: Account, parties: Parties) -> None:
    """Refuse a sender that this account may not use."""
    sender = parties.sender
    if sender.kind is AddressKind.ALPHANUMERIC:
        return
    if sender.kind is AddressKind.CHANNEL:
        raise Refusal(63007, sender=sender.text)
    number = await platform.directory.number(sender.text)
    if number is None:
        raise Refusal(21659, number=sender.text, sender=sender.text)
    if number.account_sid != account.sid:
        raise Refusal(21660, number=sender.text, sender=sender.text, account=account.sid)
    if not number.capabilities.sms:
        raise Refusal(21606, number=sender.text, sender=sender.text)


async def accept(platform: Platform, drafts: Sequence[Draft]) -> None:
    """Take responsibility: when this returns, the messages and the work they cause are on disk."""

    def work(db: Connection) -> None:
        add_drafts(platform, db, drafts)

    await platform.store.write(work)
    announce(platform, [draft.message for draft in drafts])


def add_drafts(platform: Platform, db: Connection, drafts: Sequence[Draft]) -> None:
    """Store messages with the work they cause; one that failed already causes but a webhook."""
    if not drafts:
        return
    insert_messages(db, [draft.message for draft in drafts])
    live = [draft for draft in drafts if draft.message.status is Status.QUEUED]
    insert_outbox(db, [outbox_row(platform, d.message) for d in live if not d.media_urls])
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


def outbox_row(platform: Platform, message: Message) -> OutboxRow:
    """Return the row that makes a lane hand *message* over."""
    return OutboxRow(
        lane=lane_of(message, platform.rules.lanes),
        message_sid=message.sid,
        account_sid=message.account_sid,
        due_at=AT_ONCE,
        expires_at=message.created_at + timedelta(seconds=message.validity_seconds),
    )


def lane_of(message: Message, lanes: int) -> str:
    """Return the lane of a message: one sender always has the same, so its order is kept."""
    return f"{message.carrier}/{crc32((message.sender or '').encode()) % lanes}"


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
) -> Message:
    """Return a message that is to leave."""
    now = platform.clock.now()
    parts = split(body) if not num_media else None
    return Message(
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
        carrier=platform.rules.carrier,
        status_callback=status_callback,
        validity_seconds=validity_seconds,
        created_at=now,
        updated_at=now,
        options=options or {},
    )


def _message(
    platform: Platform, account: Account, request: SendRequest, *, parties: Parties
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
    )
