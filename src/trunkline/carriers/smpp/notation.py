"""The small languages in which settings are written; what is not in one raises ValueError."""

import re
from collections.abc import Callable
from datetime import UTC, timedelta, timezone, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trunkline.carriers.smpp.errors import UNKNOWN_ERROR, Action, Verdict, network_key
from trunkline.smpp.tlv import (
    MESSAGE_PAYLOAD,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    Tlv,
)

PORT_DEFAULT = 2775  # Registered for SMPP.
# A carrier names two or three; each is tried before we wait.
HOSTS_MAX = 16
# DLT in India needs a template id for each sender; maps list vendors' codes.
ENTRIES_MAX = 1000
TLV_OCTETS_MAX = 1024  # The widest TLV of the specification that is no text has this many.

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.%]{2,60})\]|([A-Za-z0-9._\-]{1,253}))(?::([0-9]{1,5}))?")
_TON_NPI = re.compile(r"([0-9]{1,3})/([0-9]{1,3})")
_TLV = re.compile(r"(0[xX][0-9A-Fa-f]{1,8}|[0-9]{1,8})(?:@([^=]{1,20}))?=(text|hex):(.*)", re.S)
_VERDICT = re.compile(
    r"(0[xX][0-9A-Fa-f]{1,8}|[0-9]{1,10})=(permanent|retry|throttle|unknown)"
    r"(?::([0-9]{5})?)?(\+failover)?"
)
_NETWORK = re.compile(r"([0-9A-Za-z]{1,10})=([0-9]{5})")
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
# How a text is carried decides these.
_TAKEN_TAGS = {
    parameter.tag
    for parameter in (SAR_MSG_REF_NUM, SAR_SEGMENT_SEQNUM, SAR_TOTAL_SEGMENTS, MESSAGE_PAYLOAD)
}


class Host(NamedTuple):
    """Where an SMSC listens."""

    name: str
    port: int

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class TonNpi(NamedTuple):
    """The type and the plan of a number (SMPP 3.4 §5.2.5, §5.2.6)."""

    ton: int
    npi: int


class StaticTlv(NamedTuple):
    """A TLV that goes along with every text, or with those of one sender."""

    sender: str | None
    tlv: Tlv


def is_written(parse: Callable[[str], object]) -> Callable[[str], bool]:
    """Return a check that *parse* can read a text."""

    def is_good(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return is_good


def parse_hosts(text: str) -> tuple[Host, ...]:
    """Read `a.example:2775,[::1]:2776`."""
    return tuple(_host(item) for item in _items(text, ",", limit=HOSTS_MAX))


def _host(item: str) -> Host:
    found = _matched(_HOST, item)
    port = int(found[3] or PORT_DEFAULT)
    if not 0 < port < 65_536:
        raise ValueError(f"port {port}")
    return Host(found[1] or found[2], port)


def parse_ton_npi(text: str) -> TonNpi | None:
    """Read `1/1`, or `auto`, which is None."""
    if text == "auto":
        return None
    found = _matched(_TON_NPI, text)
    pair = TonNpi(int(found[1]), int(found[2]))
    if max(pair) > 0xFF:
        raise ValueError(text)
    return pair


def parse_tlvs(text: str) -> tuple[StaticTlv, ...]:
    """Read `0x1400=text:1101;0x1401@ACME=hex:00ff`."""
    return tuple(_tlv(item) for item in _items(text, ";", limit=ENTRIES_MAX))


def _tlv(item: str) -> StaticTlv:
    found = _matched(_TLV, item)
    tag = int(found[1], 0)
    value = bytes.fromhex(found[4]) if found[3] == "hex" else found[4].encode("latin-1")
    if not 0 < tag <= 0xFFFF or tag in _TAKEN_TAGS or len(value) > TLV_OCTETS_MAX:
        raise ValueError(item)
    return StaticTlv(found[2], Tlv(tag, value))


def parse_error_map(text: str) -> dict[int, Verdict]:
    """Read `0x0B=permanent:30005,0x45=retry,0x0400=throttle,0x99=permanent:30007+failover`."""
    found: dict[int, Verdict] = {}
    for item in _items(text, ",", limit=ENTRIES_MAX):
        status, action, code, failover = _matched(_VERDICT, item).groups()
        number = int(status, 0)
        if not 0 < number <= 0xFFFF_FFFF:
            raise ValueError(item)
        found[number] = Verdict(Action(action), int(code or UNKNOWN_ERROR), bool(failover))
    return found


def parse_network_error_map(text: str) -> dict[str, int]:
    """Read `001=30003,0A1=30007`; leading zeros and case mean nothing."""
    items = (_matched(_NETWORK, item) for item in _items(text, ",", limit=ENTRIES_MAX))
    return {network_key(found[1]): int(found[2]) for found in items}


def parse_zone(text: str) -> tzinfo:
    """Read `Europe/Berlin`, `+05:30` or `UTC`."""
    if text == "UTC":
        return UTC
    offset = _OFFSET.fullmatch(text)
    if offset:
        # A sum of 24 hours or more is no offset, and raises.
        minutes = 60 * int(offset[2]) + int(offset[3])
        return timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes))
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, OSError):
        raise ValueError(text) from None


def _items(text: str, separator: str, *, limit: int) -> list[str]:
    items = [item.strip() for item in text.split(separator) if item.strip()]
    if len(items) > limit:
        raise ValueError(f"{len(items)} entries")
    return items


def _matched(pattern: re.Pattern[str], item: str) -> re.Match[str]:
    found = pattern.fullmatch(item)
    if found is None:
        raise ValueError(item)
    return found
