"""Delivery receipts: what the SMSC says about a message, whatever shape it says it in.

Sources: SMPP 3.4 §5.2.12, §5.2.28, Appendix B; the other shapes are those that carriers send.

Rules: TLVs before text, because they are defined and a text is not; nothing in here raises on what
a peer sent; a word nobody knows decides nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import IntEnum
from functools import lru_cache
from itertools import zip_longest

from trunkline.smpp.concatenation import message_octets
from trunkline.smpp.encoding import Charset, decode_text
from trunkline.smpp.pdu import DataSm, DeliverSm
from trunkline.smpp.tlv import (
    MESSAGE_STATE,
    RECEIPTED_MESSAGE_ID,
    NetworkErrorCode,
    network_error_code_of,
)
from trunkline.smpp.udh import ESM_CLASS_UDHI, parse_user_data

# Appendix B makes about 120 octets, the longest seen in the wild 300.
RECEIPT_OCTETS_MAX = 1024
# Appendix B gives the first twenty characters of the text.
RENDERED_TEXT_MAX = 20
# The longest date, with separators, takes 19.
DATE_CHARACTERS_MAX = 32
# Receipts that come together name the same minutes; an hour of seconds is a megabyte.
DATES_MAX = 3600
# Within so many octets ASCII has no NUL, and UTF-16 of a receipt has some.
_BEGINNING = 8

# The message types in bits 5 to 2 of esm_class (SMPP 3.4 §5.2.12).
_MESSAGE_TYPE = 0x3C
ESM_CLASS_RECEIPT = 0x04
ESM_CLASS_DELIVERY_ACKNOWLEDGEMENT = 0x08
ESM_CLASS_USER_ACKNOWLEDGEMENT = 0x10
ESM_CLASS_INTERMEDIATE = 0x20
_RECEIPT_TYPES = {
    ESM_CLASS_RECEIPT,
    ESM_CLASS_DELIVERY_ACKNOWLEDGEMENT,
    ESM_CLASS_USER_ACKNOWLEDGEMENT,
    ESM_CLASS_INTERMEDIATE,
}


class MessageState(IntEnum):
    """Name a message_state (SMPP 3.4 §5.2.28; SCHEDULED and SKIPPED: 5.0 §4.7.15)."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


# ACCEPTED is final by §5.2.28, yet carriers send it when they take a message over and DELIVERED
# afterwards.
_NOT_FINAL = {MessageState.SCHEDULED, MessageState.ENROUTE, MessageState.ACCEPTED}

# Appendix B's words come first: they are the ones rendered. The others have been seen.
_WORDS = {
    MessageState.SCHEDULED: "SCHEDLD SCHEDULED",
    MessageState.ENROUTE: "ENROUTE EN_ROUTE BUFFERED BUFFRED QUEUED",
    MessageState.DELIVERED: "DELIVRD DELIVERED DELIVERD DELIVRED",
    MessageState.EXPIRED: "EXPIRED EXPIRD",
    MessageState.DELETED: "DELETED",
    MessageState.UNDELIVERABLE: "UNDELIV UNDELIVERABLE UNDELIVERED UNDELIVRD FAILED",
    MessageState.ACCEPTED: "ACCEPTD ACCEPTED",
    MessageState.UNKNOWN: "UNKNOWN",
    MessageState.REJECTED: "REJECTD REJECTED",
    MessageState.SKIPPED: "SKIPPED",
}
_STATES = {word: state for state, words in _WORDS.items() for word in words.split()}
_STAT = {state: words.split()[0] for state, words in _WORDS.items()}

_KEYS = {
    "id": "id|msgid|message_id",
    "sub": "sub",
    "dlvrd": "dlvrd|dlvd",
    "submit_date": r"submit[ _-]?date",
    "done_date": r"done[ _-]?date",
    "stat": "stat|status",
    "err": "err|error",
    "text": "text|txt",
}
# A key stands by itself: "valid:1" holds none.
_KEY = re.compile(
    r"(?<![0-9a-z_])(?:"
    + "|".join(f"(?P<{name}>{spellings})" for name, spellings in _KEYS.items())
    + r")[ \t]*[:=]",
    re.IGNORECASE,
)


@dataclass(slots=True)
class ReceiptFacts:
    """What a receipt says; fields are None or empty where it says nothing.

    `message_ids` has the id of the TLV before that of the text: they may be the same number written
    in two ways. `stat` and `err` are the words as they came, upper case. Instants are aware.
    """

    message_ids: tuple[str, ...]
    message_state: MessageState | None
    is_final: bool
    stat: str = ""
    err: str = ""
    network_error_code: NetworkErrorCode | None = None
    sub: int | None = None
    dlvrd: int | None = None
    submit_date: datetime | None = None
    done_date: datetime | None = None
    text: str = field(default="", repr=False)


