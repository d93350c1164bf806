"""What carriers send, as values: receipts, texts and segments of texts; nothing in here raises."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from trunkline.carriers.port import Incoming, Receipt
from trunkline.carriers.smpp.errors import receipt_verdict
from trunkline.carriers.smpp.rows import DefaultCharset
from trunkline.carriers.smpp.settings import SmppSettings
from trunkline.domain.address import AddressKind, parse_recipient
from trunkline.domain.text import Encoding, count_segments, decode_segment, encoding_of
from trunkline.smpp.concatenation import Segment, segment_of
from trunkline.smpp.encoding import (
    Charset,
    coding_of,
    decode_text,
    fill_bits_after,
    unpack_text,
)
from trunkline.smpp.message_id import MessageIdStyle, message_id_forms
from trunkline.smpp.pdu import DataSm, DeliverSm
from trunkline.smpp.receipt import ReceiptFacts, parse_receipt
from trunkline.smpp.udh import render_udh

TON_INTERNATIONAL, TON_NATIONAL, TON_ALPHANUMERIC = 1, 2, 5
# Below this many digits nothing is a number with a country (E.164 has no shorter ones).
NUMBER_DIGITS_MIN = 7
NUMBER_DIGITS_MAX = 15
# A detail is for people; err and stat are words of some letters.
DETAIL_LENGTH_MAX = 64
# Longer than numbers are within a country, or one of North America with its 1: some carriers call
# these national as well.
_WITH_COUNTRY = re.compile(r"1[2-9][0-9]{9}|[1-9][0-9]{11,}")

_CHARSETS = {
    DefaultCharset.GSM: Charset.GSM,
    DefaultCharset.GSM_PACKED: Charset.GSM,
    DefaultCharset.LATIN1: Charset.LATIN1,
    DefaultCharset.ASCII: Charset.ASCII,
    DefaultCharset.UCS2: Charset.UCS2,
}


@dataclass(slots=True)
class Body:
    """A text that was decoded."""

    text: str
    encoding: str


class Reader:
    """Reads what one carrier sends."""

    def __init__(self, settings: SmppSettings) -> None:
        self._settings = settings
        self._default = _CHARSETS[settings.default_charset]

    def receipt_of(self, pdu: DeliverSm | DataSm, *, at: datetime) -> Receipt | None:
        """Return the receipt that a PDU is, or None for a text that somebody wrote."""
        settings = self._settings
        facts = parse_receipt(pdu, zone=settings.receipt_zone, trusts_text=settings.trusts_text)
        if facts is None:
            return None
        forms = receipt_refs(facts, settings.id_style)
        delivered, error_code = receipt_verdict(facts, settings.network_error_map)
        return Receipt(
            carrier_ref=forms[0] if forms else "",
            aliases=forms[1:],
            delivered=delivered,
            error_code=error_code,
            # Not done_date: it has whole minutes, of a clock that may be in another zone than said.
            at=at,
            detail=_detail(facts),
        )

    def segment_of(self, pdu: DeliverSm | DataSm) -> Segment:
        """Return the text or segment that a PDU carries, its addresses as we write them."""
        return replace(
            segment_of(pdu),
            source_addr=address_of(pdu.source_addr, pdu.source_addr_ton),
            destination_addr=address_of(pdu.destination_addr, pdu.dest_addr_ton),
        )

    def incoming_of(self, segments: Sequence[Segment], *, ref: str, at: datetime) -> Incoming:
        """Return the text that segments make together; a missing one leaves no trace."""
        body = self.body_of(segments)
        return Incoming(
            ref=ref,
            sender=segments[0].source_addr,
            recipient=segments[0].destination_addr,
            body=body.text,
            encoding=body.encoding,
            num_segments=len(segments) if len(segments) > 1 else count_segments(body.text),
            media=(),
            at=at,
        )

    def body_of(self, segments: Sequence[Segment]) -> Body:
        """Decode segments; those of one data_coding together, since characters may span them."""
        pieces = []
        for data_coding, group in groupby(segments, key=lambda segment: segment.data_coding):
            pieces.append(self._decode(list(group), data_coding=data_coding))
        # A database has no room for NUL, and U+FFFD is nobody's text.
        text = "".join(pieces).replace("\0", "").replace("\ufffd", "?")
        charsets = {coding_of(s.data_coding, default=self._default).charset for s in segments}
        is_gsm = charsets == {Charset.GSM}
        encoding = Encoding.UCS2 if Charset.UCS2 in charsets else encoding_of(text)
        return Body(text, Encoding.GSM7.value if is_gsm else encoding.value)

    def _decode(self, segments: Sequence[Segment], *, data_coding: int) -> str:
        coding = coding_of(data_coding, default=self._default)
        octets = b"".join(segment.octets for segment in segments)
        if coding.charset is Charset.BINARY or coding.is_compressed:
            return _readable(octets)
        if coding.charset is not Charset.GSM:
            return decode_text(octets, coding.charset)
        if self._settings.default_charset is DefaultCharset.GSM_PACKED:
            octets = b"".join(map(_unpacked, segments))
        return decode_segment(octets, Encoding.GSM7)


def address_of(address: str, ton: int) -> str:
    """Return an address as messages have it: numbers with a plus sign, all else bare."""
    text = address.strip().replace("\0", "")
    digits = text.removeprefix("+")
    if ton == TON_ALPHANUMERIC or not (digits.isascii() and digits.isdigit()):
        return text
    if ton == TON_INTERNATIONAL:
        digits = digits.removeprefix("00")
    if not NUMBER_DIGITS_MIN <= len(digits) <= NUMBER_DIGITS_MAX:
        return digits
    if text.startswith("+") or ton == TON_INTERNATIONAL:
        return f"+{digits}"
    if ton == TON_NATIONAL and not _WITH_COUNTRY.fullmatch(digits):
        # Of which nation is not said, and as an international one it would be somebody else's.
        return digits
    number = parse_recipient(f"+{digits}")
    return number.text if number and number.kind is AddressKind.NUMBER else digits


def receipt_refs(facts: ReceiptFacts, style: MessageIdStyle) -> tuple[str, ...]:
    """Return the references that a receipt may mean, the likeliest first."""
    forms = (form for name in facts.message_ids for form in message_id_forms(name, style))
    return tuple(dict.fromkeys(filter(None, forms)))


def _detail(facts: ReceiptFacts) -> dict[str, str]:
    """Return what people may want to know of a receipt: words as they came."""
    network = facts.network_error_code
    found = {
        "stat": facts.stat,
        "state": facts.message_state.name if facts.message_state is not None else "",
        "err": facts.err,
        "network_error": f"{network.network_type}/{network.error_code}" if network else "",
        "done_at": facts.done_date.isoformat() if facts.done_date else "",
    }
    return {
        name: text[:DETAIL_LENGTH_MAX].replace("\0", "") for name, text in found.items() if text
    }


def _unpacked(segment: Segment) -> bytes:
    header = len(render_udh(segment.elements)) if segment.elements else 0
    return unpack_text(segment.octets, fill_bits=fill_bits_after(header) if header else 0)


def _readable(octets: bytes) -> str:
    """Return octets that are no text as they are if they can be read, else in hexadecimal."""
    text = octets.decode("latin-1")
    return text if text.isascii() and text.isprintable() else octets.hex().upper()
