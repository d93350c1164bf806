"""What a caller asks to be sent, and the checks that need nothing but the request itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trunkline.domain.address import Address, AddressKind, country_of, parse_recipient, parse_sender
from trunkline.domain.errors import Refusal
from trunkline.domain.ids import is_sid
from trunkline.domain.message import MEDIA_MAX, VALIDITY_SECONDS_MAX, Message
from trunkline.domain.service import Pool
from trunkline.domain.text import BODY_MAX, body_length

# Twilio: both inclusive. https://www.twilio.com/docs/messaging/features/message-scheduling
SCHEDULED_AHEAD_MIN, SCHEDULED_AHEAD_MAX = timedelta(minutes=15), timedelta(days=35)
UNSCHEDULED_CHANNELS = frozenset({"messenger"})
SERVICE = "MG"
# Alphanumeric senders are not delivered there: https://www.twilio.com/docs/glossary/what-alphanumeric-sender-id
NO_ALPHANUMERIC = frozenset({"US", "CA", "PR"})


@dataclass(slots=True, kw_only=True)
class SendRequest:
    """The parameters of a message as the caller gave them; None: not given."""

    to: str | None = None
    from_: str | None = None
    messaging_service_sid: str | None = None
    body: str | None = None
    media_url: tuple[str, ...] = ()
    content_sid: str | None = None
    content_variables: str | None = None
    status_callback: str | None = None
    application_sid: str | None = None
    validity_period: int | None = None
    smart_encoded: bool | None = None
    schedule_type: str | None = None
    send_at: datetime | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def service_sid(self) -> str | None:
        """The Messaging Service that is asked for, which may stand where a sender does."""
        if self.messaging_service_sid:
            return self.messaging_service_sid
        return self.from_ if is_sid(self.from_ or "", SERVICE) else None

    @property
    def named_sender(self) -> str | None:
        """The sender that is asked for, beside a service or without one."""
        return None if is_sid(self.from_ or "", SERVICE) else self.from_ or None


@dataclass(slots=True)
class Parties:
    """The two addresses of a message that is sent from a sender of its own."""

    sender: Address
    recipient: Address


@dataclass(slots=True)
class Draft:
    """A message that may be accepted, and the media that are to be fetched for it first.

    pool: where its sender is chosen from. send_at: when that is done; None: at once.
    scopes: what its recipient must not have opted out of. error_code: why it is not accepted.
    """

    message: Message
    media_urls: tuple[str, ...] = ()
    pool: Pool | None = None
    send_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    requires_consent: bool = False
    error_code: int | None = None


def check_presence(request: SendRequest) -> None:
    """Refuse a request that lacks a sender (21603), a recipient (21604) or content (21619)."""
    if not (request.from_ or request.messaging_service_sid):
        raise Refusal(21603)
    if not request.to:
        raise Refusal(21604)
    if not (request.body or request.media_url or request.content_sid):
        raise Refusal(21619)


def check_content(request: SendRequest) -> None:
    """Refuse a body, media or template parameters that cannot be sent."""
    if request.body and body_length(request.body) > BODY_MAX:
        raise Refusal(21617)
    if len(request.media_url) > MEDIA_MAX:
        raise Refusal(21623)
    if request.content_variables is not None and not _are_variables(request.content_variables):
        raise Refusal(21656)


def check_timing(request: SendRequest, now: datetime) -> None:
    """Refuse a validity period (21624) or a schedule (351xx) that cannot be kept."""
    period = request.validity_period
    if period is not None and not 1 <= period <= VALIDITY_SECONDS_MAX:
        raise Refusal(21624)
    if request.schedule_type is None:
        if request.send_at is not None:
            raise Refusal(35119)
        return
    if request.send_at is None:
        raise Refusal(35111)
    if request.service_sid is None:
        raise Refusal(35118)
    # SDKs write whole seconds: what was in a quarter of an hour to them is not too early here.
    since, until = now.replace(microsecond=0) + SCHEDULED_AHEAD_MIN, now + SCHEDULED_AHEAD_MAX
    if not since <= request.send_at <= until:
        raise Refusal(35114)


def check_recipient(request: SendRequest) -> Address:
    """Return whom a message is for, or refuse what is no address of a person."""
    text = request.to or ""
    recipient = parse_recipient(text)
    if recipient is None:
        raise Refusal(21211, number=text)
    if recipient.kind is AddressKind.SHORT_CODE:
        raise Refusal(21265, number=text)
    return recipient


def check_parties(request: SendRequest) -> Parties:
    """Return the two addresses, or refuse what is no address or no possible pair."""
    recipient = check_recipient(request)
    sender = parse_sender(request.from_ or "")
    if sender is None:
        raise Refusal(21212, number=request.from_ or "", sender=request.from_ or "")
    if sender.text == recipient.text:
        raise Refusal(21266)
    if sender.channel != recipient.channel:
        raise Refusal(21910)
    if sender.kind is AddressKind.ALPHANUMERIC and country_of(recipient.text) in NO_ALPHANUMERIC:
        raise Refusal(21612, recipient=recipient.text, sender=sender.text)
    return Parties(sender, recipient)


def check_short_code(parties: Parties, country: str) -> None:
    """Refuse (21659) a short code that is to reach another country than its own."""
    sender = parties.sender
    if sender.kind is AddressKind.SHORT_CODE and country_of(parties.recipient.text) != country:
        raise Refusal(21659, number=sender.text, sender=sender.text)


def _are_variables(text: str) -> bool:
    """Tell whether *text* is a JSON object of non-empty strings."""
    try:
        variables = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(variables, dict) and all(
        isinstance(value, str) and value for value in variables.values()
    )
