"""A sender is chosen for the messages of Messaging Services, in the commit that lets them wait.

What cannot be sent fails here, as Twilio does it: the request was accepted before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from msgspec.structs import replace as changed
from sqlalchemy import Connection

from trunkline.domain.choice import Choice, Wanted, choose_sender
from trunkline.domain.consent import refusal_of
from trunkline.domain.media import carries_media, goes_as_mms, ways
from trunkline.domain.message import Fact, Message, Status, observe
from trunkline.domain.quiet import QuietRule, quiet_until
from trunkline.domain.sending import Draft
from trunkline.domain.service import Pool
from trunkline.domain.text import encoding_of, split
from trunkline.flows.lanes import ask_of, routed
from trunkline.flows.platform import Platform
from trunkline.flows.queues import QUEUE_SECONDS
from trunkline.flows.statuses import event
from trunkline.store.consents import states
from trunkline.store.messages import Event
from trunkline.store.sticky import find_sticky, keep_sticky

QUEUE_OVERFLOW = 30001
QUIET = 30610
NO_SENDER_FITS, NO_SENDERS = 21703, 21704
# Of a sender without a rate, so that those of a pool take turns.
UNLIMITED_PER_SECOND = 1000.0


@dataclass(slots=True)
class Chosen:
    """Drafts with their senders, or failed; and what their traces say of it."""

    drafts: list[Draft] = field(default_factory=list)
    trace: list[Event] = field(default_factory=list)


def choose_senders(platform: Platform, db: Connection, drafts: Sequence[Draft]) -> Chosen:
    """Let accepted drafts of services be queued from senders of their pools, or fail."""
    chosen = Chosen()
    by_service: dict[str, list[Draft]] = {}
    for draft in drafts:
        assert draft.pool is not None
        by_service.setdefault(draft.pool.service.sid, []).append(draft)
    for group in by_service.values():
        _choose_for_service(platform, db, group, chosen=chosen)
    return chosen


def _choose_for_service(
    platform: Platform, db: Connection, drafts: Sequence[Draft], *, chosen: Chosen
) -> None:
    pool = drafts[0].pool
    assert pool is not None
    service, now = pool.service, platform.clock.now()
    recipients = sorted({draft.message.recipient for draft in drafts})
    wishes = states(db, service.account_sid, recipients)
    rule, quiet = service.requires_consent, service.quiet_hours
    known: Mapping[str, str] = {}
    if service.sticky_sender:
        known = find_sticky(db, service.account_sid, service.sid, recipients)
    new: dict[str, str] = {}
    for draft in drafts:
        recipient = draft.message.recipient
        sticky = new.get(recipient) or known.get(recipient)
        code = refusal_of(wishes, recipient, scopes=(service.sid,), requires_consent=rule)
        if code is not None:
            outcome = _failed(draft.message, code, at=now)
            why = "the recipient opted out, or did not opt in where that is required"
            detail: dict[str, object] = {"error_code": code, "why": why}
        elif until := quiet and quiet_until(recipient, quiet, now=now):
            is_held = quiet.rule is QuietRule.HOLD
            outcome = draft.message if is_held else _failed(draft.message, QUIET, at=now)
            draft = replace(draft, send_at=until if is_held else None)
            detail = {"quiet_until": until.isoformat()} | ({} if is_held else {"error_code": QUIET})
        else:
            outcome, detail = _choose(platform, draft, pool, sticky=sticky, now=now)
        known_as = _bare(outcome.sender) if service.sticky_sender else ""
        if known_as and known_as != known.get(recipient):
            new[recipient] = known_as
        chosen.drafts.append(replace(draft, message=outcome))
        kind = "held" if outcome.status is Status.ACCEPTED else "sender_chosen"
        chosen.trace.append(event(platform, outcome, kind, detail=detail))
    keep_sticky(db, service.account_sid, service.sid, new, now=now)


def _choose(
    platform: Platform, draft: Draft, pool: Pool, *, sticky: str | None, now: datetime
) -> tuple[Message, dict[str, object]]:
    """Return the message as it is queued, or failed, and what the trace says of the choice."""
    message = draft.message
    # In a channel a number of the pool is known by its address there.
    channel, colon, recipient = message.recipient.rpartition(":")
    without: set[str] = set()
    for way in ways(message, may_convert=pool.service.mms_converter):
        wanted = Wanted(
            recipient=recipient, channel=channel, with_media=goes_as_mms(way), sticky=sticky
        )
        without = set()
        while choice := _next_choice(platform, way, pool, wanted=wanted, without=without):
            queued = _queued(platform, way, channel + colon + choice.sender, now=now)
            if queued is None:  # No route takes it from there.
                without.add(choice.sender)
                continue
            if not _has_room(platform, queued):
                return _failed(message, QUEUE_OVERFLOW, at=now), {
                    "error_code": QUEUE_OVERFLOW,
                    "why": "the sender has more waiting than leaves within ten hours",
                }
            return queued, {"sender": queued.sender, "why": choice.why}
    code = NO_SENDER_FITS if pool.senders or pool.left_out else NO_SENDERS
    detail: dict[str, object] = {
        "error_code": code,
        "senders": len(pool.senders),
        "left_out": pool.left_out,
        "without_route": len(without),
    }
    return _failed(message, code, at=now), detail


def _next_choice(
    platform: Platform,
    message: Message,
    pool: Pool,
    *,
    wanted: Wanted,
    without: set[str],
) -> Choice | None:
    if message.sender is not None:  # The request names it, and it is in the pool.
        named = Choice(_bare(message.sender), "the request names it")
        able = {s.sender for s in pool.senders if s.capabilities.mms or not wanted.with_media}
        return named if named.sender in able - without else None
    prefix = wanted.channel and f"{wanted.channel}:"
    busy = platform.loads.seconds((s.sender for s in pool.senders), prefix=prefix)
    return choose_sender(pool, wanted, busy=busy, without=without)


def _bare(sender: str | None) -> str:
    """Return a sender as it is in its pool, without the prefix of a channel; "" for none."""
    return (sender or "").rpartition(":")[2]


def _queued(platform: Platform, message: Message, sender: str, *, now: datetime) -> Message | None:
    """Return the message queued from a sender; None where no route is for that."""
    parts = None if carries_media(message) or ":" in message.recipient else split(message.body)
    with_sender = changed(
        observe(message, Fact.SENDER_CHOSEN, at=now),
        sender=sender,
        encoding=parts.encoding.value if parts else encoding_of(message.body).value,
        num_segments=len(parts.segments) if parts else 1,
    )
    route = platform.switchboard.choose(ask_of(with_sender), now)
    return None if route is None else routed(with_sender, route)


def _has_room(platform: Platform, message: Message) -> bool:
    """Tell whether a message leaves within ten hours, and count it if so."""
    policy = platform.switchboard.policy(message.carrier)
    sender = message.sender or ""
    rate = policy.sender_rates.get(platform.loads.type_of(sender)) or UNLIMITED_PER_SECOND
    seconds = message.num_segments / rate
    return platform.loads.add(sender, seconds, seconds_max=QUEUE_SECONDS)


def _failed(message: Message, error_code: int, *, at: datetime) -> Message:
    return observe(message, Fact.UNSENDABLE, at=at, error_code=error_code)
