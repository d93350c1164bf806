"""What can become of a text on its way to a handset, as a table, and the choice among it.

Rules: a handset's own setting comes before a magic recipient, a magic recipient before the odds;
the last five digits of a magic recipient are an error code or a row of MAGIC.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from trunkline.domain.errors import ERRORS, delivery_error

# No area code 555 is in service (NANPA), so these numbers are nobody's.
MAGIC_PREFIX = "+155555"
MAGIC_LENGTH = len(MAGIC_PREFIX) + 5
CONGESTED_TIMES = 3  # Enough to see a retry, few enough to end within ten seconds.
BEHAVIOUR_MAX = 24  # The width of the columns that hold a name.

_ERROR_PREFIX = "error-"
_DRAW_SIZE = 8
_DRAW_SCALE = 2.0**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One fate of a text; `phone` says what the handset shows of it."""

    name: str
    title: str
    phone: str = "nothing"
    error_code: int | None = None
    is_slow: bool = False
    gives_receipt: bool = True
    is_refusal: bool = False
    deferrals: int = 0

    @property
    def arrives(self) -> bool:
        """Whether the handset shows the text in the end."""
        return self.error_code is None

    @property
    def final_status(self) -> str:
        """The status with which the message ends."""
        if self.is_refusal:
            return "failed"
        if self.error_code is not None:
            return "undelivered"
        return "delivered" if self.gives_receipt else "sent"

    @property
    def receipt(self) -> str:
        """When the receipt comes, in words."""
        if self.is_refusal:
            return "none: refused at once"
        if not self.gives_receipt:
            return "never"
        return "after the long delay" if self.is_slow else "after the usual delay"


def _table(*rows: Behaviour) -> Mapping[str, Behaviour]:
    return {row.name: row for row in rows}


# 30007 is the code for filtering by content or carrier policy alike, so `violation` carries it too;
# the two differ in when the carrier says so, because applications meet both.
BEHAVIOURS = _table(
    Behaviour(name="deliver", title="Delivered", phone="the text"),
    Behaviour(name="off", title="The phone is off or out of coverage", error_code=30003),
    Behaviour(name="unknown", title="Nobody has this number any more", error_code=30005),
    Behaviour(name="landline", title="A landline, or a carrier without SMS", error_code=30006),
    Behaviour(name="filtered", title="Filtered on the way as spam", error_code=30007),
    Behaviour(name="blocked", title="The recipient blocked the sender", error_code=30004),
    Behaviour(
        name="violation",
        title="Refused by the carrier for violating its policy",
        error_code=30007,
        is_refusal=True,
    ),
    Behaviour(name="slow", title="Delivered late", phone="the text, late", is_slow=True),
    Behaviour(
        name="no_receipt",
        title="Delivered, but the carrier never says so",
        phone="the text",
        gives_receipt=False,
    ),
    Behaviour(
        name="refuse",
        title="Refused by the carrier without a reason",
        error_code=30008,
        is_refusal=True,
    ),
    Behaviour(
        name="congested",
        title=f"The carrier says “later” {CONGESTED_TIMES} times, then delivers",
        phone="the text, late",
        deferrals=CONGESTED_TIMES,
    ),
)
DELIVER = BEHAVIOURS["deliver"]

