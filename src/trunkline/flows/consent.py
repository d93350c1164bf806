"""Whether recipients may be sent something: looked up in the commit that decides on it.

Rule: nothing leaves for a recipient after the commit in which he opted out, however long it waited.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection

from trunkline.domain.consent import OPTED_OUT, Consent, Pair, refusal_of
from trunkline.domain.errors import Refusal
from trunkline.domain.message import CONSENT_ANSWER, Message
from trunkline.domain.sending import Draft
from trunkline.flows.platform import Platform
from trunkline.store.consents import states
from trunkline.store.records import SERVICE_SENDERS, find_unique


async def with_terms(platform: Platform, draft: Draft) -> Draft:
    """Note in a draft what its recipient must not have opted out of, or must have agreed to.

    An opt-out is from a sender, or from the Messaging Service that it is in.
    """
    sender = draft.message.sender or ""
    service_sid = await platform.directory.service_of(sender)
    pool = await platform.directory.pool(service_sid) if service_sid else None
    draft.scopes = (sender, service_sid) if service_sid else (sender,)
    draft.requires_consent = pool is not None and pool.service.requires_consent
    return draft


async def check_terms(platform: Platform, draft: Draft) -> None:
    """Refuse (21610) what goes to somebody who did not agree to it, where that is required."""
    await with_terms(platform, draft)
    if draft.requires_consent and not await platform.store.read(lambda db: wanted(db, [draft])):
        raise Refusal(OPTED_OUT)


def wanted(db: Connection, drafts: Sequence[Draft]) -> list[Draft]:
    """Return the drafts that may be sent; the others have their error (21610) noted in them."""
    asked = [draft for draft in drafts if draft.scopes]
    found = _states_of(db, [draft.message for draft in asked])
    for draft in asked:
        message = draft.message
        draft.error_code = refusal_of(
            found[message.account_sid],
            message.recipient,
            scopes=draft.scopes,
            requires_consent=draft.requires_consent,
        )
    return [draft for draft in drafts if draft.error_code is None]


def scopes_of(db: Connection, scope: str) -> set[str]:
    """Return what is meant by a scope: itself, and the Messaging Service that a number is in."""
    member = find_unique(db, SERVICE_SENDERS, scope)
    return {scope, member.service_sid} if member else {scope}


def spoken_for(db: Connection, scopes: set[str], others: Iterable[str]) -> set[str]:
    """Return which of *others* are among *scopes*, or are numbers of a service among them."""
    return {each for each in others if not scopes.isdisjoint(scopes_of(db, each))}


async def services_of(platform: Platform, senders: set[str]) -> dict[str, str]:
    """Return the Messaging Services that senders are in."""
    found = {sender: await platform.directory.service_of(sender) for sender in senders}
    return {sender: sid for sender, sid in found.items() if sid}


def unwanted(
    db: Connection, messages: Sequence[Message], services: Mapping[str, str]
) -> dict[str, int]:
    """Return the errors, by SID, of messages whose recipients opted out while they waited."""
    asked = [message for message in messages if CONSENT_ANSWER not in message.options]
    found = _states_of(db, asked)
    errors: dict[str, int] = {}
    for message in asked:
        known = found[message.account_sid]
        sender = message.sender or ""
        # One that left its service still carries what was accepted for that.
        scopes = {sender, services.get(sender, ""), message.messaging_service_sid or ""}
        code = refusal_of(known, message.recipient, scopes=scopes) if known else None
        if code is not None:
            errors[message.sid] = code
    return errors


def _states_of(db: Connection, messages: Sequence[Message]) -> dict[str, dict[Pair, Consent]]:
    """Return what the recipients of messages want, by account: one question for each account."""
    recipients: dict[str, set[str]] = {}
    for message in messages:
        recipients.setdefault(message.account_sid, set()).add(message.recipient)
    return {sid: states(db, sid, wanted) for sid, wanted in recipients.items()}
