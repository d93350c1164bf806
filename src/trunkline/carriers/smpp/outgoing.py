"""Submissions as PDUs: addresses, octets, headers and TLVs as one carrier wants them.

Rule: one PDU carries one segment, except by message_payload, which joins all of a message.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from trunkline.carriers.port import Submission
from trunkline.carriers.smpp.notation import TonNpi
from trunkline.carriers.smpp.rows import DefaultCharset, NumberFormat, Registered
from trunkline.carriers.smpp.settings import SmppSettings
from trunkline.domain.text import Encoding, encode_segment
from trunkline.smpp.concatenation import Carriage, Carried, carry
from trunkline.smpp.encoding import Charset, encode_text, fill_bits_after, pack_text
from trunkline.smpp.fields import SHORT_MESSAGE_MAX
from trunkline.smpp.pdu import SubmitSm
from trunkline.smpp.tlv import MESSAGE_PAYLOAD, Tlv

# Recipients whose last references are known: an entry takes half a kilobyte.
RECIPIENTS_MAX = 10_000
# As many texts may be on their way to one handset at once without being mixed up.
REFERENCES_PER_RECIPIENT = 16
PRIORITY_MAX = 3
# User data of one short message, its header included (3GPP TS 23.040 §9.2.3.16).
USER_DATA_MAX = 140
HEADER_SIZE_MIN = 6  # Of one of several segments; by sar TLVs the SMSC makes it (§9.2.3.24.1).

INTERNATIONAL = TonNpi(1, 1)
SHORT_CODE = TonNpi(3, 0)
ALPHANUMERIC = TonNpi(5, 0)
SHORT_CODE_DIGITS_MAX = 8

_REGISTERED = {Registered.NONE: 0, Registered.FINAL: 1, Registered.FAILURE: 2}
_CHARSETS = {DefaultCharset.LATIN1: Charset.LATIN1, DefaultCharset.ASCII: Charset.ASCII}
_GSM = {DefaultCharset.GSM, DefaultCharset.GSM_PACKED}


class Parcel(NamedTuple):
    """A PDU and the submissions that it carries."""

    pdu: SubmitSm
    submissions: tuple[Submission, ...]


class References:
    """References of long texts: the same for one message, different for texts to one recipient."""

    def __init__(self) -> None:
        self._recent: OrderedDict[str, deque[tuple[str, int]]] = OrderedDict()

    def choose(self, message_sid: str, recipient: str, *, width: int) -> int:
        """Return the reference of a message, a number below *width*.

        It follows from the SID alone, unless a recent text to that recipient has it already.
        """
        recent = self._recent.setdefault(recipient, deque(maxlen=REFERENCES_PER_RECIPIENT))
        self._recent.move_to_end(recipient)
        if len(self._recent) > RECIPIENTS_MAX:
            self._recent.popitem(last=False)
        known = next((reference for sid, reference in recent if sid == message_sid), None)
        if known is not None:
            return known
        used = {reference for _, reference in recent}
        reference = crc32(message_sid.encode()) % width
        while reference in used:
            reference = (reference + 1) % width
        recent.append((message_sid, reference))
        return reference


@dataclass(slots=True)
class _Octets:
    """Encoded texts of one message and the data_coding that says so; septets wait to be packed."""

    texts: list[bytes]
    data_coding: int
    is_packed: bool = False
    is_ucs2: bool = False


class Packer:
    """Makes the PDUs of one carrier."""

    def __init__(self, settings: SmppSettings) -> None:
        self._settings = settings
        self._references = References()
        self._registered = _REGISTERED[settings.registered_delivery]
        self._validity = validity_period(settings.validity_seconds)
        # Of two of a tag, the one for this sender counts: it comes later.
        self._static = sorted(settings.tlvs, key=lambda entry: entry.sender is not None)

    def pack(self, message: Sequence[Submission]) -> list[Parcel]:
        """Return the PDUs of submissions that belong to one message, in their order."""
        first = message[0]
        octets = self._encode(message)
        is_whole = len(message) == first.segment_count
        if self._settings.segmentation is Carriage.MESSAGE_PAYLOAD and is_whole:
            pdu = self._pdu(first, _joined(octets), data_coding=octets.data_coding)
            return [Parcel(pdu, tuple(message))]
        frames = self._frames(first)
        parcels = []
        for one, text in zip(message, octets.texts, strict=True):
            carried = _framed(frames[one.segment_index], text, is_packed=octets.is_packed)
            parcels.append(Parcel(self._pdu(one, carried, data_coding=octets.data_coding), (one,)))
        return parcels

    def is_too_long(self, message: Sequence[Submission]) -> bool:
        """Tell whether a whole message has a segment that no phone gets as one.

        Segments are as long as GSM-7 lets them be; where the default charset has not all of their
        characters they travel in UCS-2, which takes twice as much. By message_payload the SMSC
        splits them itself.
        """
        first = message[0]
        is_gsm = first.encoding == Encoding.GSM7
        if not is_gsm or self._settings.default_charset in _GSM:
            return False
        is_whole = len(message) == first.segment_count
        if not is_whole or self._settings.segmentation is Carriage.MESSAGE_PAYLOAD:
            return False
        octets = self._encode(message)
        if not octets.is_ucs2:
            return False
        least = HEADER_SIZE_MIN if first.segment_count > 1 else 0
        header = max(least, len(self._frames(first)[0].short_message))
        return any(header + len(text) > USER_DATA_MAX for text in octets.texts)

    def _frames(self, first: Submission) -> list[Carried]:
        """Return what goes around each segment of a message, whether it is sent now or not."""
        by = self._settings.segmentation
        if by is Carriage.MESSAGE_PAYLOAD:
            # The rest of a message of which a part was taken: the taken part had a header, too.
            by = Carriage.UDH8
        width = 0x100 if by is Carriage.UDH8 else 0x1_0000
        reference = 0
        if first.segment_count > 1:
            reference = self._references.choose(first.message_sid, first.recipient, width=width)
        return carry([b""] * first.segment_count, by=by, reference=reference)

    def _encode(self, message: Sequence[Submission]) -> _Octets:
        """Encode texts in the default charset if all of them fit it, else in UCS-2."""
        texts = [submission.text for submission in message]
        charset = self._settings.default_charset
        is_gsm = message[0].encoding == Encoding.GSM7
        if is_gsm and charset in _GSM:
            found = [encode_segment(text, Encoding.GSM7) for text in texts]
            is_packed = charset is DefaultCharset.GSM_PACKED
            return _Octets(found, self._settings.gsm_data_coding, is_packed)
        if is_gsm and charset in _CHARSETS and (plain := _plain(texts, _CHARSETS[charset])):
            return _Octets(plain, self._settings.gsm_data_coding)
        found = [encode_segment(text, Encoding.UCS2) for text in texts]
        return _Octets(found, self._settings.ucs2_data_coding, is_ucs2=True)

    def _pdu(self, one: Submission, carried: Carried, *, data_coding: int) -> SubmitSm:
        settings = self._settings
        source = settings.source_ton_npi or ton_npi_of(one.sender)
        destination = settings.recipient_ton_npi or ton_npi_of(one.recipient)
        return SubmitSm(
            service_type=settings.service_type,
            source_addr_ton=source.ton,
            source_addr_npi=source.npi,
            source_addr=self._address(one.sender),
            dest_addr_ton=destination.ton,
            dest_addr_npi=destination.npi,
            destination_addr=self._address(one.recipient),
            esm_class=carried.esm_class,
            priority_flag=min(max(one.priority, 0), PRIORITY_MAX),
            validity_period=self._validity,
            registered_delivery=self._registered,
            data_coding=data_coding,
            short_message=carried.short_message,
            tlvs=carried.tlvs + self._extras(one),
        )

    def _address(self, text: str) -> str:
        is_plain = self._settings.number_format is NumberFormat.PLAIN
        return text.removeprefix("+") if is_plain else text

    def _extras(self, one: Submission) -> tuple[Tlv, ...]:
        if not self._static and not one.tlvs:
            return ()
        found = {e.tlv.tag: e.tlv for e in self._static if e.sender in {None, one.sender}}
        found.update((tag, Tlv(tag, value)) for tag, value in one.tlvs)
        return tuple(found.values())


def ton_npi_of(address: str) -> TonNpi:
    """Return the usual type and plan of an address."""
    if address.startswith("+"):
        return INTERNATIONAL
    if not (address.isascii() and address.isdigit()):
        return ALPHANUMERIC
    return SHORT_CODE if len(address) <= SHORT_CODE_DIGITS_MAX else INTERNATIONAL


def validity_period(seconds: int) -> str:
    """Write a relative time (SMPP 3.4 §7.1.1.2); 0 is none."""
    if not seconds:
        return ""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"0000{days:02}{hour:02}{minute:02}{second:02}000R"


def _plain(texts: Sequence[str], charset: Charset) -> list[bytes] | None:
    try:
        return [encode_text(text, charset) for text in texts]
    except ValueError:
        return None


def _joined(octets: _Octets) -> Carried:
    text = b"".join(octets.texts)
    text = pack_text(text) if octets.is_packed else text
    if len(text) <= SHORT_MESSAGE_MAX and len(octets.texts) == 1:
        return Carried(text)
    return Carried(b"", tlvs=(MESSAGE_PAYLOAD.make(text),))


def _framed(frame: Carried, text: bytes, *, is_packed: bool) -> Carried:
    """Put a segment into its frame.

    What fell back to UCS-2 can be too long for short_message: message_payload takes more.
    """
    header = frame.short_message
    if is_packed:
        text = pack_text(text, fill_bits=fill_bits_after(len(header)) if header else 0)
    whole = header + text
    if len(whole) <= SHORT_MESSAGE_MAX:
        return frame._replace(short_message=whole)
    return frame._replace(short_message=b"", tlvs=(*frame.tlvs, MESSAGE_PAYLOAD.make(whole)))
