"""Accounts, their API keys, and the phone numbers they hold."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AccountStatus(StrEnum):
    """Whether an account may be used; closed is for ever."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account or subaccount; the main account owns itself.

    sealed_token is the auth token, encrypted: it signs webhooks, so it must be recoverable. While
    it is being rotated there is a secondary one, which proves who calls as well and signs nothing.
    """

    sid: str
    account_sid: str
    owner_sid: str
    friendly_name: str
    status: AccountStatus = AccountStatus.ACTIVE
    sealed_token: str
    sealed_secondary: str = ""
    secondary_at: datetime | None = None
    is_trial: bool = False
    # Where the operator lets it send to, and where it lets itself; None: wherever anybody may.
    allowed_countries: tuple[str, ...] | None = None
    countries: tuple[str, ...] | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def is_main(self) -> bool:
        """Whether this account is nobody's subaccount."""
        return self.owner_sid == self.sid


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key; secret_digest is the SHA-256 (hexadecimal) of a 256-bit random secret."""

    sid: str
    account_sid: str
    friendly_name: str
    secret_digest: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCredential:
    """Who may ask for what an account may, without anything being done."""

    sid: str
    account_sid: str
    sealed_token: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerId:
    """A number whose holder said that an account may text it; it is not the account's own."""

    sid: str
    account_sid: str
    phone_number: str
    friendly_name: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A code that was texted to a number, from `sender`, and that its holder is to text back.

    code_digest is its SHA-256 (hexadecimal); `tries` counts the wrong codes that came.
    """

    sid: str
    account_sid: str
    phone_number: str
    friendly_name: str
    sender: str
    code_digest: str
    tries: int = 0
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a number can carry."""

    voice: bool = True
    sms: bool = True
    mms: bool = True
    fax: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A phone number that an account holds, and where its inbound texts go."""

    sid: str
    account_sid: str
    phone_number: str
    friendly_name: str
    country: str
    kind: str  # 'Local', 'TollFree' or 'Mobile', as in Twilio's paths, or 'ShortCode'.
    capabilities: Capabilities
    sms_url: str = ""
    sms_method: str = "POST"
    sms_fallback_url: str = ""
    sms_fallback_method: str = "POST"
    settings: dict[str, str] = field(default_factory=dict)  # Voice and address fields, as given.
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One picture, sound or file of a message; digest names its bytes on disk."""

    sid: str
    account_sid: str
    message_sid: str
    content_type: str
    source_url: str
    digest: str
    size: int
    created_at: datetime
    updated_at: datetime


class Outcome(StrEnum):
    """What a sender says became of a message."""

    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A sender's word on whether a message had its effect; one a message."""

    sid: str
    account_sid: str
    message_sid: str
    outcome: Outcome
    created_at: datetime
    updated_at: datetime
