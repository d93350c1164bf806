"""Text on its way to a handset: the choice of encoding, the split into segments and their octets.

Sizes and packing follow Twilio's message-segment-calculator, the tool customers check their bills
with; the alphabet is 3GPP TS 23.038 §6.2.1 without national shift tables.

Rules: an escape pair, a surrogate pair and a grapheme cluster are never split, except that a
cluster longer than a whole segment is split between code points and CR LF between its two halves.
Lone surrogates count as one unit and travel as U+FFFD, because UTF-16 has no octets for them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import regex

# Twilio refuses longer bodies with 21617, "before encoding".
BODY_MAX = 1600

# The default alphabet in code order; ESC holds the place of the extension table.
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
_ESCAPE = 0x1B

_SEPTETS: dict[str, bytes] = {
    **{c: bytes([code]) for code, c in enumerate(_BASIC) if code != _ESCAPE},
    **{c: bytes([_ESCAPE, code]) for c, code in _EXTENDED.items()},
}
_ESCAPED = {code: c for c, code in _EXTENDED.items()}


def _character_class(characters: Iterable[str]) -> str:
    return "[" + "".join(map(re.escape, characters)) + "]"


# A compiled class decides a whole text in C, several times faster than a set of characters does.
_only_basic = re.compile(_character_class(c for c in _BASIC if c != "\x1b") + "*").fullmatch
_only_gsm = re.compile(_character_class(_SEPTETS) + "*").fullmatch
_extended = re.compile(_character_class(_EXTENDED))
_only_ascii_alike = re.compile(
    _character_class(c for code, c in enumerate(_BASIC) if code == ord(c) != _ESCAPE) + "*"
).fullmatch
_surrogates = re.compile("[\ud800-\udfff]")
_clusters = regex.compile(r"\r|\X")


class Encoding(StrEnum):
    """The two alphabets of a short message."""

    GSM7 = "GSM-7"
    UCS2 = "UCS-2"


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A text as it will be sent; `units` are the septets or UTF-16 units of the text itself."""

    encoding: Encoding
    segments: tuple[str, ...]
    units: int


@dataclass(frozen=True, slots=True)
class Hint:
    """What a text costs while it is being typed; the units left are those of its last segment."""

    encoding: Encoding
    segments: int
    units_used: int
    units_left_in_segment: int


@dataclass(frozen=True, slots=True)
class _Sizes:
    # 140 octets hold 160 septets or 70 units; a multi-segment header takes 6 of the octets.
    single: int
    multi: int


_SIZES = {Encoding.GSM7: _Sizes(160, 153), Encoding.UCS2: _Sizes(70, 67)}


def body_length(text: str) -> int:
    """Return the length of a body that BODY_MAX limits, in UTF-16 units.

    UTF-16 and not code points, so that a body of the greatest length has a greatest number of
    segments.
    """
    return _utf16_length(text)


def encoding_of(text: str) -> Encoding:
    """Return GSM-7 when every character is in its tables, else UCS-2."""
    return Encoding.GSM7 if _only_gsm(text) else Encoding.UCS2


def count_segments(text: str) -> int:
    """Return how many segments a text takes; an empty text takes one."""
    if len(text) <= 160 and _only_basic(text):
        return 1
    return len(split(text).segments)


def split(text: str) -> Segmentation:
    """Split a text into its segments; an empty text is one empty segment."""
    encoding = encoding_of(text)
    sizes = _SIZES[encoding]
    units = _unit_length(encoding)(text)
    if units <= sizes.single:
        return Segmentation(encoding, (text,), units)
    if units == len(text) and encoding is Encoding.GSM7:
        # Most texts have no escape pairs and are cut every so many characters.
        return Segmentation(encoding, _sliced(text, sizes.multi), units)
    segments = _pack(_atoms(text, encoding), sizes.multi, length=_unit_length(encoding))
    return Segmentation(encoding, tuple(segments), units)


def hint(text: str) -> Hint:
    """Say what a text costs so far, and how far it is to the next segment."""
    parts = split(text)
    sizes = _SIZES[parts.encoding]
    count = len(parts.segments)
    room = sizes.single if count == 1 else sizes.multi
    left = room - _unit_length(parts.encoding)(parts.segments[-1])
    return Hint(parts.encoding, count, parts.units, left)


def encode_segment(text: str, encoding: Encoding) -> bytes:
    """Encode one segment: unpacked septets, one an octet, or UTF-16BE.

    Characters outside the alphabet become '?', lone surrogates U+FFFD.
    """
    if encoding is Encoding.UCS2:
        return _surrogates.sub("\ufffd", text).encode("utf-16-be")
    if _only_ascii_alike(text):
        return text.encode("ascii")
    return b"".join([_SEPTETS.get(character, b"?") for character in text])


def decode_segment(octets: bytes, encoding: Encoding) -> str:
    """Decode what a peer sent as one text; never fails.

    Octets above 0x7F become '?', an escape without meaning a space, an odd last octet of UCS-2 is
    dropped, and halves of surrogate pairs become U+FFFD: join the octets of a concatenated message
    before decoding them.
    """
    if encoding is Encoding.UCS2:
        return octets[: len(octets) & ~1].decode("utf-16-be", errors="replace")
    text = octets.decode("latin-1")
    return text if _only_ascii_alike(text) else "".join(_characters(octets))


def smart_encode(text: str) -> str:
    """Replace look-alikes of GSM characters as SmartEncoded does; other characters stay."""
    return text.translate(_SMART)


