"""Which Twilio error a failed exchange is: the HTTP client's exceptions, judged by one table."""

import ssl
from typing import Final

import aiohttp
from aiohttp import http_exceptions

from trunkline.webhooks.answer import (
    BAD_URL,
    BLOCKED,
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

# X509_V_ERR_* of OpenSSL's x509_vfy.h; every other verdict means that no path is trusted.
_CERTIFICATE_VERDICTS: Final = {
    9: Failure(CERTIFICATE_EXPIRED, "the certificate is not valid yet"),
    10: Failure(CERTIFICATE_EXPIRED, "the certificate has expired"),
    62: Failure(CERTIFICATE_MISMATCH, "the certificate is for another host"),
    64: Failure(CERTIFICATE_MISMATCH, "the certificate is for another address"),
}
_UNTRUSTED: Final = Failure(CERTIFICATE_UNTRUSTED, "the certificate is not trusted")

# The first row whose class fits decides, so special classes stand before their bases.
_FAILURES: Final[tuple[tuple[type[BaseException], Failure], ...]] = (
    (aiohttp.ConnectionTimeoutError, Failure(NO_CONNECTION, "connecting took too long", "ct")),
    (aiohttp.SocketTimeoutError, Failure(NO_CONNECTION, "reading took too long", "rt")),
    (aiohttp.ClientConnectorDNSError, Failure(UNKNOWN_HOST, "the host name is not known")),
    (aiohttp.ClientSSLError, Failure(TLS_FAILED, "the TLS handshake failed", "ct")),
    (aiohttp.ClientConnectorError, Failure(NO_CONNECTION, "no connection could be made", "ct")),
    (aiohttp.InvalidURL, Failure(BAD_URL, "the URL is invalid")),
    (aiohttp.ClientResponseError, Failure(PROTOCOL_VIOLATION, "the answer is not HTTP")),
    (aiohttp.ClientPayloadError, Failure(PROTOCOL_VIOLATION, "the answer's body is broken")),
    (http_exceptions.HttpProcessingError, Failure(PROTOCOL_VIOLATION, "the answer is not HTTP")),
    (UnicodeError, Failure(UNKNOWN_HOST, "the host name is not valid")),
    (
        aiohttp.ClientConnectionError,
        Failure(NO_CONNECTION, "the connection ended before the answer", "rt"),
    ),
    (TimeoutError, Failure(TOTAL_TIME, "the total time is used up")),
)
_LOST: Final = Failure(NO_CONNECTION, "the connection failed", "rt")

# What an exchange raises for things a remote does; anything else is a bug of ours.
REMOTE_ERRORS: Final = (
    aiohttp.ClientError,
    http_exceptions.HttpProcessingError,
    OSError,
    UnicodeError,
    # uvloop says so where asyncio says OSError: the other end closed while we were writing.
    RuntimeError,
)


def judge_error(error: BaseException) -> Failure:
    """Return the Failure that one of REMOTE_ERRORS stands for; TimeoutError is an OSError."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        verdict = error.certificate_error
        code = verdict.verify_code if isinstance(verdict, ssl.SSLCertVerificationError) else 0
        return _CERTIFICATE_VERDICTS.get(code, _UNTRUSTED)
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, PermissionError
    ):
        return BLOCKED
    for error_type, failure in _FAILURES:
        if isinstance(error, error_type):
            return failure
    return _LOST
