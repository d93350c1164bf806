"""Who agreed to be sent texts and who wants no more of them: what is said of it, and the proof."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trunkline.domain.ids import micros

OPTED_OUT = 21610


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


# A recipient, and the Messaging Service (its SID) or the sender that something was said of.
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a recipient said of a scope, when, and what shows it; without a time it was just now."""

    recipient: str
    scope: str
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
