"""The settings of SMPP carriers: what they say, and what is refused."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from trunkline.carriers.smpp.errors import Action, Verdict
from trunkline.carriers.smpp.notation import Host, StaticTlv, TonNpi
from trunkline.carriers.smpp.rows import SETTINGS
from trunkline.carriers.smpp.settings import check, parse
from trunkline.domain.carrier import COMMON_SETTINGS
from trunkline.domain.errors import Refusal
from trunkline.smpp.concatenation import Carriage
from trunkline.smpp.tlv import Tlv

LEAST = {"host": "smsc.example", "system_id": "me"}
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> str:
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


def cert_pem() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "me")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), x509.random_serial_number())
    valid = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return valid.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


CERT = cert_pem()

BAD = {
    "hosts": ["a:0", "a:65536", "a b", "a:1,,b:x", ",".join(["a"] * 17)],
    "host": ["a:x", "a/b", "http://a"],
    "port": ["0", "65536", "x", "-1", ""],
    "system_id": ["x" * 16, "a\0b", "ł"],
    "password": ["x" * 65, "a\0b", "ł"],
    "system_type": ["x" * 13, "\0"],
    "bind_type": ["both", ""],
    "interface_version": ["4.0", "34"],
    "address_range": ["x" * 41],
    "window": ["0", "1001", "ten"],
    "messages_per_second": ["-1", "nan", "fast", "10001"],
    "connect_seconds": ["0", "3601", "x"],
    "response_seconds": ["0", "inf"],
    "enquire_seconds": ["-1", ""],
    "inactivity_seconds": ["-1"],
    "reconnect_seconds": ["0"],
    "reconnect_seconds_max": ["0"],
    "reassembly_seconds": ["0", "604801"],
    "source_ton_npi": ["1", "1/256", "a/b", "1/1/1"],
    "recipient_ton_npi": ["", "256/1"],
    "number_format": ["e164"],
    "default_charset": ["utf8"],
    "gsm_data_coding": ["256", "0x08"],
    "ucs2_data_coding": ["-8"],
    "segmentation": ["udh"],
    "service_type": ["x" * 6],
    "validity_period": ["2592001", "-1", "1.5"],
    "tlvs": [
        "0x10000=text:a",
        "0=text:a",
        "0x1400=a",
        "0x1400=hex:0",
        "0x1400=hex:zz",
        "0x0424=text:a",
        "0x020C=hex:0001",
        "0x1400=text:ł",
        "text:a",
        "0x1400=text:" + "x" * 1025,
    ],
    "registered_delivery": ["yes"],
    "receipt_zone": ["Mars/Olympus", "25", "+25:00", "../etc/passwd", "/etc/passwd"],
    "id_style": ["hex"],
    "trusts_text": ["true"],
    "error_map": [
        "0x0B",
        "0x0B=never",
        "0=retry",
        "0x100000000=retry",
        "1=permanent:300",
        "x=retry",
    ],
    "network_error_map": ["001", "001=3", "=30003", "0-1=30003"],
    "tls": ["1"],
    "tls_verify": ["maybe"],
    "tls_server_name": ["x" * 254],
    "tls_ca": ["not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"],
    "tls_cert": ["not PEM", key_pem(KEY)],
    "tls_key": ["not PEM", CERT, key_pem(KEY, b"secret")],
    "tls_minimum": ["1.1"],
}

TOGETHER = [
    ({"host": ""}, "host"),
    ({"system_id": ""}, "system_id"),
    ({"reconnect_seconds": "90"}, "reconnect_seconds_max"),
    ({"gsm_data_coding": "8"}, "ucs2_data_coding"),
    ({"tls": "yes", "tls_cert": CERT}, "tls_key"),
    ({"tls": "yes", "tls_key": key_pem(KEY)}, "tls_cert"),
    ({"tls": "yes", "tls_cert": CERT, "tls_key": key_pem(OTHER_KEY)}, "tls_key"),
    ({"tls_ca": CERT}, "tls"),
]


def test_every_setting_has_a_wrong_value():
    """The table below leaves none out."""
    assert set(BAD) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_a_wrong_value_is_refused_by_name(name, value):
    with pytest.raises(Refusal) as refused:
        check({**LEAST, name: value})
    assert refused.value.code == 20422
    assert f"`{name}`" in str(refused.value)


@pytest.mark.parametrize(("settings", "named"), TOGETHER)
def test_what_cannot_work_together_is_refused(settings, named):
    with pytest.raises(Refusal) as refused:
        check({**LEAST, **settings})
    assert refused.value.code == 20422
    assert f"`{named}`" in str(refused.value)


def test_defaults_are_good():
    """What nobody sets is right by itself, but for where to go and as whom."""
    check(LEAST)
    check({**LEAST, **{s.name: s.default for s in SETTINGS if s.name not in LEAST}})


def test_names_are_ours_alone():
    """No setting has the name of one that all kinds of carriers have, or another's."""
    names = [setting.name for setting in (*SETTINGS, *COMMON_SETTINGS)]
    assert len(names) == len(set(names))
    check({**LEAST, "lanes": "2"})


