"""The settings of one SMPP carrier: texts in, a checked value out."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from trunkline.carriers.smpp.errors import Verdict
from trunkline.carriers.smpp.notation import (
    Host,
    StaticTlv,
    TonNpi,
    parse_error_map,
    parse_hosts,
    parse_network_error_map,
    parse_tlvs,
    parse_ton_npi,
    parse_zone,
)
from trunkline.carriers.smpp.rows import (
    SETTINGS,
    YES,
    BindType,
    DefaultCharset,
    NumberFormat,
    Registered,
)
from trunkline.carriers.smpp.tls import TlsSettings, parse_certificates, parse_key, tls_context
from trunkline.domain.carrier import check_settings
from trunkline.domain.errors import Refusal
from trunkline.smpp.concatenation import Carriage
from trunkline.smpp.message_id import MessageIdStyle

BY_NAME = {setting.name: setting for setting in SETTINGS}
_VERSIONS = {"3.3": 0x33, "3.4": 0x34, "5.0": 0x50}


@dataclass(frozen=True, slots=True, kw_only=True)
class SmppSettings:
    """What the settings say, as values; their meanings stand with the rows."""

    hosts: tuple[Host, ...]
    system_id: str
    password: str = field(repr=False)
    system_type: str
    bind_type: BindType
    interface_version: int
    address_range: str
    window: int
    messages_per_second: float
    connect_seconds: float
    response_seconds: float
    enquire_seconds: float | None
    inactivity_seconds: float | None
    reconnect_seconds: float
    reconnect_seconds_max: float
    reassembly_seconds: float
    source_ton_npi: TonNpi | None
    recipient_ton_npi: TonNpi | None
    number_format: NumberFormat
    default_charset: DefaultCharset
    gsm_data_coding: int
    ucs2_data_coding: int
    segmentation: Carriage
    service_type: str
    validity_seconds: int
    tlvs: tuple[StaticTlv, ...]
    registered_delivery: Registered
    receipt_zone: tzinfo
    id_style: MessageIdStyle
    trusts_text: bool
    error_map: Mapping[int, Verdict]
    network_error_map: Mapping[str, int]
    tls: TlsSettings


def parse(settings: Mapping[str, str]) -> SmppSettings:
    """Return what checked texts say; what is not among them has its default."""
    text = {s.name: settings.get(s.name, s.default) for s in SETTINGS}
    return SmppSettings(
        hosts=_hosts(text),
        system_id=text["system_id"],
        password=text["password"],
        system_type=text["system_type"],
        bind_type=BindType(text["bind_type"]),
        interface_version=_VERSIONS[text["interface_version"]],
        address_range=text["address_range"],
        window=int(text["window"]),
        messages_per_second=float(text["messages_per_second"]),
        connect_seconds=float(text["connect_seconds"]),
        response_seconds=float(text["response_seconds"]),
        enquire_seconds=float(text["enquire_seconds"]) or None,
        inactivity_seconds=float(text["inactivity_seconds"]) or None,
        reconnect_seconds=float(text["reconnect_seconds"]),
        reconnect_seconds_max=float(text["reconnect_seconds_max"]),
        reassembly_seconds=float(text["reassembly_seconds"]),
        source_ton_npi=parse_ton_npi(text["source_ton_npi"]),
        recipient_ton_npi=parse_ton_npi(text["recipient_ton_npi"]),
        number_format=NumberFormat(text["number_format"]),
        default_charset=DefaultCharset(text["default_charset"]),
        gsm_data_coding=int(text["gsm_data_coding"]),
        ucs2_data_coding=int(text["ucs2_data_coding"]),
        segmentation=Carriage(text["segmentation"]),
        service_type=text["service_type"],
        validity_seconds=int(text["validity_period"]),
        tlvs=parse_tlvs(text["tlvs"]),
        registered_delivery=Registered(text["registered_delivery"]),
        receipt_zone=parse_zone(text["receipt_zone"]),
        id_style=MessageIdStyle(text["id_style"]),
        trusts_text=text["trusts_text"] == YES,
        error_map=parse_error_map(text["error_map"]),
        network_error_map=parse_network_error_map(text["network_error_map"]),
        tls=_tls(text),
    )


def _hosts(text: Mapping[str, str]) -> tuple[Host, ...]:
    alone = parse_hosts(text["host"])
    return parse_hosts(text["hosts"]) or tuple(Host(h.name, int(text["port"])) for h in alone[:1])


def _tls(text: Mapping[str, str]) -> TlsSettings:
    return TlsSettings(
        is_on=text["tls"] == YES,
        verifies=text["tls_verify"] == YES,
        server_name=text["tls_server_name"],
        ca=text["tls_ca"],
        cert=text["tls_cert"],
        key=text["tls_key"],
        minimum=text["tls_minimum"],
    )


def check(settings: Mapping[str, str]) -> None:
    """Refuse (20422) values that are wrong by themselves or together, naming the setting.

    Settings that all kinds of carriers have are not looked at.
    """
    check_settings({n: v for n, v in settings.items() if n in BY_NAME}, known=BY_NAME)
    parsed = parse(settings)
    for name, reason in _faults(parsed):
        raise Refusal(20422, name=f"`{name}`", reason=reason)


def _faults(parsed: SmppSettings) -> list[tuple[str, str]]:
    """Return what cannot be used together, each with the setting to change."""
    is_one_coding = parsed.gsm_data_coding == parsed.ucs2_data_coding
    rules = (
        (not parsed.hosts, "host", "must say where the SMSC listens"),
        (not parsed.system_id, "system_id", "must be given"),
        (
            parsed.reconnect_seconds > parsed.reconnect_seconds_max,
            "reconnect_seconds_max",
            "must not be less than `reconnect_seconds`",
        ),
        (
            is_one_coding and parsed.default_charset is not DefaultCharset.UCS2,
            "ucs2_data_coding",
            "must differ from `gsm_data_coding`",
        ),
    )
    return [(name, reason) for is_wrong, name, reason in rules if is_wrong] + _tls_faults(parsed)


def _tls_faults(parsed: SmppSettings) -> list[tuple[str, str]]:
    tls = parsed.tls
    if bool(tls.cert) != bool(tls.key):
        missing = "tls_key" if tls.cert else "tls_cert"
        return [(missing, "must be given: a certificate and its key go together")]
    if parse_certificates(tls.cert) != parse_key(tls.key):
        return [("tls_key", "must be the key of `tls_cert`")]
    if not tls.is_on and (tls.cert or tls.ca):
        return [("tls", "must be yes where certificates are given")]
    try:
        tls_context(tls)
    except ssl.SSLError as error:
        # Each text by itself was good: it is the library that dislikes a key or an algorithm.
        return [("tls_cert" if tls.cert else "tls_ca", f"cannot be used: {error.reason}")]
    return []
