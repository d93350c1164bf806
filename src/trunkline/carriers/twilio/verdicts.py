"""What a refused request means: for the message, for the account, or only for now."""

from dataclasses import dataclass
from enum import Enum, auto

from trunkline.carriers.twilio.wire import UNKNOWN_ERROR, Problem
from trunkline.domain.errors import ERRORS


class Meaning(Enum):
    """Whose trouble an answer is."""

    TAKEN = auto()
    REFUSED = auto()  # The message's: it fails, or another carrier takes it.
    HELD_UP = auto()  # The sender's: its queue there is full, that of others is not.
    THROTTLED = auto()  # Nobody's: it was not processed and may come again.
    FALTERED = auto()  # Theirs: it may or may not have been processed.
    LOCKED_OUT = auto()  # The account's or its key's: no message would be taken.


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one answer; error_code is what its message would show."""

    meaning: Meaning
    error_code: int = 0
    reason: str = ""
    may_fail_over: bool = False


# Codes that speak of the account, its key or the address of the API, whatever message was sent.
# https://www.twilio.com/docs/api/errors; 70051 is a restricted key that may not do this.
_OF_THE_ACCOUNT = frozenset(
    {10001, 20003, 20005, 20006, 20008, 20010, 20101, 20403, 20404, 20426, 21472, 30002, 70051}
)
# "SMS queue is full" (21611), "Queue overflow" (30001), limits of a channel's sender.
_OF_THE_SENDER = frozenset({21611, 30001, 63018, 63038})
# The sender is not theirs to use, the region not permitted, the route not there: others may do it.
_OTHERS_MAY = frozenset(
    {
        *(21212, 21408, 21601, 21603, 21606, 21607, 21608, 21612, 21620, 21621, 21622, 21659),
        *(21660, 21661, 21663, 21703, 21704, 21705, 30032, 30034, 30037, 63007),
    }
)
# Of the table, what can stand on a message: sending, delivery and channels.
_MESSAGE_RANGES = (range(21200, 21300), range(21400, 21800), range(30000, 40000))
_CHANNEL_RANGE = range(63000, 64000)

_TOO_MANY, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _REQUEST_TIMEOUT = 429, 401, 403, 404, 408
_NOT_AVAILABLE = 503


def judge(status: int, problem: Problem) -> Verdict:
    """Return what an answer to the creation of a message means."""
    code = problem.code or 0
    reason = f"HTTP {status}" + (f", error {code}" if code else "")
    if 200 <= status < 300:
        return Verdict(Meaning.TAKEN)
    if status in {_TOO_MANY, _NOT_AVAILABLE}:
        return Verdict(Meaning.THROTTLED, reason=reason)
    if code in _OF_THE_SENDER:
        return Verdict(Meaning.HELD_UP, reason=reason)
    if status >= 500 or status == _REQUEST_TIMEOUT:
        return Verdict(Meaning.FALTERED, reason=reason)
    is_closed = status in {_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND} and not _is_of_a_message(code)
    # A redirect, or an error without a code, is none of the API: the address is a wrong one.
    if code in _OF_THE_ACCOUNT or is_closed or status < 400 or not code:
        return Verdict(Meaning.LOCKED_OUT, reason=reason)
    error_code = code if _is_of_a_message(code) else UNKNOWN_ERROR
    return Verdict(Meaning.REFUSED, error_code, reason, may_fail_over=code in _OTHERS_MAY)


def _is_of_a_message(code: int) -> bool:
    return code in ERRORS and any(code in codes for codes in (*_MESSAGE_RANGES, _CHANNEL_RANGE))
