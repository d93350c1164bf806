"""Carrier accounts, the routes to them, and who may bind to us: what an operator configures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from trunkline.domain.address import AddressKind, is_tollfree, parse_sender
from trunkline.domain.errors import Refusal

# Each lane is a connection; carriers grant a handful of binds, and every one costs memory here.
LANES_MAX = 64
NAME_MAX = 40
# The longest values are certificates: a chain of a few takes some 8 kB.
SETTING_LENGTH_MAX = 32_768
PRIORITY_MAX = 3  # SMPP 3.4 §5.2.14 has four levels of priority_flag.


class CarrierState(StrEnum):
    """What a carrier account is used for."""

    ENABLED = "enabled"
    DRAINING = "draining"  # Sends what waits for it and receives; gets nothing new.
    DISABLED = "disabled"  # Not connected; what waited for it takes other routes.


class InDoubtRule(StrEnum):
    """What becomes of a segment that left and was never answered."""

    RESUBMIT = "resubmit"
    FAIL = "fail"


class SenderType(StrEnum):
    """Kinds of senders that carriers treat differently."""

    LONG_CODE = "long_code"
    TOLL_FREE = "toll_free"
    SHORT_CODE = "short_code"
    ALPHANUMERIC = "alphanumeric"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing that can be set of a carrier: a text, and what it must be."""

    name: str
    meaning: str
    must: str
    default: str
    is_good: Callable[[str], bool]
    is_secret: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierAccount:
    """An account with a carrier; settings hold what differs from the defaults.

    sealed holds the secret settings, encrypted.
    """

    sid: str
    account_sid: str
    name: str
    type: str  # 'simulated', 'smpp' or 'twilio'.
    state: CarrierState = CarrierState.ENABLED
    settings: dict[str, str] = field(default_factory=dict)
    sealed: dict[str, str] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which messages a carrier may take; an empty condition holds for all.

    order decides before anything else, smallest first; among equals the longest prefix, then the
    most conditions, then chance by weight. price is per segment, in US dollars.
    """

    sid: str
    account_sid: str
    carrier: str
    prefix: str = ""
    country: str = ""
    sender: str = ""
    sender_type: str = ""
    channel: str = ""
    for_account: str = ""
    order: int = 100
    weight: int = 1
    price: Decimal | None = None
    priority: int = 0
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SmppCredential:
    """Who may bind to our SMPP server, and for which account.

    addresses are the senders it may use and the numbers whose inbound texts it gets. A simulator
    may use any address and reaches the simulated network alone.
    """

    sid: str
    account_sid: str
    system_id: str
    sealed_password: str
    addresses: tuple[str, ...] = ()
    is_simulator: bool = False
    binds_max: int = 4
    per_second_max: int = 0  # 0: no limit.
    allowed_hosts: tuple[str, ...] = ()  # Addresses and networks; empty: any.
    is_enabled: bool = True
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What our own queue does for a carrier account; the settings that all kinds have."""

    lanes: int
    in_doubt: InDoubtRule
    failover_seconds: float
    # Segments a second of one sender, by its type; None: no limit.
    sender_rates: Mapping[SenderType, float]


def parse_rates(text: str) -> dict[SenderType, float] | None:
    """Read `long_code=1,toll_free=3`; None when that is not what *text* is."""
    rates: dict[SenderType, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, figure = item.partition("=")
        if name not in set(SenderType) or not _is_number(figure, least=0.001, most=10_000):
            return None
        rates[SenderType(name)] = float(figure)
    return rates


def _is_number(text: str, *, least: float, most: float) -> bool:
    try:
        return least <= float(text) <= most
    except ValueError:
        return False


def whole_number(least: int, most: int) -> Callable[[str], bool]:
    """Return a check that a text is a whole number within limits."""
    return lambda text: text.isascii() and text.isdigit() and least <= int(text) <= most


def number(least: float, most: float) -> Callable[[str], bool]:
    """Return a check that a text is a number within limits."""
    return lambda text: _is_number(text, least=least, most=most)


def one_of(*choices: str) -> Callable[[str], bool]:
    """Return a check that a text is one of some words."""
    return lambda text: text in choices


COMMON_SETTINGS = (
    Setting(
        name="lanes",
        meaning="How many connections submit side by side; a sender always uses the same one.",
        must=f"a whole number from 1 to {LANES_MAX}",
        default="1",
        is_good=whole_number(1, LANES_MAX),
    ),
    Setting(
        name="in_doubt",
        meaning="What becomes of a segment that left and was never answered: it is submitted again"
        " and may arrive twice, or its message fails.",
        must="resubmit or fail",
        default=InDoubtRule.RESUBMIT.value,
        is_good=one_of(*InDoubtRule),
        choices=tuple(InDoubtRule),
    ),
    Setting(
        name="failover_seconds",
        meaning="How long the carrier must be down before what waits for it takes other routes.",
        must="a number of seconds from 0 to 36000",
        default="30",
        is_good=number(0, 36_000),
    ),
    Setting(
        name="sender_rates",
        meaning="How many segments a second one sender may send, by its type; the types are"
        " long_code, toll_free, short_code, alphanumeric and channel, and one that is not named"
        " has no limit.",
        must="pairs like long_code=1,toll_free=3,short_code=100",
        default="",
        is_good=lambda text: parse_rates(text) is not None,
    ),
)


def policy_of(settings: Mapping[str, str]) -> Policy:
    """Return what checked settings say to our queue."""
    values = {s.name: settings.get(s.name, s.default) for s in COMMON_SETTINGS}
    return Policy(
        lanes=int(values["lanes"]),
        in_doubt=InDoubtRule(values["in_doubt"]),
        failover_seconds=float(values["failover_seconds"]),
        sender_rates=parse_rates(values["sender_rates"]) or {},
    )


def check_settings(values: Mapping[str, str], *, known: Mapping[str, Setting]) -> None:
    """Refuse (20422) a setting that there is not, or a value that it cannot have."""
    for name, value in values.items():
        setting = known.get(name)
        if setting is None:
            names = ", ".join(sorted(known))
            raise Refusal(20422, name=f"`{name}`", reason=f"no such setting; there are {names}")
        if len(value) > SETTING_LENGTH_MAX or not setting.is_good(value):
            raise Refusal(20422, name=f"`{name}`", reason=f"must be {setting.must}")


def sender_type_of(sender: str) -> SenderType:
    """Return what kind of sender an address is."""
    address = parse_sender(sender)
    if address is None or address.kind is AddressKind.ALPHANUMERIC:
        return SenderType.ALPHANUMERIC
    if address.kind is AddressKind.CHANNEL:
        return SenderType.CHANNEL
    if address.kind is AddressKind.SHORT_CODE:
        return SenderType.SHORT_CODE
    return SenderType.TOLL_FREE if is_tollfree(address.text) else SenderType.LONG_CODE
