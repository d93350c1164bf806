"""The life of a message, as a table and pure functions.

Rule 1: every status change in the system happens in this file.
Rule 2: facts (the network told us) are never refused, only sometimes stale;
        commands (a caller asked us) may be refused.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from trunkline.domain.errors import Refusal, delivery_error
from trunkline.domain.ids import MICROSECOND, instant

MEDIA_MAX = 10  # Twilio: at most ten MediaUrl values a message (21623).
VALIDITY_SECONDS_MAX = 36_000  # Twilio's ValidityPeriod: 1 to 36,000, by default the longest.
PRICE_UNIT = "USD"
IN_REPLY_TO = "in_reply_to"  # The option of a reply that names the text it answers.
# Options that say what the route of a message makes of it: the price of a segment, the priority.
ROUTE_PRICE, ROUTE_PRIORITY = "route_price", "route_priority"
REQUEST_ID = "request_id"  # The option that names the HTTP request that asked for a message.
# The option of a message that was queued later than it was made: when that was, in µs since 1970.
QUEUED_AT = "queued_at"
OPT_OUT_TYPE = "opt_out_type"  # The option of a text that is a keyword of a service's own list.
# The option of what answers a keyword of opt-out: it leaves although its recipient opted out.
CONSENT_ANSWER = "consent_answer"
VIA = "via"  # The option that ties a message to one carrier, whatever the routes say.
TLV_OPTION = "tlv_"  # Options that hold SMPP parameters: tlv_1400 is a tag, its octets are hex.


class Status(StrEnum):
    """The public status of a message, spelled as Twilio spells it."""

    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    CANCELED = "canceled"
    RECEIVING = "receiving"
    RECEIVED = "received"
    READ = "read"


class Direction(StrEnum):
    """Which way a message went, and what started it."""

    INBOUND = "inbound"
    OUTBOUND_API = "outbound-api"
    OUTBOUND_CALL = "outbound-call"
    OUTBOUND_REPLY = "outbound-reply"


class Fact(StrEnum):
    """What became known about a message."""

    SENDER_CHOSEN = "sender_chosen"
    DUE = "due"
    SUBMITTED = "submitted"
    CARRIER_ACCEPTED = "carrier_accepted"
    CARRIER_REFUSED = "carrier_refused"
    HANDSET_REACHED = "handset_reached"
    HANDSET_MISSED = "handset_missed"
    EXPIRED = "expired"
    UNSENDABLE = "unsendable"
    RECEIVED = "received"


S, F = Status, Fact

# A receipt may overtake the carrier's answer to the submission, so SENDING knows receipts.
# An expired or refused message never reached a handset; a delivered one stays delivered.
TRANSITIONS: Mapping[Status, Mapping[Fact, Status]] = {
    S.ACCEPTED: {F.SENDER_CHOSEN: S.QUEUED, F.EXPIRED: S.FAILED, F.UNSENDABLE: S.FAILED},
    S.SCHEDULED: {F.DUE: S.ACCEPTED, F.UNSENDABLE: S.FAILED},
    S.QUEUED: {F.SUBMITTED: S.SENDING, F.EXPIRED: S.FAILED, F.UNSENDABLE: S.FAILED},
    S.SENDING: {
        F.CARRIER_ACCEPTED: S.SENT,
        F.CARRIER_REFUSED: S.FAILED,
        F.HANDSET_REACHED: S.DELIVERED,
        F.HANDSET_MISSED: S.UNDELIVERED,
        F.EXPIRED: S.FAILED,
        F.UNSENDABLE: S.FAILED,
    },
    S.SENT: {F.HANDSET_REACHED: S.DELIVERED, F.HANDSET_MISSED: S.UNDELIVERED},
    S.RECEIVING: {F.RECEIVED: S.RECEIVED},
    S.DELIVERED: {},
    S.UNDELIVERED: {},
    S.FAILED: {},
    S.CANCELED: {},
    S.RECEIVED: {},
    S.READ: {},
}

FINAL = frozenset({S.DELIVERED, S.UNDELIVERED, S.FAILED, S.CANCELED, S.RECEIVED, S.READ})

# Receivers in the field fail on `sending` and `accepted` (RapidPro's courier answers them with an
# error), and the first status is in the answer to the request, so those are never called back.
CALLED_BACK = frozenset({S.SENT, S.DELIVERED, S.UNDELIVERED, S.FAILED, S.CANCELED, S.READ})


def is_told(message: "Message") -> bool:
    """Tell whether a status callback is made for the present status.

    Of a message that a Messaging Service chose a sender for, `queued` is told, too.
    """
    is_chosen = message.status is S.QUEUED and message.messaging_service_sid is not None
    return message.status in CALLED_BACK or is_chosen


class Message(Struct, frozen=True, kw_only=True):
    """One text or MMS, in either direction. Times are aware UTC."""

    account_sid: str
    sid: str
    direction: Direction
    status: Status
    sender: str | None
    recipient: str
    body: str
    encoding: str
    num_segments: int
    num_media: int = 0
    messaging_service_sid: str | None = None
    carrier: str
    price: Decimal | None = None
    error_code: int | None = None
    status_callback: str | None = None
    validity_seconds: int = VALIDITY_SECONDS_MAX
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None = None
    options: Mapping[str, str] = {}

    @property
    def error_message(self) -> str | None:
        """The text of error_code, or None when nothing went wrong."""
        return None if self.error_code is None else delivery_error(self.error_code)

    @property
    def expires_at(self) -> datetime:
        """When it may have waited long enough: its validity counts from when it was queued."""
        queued_at = self.options.get(QUEUED_AT)
        began = self.created_at if queued_at is None else instant(int(queued_at))
        return began + timedelta(seconds=self.validity_seconds)

    def priced(self, price: Decimal) -> "Message":
        """Return the message with what it costs, in PRICE_UNIT."""
        return replace(self, price=price)

    @property
    def is_outbound(self) -> bool:
        """Whether the message left (or is to leave) from one of our numbers."""
        return self.direction is not Direction.INBOUND


def observe(
    message: Message, fact: Fact, *, at: datetime, error_code: int | None = None
) -> Message:
    """Return the message as it is once *fact* is known; a stale fact returns the same object.

    updated_at only grows, whatever the clocks of those that observe: it orders what is told.
    """
    status = TRANSITIONS[message.status].get(fact)
    if status is None:
        return message
    handed_over = message.sent_at is None and status in (S.SENT, S.DELIVERED, S.UNDELIVERED)
    return replace(
        message,
        status=status,
        updated_at=max(at, message.updated_at + MICROSECOND),
        sent_at=at if handed_over else message.sent_at,
        error_code=error_code,
    )


def cancel(message: Message, *, at: datetime) -> Message:
    """Return the canceled message, or refuse (30409) when it is on its way.

    One that is accepted is held for a quiet hour, and may be canceled like a scheduled one.
    """
    if message.status not in (S.SCHEDULED, S.ACCEPTED):
        raise Refusal(30409)
    return replace(message, status=S.CANCELED, updated_at=at)


def redact(message: Message, *, at: datetime) -> Message:
    """Return the message without its text, or refuse (20009) while it is still on its way."""
    if message.status not in FINAL and message.status is not S.SENT:
        raise Refusal(20009)
    return replace(message, body="", updated_at=at)


def blame(message: Message, error_code: int | None, *, at: datetime) -> Message:
    """Return an inbound message with the error its webhook met, or with none; its status stays."""
    return replace(message, error_code=error_code, updated_at=at)
