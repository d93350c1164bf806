"""Every setting of an SMPP carrier, as rows: what it means, what it must be, and its default."""

from collections.abc import Callable
from enum import StrEnum

from trunkline.carriers.smpp.notation import (
    is_written,
    parse_error_map,
    parse_hosts,
    parse_network_error_map,
    parse_tlvs,
    parse_ton_npi,
    parse_zone,
)
from trunkline.carriers.smpp.tls import parse_certificates, parse_key
from trunkline.domain.carrier import Setting, number, one_of, whole_number
from trunkline.smpp.concatenation import Carriage
from trunkline.smpp.message_id import MessageIdStyle

# Carriers grant some ten to some hundred; the SMSC side of our own takes no more.
WINDOW_MAX = 1000
SECONDS_MAX = 3600
REASSEMBLY_SECONDS_MAX = 7 * 24 * 3600
# SMPP 3.4 §7.1.1.2: a relative time without months.
VALIDITY_SECONDS_MAX = 30 * 24 * 3600
# The specification has 8 octets, carriers hand out longer ones; it is the sender's limit alone.
PASSWORD_LENGTH_MAX = 64

NO, YES = "no", "yes"


class BindType(StrEnum):
    """How a lane is bound: one connection for both ways, or one for each."""

    TRANSCEIVER = "transceiver"
    PAIR = "pair"


class NumberFormat(StrEnum):
    """How numbers are written to the carrier."""

    PLAIN = "plain"
    PLUS = "plus"


class DefaultCharset(StrEnum):
    """What data_coding 0 is to a carrier."""

    GSM = "gsm"
    GSM_PACKED = "gsm_packed"
    LATIN1 = "latin1"
    ASCII = "ascii"
    UCS2 = "ucs2"


class Registered(StrEnum):
    """Which receipts are asked for."""

    FINAL = "final"
    FAILURE = "failure"
    NONE = "none"


def octets_until(length_max: int) -> Callable[[str], bool]:
    """Return a check that a text fits a C-octet string of so many octets without its NUL."""

    def is_good(text: str) -> bool:
        return len(text) <= length_max and "\0" not in text and all(c <= "\xff" for c in text)

    return is_good


def _choice(name: str, choices: type[StrEnum], *, default: StrEnum, meaning: str) -> Setting:
    words = tuple(choice.value for choice in choices)
    return _words(name, words, default=default.value, meaning=meaning)


def _words(name: str, words: tuple[str, ...], *, default: str, meaning: str) -> Setting:
    must = "one of " + ", ".join(words)
    return Setting(
        name=name,
        meaning=meaning,
        must=must,
        default=default,
        is_good=one_of(*words),
        choices=words,
    )


def _octets(name: str, length_max: int, *, meaning: str, is_secret: bool = False) -> Setting:
    return Setting(
        name=name,
        meaning=meaning,
        must=f"at most {length_max} characters of Latin-1, without NUL",
        default="",
        is_good=octets_until(length_max),
        is_secret=is_secret,
    )


def _whole(name: str, limits: tuple[int, int], *, default: int, meaning: str) -> Setting:
    least, most = limits
    return Setting(
        name=name,
        meaning=meaning,
        must=f"a whole number from {least} to {most}",
        default=str(default),
        is_good=whole_number(least, most),
    )


def _seconds(name: str, least: float, *, default: float, meaning: str) -> Setting:
    return Setting(
        name=name,
        meaning=meaning,
        must=f"a number of seconds from {least:g} to {SECONDS_MAX}",
        default=f"{default:g}",
        is_good=number(least, SECONDS_MAX),
    )


def _written(
    name: str,
    parse: Callable[[str], object],
    *,
    must: str,
    default: str = "",
    meaning: str,
    is_secret: bool = False,
) -> Setting:
    return Setting(
        name=name,
        meaning=meaning,
        must=must,
        default=default,
        is_good=is_written(parse),
        is_secret=is_secret,
    )


CONNECTION = (
    _written(
        "hosts",
        parse_hosts,
        must="hosts like smsc1.example:2775,smsc2.example:2775",
        meaning="Where the SMSC listens; the next one is tried when one does not answer.",
    ),
    _written(
        "host",
        parse_hosts,
        must="a host name or an address",
        meaning="Where the SMSC listens, when it is one host; `port` goes with it.",
    ),
    _whole("port", (1, 65_535), default=2775, meaning="The port of `host`."),
    _octets("system_id", 15, meaning="Our name at the SMSC."),
    _octets(
        "password",
        PASSWORD_LENGTH_MAX,
        meaning="What the SMSC knows us by.",
        is_secret=True,
    ),
    _octets("system_type", 12, meaning="The system_type of our binds; most carriers want none."),
    _choice(
        "bind_type",
        BindType,
        default=BindType.TRANSCEIVER,
        meaning="Whether a lane is one connection for both ways, or a transmitter and a receiver.",
    ),
    _words(
        "interface_version",
        ("3.3", "3.4", "5.0"),
        default="3.4",
        meaning="The version that our binds name; what is spoken is 3.4.",
    ),
    _octets("address_range", 40, meaning="Which addresses' texts come here; most ignore it."),
    _whole(
        "window",
        (1, WINDOW_MAX),
        default=10,
        meaning="How many segments of one connection may wait for their answers.",
    ),
    Setting(
        name="messages_per_second",
        meaning="How many segments a second one connection submits; 0 for no limit.",
        must="a number from 0 to 10000",
        default="0",
        is_good=number(0, 10_000),
    ),
)

