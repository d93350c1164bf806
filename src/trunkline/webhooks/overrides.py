"""Connection overrides: how long to wait and what to try again, from a webhook URL's fragment.

Rules: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides.
"""

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl

EDGE_MALFORMED: Final = 11240
EDGE_UNKNOWN: Final = 11241
INTERCONNECT_REFUSED: Final = 11242
# Twilio names no code of its own for bad time limits; they are part of the same policy.
POLICY_INVALID: Final = 11243

# Eight edges exist; a longer list only repeats them.
EDGES_MAX: Final = 8
# There are six keys and `e` is the longest value; more is not an override.
PAIRS_MAX: Final = 16

RETRIABLE: Final = frozenset({"4xx", "5xx", "ct", "rt"})
EDGES: Final = frozenset(
    "ashburn dublin frankfurt roaming sao-paulo singapore sydney tokyo umatilla".split()
)
_EDGE = re.compile(r"[a-z]+(-[a-z]+)*")


@dataclass(frozen=True, slots=True)
class Overrides:
    """Say how to connect.

    *sni* and *edges* are checked and kept without effect: a certificate cannot be verified
    without a server name, and we have one edge.
    """

    connect_ms: int = 5000
    read_ms: int = 15000
    total_ms: int = 15000
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})
    sni: bool = True
    edges: tuple[str, ...] = ()


DEFAULT_OVERRIDES: Final = Overrides()

_RANGES: Final = {
    "ct": range(100, 10001),
    "rt": range(100, 15001),
    "tt": range(100, 15001),
    "rc": range(6),
}


def parse_overrides(fragment: str) -> tuple[Overrides, tuple[int, ...]]:
    """Return the overrides of *fragment* and a warning code for each part that is invalid.

    A part that is invalid leaves its default; keys that are no override are somebody else's.
    """
    try:
        pairs = parse_qsl(fragment, keep_blank_values=True, max_num_fields=PAIRS_MAX)
    except ValueError:
        return DEFAULT_OVERRIDES, (POLICY_INVALID,)
    overrides = DEFAULT_OVERRIDES
    warnings: list[int] = []
    for key, value in pairs:
        changed, warning = _apply(overrides, key, value=value)
        overrides = changed
        if warning is not None:
            warnings.append(warning)
    return overrides, tuple(warnings)


def _apply(overrides: Overrides, key: str, *, value: str) -> tuple[Overrides, int | None]:
    if key in _RANGES:
        return _apply_number(overrides, key, value=value)
    if key == "rp":
        policy = _parse_policy(value)
        if policy is None:
            return overrides, POLICY_INVALID
        return replace(overrides, retry_on=policy), None
    if key == "sni":
        if value not in {"y", "n"}:
            return overrides, POLICY_INVALID
        return replace(overrides, sni=value == "y"), None
    if key == "e":
        edges = tuple(value.split(","))
        warning = _edges_warning(edges)
        return (overrides, warning) if warning else (replace(overrides, edges=edges), None)
    return overrides, None


def _apply_number(overrides: Overrides, key: str, *, value: str) -> tuple[Overrides, int | None]:
    # Five digits hold every allowed number; int() is slow on endless ones.
    if not re.fullmatch(r"[0-9]{1,5}", value) or int(value) not in _RANGES[key]:
        return overrides, POLICY_INVALID
    number = int(value)
    match key:
        case "ct":
            return replace(overrides, connect_ms=number), None
        case "rt":
            return replace(overrides, read_ms=number), None
        case "tt":
            return replace(overrides, total_ms=number), None
        case _:
            return replace(overrides, retries=number), None


def _parse_policy(value: str) -> frozenset[str] | None:
    names = frozenset(value.split(","))
    if "all" in names:
        return RETRIABLE if names <= RETRIABLE | {"all"} else None
    return names if names <= RETRIABLE else None


def _edges_warning(edges: tuple[str, ...]) -> int | None:
    if len(edges) > EDGES_MAX or not all(_EDGE.fullmatch(edge) for edge in edges):
        return EDGE_MALFORMED
    if any(edge.endswith("-ix") for edge in edges):
        return INTERCONNECT_REFUSED
    return None if EDGES.issuperset(edges) else EDGE_UNKNOWN
