"""What a carrier's refusals and failed receipts mean: what to do, and which code people see.

Sources: command_status SMPP 3.4 §5.1.3 and 5.0 §4.7.6; codes from Twilio's error dictionary; errors
of GSM networks 3GPP TS 29.002 §17.6.6.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from trunkline.smpp.receipt import MessageState, ReceiptFacts
from trunkline.smpp.status import CommandStatus

UNKNOWN_ERROR = 30008
TOO_LARGE = 30019
NO_SUCH_CHANNEL = 30015
NO_MEDIA = 30011


class Action(StrEnum):
    """What to do with a segment that the carrier did not take."""

    PERMANENT = "permanent"
    RETRY = "retry"
    THROTTLE = "throttle"  # Again, and slower.
    UNKNOWN = "unknown"  # Again, a few times.


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action, the code of a message that fails by it, and whether another carrier may try."""

    action: Action
    error_code: int = UNKNOWN_ERROR
    may_fail_over: bool = False


_S = CommandStatus
_RETRY = Verdict(Action.RETRY)
_THROTTLE = Verdict(Action.THROTTLE)
_UNKNOWN = Verdict(Action.UNKNOWN)
# What is wrong between this carrier and us: another carrier knows nothing of it.
_OURS = Verdict(Action.PERMANENT, may_fail_over=True)
_SENDER = Verdict(Action.PERMANENT, 30024, may_fail_over=True)
_RECIPIENT = Verdict(Action.PERMANENT, 30005)
_FILTERED = Verdict(Action.PERMANENT, 30007)
_PERMANENT = Verdict(Action.PERMANENT)

VERDICTS: dict[int, Verdict] = {
    **dict.fromkeys(CommandStatus, _OURS),
    _S.ESME_RINVMSGLEN: Verdict(Action.PERMANENT, TOO_LARGE),
    _S.ESME_RINVBNDSTS: _RETRY,
    _S.ESME_RALYBND: _RETRY,
    _S.ESME_RSYSERR: _RETRY,
    _S.ESME_RINVSRCADR: _SENDER,
    _S.ESME_RINVSRCTON: _SENDER,
    _S.ESME_RINVSRCNPI: _SENDER,
    _S.ESME_RINVDSTADR: _RECIPIENT,
    _S.ESME_RMSGQFUL: _THROTTLE,
    _S.ESME_RTHROTTLED: _THROTTLE,
    # Carriers say it of trouble of their own and of messages that they dislike.
    _S.ESME_RSUBMITFAIL: _UNKNOWN,
    _S.ESME_RX_T_APPN: _RETRY,
    _S.ESME_RX_P_APPN: _PERMANENT,
    _S.ESME_RX_R_APPN: _PERMANENT,
    _S.ESME_RDELIVERYFAILURE: Verdict(Action.PERMANENT, 30003),
    _S.ESME_RUNKNOWNERR: _UNKNOWN,
    _S.ESME_RPROHIBITED: _FILTERED,
    _S.ESME_RSERTYPUNAVAIL: _RETRY,
}


def verdict_of(command_status: int, error_map: Mapping[int, Verdict]) -> Verdict:
    """Return what a status means to a carrier with this map; vendors' own are unknown."""
    return error_map.get(command_status) or VERDICTS.get(command_status, _UNKNOWN)


# EXPIRED: the handset was not there for as long as the SMSC tried.
_STATE_CODES = {
    MessageState.EXPIRED: 30003,
    MessageState.DELETED: UNKNOWN_ERROR,
    MessageState.UNDELIVERABLE: UNKNOWN_ERROR,
    MessageState.REJECTED: 30007,
    MessageState.SKIPPED: UNKNOWN_ERROR,
}
_GSM_NETWORK = 3
_GSM_CODES = {
    1: 30005,  # unknownSubscriber
    5: 30005,  # unidentifiedSubscriber
    6: 30003,  # absentSubscriberSM
    9: 30004,  # illegalSubscriber
    10: 30006,  # bearerServiceNotProvisioned
    11: 30006,  # teleserviceNotProvisioned
    12: 30004,  # illegalEquipment
    13: 30004,  # callBarred
    21: 30006,  # facilityNotSupported
    27: 30003,  # absentSubscriber
    31: 30003,  # subscriberBusyForMT-SMS
    32: 30003,  # sm-DeliveryFailure
    34: 30003,  # systemFailure
}


def network_key(code: str) -> str:
    """Return the form under which the code of a network is looked up."""
    return code.strip().upper().lstrip("0") or "0"


def receipt_verdict(
    facts: ReceiptFacts, codes: Mapping[str, int]
) -> tuple[bool | None, int | None]:
    """Say whether a receipt means delivered, and the code to show if it does not.

    UNKNOWN decides nothing: the SMSC has lost track, the handset may have the text.
    """
    if not facts.is_final or facts.message_state in {None, MessageState.UNKNOWN}:
        return None, None
    if facts.message_state is MessageState.DELIVERED:
        return True, None
    return False, _failure_code(facts, codes)


def _failure_code(facts: ReceiptFacts, codes: Mapping[str, int]) -> int:
    network = facts.network_error_code
    said = [str(network.error_code)] if network else []
    said += [facts.err] if facts.err else []
    known = next((codes[key] for key in map(network_key, said) if key in codes), None)
    if known is None and network and network.network_type == _GSM_NETWORK:
        known = _GSM_CODES.get(network.error_code)
    if known is None and facts.message_state is not None:
        known = _STATE_CODES.get(facts.message_state)
    return known or UNKNOWN_ERROR
