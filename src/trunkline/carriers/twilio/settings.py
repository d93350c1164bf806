"""What can be set of an upstream Twilio account, and the same read into values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from trunkline.domain.address import AddressKind, parse_sender
from trunkline.domain.carrier import Setting, number, one_of, whole_number
from trunkline.domain.errors import Refusal

# Twilio limits how many requests of an account are under way (429); nobody is granted more.
WINDOW_MAX = 100
PER_SECOND_MAX = 1000.0
POLL_SECONDS_MAX = 3600.0
# Twilio answers a request within 15 s or not at all; nobody wants to wait minutes.
REQUEST_SECONDS_MAX = 120.0
SECRET_MAX = 200  # Twilio's tokens and secrets have 32 letters.
INBOUND_HOURS_MAX = 72

_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_KEY_SID = re.compile(r"SK[0-9a-fA-F]{32}")
_SERVICE_SID = re.compile(r"MG[0-9a-fA-F]{32}")
_SECRET = re.compile(rf"[!-~]{{0,{SECRET_MAX}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioSettings:
    """The settings of one upstream account, read."""

    account_sid: str
    username: str
    password: str
    auth_token: str
    base_url: str
    messaging_service_sid: str
    from_number: str
    window: int
    per_second: float
    poll_seconds: float
    request_seconds: float
    doubt_seconds: float
    callbacks: str
    inbound: str
    inbound_hours: int


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def is_private(host: str) -> bool:
    """Tell whether a host can be reached from this machine or its network alone."""
    try:
        return not ip_address(host.strip("[]")).is_global
    except ValueError:
        name = host.rstrip(".").lower()
        return "." not in name or name.endswith((".local", ".internal", ".localhost"))


def _is_origin(text: str) -> bool:
    """Say whether a URL is https and a host, or http and this machine."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    bare = f"[{host}]" if ":" in host else host
    expected = bare if port is None else f"{bare}:{port}"
    is_bare = parts.netloc.lower() == expected and parts.path in {"", "/"}
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    return bool(host) and is_bare and is_safe and not (parts.query or parts.fragment)


def _is_sender(text: str) -> bool:
    address = parse_sender(text)
    return address is not None and address.kind is not AddressKind.CHANNEL


