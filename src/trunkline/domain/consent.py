"""Who agreed to be sent texts and who wants no more of them: what is said of it, and the proof."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from trunkline.domain.address import AddressKind, parse_recipient, parse_sender
from trunkline.domain.ids import MICROSECOND, is_sid, micros
from trunkline.domain.sending import SERVICE

OPTED_OUT = 21610
EVIDENCE_FIELDS_MAX = 20
EVIDENCE_LENGTH_MAX = 500  # Characters of one value: an address, a sentence, the name of a form.
# Clocks of forms differ from ours; what is said tomorrow nobody said.
AHEAD_MAX = timedelta(days=1)
_DAY_LENGTH = len("2026-11-20")
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # Before there were texts.


class Consent(StrEnum):
    """What a recipient wants, as Twilio's Consents API spells it."""

    IN = "opt-in"
    OUT = "opt-out"


class Source(StrEnum):
    """How a recipient said so, as Twilio's Consents API spells it."""

    WEBSITE = "website"
    OFFLINE = "offline"
    OPT_IN_MESSAGE = "opt-in-message"
    OPT_OUT_MESSAGE = "opt-out-message"
    OTHERS = "others"


class Effect(StrEnum):
    """What a statement does: something new, nothing new, too late to count, or it is known."""

    CHANGED = "changed"
    CONFIRMED = "confirmed"
    LATE = "late"
    KNOWN = "known"


# A recipient, and the Messaging Service (its SID) or the sender that something was said of.
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a recipient said of a scope, when, and what shows it; without a time it was just now.

    What counts of it is said of the other scopes as well.
    """

    recipient: str
    scope: str
    others: tuple[str, ...] = ()
    status: Consent
    source: Source
    evidence: Mapping[str, str]
    consented_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A statement as it is kept as evidence; *digest* ties it to the account's entry before it."""

    account_sid: str
    number: int
    recipient: str
    scope: str
    status: Consent
    source: Source
    evidence: Mapping[str, str]
    consented_at: datetime
    at: datetime
    digest: str = ""


def digest_of(entry: Entry, before: str) -> str:
    """Return the digest of an entry behind one with the digest *before*; the first has '' there."""
    values = (
        before,
        entry.account_sid,
        entry.number,
        entry.recipient,
        entry.scope,
        entry.status.value,
        entry.source.value,
        dict(entry.evidence),
        micros(entry.consented_at),
        micros(entry.at),
    )
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def refusal_of(
    states: Mapping[Pair, Consent],
    recipient: str,
    *,
    scopes: Collection[str],
    requires_consent: bool = False,
) -> int | None:
    """Return the error (21610) of a text to *recipient* that any of *scopes* forbids, or None.

    Where consent is required, one of them must have been agreed to.
    """
    said = {states.get((recipient, scope)) for scope in scopes}
    if Consent.OUT in said or (requires_consent and Consent.IN not in said):
        return OPTED_OUT
    return None


def read_statement(
    values: Mapping[str, str], *, evidence: Mapping[str, str], now: datetime
) -> tuple[Statement | None, list[str]]:
    """Return a statement from Twilio's names for its parts, or what is wrong with them.

    Whether the scope is one of the account's is not known here.
    """
    recipient = parse_recipient(values.get("contact_id", ""))
    sender = values.get("sender_id", "").strip()
    status, source = values.get("status", ""), values.get("source", "")
    date = values.get("date_of_consent", "")
    at = _instant(date, now=now, is_end=status == Consent.OUT)
    is_timely = at is not None and _EARLIEST <= at <= now + AHEAD_MAX
    scope = sender if is_sid(sender, SERVICE) else _sender(sender)
    checks = {
        "INVALID_CONTACT_ID": recipient is not None and recipient.kind is AddressKind.NUMBER,
        "INVALID_SENDER_ID": bool(scope),
        "INVALID_STATUS": status in set(Consent),
        "INVALID_SOURCE": source in set(Source),
        "INVALID_DATE_OF_CONSENT": is_timely or not date,
        "INVALID_EVIDENCE": len(evidence) <= EVIDENCE_FIELDS_MAX
        and all(len(value) <= EVIDENCE_LENGTH_MAX for value in evidence.values()),
    }
    wrong = [name for name, is_right in checks.items() if not is_right]
    if wrong or recipient is None:
        return None, wrong
    said = Statement(
        recipient=recipient.text,
        scope=scope,
        status=Consent(status),
        source=Source(source),
        evidence=evidence,
        consented_at=at,
    )
    return said, []


def _sender(text: str) -> str:
    address = parse_sender(text)
    return "" if address is None or address.kind is AddressKind.CHANNEL else address.text


def _instant(text: str, *, now: datetime, is_end: bool) -> datetime | None:
    """Return an ISO 8601 time, in UTC without an offset; of a day its begin, or its end until now.

    So an opt-out that is dated by the day is not overruled by what was agreed to on that day.
    """
    try:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        if is_end and len(text) <= _DAY_LENGTH:
            at = max(at, min(now, at + timedelta(days=1) - MICROSECOND))
    except (ValueError, OverflowError):
        return None
    return at
