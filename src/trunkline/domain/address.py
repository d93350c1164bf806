"""Addresses of messages: E.164 numbers, short codes, alphanumeric senders and channel addresses.

Rules: a number counts when its length is *possible* for its calling code, never because a numbering
plan lists it: plans change faster than libraries. Ranges of plans only say where a number belongs.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat, ValidationResult

from trunkline.domain.nanp import COUNTRY_BY_AREA_CODE, TOLL_FREE_AREA_CODES

# Longer texts are no addresses: a channel's user id is far shorter, and caches hold what passes.
ADDRESS_MAX = 256
# Numbers that are rewritten or ambiguous are few; at 300 bytes each the caches stay below 10 MB.
CACHE_MAX = 16_384

# No calling code starts with 0, no number has more than 15 digits (E.164 §6.2.1).
_E164 = re.compile(r"\+[1-9][0-9]{6,14}").fullmatch
_DIGITS = re.compile(r"[0-9]{10,15}").fullmatch
_SHORT_CODE = re.compile(r"[0-9]{3,6}").fullmatch
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 \-+_&]{1,11}").fullmatch
# Mexico dropped the mobile prefix 1 in 2019; address books have not.
_OLD_MEXICAN_MOBILE = re.compile(r"\+521([0-9]{10})").fullmatch
_PUNCTUATION = str.maketrans("", "", " ()-.")

# Business-scoped user ids (2026), RCS agent ids and Messenger page or user ids.
_CHANNEL_IDS = {
    "whatsapp": re.compile(r"[A-Z]{2}\.[A-Za-z0-9_\-]{1,128}").fullmatch,
    "rcs": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}").fullmatch,
    "messenger": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}").fullmatch,
}


class AddressKind(StrEnum):
    """What an address is."""

    NUMBER = "number"
    SHORT_CODE = "short-code"
    ALPHANUMERIC = "alphanumeric"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a message, normalised; a channel address keeps its prefix in the text."""

    text: str
    kind: AddressKind
    channel: str = ""

    @property
    def bare(self) -> str:
        """The address without its channel's prefix."""
        return self.text[len(self.channel) + 1 :] if self.channel else self.text


def parse_recipient(text: str) -> Address | None:
    """Read whom a message is for; None when it is no address.

    Surrounding spaces and the punctuation of numbers are dropped, ten digits are taken for a number
    of the North American plan, and eleven to fifteen for one that lacks its plus sign.
    """
    # Most callers send what we would make of it, so that is asked first.
    if _E164(text) and _length_is_possible(text):
        return Address(text, AddressKind.NUMBER)
    if len(text) > ADDRESS_MAX:
        return None
    if ":" in text:
        return _parse_channel(text)
    bare = text.strip(" ")
    if _SHORT_CODE(bare):
        return Address(bare, AddressKind.SHORT_CODE)
    number = _parse_number(text)
    return Address(number, AddressKind.NUMBER) if number else None


def parse_sender(text: str) -> Address | None:
    """Read whom a message comes from: what can be a recipient, or an alphanumeric sender."""
    address = parse_recipient(text)
    if address is not None:
        return address
    bare = text.strip(" ")
    return Address(bare, AddressKind.ALPHANUMERIC) if _ALPHANUMERIC(bare) else None


def country_of(number: str) -> str | None:
    """Return the ISO country of an E.164 number, or None without a calling code of a country.

    A number that no plan lists belongs to the main country of its calling code: US for +1.
    """
    if not _E164(number):
        return None
    if number.startswith("+1"):
        return COUNTRY_BY_AREA_CODE.get(number[2:5], "US")
    code = _calling_code(number)
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ())
    if not regions or regions[0] == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        return None
    if len(regions) == 1:
        return str(regions[0])
    return _region_in_shared_code(number) or str(regions[0])


def is_tollfree(number: str) -> bool:
    """Say whether a number is a toll-free one of the North American plan."""
    return number.startswith("+1") and number[2:5] in TOLL_FREE_AREA_CODES


def national_format(number: str) -> str:
    """Write an E.164 number as people of its country do: (415) 555-2671."""
    if number.startswith("+1") and len(number) == 12:
        return f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    if not _E164(number):
        return number
    parsed = _parsed(number)
    return phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL) if parsed else number


def _parse_channel(text: str) -> Address | None:
    prefix, _, rest = text.partition(":")
    channel = prefix.strip(" ").lower()
    is_channel_id = _CHANNEL_IDS.get(channel)
    if is_channel_id is None:
        return None
    bare = rest.strip(" ")
    if is_channel_id(bare) and not bare.isdigit():
        return Address(f"{channel}:{bare}", AddressKind.CHANNEL, channel)
    # Messenger ids are digits themselves; elsewhere digits are a number.
    number = bare if channel == "messenger" and is_channel_id(bare) else _channel_number(rest)
    return Address(f"{channel}:{number}", AddressKind.CHANNEL, channel) if number else None


def _channel_number(text: str) -> str | None:
    number = _with_plus(text)
    # A channel's number is its user id and keeps its digits: WhatsApp says +521 where SMS says +52.
    return number if number and _parse_e164(number) else None


def _parse_number(text: str) -> str | None:
    number = _with_plus(text)
    return _parse_e164(number) if number else None


def _with_plus(text: str) -> str | None:
    """Bring a number into the form +digits; None when it has other characters or another length."""
    bare = text.translate(_PUNCTUATION)
    if _E164(bare):
        return bare
    if not _DIGITS(bare):
        return None
    number = f"+{bare}"
    # A plus sign that the form did not encode arrives as a space.
    if len(bare) > 10 or (text.startswith(" ") and _E164(number) and _parse_e164(number)):
        return number if _E164(number) else None
    return f"+1{bare}"


def _parse_e164(number: str) -> str | None:
    return number if _length_is_possible(number) else _rewritten(number)


def _length_is_possible(number: str) -> bool:
    code = _calling_code(number)
    return len(number) - 1 - len(str(code)) in _possible_lengths(code)


def _calling_code(number: str) -> int:
    """Return the calling code of +digits; 0 when there is none."""
    for end in (2, 3, 4):
        code = int(number[1:end])
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return code
    return 0


@lru_cache(maxsize=512)
def _possible_lengths(code: int) -> frozenset[int]:
    """Return the lengths of national numbers behind a calling code; the plan has some 240 codes."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code)
    if not regions:
        return frozenset()
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0])
    if metadata is None or metadata.general_desc is None:
        return frozenset()
    return frozenset(metadata.general_desc.possible_length)


@lru_cache(maxsize=CACHE_MAX)
def _rewritten(number: str) -> str | None:
    """Repair a number that carries a trunk prefix behind its calling code, as +44 (0)20 does."""
    old_mexican = _OLD_MEXICAN_MOBILE(number)
    if old_mexican:
        return f"+52{old_mexican[1]}"
    parsed = _parsed(number)
    if parsed is None:
        return None
    if phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)


@lru_cache(maxsize=CACHE_MAX)
def _region_in_shared_code(number: str) -> str | None:
    parsed = _parsed(number)
    return phonenumbers.region_code_for_number(parsed) if parsed else None


def _parsed(number: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
