"""The user data header in front of a text: parsed, built, and what its elements say.

Source: 3GPP TS 23.040 §9.2.3.24. Rules: elements nobody knows survive; a header that contradicts
itself is read as far as it goes, because the network has delivered it and the text matters more.
"""

import struct
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

# The bit of esm_class that announces a header (SMPP 3.4 §5.2.12).
ESM_CLASS_UDHI = 0x40
# UDHL is one octet.
UDH_OCTETS_MAX = 255

_CONCATENATED_8, _CONCATENATED_16 = 0x00, 0x08
_PORTS_8, _PORTS_16 = 0x04, 0x05
_TWO_PORTS = struct.Struct(">HH")


class Element(NamedTuple):
    """One information element as it stands in the header."""

    identifier: int
    data: bytes


class UserData(NamedTuple):
    """A text parted from its header."""

    elements: tuple[Element, ...]
    octets: bytes


class ReferenceKind(StrEnum):
    """Where the reference of a concatenated text stands; equal numbers of two kinds differ."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"


class Concatenation(NamedTuple):
    """Which segment of which text this is; *number* counts from 1 to *total*."""

    kind: ReferenceKind
    reference: int
    total: int
    number: int


class Ports(NamedTuple):
    """The application ports of a text (3GPP TS 23.040 §9.2.3.24.3 and .4)."""

    destination: int
    source: int


def parse_user_data(octets: bytes) -> UserData:
    """Part the header from the text behind it; call it only where esm_class has ESM_CLASS_UDHI.

    A length that reaches past the end means there is no header; an element that does is dropped.
    """
    if not octets or 1 + octets[0] > len(octets):
        return UserData((), octets)
    end = 1 + octets[0]
    found: list[Element] = []
    at = 1
    while at + 2 <= end:
        identifier, length = octets[at], octets[at + 1]
        at += 2 + length
        if at <= end:
            found.append(Element(identifier, octets[at - length : at]))
    return UserData(tuple(found), octets[end:])


def render_udh(elements: Iterable[Element]) -> bytes:
    """Return the header with UDHL in front; raise ValueError for more than 255 octets."""
    body = b"".join(bytes((i, len(data))) + data for i, data in elements)
    if len(body) > UDH_OCTETS_MAX:
        raise ValueError(f"a user data header takes {UDH_OCTETS_MAX} octets")
    return bytes((len(body),)) + body


def concatenation_element(concatenation: Concatenation) -> Element:
    """Return the element that says it; for the SAR kind there is none."""
    kind, reference, total, number = concatenation
    assert kind is not ReferenceKind.SAR
    if kind is ReferenceKind.UDH8:
        return Element(_CONCATENATED_8, bytes((reference, total, number)))
    return Element(_CONCATENATED_16, reference.to_bytes(2, "big") + bytes((total, number)))


def concatenation_of(elements: Sequence[Element]) -> Concatenation | None:
    """Return what the first element that makes sense says; None for a text of its own.

    3GPP TS 23.040 §9.2.3.24.1: a total or number of zero, or a number beyond the total, is ignored.
    """
    for identifier, data in elements:
        found = None
        if identifier == _CONCATENATED_8 and len(data) == 3:
            found = Concatenation(ReferenceKind.UDH8, data[0], total=data[1], number=data[2])
        elif identifier == _CONCATENATED_16 and len(data) == 4:
            reference = int.from_bytes(data[:2], "big")
            found = Concatenation(ReferenceKind.UDH16, reference, total=data[2], number=data[3])
        if found and makes_sense(found):
            return found
    return None


def makes_sense(concatenation: Concatenation) -> bool:
    """Say whether the segment can be one of its text."""
    return 0 < concatenation.number <= concatenation.total


def ports_element(ports: Ports) -> Element:
    """Return the element that says it, in 16 bits each."""
    return Element(_PORTS_16, _TWO_PORTS.pack(*ports))


def ports_of(elements: Sequence[Element]) -> Ports | None:
    """Return the ports of the first element that has any."""
    for identifier, data in elements:
        if identifier == _PORTS_16 and len(data) == 4:
            return Ports(*_TWO_PORTS.unpack(data))
        if identifier == _PORTS_8 and len(data) == 2:
            return Ports(data[0], data[1])
    return None