def _utf16_length(text: str) -> int:
    if text.isascii():
        return len(text)
    if len(text) == 1:
        return 2 if text > "\uffff" else 1
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _septet_length(text: str) -> int:
    return len(text) + len(_extended.findall(text))


def _unit_length(encoding: Encoding) -> Callable[[str], int]:
    return _septet_length if encoding is Encoding.GSM7 else _utf16_length


def _atoms(text: str, encoding: Encoding) -> Iterator[str]:
    """Yield the pieces that must stay whole."""
    if encoding is Encoding.GSM7:
        yield from text
        return
    multi = _SIZES[encoding].multi
    for match in _clusters.finditer(text):
        cluster = match[0]
        if _utf16_length(cluster) <= multi:
            yield cluster
        else:
            yield from cluster


def _sliced(text: str, size: int) -> tuple[str, ...]:
    return tuple(text[start : start + size] for start in range(0, len(text), size))


def _pack(atoms: Iterable[str], size: int, *, length: Callable[[str], int]) -> Iterator[str]:
    """Fill segments one after another, leaving room that the next atom does not fit into."""
    segment: list[str] = []
    used = 0
    for atom in atoms:
        units = length(atom)
        if used + units > size:
            yield "".join(segment)
            segment, used = [], 0
        segment.append(atom)
        used += units
    yield "".join(segment)


def _characters(octets: bytes) -> Iterator[str]:
    escaped = False
    for octet in octets:
        if escaped:
            # 3GPP TS 23.038 §6.2.1.1: without a symbol here, the basic table's is shown.
            yield _ESCAPED.get(octet) or _basic_character(octet)
            escaped = False
        elif octet == _ESCAPE:
            escaped = True
        else:
            yield _basic_character(octet)
    if escaped:
        yield " "


def _basic_character(octet: int) -> str:
    if octet == _ESCAPE:
        return " "
    return _BASIC[octet] if octet < len(_BASIC) else "?"


# What each replacement stands for, as code points. The figures are those of Twilio's
# message-segment-calculator (SmartEncodingMap.ts at a50230f) with its oddities: most wide spaces
# become two spaces, a tab seven, and the single guillemets change sides.
_LOOK_ALIKES = {
    '"': "00AB 00BB 201C 201D 02BA 02EE 201F 201E 275D 275E 301D 301E FF02",
    "'": (
        "2018 2019 02BB 02C8 02BC 02BD 02B9 201B FF07 00B4 02CA 0060 02CB 275B 275C 0313 0314 "
        "FE10 FE11"
    ),
    "/": "00F7 29F8 0337 0338 2044 2215 FF0F",
    "1/4": "00BC",
    "1/2": "00BD",
    "3/4": "00BE",
    "\\": "29F9 29F5 20E5 FE68 FF3C",
    "_": "0332 FF3F 2017",
    "|": "20D2 20D3 2223 FF5C 23B8 23B9 23D0 239C 239F",
    "-": "23BC 23BD 2015 FE63 FF0D 2010 2043 2014 2013 2022",
    "@": "FE6B FF20",
    "$": "FE69 FF04",
    "!": "01C3 FE15 FE57 FF01",
    "#": "FE5F FF03",
    "%": "FE6A FF05",
    "&": "FE60 FF06",
    ",": "201A 0326 FE50 FE51 FF0C FF64 3001",
    "(": "2768 276A FE59 FF08 27EE 2985",
    ")": "2769 276B FE5A FF09 27EF 2986",
    "*": (
        "204E 2217 229B 2722 2723 2724 2725 2731 2732 2733 273A 273B 273C 273D 2743 2749 274A "
        "274B 29C6 FE61 FF0A"
    ),
    "+": "02D6 FE62 FF0B",
    ".": "3002 FE52 FF0E FF61",
    ":": "02D0 02F8 2982 A789 FE13 FF1A",
    ";": "204F FE14 FE54 FF1B",
    "<": "FE64 FF1C 203A",
    "=": "0347 A78A FE66 FF1D",
    ">": "FE65 FF1E 2039",
    "?": "FE16 FE56 FF1F",
    "A": "1D00",
    "B": "0299",
    "C": "1D04",
    "D": "1D05",
    "E": "1D07",
    "F": "A730",
    "G": "0262",
    "H": "029C",
    "I": "026A",
    "J": "1D0A",
    "K": "1D0B",
    "L": "029F",
    "M": "1D0D",
    "N": "0274",
    "O": "1D0F",
    "P": "1D18",
    "R": "0280",
    "S": "A731",
    "T": "1D1B",
    "U": "1D1C",
    "V": "1D20",
    "W": "1D21",
    "Y": "028F",
    "Z": "1D22",
    "^": "02C6 0302 FF3E 1DCD",
    "{": "2774 FE5B FF5B",
    "}": "2775 FE5C FF5D",
    "[": "FF3B",
    "]": "FF3D",
    "~": "02DC 02F7 0303 0330 0334 223C FF5E",
    "  ": (
        "00A0 2000 2002 2003 2004 2005 2006 2007 2008 2009 200A 202F 205F 3000 008D 009F 0080 "
        "0090 009B"
    ),
    "": "0010 0000 0003 0004 0017 0019 0011 0012 0013 0014 2060 200B FEFF",
    "       ": "0009",
    "!!": "203C",
    " ": "2028 2029 2001",
    "...": "2026",
}
_SMART = {
    # Fullwidth digits and capitals stand at a fixed distance from the plain ones.
    **{ord(c) + 0xFEE0: c for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
    **{int(point, 16): c for c, points in _LOOK_ALIKES.items() for point in points.split()},
}
