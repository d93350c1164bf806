"""What can go wrong with an exchange, and which Twilio error each is."""

import ssl
from typing import Final

from trunkline.webhooks.answer import (
    CERTIFICATE_EXPIRED,
    CERTIFICATE_MISMATCH,
    CERTIFICATE_UNTRUSTED,
    NO_CONNECTION,
    PROTOCOL_VIOLATION,
    TLS_FAILED,
    TOTAL_TIME,
    UNKNOWN_HOST,
    Failure,
)

NAME_UNKNOWN: Final = Failure(UNKNOWN_HOST, "the host name is not known")
NAME_INVALID: Final = Failure(UNKNOWN_HOST, "the host name is not valid")
UNREACHABLE: Final = Failure(NO_CONNECTION, "no connection could be made", "ct")
CONNECTING_TIME: Final = Failure(NO_CONNECTION, "connecting took too long", "ct")
READING_TIME: Final = Failure(NO_CONNECTION, "reading took too long", "rt")
TIME_USED_UP: Final = Failure(TOTAL_TIME, "the total time is used up")
LOST: Final = Failure(NO_CONNECTION, "the connection ended before the answer", "rt")
NOT_HTTP: Final = Failure(PROTOCOL_VIOLATION, "the answer is not HTTP")
BODY_BROKEN: Final = Failure(PROTOCOL_VIOLATION, "the answer's body is broken")
HANDSHAKE_FAILED: Final = Failure(TLS_FAILED, "the TLS handshake failed", "ct")

# X509_V_ERR_* of OpenSSL's x509_vfy.h; every other verdict means that no path is trusted.
_CERTIFICATE_VERDICTS: Final = {
    9: Failure(CERTIFICATE_EXPIRED, "the certificate is not valid yet"),
    10: Failure(CERTIFICATE_EXPIRED, "the certificate has expired"),
    62: Failure(CERTIFICATE_MISMATCH, "the certificate is for another host"),
    64: Failure(CERTIFICATE_MISMATCH, "the certificate is for another address"),
}
_UNTRUSTED: Final = Failure(CERTIFICATE_UNTRUSTED, "the certificate is not trusted")


def judge_handshake(error: OSError) -> Failure:
    """Return the Failure for what ended a connection before its first request."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE_VERDICTS.get(error.verify_code, _UNTRUSTED)
    return HANDSHAKE_FAILED if isinstance(error, ssl.SSLError) else UNREACHABLE
