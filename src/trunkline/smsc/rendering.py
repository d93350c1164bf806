"""What a customer is owed, as deliver_sm: receipts as SMPP 3.4 Appendix B has them, and texts."""

import struct
from zlib import crc32

from trunkline.domain.address import AddressKind, parse_sender
from trunkline.domain.text import Encoding, encode_segment, split
from trunkline.flows.deliveries import ReceiptNote, TextNote, note_of
from trunkline.smpp.concatenation import Carriage, carry
from trunkline.smpp.encoding import SMSC_DEFAULT
from trunkline.smpp.pdu import DeliverSm
from trunkline.smpp.receipt import ESM_CLASS_RECEIPT, render_receipt
from trunkline.smpp.tlv import (
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    RECEIPTED_MESSAGE_ID,
    USER_MESSAGE_REFERENCE,
    Tlv,
)
from trunkline.smsc.codes import Ending, ending_of
from trunkline.smsc.reading import ADDRESS_LENGTH_MAX, INTERNATIONAL
from trunkline.store.deliveries import DeliveryRow

_UCS2 = 0x08
_GSM_NETWORK = 3  # SMPP 3.4 §5.3.2.31.
_NETWORK_ERROR_CODE = struct.Struct(">BH")
# Type of number and numbering plan (SMPP 3.4 §5.2.5, §5.2.6), by the kind of address.
_TON_NPI = {
    AddressKind.NUMBER: (INTERNATIONAL, 1),
    AddressKind.SHORT_CODE: (3, 0),
    AddressKind.ALPHANUMERIC: (5, 0),
}


def deliver_sms(row: DeliveryRow) -> list[DeliverSm]:
    """Return the PDUs of a row; a long text takes one for each segment."""
    note = note_of(row)
    return [_receipt(note)] if isinstance(note, ReceiptNote) else _text(note, row.sid)


def _receipt(note: ReceiptNote) -> DeliverSm:
    """Return a receipt; it goes from whom the message was for to whom it was from."""
    ending = ending_of(note.status, note.error_code)
    text = render_receipt(
        note.message_id,
        ending.message_state,
        submit_date=note.submitted_at,
        done_date=note.done_at,
        err=f"{ending.network_error:03}",
        text=note.text,
    )
    source_ton, source_npi, source = note.destination
    dest_ton, dest_npi, destination = note.source
    return DeliverSm(
        source_addr_ton=source_ton,
        source_addr_npi=source_npi,
        source_addr=source,
        dest_addr_ton=dest_ton,
        dest_addr_npi=dest_npi,
        destination_addr=destination,
        esm_class=ESM_CLASS_RECEIPT,
        short_message=encode_segment(text, Encoding.GSM7),
        tlvs=_tlvs(note, ending),
    )


def _tlvs(note: ReceiptNote, ending: Ending) -> tuple[Tlv, ...]:
    tlvs = [
        RECEIPTED_MESSAGE_ID.make(note.message_id),
        MESSAGE_STATE.make(int(ending.message_state)),
    ]
    if ending.network_error:
        octets = _NETWORK_ERROR_CODE.pack(_GSM_NETWORK, ending.network_error)
        tlvs.append(NETWORK_ERROR_CODE.make(octets))
    if note.reference is not None:
        tlvs.append(USER_MESSAGE_REFERENCE.make(note.reference))
    return tuple(tlvs)


def _text(note: TextNote, sid: str) -> list[DeliverSm]:
    parts = split(note.body)
    octets = [encode_segment(segment, parts.encoding) for segment in parts.segments]
    source_ton, source_npi, source = _written(note.sender)
    dest_ton, dest_npi, destination = _written(note.recipient)
    return [
        DeliverSm(
            source_addr_ton=source_ton,
            source_addr_npi=source_npi,
            source_addr=source,
            dest_addr_ton=dest_ton,
            dest_addr_npi=dest_npi,
            destination_addr=destination,
            esm_class=carried.esm_class,
            data_coding=SMSC_DEFAULT if parts.encoding is Encoding.GSM7 else _UCS2,
            short_message=carried.short_message,
            tlvs=carried.tlvs,
        )
        # The same reference whenever the row is delivered: a repeat is known as one.
        for carried in carry(octets, by=Carriage.UDH8, reference=crc32(sid.encode()))
    ]


def _written(text: str) -> tuple[int, int, str]:
    """Return an address as SMPP writes it: type, plan and digits."""
    address = parse_sender(text)
    bare = (address.bare if address else text)[: ADDRESS_LENGTH_MAX + 1]
    ton, npi = _TON_NPI.get(address.kind, (0, 0)) if address else (0, 0)
    # A NUL would end the field, and what cannot be written would be owed for ever.
    plain = bare.removeprefix("+").replace("\0", "")
    latin = plain.encode("latin-1", "replace").decode("latin-1")
    return ton, npi, latin[:ADDRESS_LENGTH_MAX]
