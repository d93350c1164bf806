"""Alerts: what went wrong with an account's resources, told to the people whose they are."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlencode, urlsplit

from trunkline.domain.errors import masked

# Of a request: more says no more of what was wrong with it.
VARIABLES_MAX = 40
VALUE_LENGTH_MAX = 100

# A body that was sent as something else than a form reads as one long name.
_NAME = re.compile(r"[A-Za-z]{1,40}")
_NUMBERS = ("To", "From")
_PHONE = re.compile(r"\+?\d{7,15}")
_HIDDEN = "XXXX"
_SAID = re.compile(r"\w*(?:Sid|Status|ErrorCode|ApiVersion|NumMedia|NumSegments|SendAt)")


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"
    DEBUG = "debug"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing that went wrong; resource_sid is empty where it was with no resource.

    attempt_sid: the attempt at a webhook of which it came, where its answer is kept.
    """

    sid: str
    account_sid: str
    level: Level
    error_code: int
    at: datetime
    resource_sid: str = ""
    service_sid: str = ""
    reason: str = ""
    method: str = ""
    url: str = ""
    variables: str = ""
    http_status: int | None = None
    attempt_sid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """Which alerts are wanted. Times begin inclusive and end exclusive."""

    level: Level | None = None
    raised_from: datetime | None = None
    raised_before: datetime | None = None


def variables_of(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the form of a request without texts and with the ends of numbers hidden."""
    named = [(name, value) for name, value in pairs if _NAME.fullmatch(name)]
    return urlencode([(name, _shown(name, value)) for name, value in named[:VARIABLES_MAX]])


def reason_of(text: str) -> str:
    """Return why something went wrong with the ends of numbers hidden."""
    return _PHONE.sub(lambda found: masked(found[0]), text)


def url_of(url: str) -> str:
    """Return a URL without the password in it."""
    try:
        user, at, host = urlsplit(url).netloc.rpartition("@")
    except ValueError:  # What the standard library cannot take apart has no password either.
        return url
    name, colon, _ = user.partition(":")
    return url.replace(f"{user}{at}{host}", f"{name}:{_HIDDEN}@{host}", 1) if colon else url


def _shown(name: str, value: str) -> str:
    if name in _NUMBERS:
        return masked(value[:VALUE_LENGTH_MAX])
    return value[:VALUE_LENGTH_MAX] if _SAID.fullmatch(name) else ""
