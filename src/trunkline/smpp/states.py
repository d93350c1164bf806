"""The states of a session and who may ask what in which (SMPP 3.4 §2.2, §2.3)."""

from enum import StrEnum

from trunkline.smpp.pdu import (
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    DataSm,
    DeliverSm,
    EnquireLink,
    Outbind,
    Pdu,
    QuerySm,
    ReplaceSm,
    SubmitMulti,
    SubmitSm,
    Unbind,
)


class Role(StrEnum):
    """The two ends: the ESME sends texts, the SMSC has the handsets."""

    ESME = "ESME"
    SMSC = "SMSC"

    @property
    def peer(self) -> "Role":
        """The other end."""
        return Role.SMSC if self is Role.ESME else Role.ESME


class State(StrEnum):
    """How far a session has come; UNBOUND and CLOSED are its ends."""

    OPEN = "OPEN"
    OUTBOUND = "OUTBOUND"
    BOUND_TX = "BOUND_TX"
    BOUND_RX = "BOUND_RX"
    BOUND_TRX = "BOUND_TRX"
    UNBOUND = "UNBOUND"
    CLOSED = "CLOSED"


BOUND = frozenset({State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX})

# What a bind request leads to once it is granted.
STATE_AFTER_BIND: dict[type[Pdu], State] = {
    BindTransmitter: State.BOUND_TX,
    BindReceiver: State.BOUND_RX,
    BindTransceiver: State.BOUND_TRX,
}

_BINDS = frozenset(STATE_AFTER_BIND)
_LINK = frozenset({EnquireLink})
_SESSION = frozenset({EnquireLink, Unbind})
_TRANSMIT = frozenset({SubmitSm, SubmitMulti, DataSm, QuerySm, CancelSm, ReplaceSm})
_RECEIVE = frozenset({DeliverSm, DataSm, AlertNotification})

# SMPP 3.4 §2.3, table 2-1. Beyond it, enquire_link is allowed everywhere, as in SMPP 5.0 §2.4, and
# replace_sm on a transceiver, which the table leaves out though it can do all a transmitter can.
REQUESTS: dict[Role, dict[State, frozenset[type[Pdu]]]] = {
    Role.ESME: {
        State.OPEN: _LINK | _BINDS,
        State.OUTBOUND: _LINK | _BINDS,
        State.BOUND_TX: _SESSION | _TRANSMIT,
        State.BOUND_RX: _SESSION,
        State.BOUND_TRX: _SESSION | _TRANSMIT,
        State.UNBOUND: _LINK,
        State.CLOSED: frozenset(),
    },
    Role.SMSC: {
        State.OPEN: _LINK | {Outbind},
        State.OUTBOUND: _LINK,
        State.BOUND_TX: _SESSION,
        State.BOUND_RX: _SESSION | _RECEIVE,
        State.BOUND_TRX: _SESSION | _RECEIVE,
        State.UNBOUND: _LINK,
        State.CLOSED: frozenset(),
    },
}
