"""Certificates: what they are good for, and until when."""

import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from trunkline.ops.doctor.finding import Finding, doubtful, fine, wrong
from trunkline.ops.doctor.web import certificate_end

# Three weeks: one holiday of whoever renews it.
NOTICE = timedelta(days=21)


def certificate_file(name: str, cert: Path, *, key: Path | None, now: datetime) -> Finding:
    """Look at a certificate of the server's own, and whether its key fits."""
    check = f"certificate {name}"
    try:
        text = cert.read_bytes()
    except OSError as error:
        return wrong(check, f"{cert} cannot be read: {error.strerror}", advice="Put it there.")
    found = certificate_text(check, text, now=now)
    if key is None:
        return found
    try:
        # A passphrase is refused: asking for it would wait for somebody to type it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:  # ssl.SSLError is one.
        return wrong(
            check,
            f"{cert} and {key} cannot be used together: {error.strerror or error}",
            advice="Put the certificate and its own key there, the key without a passphrase.",
        )
    return found


def certificate_text(check: str, text: bytes, *, now: datetime) -> Finding:
    """Look at certificates in PEM; the one that ends first counts."""
    try:
        found = x509.load_pem_x509_certificates(text)
    except ValueError as error:
        return wrong(check, f"it holds no certificate: {error}", advice="Put a PEM file there.")
    begins = max(each.not_valid_before_utc for each in found)
    if begins > now:
        return wrong(
            check,
            f"it is not valid before {begins:%Y-%m-%d %H:%M} UTC",
            advice="Wait, put another there, or look at this machine's clock.",
        )
    return end_of(check, min(each.not_valid_after_utc for each in found), now=now)


def end_of(check: str, ends: datetime, *, now: datetime) -> Finding:
    """Judge when a certificate ends."""
    if ends <= now:
        return wrong(check, f"it ended on {ends:%Y-%m-%d}", advice="Renew it now.")
    left = f"it is valid until {ends:%Y-%m-%d}, {(ends - now).days} days from now"
    if ends - now < NOTICE:
        return doubtful(check, left, advice="Renew it.")
    return fine(check, left)


def certificate_of_url(url: str, *, now: datetime) -> Finding:
    """Look at the certificate that an https URL is answered with."""
    ends, trouble = certificate_end(url)
    if ends is None:
        return doubtful(
            "certificate base_url",
            f"{url}: {trouble}",
            advice="Renew it, send those between it and its root with it, or look at the proxy.",
        )
    return end_of("certificate base_url", ends, now=now)


def carrier_certificates(
    carriers: Mapping[str, Mapping[str, str]], *, now: datetime
) -> Iterator[Finding]:
    """Look at the certificates in the settings of carriers, by the carrier's name."""
    for carrier, settings in carriers.items():
        for name in ("tls_ca", "tls_cert"):
            if text := settings.get(name):
                yield certificate_text(f"{name} of {carrier}", text.encode(), now=now)
