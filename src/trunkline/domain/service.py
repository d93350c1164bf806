"""Messaging Services: what they decide for their messages, and the senders in their pools."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from trunkline.domain.account import Capabilities
from trunkline.domain.message import VALIDITY_SECONDS_MAX
from trunkline.domain.quiet import QuietHours

POOL_MAX = 400  # Twilio: so many phone numbers in one service; other senders count as well here.


# What can be sent from a name.
ALPHANUMERIC_CAPABILITIES = Capabilities(voice=False, mms=False)


class SenderKind(StrEnum):
    """What a sender in a pool is; SHORT_CODE and NUMBER receive answers."""

    NUMBER = "number"
    SHORT_CODE = "short-code"
    ALPHANUMERIC = "alphanumeric"


class Scan(StrEnum):
    """Whether content is looked through; Twilio keeps the choice and does nothing with it."""

    INHERIT = "inherit"
    ENABLE = "enable"
    DISABLE = "disable"


class Usecase(StrEnum):
    """What a service is for."""

    NOTIFICATIONS = "notifications"
    MARKETING = "marketing"
    VERIFICATION = "verification"
    DISCUSSION = "discussion"
    POLL = "poll"
    UNDECLARED = "undeclared"


# What each is for, in a few words and in more.
USECASES: Mapping[Usecase, tuple[str, str]] = MappingProxyType(
    {
        Usecase.NOTIFICATIONS: (
            "Notify my users.",
            "Alerts and reminders about deliveries, orders, accounts, security or emergencies.",
        ),
        Usecase.MARKETING: (
            "Market my services.",
            "Offers, news of products, and invitations to do something.",
        ),
        Usecase.VERIFICATION: (
            "Verify users.",
            "One-time passwords and other proofs of who somebody is.",
        ),
        Usecase.DISCUSSION: (
            "Engage in a discussion.",
            "Conversations between people, or between people and an application.",
        ),
        Usecase.POLL: ("Poll my audience.", "Questions whose answers are counted."),
        Usecase.UNDECLARED: ("Undeclared.", "Nobody has said what it is for."),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingService:
    """A service; the defaults are Twilio's. An empty URL is none."""

    sid: str
    account_sid: str
    friendly_name: str
    inbound_request_url: str = ""
    inbound_method: str = "POST"
    fallback_url: str = ""
    fallback_method: str = "POST"
    status_callback: str = ""
    sticky_sender: bool = True
    mms_converter: bool = True
    smart_encoding: bool = True
    scan_message_content: Scan = Scan.INHERIT
    fallback_to_long_code: bool = True
    area_code_geomatch: bool = True
    validity_period: int = VALIDITY_SECONDS_MAX
    synchronous_validation: bool = False
    usecase: Usecase = Usecase.UNDECLARED
    use_inbound_webhook_on_number: bool = False
    # Two rules of ours: who did not opt in is sent nothing, and who sleeps is left alone.
    requires_consent: bool = False
    quiet_hours: QuietHours | None = None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSender:
    """A sender in the pool of a service. sid is the number's own; an alphanumeric one has its own.

    country is where an alphanumeric sender is used instead of others; empty: anywhere.
    capabilities are the number's, of when it was added.
    """

    sid: str
    account_sid: str
    service_sid: str
    sender: str
    kind: SenderKind
    country: str = ""
    capabilities: Capabilities
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSender:
    """What the choice of a sender looks at. country is the sender's own; '' for alphanumeric ones
    that are used anywhere."""

    sender: str
    kind: SenderKind
    country: str
    is_tollfree: bool = False
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Pool:
    """A service and the senders that may send for it; left_out: how many in it may not at all."""

    service: MessagingService
    senders: tuple[PoolSender, ...]
    left_out: int = 0
