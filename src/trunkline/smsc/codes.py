"""What refusals and failures of ours are called in SMPP."""

from typing import NamedTuple

from trunkline.smpp.receipt import MessageState
from trunkline.smpp.status import CommandStatus

C, M = CommandStatus, MessageState

# What a refused submission is answered with, by the code of the refusal.
_REFUSALS: dict[int, CommandStatus] = {
    20005: C.ESME_RINVBNDSTS,
    20429: C.ESME_RTHROTTLED,
    20503: C.ESME_RMSGQFUL,
    21211: C.ESME_RINVDSTADR,
    21212: C.ESME_RINVSRCADR,
    21265: C.ESME_RINVDSTADR,
    21266: C.ESME_RINVDSTADR,
    21267: C.ESME_RINVSRCADR,
    21408: C.ESME_RINVDSTADR,
    21603: C.ESME_RINVSRCADR,
    21604: C.ESME_RINVDSTADR,
    21606: C.ESME_RINVSRCADR,
    21608: C.ESME_RINVDSTADR,
    21610: C.ESME_RSUBMITFAIL,
    21611: C.ESME_RMSGQFUL,
    21612: C.ESME_RINVDSTADR,
    21614: C.ESME_RINVDSTADR,
    21617: C.ESME_RINVMSGLEN,
    21619: C.ESME_RINVMSGLEN,
    21624: C.ESME_RINVEXPIRY,
    21659: C.ESME_RINVSRCADR,
    21660: C.ESME_RINVSRCADR,
    21910: C.ESME_RINVSRCADR,
    63007: C.ESME_RINVSRCADR,
}


def refusal_status(code: int) -> CommandStatus:
    """Return what a refusal is answered with; one that is not in the table fails the submission."""
    return _REFUSALS.get(code, C.ESME_RSUBMITFAIL)


# What a GSM network calls the trouble behind a code (MAP errors of 3GPP TS 29.002 §17.6.6).
_ABSENT_SUBSCRIBER, _UNKNOWN_SUBSCRIBER, _NO_TELESERVICE, _CALL_BARRED = 27, 1, 11, 13
_NOT_SUPPORTED, _QUEUE_FULL, _SYSTEM_FAILURE = 21, 33, 34
_NETWORK_ERRORS = {
    30001: _QUEUE_FULL,
    30002: _CALL_BARRED,
    30003: _ABSENT_SUBSCRIBER,
    30004: _CALL_BARRED,
    30005: _UNKNOWN_SUBSCRIBER,
    30006: _NO_TELESERVICE,
    30007: _NOT_SUPPORTED,
    30036: _ABSENT_SUBSCRIBER,
}
_EXPIRED = 30036


class Ending(NamedTuple):
    """How a message stands or ended, as receipts and query_sm say it."""

    message_state: MessageState
    network_error: int = 0


_STATES = {
    "delivered": M.DELIVERED,
    "read": M.DELIVERED,
    "undelivered": M.UNDELIVERABLE,
    "failed": M.REJECTED,
    "canceled": M.DELETED,
    "scheduled": M.SCHEDULED,
    "expired": M.EXPIRED,
}
_GOOD = {M.DELIVERED, M.DELETED, M.ENROUTE, M.SCHEDULED}


def ending_of(status: str, error_code: int | None) -> Ending:
    """Return how a status with its error is told; what has not ended is on its way."""
    state = _STATES.get(status, M.ENROUTE)
    if state in _GOOD:
        return Ending(state)
    if error_code == _EXPIRED:
        state = M.EXPIRED
    return Ending(state, _NETWORK_ERRORS.get(error_code or 0, _SYSTEM_FAILURE))
