"""Optional parameters (TLVs): kept as they came, read through one object per known tag.

Rules: order, duplicates and unknown tags survive; a value that cannot be read is no error, `of`
returns None for it.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from trunkline.smpp.fields import MalformedPdu
from trunkline.smpp.status import CommandStatus

# Four times the tags that SMPP 5.0 defines; a PDU of empty TLVs alone could hold 16,000.
TLVS_MAX = 256
# The length of a TLV is two octets (SMPP 3.4 §3.2.4.1).
TLV_VALUE_MAX = 0xFFFF
_HEAD = struct.Struct(">HH")
# A network type and a two-octet code (SMPP 3.4 §5.3.2.31).
_NETWORK_ERROR_CODE = struct.Struct(">BH")
# Wider than any integer of the specification; some peers pad theirs.
_INTEGER_OCTETS_MAX = 8

T = TypeVar("T")


class Tlv(NamedTuple):
    """One optional parameter as it stands on the wire."""

    tag: int
    value: bytes


class NetworkErrorCode(NamedTuple):
    """Why a network failed to deliver (SMPP 3.4 §5.3.2.31); 3 is GSM among the network types."""

    network_type: int
    error_code: int


def encode_tlvs(tlvs: Iterable[Tlv]) -> bytes:
    """Encode the parameters in order; raise ValueError for a tag or a length that does not fit."""
    pieces: list[bytes] = []
    for tag, value in tlvs:
        if not 0 <= tag <= 0xFFFF or len(value) > TLV_VALUE_MAX:
            raise ValueError(f"TLV 0x{tag:04X} with {len(value)} octets does not fit")
        pieces += (_HEAD.pack(tag, len(value)), value)
    return b"".join(pieces)


def decode_tlvs(octets: bytes, at: int) -> tuple[Tlv, ...]:
    """Decode the parameters from *at* to the end.

    Up to three NULs behind the last one are taken for padding: nothing else can be meant by them.
    """
    found: list[Tlv] = []
    while len(octets) - at >= _HEAD.size:
        tag, length = _HEAD.unpack_from(octets, at)
        at += _HEAD.size
        if at + length > len(octets) or len(found) == TLVS_MAX:
            reason = f"TLV 0x{tag:04X} at {at} reaches past the end, or is one too many"
            raise MalformedPdu(reason, CommandStatus.ESME_RINVOPTPARSTREAM)
        found.append(Tlv(tag, octets[at : at + length]))
        at += length
    if octets[at:].strip(b"\0"):
        raise MalformedPdu("octets behind the last TLV", CommandStatus.ESME_RINVOPTPARSTREAM)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T]):
    """A known optional parameter: `of` reads it from TLVs, `make` builds one."""

    name: str
    tag: int
    size: str
    decode: Callable[[bytes], T | None]
    encode: Callable[[T], bytes]

    def of(self, tlvs: Iterable[Tlv]) -> T | None:
        """Return the first value of this tag; None when there is none or it cannot be read."""
        for tag, value in tlvs:
            if tag == self.tag:
                return self.decode(value)
        return None

    def make(self, value: T) -> Tlv:
        """Return the TLV; raise ValueError for a value that does not fit."""
        return Tlv(self.tag, self.encode(value))


PARAMETERS: dict[int, Parameter[int] | Parameter[str] | Parameter[bytes]] = {}


def _integer(name: str, tag: int, *, size: int = 1) -> Parameter[int]:
    def decode(value: bytes) -> int | None:
        return int.from_bytes(value, "big") if 0 < len(value) <= _INTEGER_OCTETS_MAX else None

    def encode(value: int) -> bytes:
        if not 0 <= value < 1 << 8 * size:
            raise ValueError(f"{name} takes {size} octets")
        return value.to_bytes(size, "big")

    made = Parameter(name, tag, f"{size}", decode, encode)
    PARAMETERS[tag] = made
    return made


def _cstring(name: str, tag: int, *, size_max: int, ending: bytes = b"\0") -> Parameter[str]:
    def encode(value: str) -> bytes:
        octets = value.encode("latin-1") + ending
        if len(octets) > size_max or "\0" in value:
            raise ValueError(f"{name} takes {size_max} octets with its end, without NUL")
        return octets

    made = Parameter(name, tag, f"1–{size_max}", _text, encode)
    PARAMETERS[tag] = made
    return made


def _text(value: bytes) -> str | None:
    """Read up to the first NUL; the NUL itself is often missing."""
    return value.partition(b"\0")[0].decode("latin-1")


def _octets(name: str, tag: int, *, size_max: int, size_min: int = 0) -> Parameter[bytes]:
    def encode(value: bytes) -> bytes:
        if not size_min <= len(value) <= size_max:
            raise ValueError(f"{name} takes {size_min} to {size_max} octets")
        return value

    size = f"{size_min}–{size_max}" if size_min != size_max else f"{size_min}"
    made = Parameter(name, tag, size, bytes, encode)
    PARAMETERS[tag] = made
    return made


# SMPP 3.4 §5.3.2.
DEST_ADDR_SUBUNIT = _integer("dest_addr_subunit", 0x0005)
DEST_NETWORK_TYPE = _integer("dest_network_type", 0x0006)
DEST_BEARER_TYPE = _integer("dest_bearer_type", 0x0007)
DEST_TELEMATICS_ID = _integer("dest_telematics_id", 0x0008, size=2)
SOURCE_ADDR_SUBUNIT = _integer("source_addr_subunit", 0x000D)
SOURCE_NETWORK_TYPE = _integer("source_network_type", 0x000E)
SOURCE_BEARER_TYPE = _integer("source_bearer_type", 0x000F)
SOURCE_TELEMATICS_ID = _integer("source_telematics_id", 0x0010)
QOS_TIME_TO_LIVE = _integer("qos_time_to_live", 0x0017, size=4)
PAYLOAD_TYPE = _integer("payload_type", 0x0019)
ADDITIONAL_STATUS_INFO_TEXT = _cstring("additional_status_info_text", 0x001D, size_max=256)
RECEIPTED_MESSAGE_ID = _cstring("receipted_message_id", 0x001E, size_max=65)
MS_MSG_WAIT_FACILITIES = _integer("ms_msg_wait_facilities", 0x0030)
PRIVACY_INDICATOR = _integer("privacy_indicator", 0x0201)
SOURCE_SUBADDRESS = _octets("source_subaddress", 0x0202, size_min=2, size_max=23)
DEST_SUBADDRESS = _octets("dest_subaddress", 0x0203, size_min=2, size_max=23)
USER_MESSAGE_REFERENCE = _integer("user_message_reference", 0x0204, size=2)
USER_RESPONSE_CODE = _integer("user_response_code", 0x0205)
SOURCE_PORT = _integer("source_port", 0x020A, size=2)
DESTINATION_PORT = _integer("destination_port", 0x020B, size=2)
SAR_MSG_REF_NUM = _integer("sar_msg_ref_num", 0x020C, size=2)
LANGUAGE_INDICATOR = _integer("language_indicator", 0x020D)
SAR_TOTAL_SEGMENTS = _integer("sar_total_segments", 0x020E)
SAR_SEGMENT_SEQNUM = _integer("sar_segment_seqnum", 0x020F)
SC_INTERFACE_VERSION = _integer("sc_interface_version", 0x0210)
CALLBACK_NUM_PRES_IND = _integer("callback_num_pres_ind", 0x0302)
CALLBACK_NUM_ATAG = _octets("callback_num_atag", 0x0303, size_max=65)
NUMBER_OF_MESSAGES = _integer("number_of_messages", 0x0304)
CALLBACK_NUM = _octets("callback_num", 0x0381, size_min=4, size_max=19)
DPF_RESULT = _integer("dpf_result", 0x0420)
SET_DPF = _integer("set_dpf", 0x0421)
MS_AVAILABILITY_STATUS = _integer("ms_availability_status", 0x0422)
NETWORK_ERROR_CODE = _octets("network_error_code", 0x0423, size_min=3, size_max=3)
MESSAGE_PAYLOAD = _octets("message_payload", 0x0424, size_max=TLV_VALUE_MAX)
DELIVERY_FAILURE_REASON = _integer("delivery_failure_reason", 0x0425)
MORE_MESSAGES_TO_SEND = _integer("more_messages_to_send", 0x0426)
MESSAGE_STATE = _integer("message_state", 0x0427)
USSD_SERVICE_OP = _integer("ussd_service_op", 0x0501)
DISPLAY_TIME = _integer("display_time", 0x1201)
SMS_SIGNAL = _integer("sms_signal", 0x1203, size=2)
MS_VALIDITY = _integer("ms_validity", 0x1204)
# Empty in 3.4, one octet in 5.0.
ALERT_ON_MESSAGE_DELIVERY = _octets("alert_on_message_delivery", 0x130C, size_max=1)
ITS_REPLY_TYPE = _integer("its_reply_type", 0x1380)
ITS_SESSION_INFO = _octets("its_session_info", 0x1383, size_min=2, size_max=2)

# SMPP 5.0 §4.8.4.
CONGESTION_STATE = _integer("congestion_state", 0x0428)
BILLING_IDENTIFICATION = _octets("billing_identification", 0x060B, size_min=1, size_max=1024)
SOURCE_NETWORK_ID = _cstring("source_network_id", 0x060D, size_max=65)
DEST_NETWORK_ID = _cstring("dest_network_id", 0x060E, size_max=65)
SOURCE_NODE_ID = _octets("source_node_id", 0x060F, size_min=6, size_max=6)
DEST_NODE_ID = _octets("dest_node_id", 0x0610, size_min=6, size_max=6)
DEST_ADDR_NP_RESOLUTION = _integer("dest_addr_np_resolution", 0x0611)
DEST_ADDR_NP_INFORMATION = _octets("dest_addr_np_information", 0x0612, size_min=10, size_max=10)
DEST_ADDR_NP_COUNTRY = _octets("dest_addr_np_country", 0x0613, size_min=1, size_max=5)

# Vendors' tags start at 0x1400 (SMPP 3.4 §5.3.1); India's registry of senders (DLT) took the first
# two. Carriers there want the digits without a NUL.
DLT_ENTITY_ID = _cstring("dlt_entity_id", 0x1400, size_max=30, ending=b"")
DLT_TEMPLATE_ID = _cstring("dlt_template_id", 0x1401, size_max=30, ending=b"")


def network_error_code_of(tlvs: Iterable[Tlv]) -> NetworkErrorCode | None:
    """Return both halves of network_error_code; None for a value of another size than three."""
    value = NETWORK_ERROR_CODE.of(tlvs)
    if value is None or len(value) != _NETWORK_ERROR_CODE.size:
        return None
    return NetworkErrorCode(*_NETWORK_ERROR_CODE.unpack(value))
