"""What a mandatory field of a PDU may be, and how it looks on the wire (SMPP 3.4 §3.1, §5.2)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from trunkline.smpp.status import CommandStatus

# Peers send longer strings than the specification has room for, message_ids above all (65 octets);
# the widest field of any PDU, additional_status_info_text, has 256.
CSTRING_RECEIVED_MAX = 256
# sm_length goes to 254 (SMPP 3.4 §5.2.21); a received 255, lawful in 5.0, is taken.
SHORT_MESSAGE_MAX = 254
# number_of_dests and no_unsuccess are one octet; §5.2.24 allows 254.
DESTINATIONS_MAX = 254
_SME_ADDRESS, _DISTRIBUTION_LIST = 1, 2
_ERROR_STATUS_CODE = struct.Struct(">L")


class MalformedPdu(Exception):
    """The peer sent octets that are not SMPP; *command_status* is the answer to them."""

    def __init__(self, reason: str, command_status: int = CommandStatus.ESME_RINVCMDLEN) -> None:
        super().__init__(reason)
        self.command_status = command_status


@dataclass(frozen=True, slots=True)
class Octet:
    """An integer of one octet."""


@dataclass(frozen=True, slots=True)
class CString:
    """A C-octet string of at most *size_max* octets, its NUL included; any octet is one character.

    *command_status* answers a peer whose string never ends; what is *private* shows up in no repr.
    """

    size_max: int
    command_status: int = CommandStatus.ESME_RINVCMDLEN
    private: bool = False

    def encode(self, value: str, *, name: str) -> bytes:
        """Encode a value, or raise ValueError."""
        octets = value.encode("latin-1")
        if len(octets) >= self.size_max or b"\0" in octets:
            raise ValueError(f"{name} takes {self.size_max - 1} octets without NUL")
        return octets + b"\0"


@dataclass(frozen=True, slots=True)
class SmeAddress:
    """A destination of submit_multi that is an address."""

    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class DistributionList:
    """A destination of submit_multi that is a list kept by the SMSC."""

    dl_name: str


@dataclass(frozen=True, slots=True)
class UnsuccessSme:
    """A destination that submit_multi_resp reports as refused."""

    destination: SmeAddress
    error_status_code: int


Destination = SmeAddress | DistributionList
_ADDRESS = CString(21, CommandStatus.ESME_RINVDSTADR, private=True)
_DL_NAME = CString(21, CommandStatus.ESME_RINVDLNAME)


def read_cstring(octets: bytes, at: int, *, kind: CString) -> tuple[str, int]:
    """Return the string at *at* and where it ended; longer ones than may be sent are taken."""
    end = octets.find(b"\0", at, at + CSTRING_RECEIVED_MAX)
    if end < 0:
        raise endless_string(octets, at, kind=kind)
    return octets[at:end].decode("latin-1"), end + 1


def endless_string(octets: bytes, at: int, *, kind: CString) -> MalformedPdu:
    """Return what is wrong with a string without NUL: itself if it is long, else the body's end."""
    is_long = len(octets) - at >= CSTRING_RECEIVED_MAX
    status = kind.command_status if is_long else CommandStatus.ESME_RINVCMDLEN
    return MalformedPdu(f"no NUL from octet {at} on", status)


def read_octets(octets: bytes, at: int, *, count: int) -> tuple[bytes, int]:
    """Return *count* octets and where they ended."""
    found = octets[at : at + count]
    if len(found) != count:
        raise MalformedPdu(f"the body ends in the {count} octets from {at} on")
    return found, at + count


class ShortMessage:
    """sm_length and short_message, which are one field: its octets."""

    def encode(self, value: object, name: str) -> bytes:
        """Encode the octets, or raise ValueError."""
        assert isinstance(value, bytes)
        if len(value) > SHORT_MESSAGE_MAX:
            raise ValueError(f"{name} takes {SHORT_MESSAGE_MAX} octets")
        return bytes((len(value),)) + value

    def decode(self, octets: bytes, at: int) -> tuple[object, int]:
        """Return the octets and where they ended."""
        length, at = read_octets(octets, at, count=1)
        end = at + length[0]
        if end > len(octets):
            raise MalformedPdu("sm_length reaches past the end", CommandStatus.ESME_RINVMSGLEN)
        return octets[at:end], end


