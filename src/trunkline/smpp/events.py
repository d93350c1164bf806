"""What a Session tells its owner: one frozen value for each thing that happened."""

from dataclasses import dataclass
from enum import StrEnum

from trunkline.smpp.pdu import Pdu


class Timer(StrEnum):
    """The timers of SMPP 3.4 §7.2 that end a session; the other two have events of their own."""

    SESSION_INIT = "session_init"
    INACTIVITY = "inactivity"


@dataclass(frozen=True, slots=True)
class Bound:
    """The SMSC granted our bind."""

    sequence_number: int
    pdu: Pdu


@dataclass(slots=True)
class Answered:
    """Our request has its response, or a generic_nack; fields are NULL where the peer left them."""

    sequence_number: int
    command_status: int
    pdu: Pdu


@dataclass(frozen=True, slots=True)
class Late:
    """A response to a request that had timed out."""

    sequence_number: int
    command_status: int
    pdu: Pdu


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A response to nothing we asked, or a generic_nack that names none of our requests."""

    sequence_number: int
    command_status: int
    pdu: Pdu


@dataclass(slots=True)
class Requested:
    """The peer's request: respond to it, unless it is an outbind or an alert_notification."""

    sequence_number: int
    pdu: Pdu


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody knows what became of our request: its response is overdue, and may still come."""

    sequence_number: int
    pdu: Pdu


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody knows what became of our request: the session ended before its response."""

    sequence_number: int
    pdu: Pdu


@dataclass(frozen=True, slots=True)
class Unbound:
    """The session ends in good order: send nothing more; close once `state` is UNBOUND.

    The peer that asked for it is answered after we have answered its requests.
    """

    by_peer: bool


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """An enquire_link brought nothing at all: close the connection."""


@dataclass(frozen=True, slots=True)
class TimerExpired:
    """The peer has not bound, or not used the session, for as long as we wait: close or unbind."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class ProtocolError:
    """The peer sent one PDU that we could not take; it has been answered with *command_status*."""

    sequence_number: int
    command_id: int
    command_status: int
    reason: str


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """What the peer sends is no SMPP from here on: send what there is, then close."""

    reason: str


Event = (
    Bound
    | Answered
    | Late
    | Unmatched
    | Requested
    | TimedOut
    | Lost
    | Unbound
    | PeerSilent
    | TimerExpired
    | ProtocolError
    | StreamBroken
)