def parse_receipt(
    pdu: DeliverSm | DataSm, *, zone: tzinfo = UTC, trusts_text: bool = False
) -> ReceiptFacts | None:
    """Return what a receipt says, or None when the PDU is a message that somebody wrote.

    A receipt has a message type that says so, or receipted_message_id. Its text alone is believed
    only where *trusts_text*, for carriers that mark nothing: any handset can write that text.
    Instants without a zone of their own are in *zone*, the one of the carrier's clock.
    """
    message_type = pdu.esm_class & _MESSAGE_TYPE
    tlv_id = RECEIPTED_MESSAGE_ID.of(pdu.tlvs)
    is_marked = message_type in _RECEIPT_TYPES or tlv_id is not None
    if not is_marked and not trusts_text:
        return None
    found = _fields_of(_text_of(pdu))
    if not is_marked and not (found.get("id") and found.get("stat")):
        return None
    state = _state_of(MESSAGE_STATE.of(pdu.tlvs), found)
    is_open = state is None or state in _NOT_FINAL or message_type == ESM_CLASS_INTERMEDIATE
    return ReceiptFacts(
        message_ids=_ids_of(tlv_id, found),
        message_state=state,
        is_final=not is_open,
        stat=_word(found, "stat").upper(),
        err=_word(found, "err").upper(),
        network_error_code=network_error_code_of(pdu.tlvs),
        sub=_number(_word(found, "sub")),
        dlvrd=_number(_word(found, "dlvrd")),
        submit_date=parse_receipt_date(
            found.get("submit_date", "")[:DATE_CHARACTERS_MAX], zone=zone
        ),
        done_date=parse_receipt_date(found.get("done_date", "")[:DATE_CHARACTERS_MAX], zone=zone),
        text=found.get("text", ""),
    )


def _text_of(pdu: DeliverSm | DataSm) -> str:
    """Decode the text, in UTF-16 if a NUL stands near its beginning and else as ASCII.

    The data_coding says nothing here: carriers copy the one of the message receipted.
    """
    octets = message_octets(pdu)
    if pdu.esm_class & ESM_CLASS_UDHI:
        octets = parse_user_data(octets).octets
    octets = octets[:RECEIPT_OCTETS_MAX]
    is_ucs2 = b"\0" in octets[:_BEGINNING]
    return decode_text(octets, Charset.UCS2 if is_ucs2 else Charset.LATIN1)


def _fields_of(text: str) -> Mapping[str, str]:
    """Cut a text at its keys; the first of each counts, and behind text: everything is text.

    Where text: comes before all other keys, it ends at the next one.
    """
    found: dict[str, str] = {}
    keys = list(_KEY.finditer(text))
    for match, following in zip_longest(keys, keys[1:]):
        name = str(match.lastgroup)
        is_rest = name == "text" and bool(found)
        end = following.start() if following and not is_rest else len(text)
        found.setdefault(name, text[match.end() : end].strip(" \t\r\n\0,;|"))
        if is_rest:
            break
    return found


def _word(found: Mapping[str, str], name: str) -> str:
    """Return the first word of a value."""
    words = found.get(name, "").split(maxsplit=1)
    return words[0].strip(",;|\0") if words else ""


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 9 else None


def _ids_of(tlv_id: str | None, found: Mapping[str, str]) -> tuple[str, ...]:
    candidates = ((tlv_id or "").strip(), _word(found, "id"))
    return tuple(dict.fromkeys(filter(None, candidates)))


def _state_of(tlv_state: int | None, found: Mapping[str, str]) -> MessageState | None:
    """Choose the state; a zero in the TLV is none in 3.4, so that a known word is believed more."""
    said = _STATES.get(_word(found, "stat").upper())
    if tlv_state and tlv_state <= MessageState.SKIPPED:
        return MessageState(tlv_state)
    if said is None and tlv_state == MessageState.SCHEDULED:
        return MessageState.SCHEDULED
    return said


# SMPP 3.4 §7.1.1: YYMMDDhhmmss, tenths of a second, quarters of an hour from UTC, their sign.
_ABSOLUTE_TIME = re.compile(r"([0-9]{12})[0-9]([0-9]{2})([+-])")
_SPACED_DATE = re.compile(r"[0-9][0-9 :./T-]*")
_QUARTERS_MAX = 48
# How many of so many digits may be the year.
_YEAR_DIGITS = {10: (2,), 12: (2, 4), 14: (4,)}


@lru_cache(maxsize=DATES_MAX)
def parse_receipt_date(text: str, *, zone: tzinfo) -> datetime | None:
    """Read a date of 10, 12 or 14 digits, however separated, or of SMPP 3.4 §7.1.1, else None.

    Twelve digits are read with a two-digit year if that makes a date.
    """
    absolute = _ABSOLUTE_TIME.match(text)
    if absolute:
        quarters = min(int(absolute[2]), _QUARTERS_MAX) * (1 if absolute[3] == "+" else -1)
        return _date(absolute[1], 2, zone=timezone(timedelta(minutes=15 * quarters)))
    spaced = _SPACED_DATE.match(text)
    digits = "".join(filter(str.isdigit, spaced[0])) if spaced else ""
    dates = (_date(digits, size, zone=zone) for size in _YEAR_DIGITS.get(len(digits), ()))
    return next(filter(None, dates), None)


def _date(digits: str, year_digits: int, *, zone: tzinfo) -> datetime | None:
    year = int(digits[:year_digits]) + (2000 if year_digits == 2 else 0)
    rest = [int(digits[at : at + 2]) for at in range(year_digits, len(digits), 2)]
    month, day, hour, minute, second = (*rest, 0)[:5]
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None


def render_receipt(
    message_id: str,
    message_state: MessageState,
    *,
    submit_date: datetime,
    done_date: datetime,
    err: str = "000",
    text: str = "",
) -> str:
    """Return the text of a receipt as Appendix B has it; the dates are written in their own zone.

    A text of several lines is joined: what reads receipts often reads one line.
    """
    dlvrd = int(message_state is MessageState.DELIVERED)
    return (
        f"id:{message_id} sub:001 dlvrd:{dlvrd:03} "
        f"submit date:{submit_date:%y%m%d%H%M} done date:{done_date:%y%m%d%H%M} "
        f"stat:{_STAT[message_state]} err:{err} text:{' '.join(text.split())[:RENDERED_TEXT_MAX]}"
    )
