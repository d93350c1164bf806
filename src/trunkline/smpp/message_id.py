"""Message ids that mean the same: carriers write one number in hexadecimal here, in decimal there.

An id is stored under one key (`message_id_key`, from the response to submit_sm) and looked up under
one or several (`message_id_forms`, from the receipt), so that a database needs one plain index.
"""

import re
from enum import StrEnum

# message_id takes 64 octets (SMPP 3.4 §5.2.23); longer digits are no number anybody counts with.
NUMBER_DIGITS_MAX = 64

_DECIMAL = re.compile(f"[0-9]{{1,{NUMBER_DIGITS_MAX}}}")
_HEXADECIMAL = re.compile(f"(?:0[xX])?([0-9A-Fa-f]{{1,{NUMBER_DIGITS_MAX}}})")


class MessageIdStyle(StrEnum):
    """How a carrier's receipts write the ids that its responses gave."""

    EXACT = "exact"
    HEX_IN_RECEIPT = "hex_in_receipt"
    DECIMAL_IN_RECEIPT = "decimal_in_receipt"
    ANY = "any"


def message_id_key(message_id: str, style: MessageIdStyle) -> str:
    """Return what to store the id of a response under; upper case and leading zeros mean nothing.

    Under EXACT they do.
    """
    plain = message_id.strip()
    if style is MessageIdStyle.EXACT:
        return plain
    if style is MessageIdStyle.HEX_IN_RECEIPT:
        return _from_decimal(plain) or _folded(plain)
    if style is MessageIdStyle.DECIMAL_IN_RECEIPT:
        return _from_hexadecimal(plain) or _folded(plain)
    return _folded(plain)


def message_id_forms(message_id: str, style: MessageIdStyle) -> tuple[str, ...]:
    """Return the keys that the id of a receipt may be stored under, the likeliest first.

    ANY may name the message of another id: a number of ten decimal digits is one in hexadecimal,
    too. It is for finding out what a carrier does, and for carriers that do both.
    """
    plain = message_id.strip()
    if style is MessageIdStyle.EXACT:
        return (plain,)
    if style is MessageIdStyle.HEX_IN_RECEIPT:
        return (_from_hexadecimal(plain) or _folded(plain),)
    if style is MessageIdStyle.DECIMAL_IN_RECEIPT:
        return (_from_decimal(plain) or _folded(plain),)
    value = _from_decimal(plain)
    in_hexadecimal = f"{int(value):x}" if value else None
    forms = (_folded(plain), in_hexadecimal, _from_hexadecimal(plain))
    return tuple(dict.fromkeys(filter(None, forms)))


def _from_decimal(text: str) -> str | None:
    return str(int(text)) if _DECIMAL.fullmatch(text) else None


def _from_hexadecimal(text: str) -> str | None:
    digits = _HEXADECIMAL.fullmatch(text)
    return str(int(digits[1], 16)) if digits else None


def _folded(text: str) -> str:
    """Return the id in lower case, without 0x and leading zeros; all zeros are one."""
    return text.lower().removeprefix("0x").lstrip("0") or text[-1:]
