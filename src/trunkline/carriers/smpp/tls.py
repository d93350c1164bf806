"""TLS of SMPP connections: certificates come as texts, and the peer is verified unless told not."""

import ssl
import tempfile
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """What is said about TLS; empty texts say nothing."""

    is_on: bool
    verifies: bool
    server_name: str
    ca: str
    cert: str
    key: str = field(repr=False)
    minimum: str


def parse_certificates(text: str) -> bytes:
    """Return the public key of the first certificate, empty for an empty text; else ValueError."""
    if not text:
        return b""
    found = x509.load_pem_x509_certificates(text.encode())
    key = found[0].public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def parse_key(text: str) -> bytes:
    """Return the public half of a private key, empty for an empty text; else ValueError."""
    if not text:
        return b""
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def tls_context(settings: TlsSettings) -> ssl.SSLContext | None:
    """Return the context of our connections, None without TLS; raise ssl.SSLError for bad PEM."""
    if not settings.is_on:
        return None
    context = ssl.create_default_context(cadata=settings.ca or None)
    context.minimum_version = _VERSIONS[settings.minimum]
    if not settings.verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert:
        # The library reads them from files only; this one is ours alone and gone at once.
        with tempfile.NamedTemporaryFile(mode="w", suffix=".pem") as file:
            file.write(f"{settings.cert}\n{settings.key}\n")
            file.flush()
            context.load_cert_chain(file.name)
    return context
