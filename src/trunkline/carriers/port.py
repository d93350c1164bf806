"""What a connector to a carrier must do, and the values that cross between it and the flows."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One segment on its way to a handset; an MMS is a submission with media and index 0 of 1."""

    account_sid: str
    message_sid: str
    segment_index: int
    segment_count: int
    sender: str
    recipient: str
    text: str
    encoding: str
    media: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """The carrier is responsible now; its receipts will name carrier_ref."""

    carrier_ref: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Trying again cannot help."""

    error_code: int


@dataclass(frozen=True, slots=True)
class Deferred:
    """Nothing was taken; try again no sooner than after_seconds."""

    after_seconds: float


SubmitResult = Taken | Refused | Deferred


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the carrier says became of one segment (a DLR)."""

    carrier_ref: str
    delivered: bool
    error_code: int | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A text or MMS from a handset to one of our numbers, already whole.

    ref names it for the carrier: the same ref twice is the same text.
    """

    ref: str
    sender: str
    recipient: str
    body: str
    encoding: str
    num_segments: int
    media: tuple[str, ...]
    at: datetime


Happening = Receipt | Incoming
Handler = Callable[[Sequence[Happening]], Awaitable[None]]


class Carrier(Protocol):
    """A connector."""

    @property
    def name(self) -> str:
        """The carrier account's name; with a carrier_ref it identifies a segment."""

    async def run(self, handle: Handler) -> None:
        """Keep connected until cancelled.

        Await handle(happenings) before acknowledging them to the carrier: when handle
        returns they are on disk; when it raises, ask to be sent them again.
        """

    async def submit(self, batch: Sequence[Submission]) -> Sequence[SubmitResult]:
        """Hand over segments; the results are in the order of *batch*. Raise only for a bug."""
