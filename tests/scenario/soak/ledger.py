"""What is known from outside about everything that happened: the other side of the books."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

API, SMPP = "api", "smpp"
AGAIN, ONCE, SIMULATED = "again", "once", "simulated"
TAKEN, PUT_OFF, REFUSED = "taken", "put off", "refused"
DELIVERED, MISSED = "DELIVRD", "UNDELIV"


@dataclass(frozen=True)
class Sent:
    """A message that was accepted: the number in its text, by which way it came, and for whom."""

    token: int
    way: str
    account_sid: str
    is_called_back: bool
    carrier: str
    is_chosen: bool = False  # By a Messaging Service, which says so by `queued`.
    has_media: bool = False


@dataclass
class Arrival:
    """A segment at the SMSC: when, on which connection and as which there; and the answer."""

    token: int
    key: str
    carrier: str
    sender: str
    recipient: str
    connection: int
    place: int
    at: float
    in_flight: int
    ref: str = ""
    verdict: str = ""
    answered_at: float | None = None


@dataclass(frozen=True)
class Told:
    """A status callback: what it said, and what was answered."""

    sid: str
    status: str
    answer: int

    @property
    def is_taken(self) -> bool:
        """Say whether that was the last of it."""
        return self.answer < 300


@dataclass
class Offer:
    """A text of a handset: how often its segments were offered, which were acknowledged."""

    segments: int
    wants_reply: bool
    is_customers: bool = False
    offers: Counter[int] = field(default_factory=Counter)
    acknowledged: set[int] = field(default_factory=set)

    @property
    def is_taken(self) -> bool:
        """Say whether all of it was acknowledged."""
        return len(self.acknowledged) == self.segments

    @property
    def was_repeated(self) -> bool:
        """Say whether any of it was offered twice, as its acknowledgement was lost."""
        return any(count > 1 for count in self.offers.values())


@dataclass
class Made:
    """Something that was configured: whether it is there, if that is known; how it may be named."""

    is_there: bool | None
    names: set[str]


@dataclass
class Ledger:
    """Everything that was sent, answered, told and brought."""

    accepted: dict[str, Sent] = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    arrivals: list[Arrival] = field(default_factory=list)
    # Connections of the SMSC that ended before the end of all, and when.
    ended: dict[int, float] = field(default_factory=dict)
    # What receipts said, by the carrier's ref.
    receipts: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    receipts_acknowledged: set[str] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)
    polled: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    inbound: dict[int, Offer] = field(default_factory=dict)
    reported: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    # By the number of a text: how often its webhook was taken, and how often its customer took it.
    heard: Counter[int] = field(default_factory=Counter)
    brought: Counter[int] = field(default_factory=Counter)
    badly_signed: Counter[str] = field(default_factory=Counter)
    # What was deleted or redacted, and whether the answer said so.
    removed: dict[str, bool] = field(default_factory=dict)
    redacted: dict[str, bool] = field(default_factory=dict)
    canceled: dict[str, bool] = field(default_factory=dict)
    # Who opted out of an account's service (account, recipient): when that was asked for, and when
    # it was answered; infinite while it was not.
    opted_out: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    # When nodes were killed, stopped, cut off or could not write.
    disturbed: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    # Where nodes killed themselves, where they could have, and what their disks refused.
    boundaries: Counter[str] = field(default_factory=Counter)
    works: set[str] = field(default_factory=set)
    commits_refused: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Row:
    """A message as the database has it."""

    sid: str
    account_sid: str
    direction: str
    status: str
    error_code: int | None
    body: str
    carrier: str
    was_sent: bool
    is_chosen: bool
    recipient: str


@dataclass
class Stored:
    """What the database has at the end."""

    messages: dict[str, Row] = field(default_factory=dict)
    moving: set[str] = field(default_factory=set)
    records: dict[str, str] = field(default_factory=dict)
    waiting: Counter[str] = field(default_factory=Counter)
    # By message: the carrier's ref of each segment, and whether it was delivered, if that is known.
    refs: defaultdict[str, list[tuple[int, str, int | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    used: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
