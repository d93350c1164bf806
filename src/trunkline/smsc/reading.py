"""What a customer submits, read: the checks that need nothing but the PDU.

Rule: what we do not do is refused and never left out in silence; a vendor's parameters go along.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from trunkline.domain.message import TLV_OPTION, VALIDITY_SECONDS_MAX
from trunkline.domain.text import Encoding, decode_segment
from trunkline.flows.deliveries import Address, Origin, Wanted
from trunkline.smpp.concatenation import segment_of
from trunkline.smpp.encoding import Charset, coding_of, decode_text
from trunkline.smpp.fields import DistributionList, SmeAddress
from trunkline.smpp.pdu import DataSm, SubmitMulti, SubmitSm
from trunkline.smpp.receipt import parse_receipt_date
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.tlv import (
    DESTINATION_PORT,
    MESSAGE_PAYLOAD,
    QOS_TIME_TO_LIVE,
    SOURCE_PORT,
    USER_MESSAGE_REFERENCE,
    Tlv,
)
from trunkline.smpp.udh import Concatenation, ports_of

Submission = SubmitSm | DataSm | SubmitMulti

# What source_addr and destination_addr have room for (SMPP 3.4 §5.2.8, §5.2.9).
ADDRESS_LENGTH_MAX = 20
# Vendors' parameters are identifiers of some digits; more would be carried for nothing.
VENDOR_OCTETS_MAX = 1024
VENDOR_TAGS = range(0x1400, 0x4000)  # SMPP 3.4 §5.3.1.
INTERNATIONAL = 1  # The type of number of +digits (SMPP 3.4 §5.2.5).

# Those of SMPP 3.4 §5.2.19 that hold text in one known alphabet.
_PLAIN_CODINGS = {0x00, 0x01, 0x03, 0x06, 0x07, 0x08, 0x0E}
# Text of class 0 and 1 (3GPP TS 23.038 §4), in GSM's alphabet or UCS-2: a text like any other here,
# where no class goes on to a carrier.
_CLASS_CODINGS = {0x10, 0x11, 0x18, 0x19, 0xF0, 0xF1}
DATA_CODINGS = frozenset(_PLAIN_CODINGS | _CLASS_CODINGS)
PRIORITY_FLAG_MAX = 3  # SMPP 3.4 §5.2.14.
_MESSAGE_TYPE = 0x3C  # Bits 5 to 2 of esm_class (SMPP 3.4 §5.2.12); nothing else is a text.
# Bits 1 and 0 of registered_delivery (SMPP 3.4 §5.2.17); the fourth is of SMPP 5.0 §4.7.21.
_WHEN = ("", "final", "failure", "success")
_RELATIVE_TIME = re.compile(r"([0-9]{12})[0-9]00R")
# SMPP 3.4 §7.1.1.1: tenths of a second, then quarters of an hour from UTC.
_ABSOLUTE_TIME = re.compile(r"[0-9]{13}([0-9]{2})[+-]")
_QUARTERS_MAX = 48
# SMPP 3.4 §7.1.1.2: years, months, days, hours, minutes and seconds, two digits each.
_SECONDS = (365 * 86_400, 30 * 86_400, 86_400, 3600, 60, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One short message as submitted; place says which segment of which text it is, if of one.

    told is the id of another segment with which its submission was answered, where there was room
    for one id only.
    """

    source: Address = field(repr=False)
    destination: Address = field(repr=False)
    octets: bytes = field(repr=False)
    data_coding: int
    place: Concatenation | None = None
    when: str = ""
    validity_seconds: int | None = None
    reference: int | None = None
    options: dict[str, str] = field(default_factory=dict)
    told: str = ""

    @property
    def sender(self) -> str:
        """The sender, a number with its plus sign."""
        return address_text(self.source)

    @property
    def recipient(self) -> str:
        """The recipient, a number with its plus sign."""
        return address_text(self.destination)


def wishes_of(pdu: Submission, now: datetime) -> list[Wish | CommandStatus]:
    """Return what a PDU asks for, one for each destination: a wish, or the answer to a bad one."""
    return [_read(each, now) for each in _plain(pdu)]


