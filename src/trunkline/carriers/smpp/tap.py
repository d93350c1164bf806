"""The PDUs that passed lately, kept as octets and decoded when somebody looks."""

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from trunkline.carriers.port import PDUS_SHOWN_MAX, PduSeen
from trunkline.runtime import Clock
from trunkline.smpp.fields import MalformedPdu
from trunkline.smpp.pdu import Pdu, Unknown
from trunkline.smpp.status import status_name
from trunkline.smpp.tlv import PARAMETERS
from trunkline.smpp.wire import HEADER_SIZE, PDU_SIZE_MAX, Header, decode_body, parse_header

# A text of 1,600 characters in one payload is longer, and shown by its header alone.
OCTETS_KEPT_MAX = 1024
_BLANKED = {"password"}
BLANK = "…"


class _Passed(NamedTuple):
    at: datetime
    lane: int
    is_outgoing: bool
    octets: bytes


class Tap:
    """The ring that all connections of a carrier write to."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring: deque[_Passed] = deque(maxlen=PDUS_SHOWN_MAX)

    def keep(self, octets: bytes, *, lane: int, is_outgoing: bool) -> None:
        """Remember one PDU."""
        kept = octets if len(octets) <= OCTETS_KEPT_MAX else octets[:HEADER_SIZE]
        self._ring.append(_Passed(self._clock.now(), lane, is_outgoing, kept))

    def seen(self) -> list[PduSeen]:
        """Return the PDUs, oldest first, without what is secret."""
        return [_shown(passed) for passed in self._ring]


class Splitter:
    """Cuts one direction of a connection into PDUs; what is no SMPP ends it."""

    def __init__(self) -> None:
        self._inbox = bytearray()
        self._is_over = False

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """Yield the PDUs that are whole."""
        if self._is_over:
            return
        self._inbox += octets
        at = 0
        while len(self._inbox) - at >= HEADER_SIZE:
            size = int.from_bytes(self._inbox[at : at + 4], "big")
            if not HEADER_SIZE <= size <= PDU_SIZE_MAX:
                self._is_over = True
                self._inbox.clear()
                return
            if len(self._inbox) - at < size:
                break
            yield bytes(self._inbox[at : at + size])
            at += size
        del self._inbox[:at]


def _shown(passed: _Passed) -> PduSeen:
    header = parse_header(passed.octets)
    pdu = _decoded(header, passed.octets)
    return PduSeen(
        at=passed.at,
        lane=passed.lane,
        is_outgoing=passed.is_outgoing,
        name=_name(pdu) if pdu else f"0x{header.command_id:08X}",
        sequence_number=header.sequence_number,
        status=status_name(header.command_status),
        fields=_fields(pdu) if pdu else {"octets": str(header.command_length)},
    )


def _decoded(header: Header, octets: bytes) -> Pdu | None:
    """Return the PDU; None where it was too long to keep, or is damaged."""
    if len(octets) != header.command_length:
        return None
    try:
        return decode_body(header.command_id, octets[HEADER_SIZE:])
    except MalformedPdu:
        return None


def _name(pdu: Pdu) -> str:
    """Return the name that the specification has for a PDU."""
    if isinstance(pdu, Unknown):
        return f"0x{pdu.received_command_id:08X}"
    letters = (f"_{c.lower()}" if c.isupper() else c for c in type(pdu).__name__)
    return "".join(letters).lstrip("_")


def _fields(pdu: Pdu) -> dict[str, str]:
    """Return the fields that say something, as texts."""
    found = {name: _text(name, getattr(pdu, name)) for name in pdu.layout.names}
    for tag, value in pdu.tlvs:
        parameter = PARAMETERS.get(tag)
        name = parameter.name if parameter else f"0x{tag:04X}"
        known = parameter.decode(value) if parameter else None
        found[name] = _text(name, value if known is None else known)
    return {name: text for name, text in found.items() if text}


def _text(name: str, value: object) -> str:
    if name in _BLANKED:
        return BLANK if value else ""
    if isinstance(value, bytes):
        text = value.decode("latin-1")
        return text if text.isascii() and text.isprintable() else value.hex()
    return str(value) if value else ""
