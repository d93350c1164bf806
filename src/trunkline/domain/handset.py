"""Handsets of the simulated network, and the texts they hold."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

NAME_MAX = 64  # The width of the column; a phone's name is a heading.


class Step(StrEnum):
    """How far a text has come."""

    DEFERRED = "deferred"
    REFUSED = "refused"
    ON_ITS_WAY = "on its way"
    ARRIVED = "arrived"
    FAILED = "failed"


# What a bubble shows, as messengers do: one tick when it left, two when it arrived.
_TICKS = {Step.ON_ITS_WAY: 1, Step.ARRIVED: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handset:
    """A phone; behaviour is empty unless somebody set one, texts counts what was sent to it."""

    number: str
    name: str = ""
    behaviour: str = ""
    texts: int = 0
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HandsetText:
    """A text to or from a handset, held as the segments the network was given.

    A missing segment is None. due_at is None when nothing more will happen.
    """

    sid: str
    handset: str
    peer: str
    is_outgoing: bool
    message_ref: str | None
    encoding: str
    segments: tuple[str | None, ...]
    media: tuple[str, ...] = ()
    behaviour: str = ""
    step: Step = Step.ON_ITS_WAY
    attempts: int = 0
    due_at: datetime | None
    arrived_at: datetime | None = None
    created_at: datetime

    @property
    def is_whole(self) -> bool:
        """Whether every segment is here."""
        return None not in self.segments

    @property
    def body(self) -> str:
        """The text, put together from its segments."""
        return "".join(segment for segment in self.segments if segment is not None)

    @property
    def shown_at(self) -> datetime:
        """When it came to be seen on this phone: on arrival, or when it was written there."""
        return self.created_at if self.is_outgoing else self.arrived_at or self.created_at

    @property
    def ticks(self) -> int:
        """How many ticks its bubble has: none, one (it left) or two (it arrived)."""
        return _TICKS.get(self.step, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """The segments of one message that were submitted together; sid is that of a new text."""

    sid: str
    message_sid: str
    sender: str
    recipient: str
    encoding: str
    segment_count: int
    media: tuple[str, ...]
    at: datetime
    segments: dict[int, str] = field(default_factory=dict)


# Says what a text is after a parcel came; knowing the text, or else the handset of a new one.
Judge = Callable[[Parcel, HandsetText | Handset], HandsetText]