def destinations_of(pdu: Submission) -> list[SmeAddress | DistributionList]:
    """Return whom a PDU is for."""
    if isinstance(pdu, SubmitMulti):
        return list(pdu.dest_address)
    return [SmeAddress(pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr)]


def address_text(address: Address) -> str:
    """Return an address as we write it; the digits of an international number get their plus."""
    ton, _, written = address
    bare = written.strip()
    is_number = ton == INTERNATIONAL and bare.isascii() and bare.isdigit()
    return f"+{bare}" if is_number else bare


def decode_body(octets: bytes, data_coding: int) -> str:
    """Decode a whole text in one of DATA_CODINGS; NULs, which end strings in C, are left out."""
    charset = coding_of(data_coding).charset
    if charset is Charset.GSM:
        return decode_segment(octets, Encoding.GSM7)
    return decode_text(octets, charset).replace("\0", "")


def origin_for(system_id: str, wish: Wish, *, wanted: tuple[Wanted, ...]) -> Origin:
    """Return what is to be remembered of who submitted a message."""
    return Origin(
        system_id=system_id,
        wanted=wanted,
        source=wish.source,
        destination=wish.destination,
        reference=wish.reference,
    )


def _plain(pdu: Submission) -> list[SubmitSm | CommandStatus]:
    """Return a PDU as one submit_sm for each destination."""
    if isinstance(pdu, SubmitSm):
        return [pdu]
    if isinstance(pdu, DataSm):
        return [_submit_sm_of(pdu)]
    numbers = [each for each in pdu.dest_address if isinstance(each, SmeAddress)]
    if len(numbers) < len(pdu.dest_address):
        # Of who gets none, an answer names numbers only (SMPP 3.4 §4.5.1.1): all or nobody.
        return [CommandStatus.ESME_RINVDLNAME for _ in pdu.dest_address]
    return [_submit_sm_to(pdu, number) for number in numbers]


def _submit_sm_of(pdu: DataSm) -> SubmitSm:
    return SubmitSm(
        service_type=pdu.service_type,
        source_addr_ton=pdu.source_addr_ton,
        source_addr_npi=pdu.source_addr_npi,
        source_addr=pdu.source_addr,
        dest_addr_ton=pdu.dest_addr_ton,
        dest_addr_npi=pdu.dest_addr_npi,
        destination_addr=pdu.destination_addr,
        esm_class=pdu.esm_class,
        registered_delivery=pdu.registered_delivery,
        data_coding=pdu.data_coding,
        tlvs=pdu.tlvs,
    )


def _submit_sm_to(pdu: SubmitMulti, destination: SmeAddress) -> SubmitSm:
    return SubmitSm(
        service_type=pdu.service_type,
        source_addr_ton=pdu.source_addr_ton,
        source_addr_npi=pdu.source_addr_npi,
        source_addr=pdu.source_addr,
        dest_addr_ton=destination.dest_addr_ton,
        dest_addr_npi=destination.dest_addr_npi,
        destination_addr=destination.destination_addr,
        esm_class=pdu.esm_class,
        protocol_id=pdu.protocol_id,
        priority_flag=pdu.priority_flag,
        schedule_delivery_time=pdu.schedule_delivery_time,
        validity_period=pdu.validity_period,
        registered_delivery=pdu.registered_delivery,
        replace_if_present_flag=pdu.replace_if_present_flag,
        data_coding=pdu.data_coding,
        sm_default_msg_id=pdu.sm_default_msg_id,
        short_message=pdu.short_message,
        tlvs=pdu.tlvs,
    )


def _read(pdu: SubmitSm | CommandStatus, now: datetime) -> Wish | CommandStatus:
    if isinstance(pdu, CommandStatus):
        return pdu
    segment = segment_of(pdu)
    fault = _fault(pdu) or _fault_of_text(pdu, segment.octets)
    if fault is None and ports_of(segment.elements) is not None:
        fault = CommandStatus.ESME_RINVESMCLASS
    if fault is not None:
        return fault
    validity_seconds = _validity(pdu, now)
    if validity_seconds is not None and validity_seconds <= 0:
        return CommandStatus.ESME_RINVEXPIRY
    return Wish(
        source=(pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr),
        destination=(pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr),
        octets=segment.octets,
        data_coding=pdu.data_coding,
        place=segment.place if segment.place and segment.place.total > 1 else None,
        when=_WHEN[pdu.registered_delivery & 0x03],
        validity_seconds=validity_seconds,
        reference=_reference(pdu),
        options=_options(pdu),
    )