# The last five digits of the magic recipients that no error code names.
MAGIC: Mapping[str, Behaviour] = {
    "00000": DELIVER,
    "00001": BEHAVIOURS["slow"],
    "00002": BEHAVIOURS["no_receipt"],
    "00003": BEHAVIOURS["congested"],
    "00004": BEHAVIOURS["refuse"],
    "00005": BEHAVIOURS["violation"],
}
_BY_CODE = {
    b.error_code: b for b in BEHAVIOURS.values() if b.error_code is not None and not b.is_refusal
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """How the network behaves; odds gives behaviours their probability, the rest is delivered."""

    seed: int = 0
    delay_seconds: float = 1.0
    slow_seconds: float = 30.0
    odds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for odds that are none."""
        unknown = sorted(set(self.odds) - set(BEHAVIOURS))
        if unknown:
            raise ValueError(f"odds: no behaviour is called {', '.join(unknown)}")
        if any(p < 0 for p in self.odds.values()) or sum(self.odds.values()) > 1 + 1e-9:
            raise ValueError("odds: probabilities are at least 0 and at most 1 together")


@dataclass(frozen=True, slots=True)
class Draw:
    """Two independent numbers, at least 0 and below 1."""

    fate: float
    jitter: float


def draw(seed: int, number: str, *, ordinal: int) -> Draw:
    """Draw for the text that is the *ordinal*-th at a handset.

    A hash, so that the outcome depends on nothing that was drawn before or beside it. The jitter
    is the handset's own: texts that take the same way arrive in the order they were sent.
    """
    return Draw(_fraction(f"{seed}/{number}/{ordinal}"), _fraction(f"{seed}/{number}"))


def _fraction(key: str) -> float:
    digest = hashlib.blake2b(key.encode(), digest_size=_DRAW_SIZE).digest()
    return int.from_bytes(digest, "big") / _DRAW_SCALE


def find_behaviour(name: str) -> Behaviour | None:
    """Return the behaviour with a name of the table, or `error-<code>` with a delivery error."""
    known = BEHAVIOURS.get(name)
    if known is not None or not name.startswith(_ERROR_PREFIX):
        return known
    return _error_behaviour(name.removeprefix(_ERROR_PREFIX))


def magic_behaviour(number: str) -> Behaviour | None:
    """Return what a magic recipient does; None for every other number."""
    if len(number) != MAGIC_LENGTH or not number.startswith(MAGIC_PREFIX):
        return None
    digits = number.removeprefix(MAGIC_PREFIX)
    return MAGIC.get(digits) or _error_behaviour(digits)


def choose_behaviour(
    setting: str, number: str, *, odds: Mapping[str, float], fate: float
) -> Behaviour:
    """Choose what becomes of a text; 0 <= fate < 1, and what *odds* leave over is delivered."""
    chosen = find_behaviour(setting) or magic_behaviour(number)
    return chosen or (_among(odds, fate) if odds else DELIVER)


def is_delivery_error(code: int) -> bool:
    """Tell whether a sent message can end with this code (30001 to 30699, 63001 to 63999)."""
    return code in ERRORS and (30000 < code < 30700 or 63000 < code < 64000)


def render_behaviours() -> str:
    """Return the table of behaviours for the documentation."""
    rows = (
        (f"`{b.name}`", b.title, b.final_status, _code(b), b.receipt, b.phone)
        for b in BEHAVIOURS.values()
    )
    head = ("Behaviour", "What happens", "Ends as", "Error code", "Receipt", "The phone shows")
    return _markdown(head, rows)


def render_magic() -> str:
    """Return the table of magic recipients for the documentation."""
    named = [(MAGIC_PREFIX + digits, f"`{b.name}`: {b.title}") for digits, b in MAGIC.items()]
    codes = [
        (f"{MAGIC_PREFIX}{code}", f"undelivered, {code}: {delivery_error(code)}")
        for code in sorted(ERRORS)
        if is_delivery_error(code)
    ]
    return _markdown(("Recipient", "What happens"), [(f"`{n}`", text) for n, text in named + codes])


def _error_behaviour(digits: str) -> Behaviour | None:
    code = int(digits) if digits.isascii() and digits.isdigit() else 0
    if not is_delivery_error(code):
        return None
    named = _BY_CODE.get(code)
    if named is not None:
        return named
    return Behaviour(name=f"{_ERROR_PREFIX}{code}", title=delivery_error(code), error_code=code)


def _among(odds: Mapping[str, float], fate: float) -> Behaviour:
    reach = 0.0
    for name, probability in odds.items():
        reach += probability
        if fate < reach:
            return BEHAVIOURS[name]
    return DELIVER


def _code(behaviour: Behaviour) -> str:
    return "" if behaviour.error_code is None else str(behaviour.error_code)


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
