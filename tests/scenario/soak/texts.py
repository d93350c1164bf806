"""The texts of the traffic: each word has the number of its text; so every segment shows it."""

import re

from trunkline.smpp.pdu import DeliverSm, SubmitSm
from trunkline.smpp.udh import ESM_CLASS_UDHI

UCS2 = 8
REPLY = 5_000_000  # What is added to the number of a text for that of its reply.
_WORD = re.compile(r"(?<!\d)(\d{7})\.")


def written(token: int, *, words: int = 1, is_wide: bool = False) -> str:
    """Return a text of so many words; a wide one is not GSM text."""
    letter = "ж" if is_wide else ""
    return " ".join(f"{token:07}.{word}{letter}" for word in range(words))


def token_of(text: str) -> int:
    """Return the number of a text, or of a piece of one; 0 if there is none."""
    found = _WORD.search(text)
    return int(found[1]) if found else 0


def read(pdu: SubmitSm | DeliverSm) -> str:
    """Return the text of a segment, without its header."""
    octets = pdu.short_message
    if pdu.esm_class & ESM_CLASS_UDHI:
        octets = octets[1 + octets[0] :]
    return octets.decode("utf-16-be" if pdu.data_coding == UCS2 else "latin-1")
