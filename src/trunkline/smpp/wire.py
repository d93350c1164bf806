"""Whole PDUs to octets and back: the header, the body, and what is forgiven in each."""

import struct
from typing import NamedTuple

from trunkline.smpp.fields import MalformedPdu
from trunkline.smpp.pdu import REGISTRY, RESPONSE_BIT, Pdu, Unknown
from trunkline.smpp.tlv import MESSAGE_PAYLOAD, Tlv, decode_tlvs, encode_tlvs

# The longest message_payload has 65,535 octets; mandatory fields and the other TLVs in use stay
# below 4 KiB. Peers limit theirs between 8 KiB and 64 KiB.
PDU_SIZE_MAX = 68 * 1024
SEQUENCE_NUMBER_MAX = 0x7FFF_FFFF
_HEADER = struct.Struct(">LLLL")
HEADER_SIZE = _HEADER.size
_U32_MAX = 0xFFFF_FFFF


class Header(NamedTuple):
    """The four integers that open each PDU (SMPP 3.4 §3.2)."""

    command_length: int
    command_id: int
    command_status: int
    sequence_number: int


def encode(pdu: Pdu, sequence_number: int, *, command_status: int = 0) -> bytes:
    """Encode a whole PDU; raise ValueError for a field that does not fit.

    A response with an error has no body (SMPP 3.4 §4.1.2, §4.4.2), unless there are TLVs to send.
    """
    assert pdu.command_id, "an unknown PDU is received, never sent"
    is_bare = command_status and pdu.command_id & RESPONSE_BIT and not pdu.tlvs
    body = b"" if is_bare else encode_body(pdu)
    size = HEADER_SIZE + len(body)
    if size > PDU_SIZE_MAX:
        raise ValueError(f"a PDU takes {PDU_SIZE_MAX} octets")
    assert 0 <= sequence_number <= _U32_MAX
    assert 0 <= command_status <= _U32_MAX
    return _HEADER.pack(size, pdu.command_id, command_status, sequence_number) + body


def encode_body(pdu: Pdu) -> bytes:
    """Encode what follows the header."""
    if not pdu.tlvs:
        return pdu.layout.encode(pdu)
    if getattr(pdu, "short_message", b"") and MESSAGE_PAYLOAD.of(pdu.tlvs) is not None:
        # SMPP 3.4 §3.2.3: the text is in one of them.
        raise ValueError("short_message and message_payload exclude each other")
    return pdu.layout.encode(pdu) + encode_tlvs(pdu.tlvs)


def parse_header(octets: bytes | bytearray, at: int = 0) -> Header:
    """Read the header at *at*; a length that no PDU has raises, and ends the connection."""
    header = Header._make(_HEADER.unpack_from(octets, at))
    if not HEADER_SIZE <= header.command_length <= PDU_SIZE_MAX:
        raise MalformedPdu(f"command_length {header.command_length}")
    return header


def decode(octets: bytes) -> tuple[Header, Pdu]:
    """Decode exactly one whole PDU."""
    if len(octets) < HEADER_SIZE:
        raise MalformedPdu("the header is cut off")
    header = parse_header(octets)
    if header.command_length != len(octets):
        raise MalformedPdu(f"command_length {header.command_length} of {len(octets)} octets")
    return header, decode_body(header.command_id, octets[HEADER_SIZE:])


def decode_body(command_id: int, body: bytes) -> Pdu:
    """Decode what follows the header; a request that is damaged raises, a response never does.

    A response that cannot be read to its end has NULL in the fields left: its command_status and
    message_id still decide what becomes of a message, and asking again could send it twice.
    """
    pdu_type = REGISTRY.get(command_id)
    if pdu_type is None:
        return Unknown(received_command_id=command_id, body=body)
    if command_id & RESPONSE_BIT:
        return _decode_response(pdu_type, body)
    values: list[object] = []
    at = pdu_type.layout.decode(body, into=values)
    return _made(pdu_type, values, tlvs=decode_tlvs(body, at) if at < len(body) else ())


def _decode_response(pdu_type: type[Pdu], body: bytes) -> Pdu:
    values: list[object] = []
    try:
        at = pdu_type.layout.decode(body, into=values)
    except MalformedPdu:
        return _made(pdu_type, _values_left(pdu_type, body), tlvs=())
    try:
        tlvs = decode_tlvs(body, at)
    except MalformedPdu:
        tlvs = ()
    return _made(pdu_type, values, tlvs=tlvs)


def _values_left(pdu_type: type[Pdu], body: bytes) -> list[object]:
    """Return what can be read of a damaged response, as if the NUL at its end were not missing."""
    values: list[object] = []
    try:
        pdu_type.layout.decode(body + b"\0", into=values)
    except MalformedPdu:
        return values
    return values


def _made(pdu_type: type[Pdu], values: list[object], *, tlvs: tuple[Tlv, ...]) -> Pdu:
    """Build a PDU without the checks and the keywords of its constructor, three times as fast.

    Fields that have no value keep their default, which stands in the class.
    """
    made = object.__new__(pdu_type)
    state = made.__dict__
    state.update(zip(pdu_type.layout.names, values))  # noqa: B905  # Values may be fewer.
    state["tlvs"] = tlvs
    return made
