"""What a fact makes of its message, in one commit with the webhook and the use it causes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from trunkline.domain.ids import AT_ONCE
from trunkline.domain.message import CALLED_BACK, Fact, Message, Status, observe
from trunkline.flows.deliveries import receipts_owed
from trunkline.flows.money import cost, usage_of
from trunkline.flows.platform import Platform
from trunkline.runtime import News
from trunkline.store.callbacks import CallbackRow, insert_callbacks
from trunkline.store.deliveries import insert_deliveries
from trunkline.store.messages import Event, messages_by_sid, update_messages
from trunkline.store.outbox import CarrierRef, OutboxRow
from trunkline.store.usage import add_usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A fact about one message."""

    account_sid: str
    message_sid: str
    fact: Fact
    at: datetime
    error_code: int | None = None


def observation(
    row: OutboxRow | CarrierRef, fact: Fact, *, at: datetime, error_code: int | None = None
) -> Observation:
    """Return a fact about the message of a row."""
    return Observation(
        account_sid=row.account_sid,
        message_sid=row.message_sid,
        fact=fact,
        at=at,
        error_code=error_code,
    )


def advance(platform: Platform, db: Connection, facts: Sequence[Observation]) -> list[Message]:
    """Store what *facts* make of their messages and queue the webhooks owed; return the changed."""
    known = messages_by_sid(db, {(f.account_sid, f.message_sid) for f in facts})
    changed: dict[str, Message] = {}
    owed: list[CallbackRow] = []
    used = []
    for fact in facts:
        before = known.get(fact.message_sid)
        if before is None:
            continue
        after = observe(before, fact.fact, at=fact.at, error_code=fact.error_code)
        if after is before:
            continue
        if after.sent_at is not None and before.sent_at is None:
            after = after.priced(cost(platform.prices, after))
            used.append(usage_of(after))
        known[after.sid] = changed[after.sid] = after
        if row := status_callback(platform, after):
            owed.append(row)
    update_messages(db, changed.values())
    insert_callbacks(db, owed)
    insert_deliveries(db, receipts_owed(platform, changed.values()))
    add_usage(db, used)
    return list(changed.values())


def announce(platform: Platform, messages: Sequence[Message]) -> None:
    """Wake the workers and tell watching pages, after the commit."""
    bells, switchboard = platform.bells, platform.switchboard
    for bell in (bells.media, bells.webhooks, bells.deliveries):
        bell.ring()
    for lane in {
        switchboard.lane(message.carrier, message.sender)
        for message in messages
        if message.status is Status.QUEUED
    }:
        switchboard.ring(lane)
    if platform.feed.is_watched:
        for message in messages:
            platform.feed.publish(News("message", message.account_sid, message.sid))


def announce_changes(platform: Platform, changed: Iterable[Message]) -> None:
    """Tell those who wait for status changes, after the commit."""
    platform.bells.webhooks.ring()
    platform.bells.deliveries.ring()
    if platform.feed.is_watched:
        for message in changed:
            platform.feed.publish(News("message", message.account_sid, message.sid))


def status_callback(platform: Platform, message: Message) -> CallbackRow | None:
    """Return the webhook that tells of the message's present status, if one is owed."""
    if not message.status_callback or message.status not in CALLED_BACK:
        return None
    now = platform.clock.now()
    return CallbackRow(
        sid=platform.chance.sid("CB", now),
        account_sid=message.account_sid,
        message_sid=message.sid,
        kind="status",
        url=message.status_callback,
        parameters=status_parameters(message),
        token=platform.chance.uuid(),
        due_at=AT_ONCE,
        created_at=now,
    )


def status_parameters(message: Message) -> dict[str, str]:
    """Return the form of a status callback."""
    form = {
        "AccountSid": message.account_sid,
        "ApiVersion": "2010-04-01",
        "From": message.sender or "",
        "MessageSid": message.sid,
        "MessageStatus": message.status.value,
        "SmsSid": message.sid,
        "SmsStatus": message.status.value,
        "To": message.recipient,
    }
    if message.messaging_service_sid:
        form["MessagingServiceSid"] = message.messaging_service_sid
    if message.error_code is not None:
        form["ErrorCode"] = str(message.error_code)
        form["ErrorMessage"] = message.error_message or ""
    if message.status in (Status.DELIVERED, Status.UNDELIVERED):
        form["RawDlrDoneDate"] = message.updated_at.strftime("%y%m%d%H%M")
    return form


def event(
    platform: Platform,
    message: Message | OutboxRow | CarrierRef,
    kind: str,
    *,
    detail: dict[str, object],
) -> Event:
    """Return an entry for the trace of a message."""
    now = platform.clock.now()
    sid = message.sid if isinstance(message, Message) else message.message_sid
    return Event(
        sid=platform.chance.sid("EV", now),
        account_sid=message.account_sid,
        message_sid=sid,
        at=now,
        kind=kind,
        detail=detail,
    )
