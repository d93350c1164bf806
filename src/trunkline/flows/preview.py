"""What would come of messages if they were sent now: nothing is kept, and nothing leaves.

Rule: it is an estimate. Who opts out in between, or a queue that fills, is noticed when it is sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from msgspec.structs import replace
from sqlalchemy import Connection

from trunkline.domain.account import Account
from trunkline.domain.consent import refusal_of
from trunkline.domain.errors import Refusal
from trunkline.domain.message import Message
from trunkline.domain.sending import Draft, SendRequest
from trunkline.domain.service import Pool
from trunkline.domain.text import split
from trunkline.flows.choosing import NO_SENDER_FITS, NO_SENDERS
from trunkline.flows.consent import wanted
from trunkline.flows.lanes import ask_of, routed
from trunkline.flows.money import cost
from trunkline.flows.outbound import prepare
from trunkline.flows.platform import Platform
from trunkline.store.consents import states


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A message as it would be, or the error that it would meet."""

    recipient: str
    segments: int = 0
    price: Decimal = Decimal(0)
    error_code: int | None = None
    error_message: str = ""


async def previews(
    platform: Platform, account: Account, requests: Sequence[SendRequest]
) -> list[Preview]:
    """Return what would come of each of *requests*, in their order."""
    prepared = [await _prepared(platform, account, request) for request in requests]
    drafts = [each for each in prepared if isinstance(each, Draft)]
    await platform.store.read(lambda db: _ask_recipients(db, drafts))
    return [_judged(platform, each) if isinstance(each, Draft) else each for each in prepared]


async def _prepared(platform: Platform, account: Account, request: SendRequest) -> Draft | Preview:
    try:
        return await prepare(platform, account, request)
    except Refusal as refusal:
        if refusal.status >= 429:  # The platform is busy, which says nothing of the message.
            raise
        return _refused(request.to or "", refusal)


def _refused(recipient: str, refusal: Refusal) -> Preview:
    return Preview(recipient=recipient, error_code=refusal.code, error_message=refusal.message)


def _ask_recipients(db: Connection, drafts: Sequence[Draft]) -> None:
    """Note in drafts whose recipients do not want them."""
    wanted(db, drafts)
    for draft in drafts:
        if draft.pool is not None:
            message, service = draft.message, draft.pool.service
            draft.error_code = refusal_of(
                states(db, message.account_sid, [message.recipient]),
                message.recipient,
                scopes=(service.sid,),
                requires_consent=service.requires_consent,
            )


def _judged(platform: Platform, draft: Draft) -> Preview:
    message: Message | None = draft.message
    if draft.error_code is None and draft.pool is not None:
        message = _from_pool(platform, draft.message, draft.pool)
        if message is None:
            draft.error_code = NO_SENDER_FITS if draft.pool.senders else NO_SENDERS
    if draft.error_code is not None or message is None:
        name = draft.pool.service.sid if draft.pool else ""
        refusal = Refusal(draft.error_code or NO_SENDER_FITS, name=name)
        return _refused(draft.message.recipient, refusal)
    return Preview(
        recipient=message.recipient,
        segments=message.num_segments,
        price=cost(platform.prices, message),
    )


def _from_pool(platform: Platform, message: Message, pool: Pool) -> Message | None:
    """Return the message as it would leave from a sender of a pool; None where none has a route.

    Which one it will be depends on what they have to do then; what it costs hardly does.
    """
    parts = 1 if ":" in message.recipient else len(split(message.body).segments)
    now = platform.clock.now()
    for each in pool.senders:
        queued = replace(message, sender=each.sender, num_segments=parts)
        route = platform.switchboard.choose(ask_of(queued), now)
        if route is not None:
            return routed(queued, route)
    return None
