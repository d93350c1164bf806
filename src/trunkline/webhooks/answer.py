"""What came of a webhook request: one Answer, and an Attempt for each try it took."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

# As large as the largest document that TwiML may be; more is read only for those who ask.
ANSWER_SIZE_MAX: Final = 64 * 1024
# Enough to recognise an error page in the console.
HEAD_SIZE_MAX: Final = 1024

BAD_URL: Final = 11100
BAD_STATUS: Final = 11200
TOTAL_TIME: Final = 11203
# Also stands for refused (11202) and timed-out (11201) connections: it is the code that
# https://www.twilio.com/docs/errors/11205 gives for all three.
NO_CONNECTION: Final = 11205
PROTOCOL_VIOLATION: Final = 11206
UNKNOWN_HOST: Final = 11210
TOO_MANY_REDIRECTS: Final = 11215
TLS_FAILED: Final = 11220
CERTIFICATE_MISMATCH: Final = 11235
CERTIFICATE_EXPIRED: Final = 11236
CERTIFICATE_UNTRUSTED: Final = 11237


@dataclass(frozen=True, slots=True)
class Failure:
    """Say why an attempt failed.

    *retry_class* is the word of the retry policy (ct, rt, 4xx, 5xx) that would repeat it; empty
    for failures that the same request would only meet again.
    """

    error_code: int
    reason: str
    retry_class: str = ""


BLOCKED: Final = Failure(NO_CONNECTION, "the address is not one that webhooks may reach")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """Record one try, its redirects and challenges included."""

    started_at: datetime
    duration_ms: int
    status: int | None
    error_code: int | None
    reason: str
    url_host: str
    head: bytes = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Answer:
    """Record the outcome of a request; error_code is None when all of a 2xx answer came.

    A body that was larger than its limit is cut there, and *is_cut* says so. *cookies* are
    those to send with the next request.
    """

    status: int | None
    content_type: str | None
    body: bytes = field(repr=False)
    is_cut: bool
    error_code: int | None
    cookies: Mapping[str, str] = field(repr=False)
    final_url: str
    attempts: tuple[Attempt, ...]


def judge_status(status: int) -> Failure | None:
    """Return what is wrong with a final status, or None for 2xx."""
    if 200 <= status < 300:
        return None
    retry_class = {4: "4xx", 5: "5xx"}.get(status // 100, "")
    return Failure(BAD_STATUS, f"the answer's status is {status}", retry_class)
