"""What the API answers with, read: messages, pages of them, media and problems."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import msgspec

from trunkline.domain.errors import ERRORS

# A receipt that gives no reason: "Unknown error".
UNKNOWN_ERROR = 30008

# https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
DELIVERED: Mapping[str, bool | None] = {
    "sent": None,
    "delivered": True,
    "read": True,
    "undelivered": False,
    "failed": False,
    "canceled": False,
}


class UpstreamMessage(msgspec.Struct):
    """A message as the upstream account has it."""

    sid: str
    status: str = ""
    direction: str = ""
    sender: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    body: str | None = None
    num_segments: str | int = 0
    num_media: str | int = 0
    error_code: int | str | None = None
    date_created: str | None = None
    messaging_service_sid: str | None = None

    @property
    def created_at(self) -> datetime | None:
        """When it was made, by the clock there."""
        return parse_date(self.date_created or "")

    @property
    def segments(self) -> int:
        """How many segments were counted there; 0 when that is not known yet."""
        return _whole(self.num_segments)

    @property
    def media(self) -> int:
        """How many media it has."""
        return _whole(self.num_media)

    @property
    def delivered(self) -> bool | None:
        """Whether it arrived; None while that is open."""
        return DELIVERED.get(self.status)


class UpstreamPage(msgspec.Struct):
    """One page of a list of messages."""

    messages: list[UpstreamMessage]
    next_page_uri: str | None = None


class UpstreamMedium(msgspec.Struct):
    """One medium of a message."""

    uri: str


class UpstreamMedia(msgspec.Struct):
    """The media of a message."""

    media_list: list[UpstreamMedium]


class Problem(msgspec.Struct):
    """Why a request was refused; empty where the answer is none of the API's."""

    code: int | None = None
    message: str | None = None


Kind = TypeVar("Kind", UpstreamMessage, UpstreamPage, UpstreamMedia, Problem)


def read(body: bytes, kind: type[Kind]) -> Kind | None:
    """Return the body of an answer as *kind*, or None when it is something else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def parse_date(text: str) -> datetime | None:
    """Return a time as RFC 2822 writes it, aware UTC; None when it is none."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def failure_code(code: int | str | None) -> int:
    """Return the error of a message that did not arrive; one that is not known has no reason."""
    found = _whole(code)
    return found if found in ERRORS else UNKNOWN_ERROR


def _whole(value: int | str | None) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
