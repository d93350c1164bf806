"""What data_coding says about the octets of a text, and the septets they may be packed into.

Sources: SMPP 3.4 §5.2.19, 3GPP TS 23.038 §4 (coding groups) and §6.1.2.1 (packing).
"""

from enum import StrEnum
from typing import NamedTuple

SMSC_DEFAULT = 0x00
CR = 0x0D


class Charset(StrEnum):
    """How the octets of a text are to be read.

    The value is Python's name of the codec, except that no codec reads GSM: its octets are septets,
    one an octet, and the tables are the caller's.
    """

    GSM = "gsm"
    ASCII = "ascii"
    LATIN1 = "latin-1"
    CYRILLIC = "iso8859-5"
    HEBREW = "iso8859-8"
    KOREAN = "euc-kr"
    UCS2 = "utf-16-be"
    BINARY = "binary"


class MessageWaiting(NamedTuple):
    """The group of data codings that switch a lamp of the handset (3GPP TS 23.038 §4)."""

    is_active: bool
    indication: int
    is_stored: bool


class Coding(NamedTuple):
    """What a data_coding means; class 0 is shown at once and not kept ("flash")."""

    charset: Charset
    message_class: int | None = None
    waiting: MessageWaiting | None = None
    is_compressed: bool = False


# SMPP 3.4 §5.2.19. The Japanese and pictogram codings (5, 9, 10, 13) name no one table.
_PLAIN = {
    0x01: Charset.ASCII,
    0x02: Charset.BINARY,
    0x03: Charset.LATIN1,
    0x04: Charset.BINARY,
    0x05: Charset.BINARY,
    0x06: Charset.CYRILLIC,
    0x07: Charset.HEBREW,
    0x08: Charset.UCS2,
    0x09: Charset.BINARY,
    0x0A: Charset.BINARY,
    0x0D: Charset.BINARY,
    0x0E: Charset.KOREAN,
}
# Bits 3 and 2 of the general data coding group; the last one is reserved and read as the first.
_ALPHABETS = (Charset.GSM, Charset.BINARY, Charset.UCS2, Charset.GSM)


def coding_of(data_coding: int, *, default: Charset = Charset.GSM) -> Coding:
    """Say what a data_coding means to a carrier whose SMSC default alphabet is *default*.

    Values that are reserved mean the default; 3GPP TS 23.038 §4 asks for that.
    """
    group = data_coding >> 4
    if group == 0:
        return Coding(_PLAIN.get(data_coding, default))
    if group < 0x8:
        return _general(data_coding, default=default)
    if group in {0xC, 0xD, 0xE}:
        waiting = MessageWaiting(bool(data_coding & 0x08), data_coding & 0x03, group != 0xC)
        return Coding(Charset.UCS2 if group == 0xE else default, waiting=waiting)
    if group == 0xF:
        return Coding(Charset.BINARY if data_coding & 0x04 else default, data_coding & 0x03)
    return Coding(default)


def _general(data_coding: int, *, default: Charset) -> Coding:
    """Read the groups 00xx and 01xx: SMPP leaves them free, SMSCs pass the handset's octet on."""
    alphabet = _ALPHABETS[data_coding >> 2 & 0x03]
    return Coding(
        default if alphabet is Charset.GSM else alphabet,
        message_class=data_coding & 0x03 if data_coding & 0x10 else None,
        is_compressed=bool(data_coding & 0x20),
    )


def decode_text(octets: bytes, charset: Charset) -> str:
    """Decode a text in any charset but GSM and BINARY; what makes no sense becomes U+FFFD."""
    assert charset not in {Charset.GSM, Charset.BINARY}, "the caller has the table, or no text"
    if charset is Charset.UCS2:
        # An odd octet at the end is half a character, lost on the way.
        octets = octets[: len(octets) & ~1]
    return octets.decode(charset.value, errors="replace")


def encode_text(text: str, charset: Charset) -> bytes:
    """Encode a text in any charset but GSM and BINARY; raise ValueError if it has no octets."""
    assert charset not in {Charset.GSM, Charset.BINARY}, "the caller has the table, or no text"
    return text.encode(charset.value)


def pack_septets(septets: bytes, *, fill_bits: int = 0) -> bytes:
    """Pack one septet an octet into eight septets per seven octets.

    *fill_bits* go first: behind a header they bring the text to a septet boundary.
    """
    packed = 0
    for septet in reversed(septets):
        packed = packed << 7 | septet & 0x7F
    bits = 7 * len(septets) + fill_bits
    return (packed << fill_bits).to_bytes((bits + 7) // 8, "little")


def unpack_septets(octets: bytes, *, count: int | None = None, fill_bits: int = 0) -> bytes:
    """Unpack at most *count* septets, or as many as there are; the inverse of pack_septets.

    Without a count, seven padding bits at the end read as one more septet; only the sender's count
    tells them apart. See unpack_text.
    """
    packed = int.from_bytes(octets, "little") >> fill_bits
    whole = max(0, 8 * len(octets) - fill_bits) // 7
    wanted = whole if count is None else min(count, whole)
    found = bytearray(wanted)
    for position in range(wanted):
        found[position] = packed & 0x7F
        packed >>= 7
    return bytes(found)


def pack_text(septets: bytes, *, fill_bits: int = 0) -> bytes:
    """Pack the septets of a text for who is not told how many there are.

    Seven bits that are left are filled with a CR (3GPP TS 23.038 §6.1.2.3.1).
    """
    has_room = (7 * len(septets) + fill_bits) % 8 == 1
    return pack_septets(septets + bytes([CR]) if has_room else septets, fill_bits=fill_bits)


def unpack_text(octets: bytes, *, fill_bits: int = 0) -> bytes:
    """Unpack the septets of a text; an '@' or a CR that ends with an octet is taken for padding.

    Who pads with zero bits means no '@', and texts of just that length that end in one are rare.
    """
    septets = unpack_septets(octets, fill_bits=fill_bits)
    is_full = len(septets) > 0 and (7 * len(septets) + fill_bits) == 8 * len(octets)
    return septets[:-1] if is_full and septets[-1] in {0, CR} else septets


def fill_bits_after(header_octets: int) -> int:
    """Return how many bits bring a packed text behind a header to a septet boundary."""
    return -8 * header_octets % 7
