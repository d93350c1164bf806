"""What a connector to a carrier must do, and the values that cross between it and the flows."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

from trunkline.domain.carrier import Setting

# What the console shows of a carrier's traffic, and what each connector keeps in memory: 0.5 MB.
PDUS_SHOWN_MAX = 500
# A receipt's detail of this name: its reference is a guess of ours, and matching nothing is fine.
DERIVED = "derived"


@dataclass(slots=True, kw_only=True)
class Submission:
    """One segment on its way to a handset; an MMS is a submission with media and index 0 of 1.

    media are addresses of our own, which ask for credentials; media_sources are where the bytes
    came from. tlvs are optional parameters, tag and octets, that the sender wants to go along.
    """

    account_sid: str
    message_sid: str
    segment_index: int
    segment_count: int
    sender: str
    recipient: str
    text: str
    encoding: str
    media: tuple[str, ...] = ()
    media_sources: tuple[str, ...] = ()
    priority: int = 0
    tlvs: tuple[tuple[int, bytes], ...] = ()
    # Sent before without an answer: whoever can find out what became of it does so first.
    is_repeat: bool = False
    attempts: int = 0  # How often its message was deferred or left in doubt before.


@dataclass(slots=True)
class Taken:
    """The carrier is responsible now; its receipts will name carrier_ref."""

    carrier_ref: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Trying again here cannot help; may_fail_over: another carrier might take it."""

    error_code: int
    reason: str = ""
    may_fail_over: bool = False


@dataclass(frozen=True, slots=True)
class Deferred:
    """Nothing was taken; try again no sooner than after_seconds, or with another carrier."""

    after_seconds: float
    reason: str = ""
    may_fail_over: bool = False


@dataclass(frozen=True, slots=True)
class InDoubt:
    """It left, and no answer came: the carrier's setting says whether to submit it again."""

    reason: str = ""


SubmitResult = Taken | Refused | Deferred | InDoubt
Answered = Callable[[int, SubmitResult], None]


@dataclass(slots=True, kw_only=True)
class Receipt:
    """What the carrier says became of one segment (a DLR).

    delivered is None for what decides nothing: accepted, on its way, unknown. aliases are other
    ways in which carrier_ref may have been written. detail is for people to read.
    """

    carrier_ref: str
    aliases: tuple[str, ...] = ()
    delivered: bool | None
    error_code: int | None
    at: datetime
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LateTaken:
    """The answer to a submission that had been given up as in doubt: it was taken after all."""

    submission: Submission
    carrier_ref: str


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


Happening = Receipt | LateTaken | Incoming
Handler = Callable[[Sequence[Happening]], Awaitable[None]]
MaySend = Callable[[int], bool]
# What may not leave goes back; whoever has the lane by then decides.
NOT_OURS_SECONDS = 1.0
NOT_OURS = "this node may not send on the lane now"


class BindPhase(StrEnum):
    """How far one connection of a lane has come."""

    CONNECTING = "connecting"
    BOUND = "bound"
    WAITING = "waiting"  # For the time to try again.
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BindState:
    """How one connection of a carrier is doing, for people to look at; counts since it was opened.

    per_second is what the carrier lets through at present, None without a limit.
    """

    lane: int
    kind: str  # 'transceiver', 'transmitter', 'receiver'; or 'http', 'simulated'.
    phase: BindPhase
    since: datetime
    peer: str = ""
    window_used: int = 0
    window_max: int = 0
    per_second: float | None = None
    submitted: int = 0
    taken: int = 0
    refused: int = 0
    throttled: int = 0
    in_doubt: int = 0
    receipts: int = 0
    texts: int = 0
    errors: int = 0
    last_error: str = ""
    last_receipt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PduSeen:
    """One PDU or HTTP request that passed, decoded for people; secrets are left out."""

    at: datetime
    lane: int
    is_outgoing: bool
    name: str
    sequence_number: int = 0
    status: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of a test of the connection."""

    is_good: bool
    detail: str
    milliseconds: float = 0.0


class Carrier(Protocol):
    """A connector at work for one carrier account, with lanes that submit side by side."""

    @property
    def name(self) -> str:
        """The carrier account's name; with a carrier_ref it identifies a segment."""

    @property
    def lanes(self) -> Sequence[int]:
        """The numbers of the lanes that are at work here."""

    @property
    def down_since(self) -> datetime | None:
        """Since when nothing can be submitted on any lane; None while something can."""

    async def run(self, handle: Handler) -> None:
        """Keep connected until cancelled; then take leave of the peer, within seconds.

        Await handle(happenings) before acknowledging them to the carrier: when handle
        returns they are on disk; when it raises, ask to be sent them again.
        """

    def take_lane(self, lane: int) -> None:
        """Put one more lane to work."""

    async def leave_lane(self, lane: int) -> None:
        """Take leave of the peer on one lane, within seconds; what waits there is Deferred."""

    def room(self, lane: int) -> int:
        """Say how many segments are welcome on a lane now: 0 while it is down, full or slowed.

        The `changed` that a connector was opened with is called when that grows from 0.
        """

    def capacity(self, lane: int) -> int:
        """Say how many segments a lane may have in hand: those here, and those without an answer.

        So many may be in doubt after a crash; there is never more room than that.
        """

    async def submit(
        self, lane: int, batch: Sequence[Submission], *, answered: Answered | None = None
    ) -> Sequence[SubmitResult]:
        """Hand over segments in their order; the results are in the order of *batch*.

        Call *answered* with the index and the result of a segment as soon as they are known: what
        is answered need not wait for what is not. Raise only for a bug. More than there is room
        for waits here, or is Deferred.
        """

    def binds(self) -> Sequence[BindState]:
        """Return the state of every connection."""

    def pdus(self) -> Sequence[PduSeen]:
        """Return what passed lately, oldest first, PDUS_SHOWN_MAX at most."""

    async def probe(self) -> Probe:
        """Try the connection: bind, or ask for the account, and measure the round trip."""


