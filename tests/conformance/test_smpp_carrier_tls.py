"""SMPP over TLS: private authorities, names, and certificates of our own."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.smpp_carrier import carrier_at, submission
from tests.smsc import ScriptedSmsc
from trunkline.carriers.port import Taken

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certified:
    """A certificate and its key, in PEM."""

    cert: str
    key: str


class Authority:
    """A certificate authority of a test."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test authority")
        self._cert = self._signed(self._name, self._key, names=[], is_ca=True)

    @property
    def pem(self) -> str:
        """The certificate to trust."""
        return _pem(self._cert)

    def certify(self, name: str) -> Certified:
        """Return a certificate for a host or a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._signed(_name(name), key, names=[name], is_ca=False)
        octets = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Certified(_pem(cert), octets.decode())

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        names: list[str],
        is_ca: bool,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        own, signer = key.public_key(), self._key
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(own)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if names:
            listed = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(listed, critical=False)
        return builder.sign(signer, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(Encoding.PEM).decode()


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Return the authority that everybody in here was certified by."""
    return Authority()


def smsc_context(
    authority: Authority, directory: Path, *, asks_for_certificate: bool = False
) -> ssl.SSLContext:
    """Return the TLS of an SMSC called smsc.example."""
    own = authority.certify("smsc.example")
    path = directory / "smsc.pem"
    path.write_text(own.cert + own.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.pem)
    context.load_cert_chain(path)
    if asks_for_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def tls(authority: Authority, **settings: str) -> dict[str, str]:
    """Return the settings that reach smsc.example."""
    name = "smsc.example"
    return {"tls": "yes", "tls_ca": authority.pem, "tls_server_name": name, **settings}


async def test_a_private_authority_is_believed_where_it_is_named(authority, tmp_path):
    """The certificate is checked against the authority and the name that the settings say."""
    context = smsc_context(authority, tmp_path)
    trusting = tls(authority, tls_minimum="1.3")
    async with ScriptedSmsc(context=context) as smsc, carrier_at(smsc, trusting) as working:
        assert await working.carrier.submit(0, [submission()]) == [Taken("1")]


@pytest.mark.parametrize(
    "settings",
    [
        {"tls_server_name": "other.example"},
        {"tls_server_name": ""},
        {"tls_ca": ""},
        {"tls_ca": Authority().pem},
    ],
    ids=["another name", "the address", "public authorities", "another authority"],
)
async def test_a_certificate_that_is_wrong_is_not_believed(settings, authority, tmp_path):
    """Nothing is said to who cannot prove that he is the SMSC."""
    context = smsc_context(authority, tmp_path)
    async with ScriptedSmsc(context=context) as smsc:
        wrong = tls(authority, **settings)
        async with carrier_at(smsc, wrong, waits=False) as working:
            await smsc.until(lambda: "certificate" in working.carrier.binds()[0].last_error)
        assert smsc.seen == []


async def test_verification_can_be_turned_off(authority, tmp_path):
    """Some carriers have certificates that nobody can verify."""
    context = smsc_context(authority, tmp_path)
    careless = {"tls": "yes", "tls_verify": "no"}
    async with ScriptedSmsc(context=context) as smsc, carrier_at(smsc, careless) as working:
        assert await working.carrier.submit(0, [submission()]) == [Taken("1")]


async def test_our_own_certificate_is_shown_to_who_asks(authority, tmp_path):
    """A carrier that wants one lets in who has it, and nobody else."""
    context = smsc_context(authority, tmp_path, asks_for_certificate=True)
    own = authority.certify("us.example")
    async with ScriptedSmsc(context=context) as smsc:
        shown = tls(authority, tls_cert=own.cert, tls_key=own.key)
        async with carrier_at(smsc, shown) as working:
            assert await working.carrier.submit(0, [submission()]) == [Taken("1")]
        bound_before = len(smsc.seen)
        async with carrier_at(smsc, tls(authority), waits=False) as working:
            await smsc.until(lambda: working.carrier.binds()[0].last_error)
        assert len(smsc.seen) == bound_before