SETTINGS = (
    Setting(
        name="account_sid",
        meaning="The account that sends.",
        must="AC and 32 hexadecimal digits",
        default="",
        is_good=lambda text: not text or _ACCOUNT_SID.fullmatch(text) is not None,
    ),
    Setting(
        name="api_key_sid",
        meaning="The API key to sign in with; without one the auth token is used.",
        must="SK and 32 hexadecimal digits",
        default="",
        is_good=lambda text: not text or _KEY_SID.fullmatch(text) is not None,
    ),
    Setting(
        name="api_key_secret",
        meaning="The secret of the API key.",
        must=f"at most {SECRET_MAX} letters, digits and signs",
        default="",
        is_good=lambda text: _SECRET.fullmatch(text) is not None,
        is_secret=True,
    ),
    Setting(
        name="auth_token",
        meaning="The auth token of the account: signs in where there is no API key, and checks the"
        " signatures of status callbacks.",
        must=f"at most {SECRET_MAX} letters, digits and signs",
        default="",
        is_good=lambda text: _SECRET.fullmatch(text) is not None,
        is_secret=True,
    ),
    Setting(
        name="base_url",
        meaning="Where the API is.",
        must="https:// and a host, or http:// and a loopback address",
        default="https://api.twilio.com",
        is_good=_is_origin,
    ),
    Setting(
        name="messaging_service_sid",
        meaning="Send by this Messaging Service, which chooses the sender; channel addresses are"
        " sent from as they are.",
        must="MG and 32 hexadecimal digits",
        default="",
        is_good=lambda text: not text or _SERVICE_SID.fullmatch(text) is not None,
    ),
    Setting(
        name="from_number",
        meaning="Send from this number instead of the message's own sender; channel addresses are"
        " sent from as they are.",
        must="a phone number, short code or alphanumeric sender",
        default="",
        is_good=lambda text: not text or _is_sender(text),
    ),
    Setting(
        name="window",
        meaning="How many requests are under way at once.",
        must=f"a whole number from 1 to {WINDOW_MAX}",
        default="10",
        is_good=whole_number(1, WINDOW_MAX),
    ),
    Setting(
        name="messages_per_second",
        meaning="How many messages are handed over in a second; 0 is no limit.",
        must=f"a number from 0 to {PER_SECOND_MAX:g}",
        default="0",
        is_good=number(0, PER_SECOND_MAX),
    ),
    Setting(
        name="poll_seconds",
        meaning="How often it is asked what became of messages and, with inbound=poll, what came"
        " in; nothing is asked while nothing is open.",
        must=f"a number of seconds from 0.05 to {POLL_SECONDS_MAX:g}",
        default="60",
        is_good=number(0.05, POLL_SECONDS_MAX),
    ),
    Setting(
        name="request_seconds",
        meaning="How long a request may take.",
        must=f"a number of seconds from 0.1 to {REQUEST_SECONDS_MAX:g}",
        default="30",
        is_good=number(0.1, REQUEST_SECONDS_MAX),
    ),
    Setting(
        name="doubt_seconds",
        meaning="How long a request that was not answered may still arrive: a message is not"
        " submitted again sooner, and then only when it is not found.",
        must="a number of seconds from 0 to 60",
        default="10",
        is_good=number(0, 60),
    ),
    Setting(
        name="callbacks",
        meaning="Whether messages ask for status callbacks: auto, where our public address can be"
        " reached from there, or off; statuses are asked for in any case.",
        must="auto or off",
        default="auto",
        is_good=one_of("auto", "off"),
        choices=("auto", "off"),
    ),
    Setting(
        name="inbound",
        meaning="How texts to the account's numbers come in: off, poll (asked for, which works"
        " behind NAT) or webhook (the number there is set to the address that a test shows).",
        must="off, poll or webhook",
        default="off",
        is_good=one_of("off", "poll", "webhook"),
        choices=("off", "poll", "webhook"),
    ),
    Setting(
        name="inbound_hours",
        meaning="How far back inbound texts are asked for after a start; what came in before is"
        " recognised.",
        must=f"a whole number from 0 to {INBOUND_HOURS_MAX}",
        default="24",
        is_good=whole_number(0, INBOUND_HOURS_MAX),
    ),
)


def check(settings: Mapping[str, str]) -> None:
    """Refuse (20422) settings that cannot be used together."""
    values = _values(settings)
    if not values["account_sid"]:
        raise _wrong("account_sid", "is needed")
    if bool(values["api_key_sid"]) != bool(values["api_key_secret"]):
        missing = "api_key_secret" if values["api_key_sid"] else "api_key_sid"
        raise _wrong(missing, "an API key is a SID and its secret")
    if not values["api_key_sid"] and not values["auth_token"]:
        raise _wrong("auth_token", "is needed, or api_key_sid and api_key_secret")
    if values["messaging_service_sid"] and values["from_number"]:
        raise _wrong("from_number", "cannot be set together with messaging_service_sid")


def parse(settings: Mapping[str, str]) -> TwilioSettings:
    """Return checked settings as values."""
    values = _values(settings)
    has_key = bool(values["api_key_sid"])
    return TwilioSettings(
        account_sid=values["account_sid"],
        username=values["api_key_sid"] if has_key else values["account_sid"],
        password=values["api_key_secret"] if has_key else values["auth_token"],
        auth_token=values["auth_token"],
        base_url=values["base_url"].rstrip("/").lower(),
        messaging_service_sid=values["messaging_service_sid"],
        from_number=values["from_number"],
        window=int(values["window"]),
        per_second=float(values["messages_per_second"]),
        poll_seconds=float(values["poll_seconds"]),
        request_seconds=float(values["request_seconds"]),
        doubt_seconds=float(values["doubt_seconds"]),
        callbacks=values["callbacks"],
        inbound=values["inbound"],
        inbound_hours=int(values["inbound_hours"]),
    )


def _values(settings: Mapping[str, str]) -> dict[str, str]:
    return {s.name: settings.get(s.name, s.default) for s in SETTINGS}


def _wrong(name: str, reason: str) -> Refusal:
    return Refusal(20422, name=f"`{name}`", reason=reason)