@runtime_checkable
class MediaKeeper(Protocol):
    """A carrier whose inbound media can be fetched with its own credentials alone."""

    def authorization_for(self, url: str) -> str | None:
        """Return the Authorization header for a medium of this carrier, None for anything else."""


class KeptPart(NamedTuple):
    """A segment as a journal has it: the key of its text, its number there, and itself."""

    key: str
    number: int
    doc: bytes


Choose = Callable[[Sequence[tuple[str, bytes]]], KeptPart | None]


class SegmentJournal(Protocol):
    """Where the segments of unfinished inbound texts are kept, per carrier account."""

    async def join(
        self, carrier: str, family: str, *, choose: Choose
    ) -> Sequence[tuple[str, bytes]]:
        """Store what *choose* makes of the keys and docs whose keys begin with *family*.

        Return those, as they were before. Nobody else joins the family meanwhile; what is returned
        is known to be on disk, and so is the new one. *choose* must have no effect of its own.
        """

    async def keep(self, carrier: str, key: str, *, number: int, doc: bytes) -> None:
        """Store one segment, on disk when this returns; the same again changes nothing."""

    async def forget(self, carrier: str, key: str) -> None:
        """Remove the segments of a text."""

    async def forget_remembered(self, carrier: str, until: datetime) -> None:
        """Remove what was kept under number 0 before a time."""

    async def load(self, carrier: str) -> list[tuple[str, bytes]]:
        """Return the keys and docs of all segments that are kept, in the order they came.

        Number 0 is no segment: it is what is remembered of a text that was told.
        """


class Sharing(StrEnum):
    """What of a kind of carrier several nodes may work on side by side."""

    LANES = "lanes"  # Each lane may be with another node.
    CARRIERS = "carriers"  # All of one carrier is with one node.
    NOTHING = "nothing"  # All carriers of the kind are with one node.


class Connector(Protocol):
    """A kind of carrier: what can be set, and how one is opened."""

    @property
    def sharing(self) -> Sharing:
        """What of it may be with different nodes."""

    @property
    def is_called(self) -> bool:
        """Whether such carriers call us: then each is opened on every node, on most without lanes.

        One without lanes takes in what it is told, and does nothing of its own accord.
        """

    @property
    def takes_media(self) -> bool:
        """Whether such carriers take MMS; others get a text with a link."""

    @property
    def settings(self) -> Sequence[Setting]:
        """Every setting of this kind, beside those that all kinds have."""

    def check(self, settings: Mapping[str, str]) -> None:
        """Raise Refusal 20422, which names the setting, for what cannot be used together."""

    def open(
        self,
        name: str,
        settings: Mapping[str, str],
        *,
        lanes: Sequence[int],
        changed: Callable[[], None],
        may_send: MaySend,
    ) -> Carrier:
        """Return a connector at work with checked settings; nothing moves before `run`.

        may_send is asked with the number of a lane whenever bytes of a message are about to leave;
        what may not is Deferred.
        """