TIMERS = (
    _seconds("connect_seconds", 0.05, default=10, meaning="How long connecting may take."),
    _seconds(
        "response_seconds",
        0.05,
        default=30,
        meaning="How long an answer may take; a segment is in doubt then.",
    ),
    _seconds(
        "enquire_seconds",
        0,
        default=30,
        meaning="After how much silence we ask whether the SMSC is there; 0 never.",
    ),
    _seconds(
        "inactivity_seconds",
        0,
        default=0,
        meaning="After how long without a text or receipt we bind anew; 0 never.",
    ),
    _seconds(
        "reconnect_seconds",
        0.01,
        default=1,
        meaning="How long we wait before the second try to connect; it doubles with each.",
    ),
    _seconds("reconnect_seconds_max", 0.01, default=60, meaning="The longest such wait."),
    Setting(
        name="reassembly_seconds",
        meaning="How long a long text waits for its missing segments before it is told without.",
        must=f"a number of seconds from 0.05 to {REASSEMBLY_SECONDS_MAX}",
        default="3600",
        is_good=number(0.05, REASSEMBLY_SECONDS_MAX),
    ),
)

ADDRESSES = (
    _written(
        "source_ton_npi",
        parse_ton_npi,
        must="auto or a pair like 1/1",
        default="auto",
        meaning="Type and plan of senders; auto: numbers 1/1, short codes 3/0, names 5/0.",
    ),
    _written(
        "recipient_ton_npi",
        parse_ton_npi,
        must="auto or a pair like 1/1",
        default="auto",
        meaning="Type and plan of recipients; auto: numbers 1/1, short codes 3/0.",
    ),
    _choice(
        "number_format",
        NumberFormat,
        default=NumberFormat.PLAIN,
        meaning="Whether numbers are sent with their plus sign.",
    ),
)

TEXTS = (
    _choice(
        "default_charset",
        DefaultCharset,
        default=DefaultCharset.GSM,
        meaning="What data_coding 0 is to this carrier: GSM with a septet an octet, GSM packed,"
        " Latin-1, ASCII or UCS-2. A text of the GSM alphabet that is not in this one travels in"
        " UCS-2; with a segment of more than 70 characters (67 of several) it is refused with"
        " 30019.",
    ),
    _whole(
        "gsm_data_coding",
        (0, 255),
        default=0,
        meaning="The data_coding of texts in the default charset.",
    ),
    _whole("ucs2_data_coding", (0, 255), default=8, meaning="The data_coding of UCS-2 texts."),
    _choice(
        "segmentation",
        Carriage,
        default=Carriage.UDH8,
        meaning="How the segments of a long text travel; message_payload joins them in one PDU.",
    ),
    _octets("service_type", 5, meaning="The service_type of our texts; most want none."),
    _whole(
        "validity_period",
        (0, VALIDITY_SECONDS_MAX),
        default=0,
        meaning="How many seconds the SMSC shall try to deliver; 0 leaves it to the SMSC.",
    ),
    _written(
        "tlvs",
        parse_tlvs,
        must="entries like 0x1400=text:1101;0x1401@ACME=hex:00ff with tags from 0x0001 to 0xFFFF",
        meaning="Optional parameters of every text, or of those of one sender.",
    ),
)

RECEIPTS = (
    _choice(
        "registered_delivery",
        Registered,
        default=Registered.FINAL,
        meaning="Which receipts we ask for.",
    ),
    _written(
        "receipt_zone",
        parse_zone,
        must="a time zone like Europe/Berlin, +05:30 or UTC",
        default="UTC",
        meaning="The clock that the dates in receipts come from.",
    ),
    _choice(
        "id_style",
        MessageIdStyle,
        default=MessageIdStyle.EXACT,
        meaning="How receipts write the ids that submissions were answered with.",
    ),
    _words(
        "trusts_text",
        (NO, YES),
        default=NO,
        meaning="Whether what reads like a receipt is one though no field says so; every handset"
        " can write that.",
    ),
    _written(
        "error_map",
        parse_error_map,
        must="entries like 0x0B=permanent:30005,0x45=retry,0x0400=throttle,"
        "0x99=permanent:30007+failover",
        meaning="What command_status values mean to this carrier, before our own table.",
    ),
    _written(
        "network_error_map",
        parse_network_error_map,
        must="entries like 001=30003,0A1=30007",
        meaning="Which code a receipt's error stands for.",
    ),
)

TLS = (
    _words("tls", (NO, YES), default=NO, meaning="Whether connections are encrypted."),
    _words(
        "tls_verify",
        (YES, NO),
        default=YES,
        meaning="Whether the SMSC's certificate must be right; without, anybody can be the SMSC.",
    ),
    Setting(
        name="tls_server_name",
        meaning="The name that the certificate must have, if it is not the host's.",
        must="a host name",
        default="",
        is_good=octets_until(253),
    ),
    _written(
        "tls_ca",
        parse_certificates,
        must="certificates in PEM",
        meaning="Who signs the SMSC's certificate, if not an authority that everybody knows.",
    ),
    _written(
        "tls_cert",
        parse_certificates,
        must="certificates in PEM",
        meaning="Our certificate with its chain, for carriers that ask for one.",
    ),
    _written(
        "tls_key",
        parse_key,
        must="a private key in PEM without a passphrase",
        meaning="The key of our certificate.",
        is_secret=True,
    ),
    _words("tls_minimum", ("1.2", "1.3"), default="1.2", meaning="The oldest TLS we take."),
)

SETTINGS = (*CONNECTION, *TIMERS, *ADDRESSES, *TEXTS, *RECEIPTS, *TLS)