def test_secrets_are_marked():
    """What must not be shown is the password and the private key; values do not show them."""
    assert {s.name for s in SETTINGS if s.is_secret} == {"password", "tls_key"}
    said = {**LEAST, "password": "hush", "tls": "yes", "tls_cert": CERT, "tls_key": key_pem(KEY)}
    check(said)
    assert "hush" not in repr(parse(said))
    assert "PRIVATE" not in repr(parse(said))


def test_texts_become_values():
    parsed = parse(
        {
            "hosts": "a.example:1, [::1]:2,b.example",
            "system_id": "me",
            "source_ton_npi": "5/0",
            "segmentation": "sar",
            "enquire_seconds": "0",
            "receipt_zone": "+05:30",
            "tlvs": "0x1400=text:11=01;5121@ACME=hex:00ff",
            "error_map": "0x0B=permanent:30005, 0x45=retry:,1024=throttle,9=unknown+failover",
            "network_error_map": "001=30003,0a1=30007",
            "trusts_text": "yes",
        }
    )
    assert parsed.hosts == (Host("a.example", 1), Host("::1", 2), Host("b.example", 2775))
    assert [str(host) for host in parsed.hosts][1] == "[::1]:2"
    assert (parsed.source_ton_npi, parsed.recipient_ton_npi) == (TonNpi(5, 0), None)
    assert parsed.segmentation is Carriage.SAR
    assert parsed.enquire_seconds is None
    assert parsed.receipt_zone.utcoffset(None) == timedelta(hours=5, minutes=30)
    assert parsed.tlvs == (
        StaticTlv(None, Tlv(0x1400, b"11=01")),
        StaticTlv("ACME", Tlv(0x1401, b"\0\xff")),
    )
    assert parsed.error_map == {
        0x0B: Verdict(Action.PERMANENT, 30005),
        0x45: Verdict(Action.RETRY),
        1024: Verdict(Action.THROTTLE),
        9: Verdict(Action.UNKNOWN, may_fail_over=True),
    }
    assert parsed.network_error_map == {"1": 30003, "A1": 30007}
    assert parsed.trusts_text


def test_one_host_goes_with_its_port():
    assert parse({"host": "smsc.example", "port": "3000"}).hosts == (Host("smsc.example", 3000),)
    both = {"host": "smsc.example", "hosts": "a:1"}
    assert parse(both).hosts == (Host("a", 1),)


def test_rows_can_be_shown():
    """Choices are what the check takes, and texts for people are sentences."""
    for setting in SETTINGS:
        assert all(setting.is_good(choice) for choice in setting.choices)
        assert setting.is_good(setting.default)
        assert setting.meaning.endswith(".")
    assert json.dumps([[s.name, s.meaning, s.must, s.default, s.choices] for s in SETTINGS])


@given(name=st.sampled_from([s.name for s in SETTINGS]), value=st.text(max_size=60))
def test_any_text_is_checked_or_refused(name, value):
    """No text makes a check fail in another way than by saying so."""
    try:
        check({**LEAST, name: value})
    except Refusal as refusal:
        found = refusal.code
    else:
        found = 20422 if parse({**LEAST, name: value}).system_id else 0
    assert found == 20422