class Destinations:
    """number_of_dests and the dest_address fields of submit_multi (SMPP 3.4 §4.5.1.1)."""

    def encode(self, value: object, name: str) -> bytes:
        """Encode one to 254 destinations, or raise ValueError."""
        assert isinstance(value, Sequence)
        if not 0 < len(value) <= DESTINATIONS_MAX:
            raise ValueError(f"{name} takes 1 to {DESTINATIONS_MAX} destinations")
        return bytes((len(value),)) + b"".join(map(_encode_destination, value))

    def decode(self, octets: bytes, at: int) -> tuple[object, int]:
        """Return the destinations and where they ended."""
        count, at = read_octets(octets, at, count=1)
        found: list[Destination] = []
        for _ in range(count[0]):
            destination, at = _decode_destination(octets, at)
            found.append(destination)
        return tuple(found), at


class UnsuccessSmes:
    """no_unsuccess and the unsuccess_sme fields of submit_multi_resp (SMPP 3.4 §4.5.2.1)."""

    def encode(self, value: object, name: str) -> bytes:
        """Encode up to 254 of them, or raise ValueError."""
        assert isinstance(value, Sequence)
        if len(value) > DESTINATIONS_MAX:
            raise ValueError(f"{name} takes {DESTINATIONS_MAX} destinations")
        return bytes((len(value),)) + b"".join(map(_encode_unsuccess, value))

    def decode(self, octets: bytes, at: int) -> tuple[object, int]:
        """Return them and where they ended."""
        count, at = read_octets(octets, at, count=1)
        found: list[UnsuccessSme] = []
        for _ in range(count[0]):
            destination, at = _decode_address(octets, at)
            code, at = read_octets(octets, at, count=_ERROR_STATUS_CODE.size)
            found.append(UnsuccessSme(destination, int.from_bytes(code, "big")))
        return tuple(found), at


ListField = ShortMessage | Destinations | UnsuccessSmes


def _encode_destination(destination: Destination) -> bytes:
    if isinstance(destination, DistributionList):
        name = _DL_NAME.encode(destination.dl_name, name="dl_name")
        return bytes((_DISTRIBUTION_LIST,)) + name
    return bytes((_SME_ADDRESS,)) + _encode_address(destination)


def _decode_destination(octets: bytes, at: int) -> tuple[Destination, int]:
    flag, at = read_octets(octets, at, count=1)
    if flag[0] == _SME_ADDRESS:
        return _decode_address(octets, at)
    if flag[0] == _DISTRIBUTION_LIST:
        dl_name, at = read_cstring(octets, at, kind=_DL_NAME)
        return DistributionList(dl_name), at
    raise MalformedPdu(f"dest_flag {flag[0]}", CommandStatus.ESME_RINVDESTFLAG)


def _encode_address(address: SmeAddress) -> bytes:
    numbers = bytes((address.dest_addr_ton, address.dest_addr_npi))
    return numbers + _ADDRESS.encode(address.destination_addr, name="destination_addr")


def _decode_address(octets: bytes, at: int) -> tuple[SmeAddress, int]:
    numbers, at = read_octets(octets, at, count=2)
    destination_addr, at = read_cstring(octets, at, kind=_ADDRESS)
    return SmeAddress(numbers[0], numbers[1], destination_addr), at


def _encode_unsuccess(failed: UnsuccessSme) -> bytes:
    if not 0 <= failed.error_status_code <= 0xFFFF_FFFF:
        raise ValueError("error_status_code takes four octets")
    return _encode_address(failed.destination) + _ERROR_STATUS_CODE.pack(failed.error_status_code)
