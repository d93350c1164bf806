"""What a fact makes of its message, in one commit with the webhook and the use it causes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from trunkline.domain.ids import AT_ONCE
from trunkline.domain.message import Fact, Message, Status, is_told, observe
from trunkline.flows.alerts import ended_badly
from trunkline.flows.deliveries import receipts_owed
from trunkline.flows.money import cost, usage_of
from trunkline.flows.platform import Platform
from trunkline.runtime import News
from trunkline.store.callbacks import CallbackRow, insert_callbacks, waiting_callbacks
from trunkline.store.deliveries import insert_deliveries
from trunkline.store.messages import Event, advance_messages, messages_by_sid
from trunkline.store.outbox import CarrierRef, OutboxRow
from trunkline.store.usage import add_usage


@dataclass(slots=True, kw_only=True)
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


@dataclass(slots=True)
class Changes:
    """What facts changed: the messages, and the webhooks that may be made at once."""

    messages: list[Message] = field(default_factory=list)
    webhooks: list[CallbackRow] = field(default_factory=list)
    owes_deliveries: bool = False

    def __add__(self, other: "Changes") -> "Changes":
        """Return both together."""
        return Changes(
            self.messages + other.messages,
            self.webhooks + other.webhooks,
            self.owes_deliveries or other.owes_deliveries,
        )


def advance(platform: Platform, db: Connection, facts: Sequence[Observation]) -> Changes:
    """Store what *facts* make of their messages and queue the webhooks owed; return the changes."""
    if not facts:
        return Changes()
    guesses = platform.recent.messages(fact.message_sid for fact in facts)
    steps = _steps(platform, guesses, facts)
    # A fact that changes nothing of what is remembered may change what is there.
    unsure = [f for f in facts if f.message_sid not in steps or len(facts) > len(steps)]
    keys = {(f.account_sid, f.message_sid) for f in unsure}
    found = messages_by_sid(db, keys, to_change=True)
    for _, sid in keys:
        steps.pop(sid, None)
    steps |= _steps(platform, found, unsure)
    count = advance_messages(db, steps.values())
    if count < len(steps):
        steps = _correct(platform, db, steps, facts=facts, count=count)
    return _consequences(platform, db, steps)


# The messages that change, by SID: as they were and as they will be.
_Steps = dict[str, tuple[Message, Message]]


def _steps(
    platform: Platform, known: Mapping[str, Message], facts: Iterable[Observation]
) -> _Steps:
    steps: _Steps = {}
    for fact in facts:
        first = known.get(fact.message_sid)
        if first is None:
            continue
        origin, before = steps.get(first.sid, (first, first))
        after = observe(before, fact.fact, at=fact.at, error_code=fact.error_code)
        if after is before:
            continue
        if after.sent_at is not None and before.sent_at is None:
            after = after.priced(cost(platform.prices, after))
        steps[after.sid] = (origin, after)
    return steps


def _correct(
    platform: Platform,
    db: Connection,
    steps: _Steps,
    *,
    facts: Sequence[Observation],
    count: int,
) -> _Steps:
    """Judge again what was not as it was remembered; return what changes in all.

    *count* of the steps were stored: the same step may have been another's, who saw the same fact.
    """
    found = messages_by_sid(
        db, [(after.account_sid, after.sid) for _, after in steps.values()], to_change=True
    )
    right = {
        sid: (before, after)
        for sid, (before, after) in steps.items()
        if count and sid in found and _is_as(found[sid], after)
    }
    if len(right) > count:
        # Which of them were ours nobody can tell. They are judged once more, on what is there.
        platform.recent.forget(steps)
        raise RuntimeError("some steps were another's at the same microsecond")
    others = {sid: message for sid, message in found.items() if sid not in right}
    again = _steps(platform, others, [fact for fact in facts if fact.message_sid in others])
    advance_messages(db, again.values())
    return right | again


def _is_as(found: Message, after: Message) -> bool:
    return (found.status, found.updated_at) == (after.status, after.updated_at)


# In one of these a message has owed no webhook yet, unless it is a Messaging Service's.
_QUIET = frozenset({Status.ACCEPTED, Status.SCHEDULED, Status.QUEUED, Status.SENDING})


def _consequences(platform: Platform, db: Connection, steps: _Steps) -> Changes:
    changed = [after for _, after in steps.values()]
    owed = [row for message in changed if (row := status_callback(platform, message))]
    followers = [row for row in owed if _has_owed(steps[row.message_sid][0])]
    behind = waiting_callbacks(db, followers)
    insert_callbacks(db, owed)
    deliveries = receipts_owed(platform, changed)
    insert_deliveries(db, deliveries)
    ended_badly(platform, db, changed)
    used = [after for before, after in steps.values() if after.sent_at and not before.sent_at]
    add_usage(db, [usage_of(message) for message in used])
    now = [row for row in owed if row.message_sid not in behind]
    return Changes(changed, now, bool(deliveries))


def _has_owed(before: Message) -> bool:
    """Tell whether a webhook of a message may still be waiting."""
    return before.status not in _QUIET or before.messaging_service_sid is not None


def announce(platform: Platform, messages: Sequence[Message]) -> None:
    """Wake all workers that messages may be for, after the commit."""
    bells, switchboard = platform.bells, platform.switchboard
    bells.media.ring()
    bells.deliveries.ring()
    platform.webhooks.ring()
    for lane in {
        switchboard.lane(message.carrier, message.sender)
        for message in messages
        if message.status is Status.QUEUED
    }:
        switchboard.ring(lane)


def tell(platform: Platform, messages: Sequence[Message]) -> None:
    """Tell watching pages of messages."""
    if platform.feed.is_watched:
        for message in messages:
            platform.feed.publish(News("message", message.account_sid, message.sid))


def announce_changes(platform: Platform, changes: Changes) -> None:
    """Tell those who wait for status changes, after the commit."""
    platform.recent.keep(changes.messages)
    if changes.webhooks:
        platform.webhooks.offer(changes.webhooks)
    if changes.owes_deliveries:
        platform.bells.deliveries.ring()
    tell(platform, changes.messages)


def status_callback(platform: Platform, message: Message) -> CallbackRow | None:
    """Return the webhook that tells of the message's present status, if one is owed."""
    if not message.status_callback or not is_told(message):
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
        created_at=message.updated_at,
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