def _fault(pdu: SubmitSm) -> CommandStatus | None:
    """Return what of the fields cannot be done, or None."""
    if len(pdu.source_addr) > ADDRESS_LENGTH_MAX:
        return CommandStatus.ESME_RINVSRCADR
    if not 0 < len(pdu.destination_addr) <= ADDRESS_LENGTH_MAX:
        return CommandStatus.ESME_RINVDSTADR
    if pdu.priority_flag > PRIORITY_FLAG_MAX:
        return CommandStatus.ESME_RINVPRTFLG
    if pdu.schedule_delivery_time:
        return CommandStatus.ESME_RINVSCHED
    if pdu.replace_if_present_flag:
        return CommandStatus.ESME_RINVREPFLAG
    if pdu.sm_default_msg_id:
        return CommandStatus.ESME_RINVDFTMSGID
    if pdu.esm_class & _MESSAGE_TYPE:
        return CommandStatus.ESME_RINVESMCLASS
    payload = MESSAGE_PAYLOAD.of(pdu.tlvs)
    if payload and pdu.short_message and payload != pdu.short_message:
        # Which of the two is the text? (SMPP 3.4 §3.2.3)
        return CommandStatus.ESME_ROPTPARNOTALLWD
    if any(ports.of(pdu.tlvs) is not None for ports in (SOURCE_PORT, DESTINATION_PORT)):
        return CommandStatus.ESME_ROPTPARNOTALLWD
    if sum(len(value) for _, value in _vendors(pdu)) > VENDOR_OCTETS_MAX:
        return CommandStatus.ESME_RINVOPTPARAMVAL
    return None


def _fault_of_text(pdu: SubmitSm, octets: bytes) -> CommandStatus | None:
    is_text = pdu.data_coding in DATA_CODINGS
    if not is_text or coding_of(pdu.data_coding).charset is Charset.BINARY:
        return CommandStatus.ESME_RINVDCS
    return None if octets else CommandStatus.ESME_RINVMSGLEN


def _validity(pdu: SubmitSm, now: datetime) -> int | None:
    """Return for how many seconds a message is good, None if it does not say, 0 for nonsense.

    Longer than we keep trying is as long as we keep trying.
    """
    text = pdu.validity_period
    if not text:
        seconds = QOS_TIME_TO_LIVE.of(pdu.tlvs)
        return None if seconds is None else min(seconds, VALIDITY_SECONDS_MAX)
    relative = _RELATIVE_TIME.fullmatch(text)
    if relative:
        pairs = [int(relative[1][at : at + 2]) for at in range(0, 12, 2)]
        seconds = sum(count * size for count, size in zip(pairs, _SECONDS, strict=True))
        return min(seconds, VALIDITY_SECONDS_MAX)
    absolute = _ABSOLUTE_TIME.fullmatch(text)
    until = parse_receipt_date(text, zone=UTC)
    if until is None or (absolute and int(absolute[1]) > _QUARTERS_MAX):
        return 0
    left = min(until - now, timedelta(seconds=VALIDITY_SECONDS_MAX))
    return int(left.total_seconds())


def _reference(pdu: SubmitSm) -> int | None:
    """Return the user_message_reference; None for one that is wider than it may be."""
    reference = USER_MESSAGE_REFERENCE.of(pdu.tlvs)
    return reference if reference is not None and reference <= 0xFFFF else None


def _vendors(pdu: SubmitSm) -> list[Tlv]:
    return [tlv for tlv in pdu.tlvs if tlv.tag in VENDOR_TAGS]


def _options(pdu: SubmitSm) -> dict[str, str]:
    """Return what goes along with a message; fields that are NULL say nothing."""
    fields = {
        "esm_class": pdu.esm_class & 0x03,
        "protocol_id": pdu.protocol_id,
        "priority_flag": pdu.priority_flag,
    }
    found = {name: str(value) for name, value in fields.items() if value}
    return found | {f"{TLV_OPTION}{tag:04x}": value.hex() for tag, value in _vendors(pdu)}
