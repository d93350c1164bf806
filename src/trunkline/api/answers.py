"""What goes back to a caller: a JSON object, nothing, the way to a file, or an error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from trunkline.domain.errors import Refusal

Headers = tuple[tuple[bytes, bytes], ...]

JSON_HEADERS: Headers = ((b"content-type", b"application/json;charset=utf-8"),)
MORE_INFO = "https://www.twilio.com/docs/errors/"
RETRY_AFTER_SECONDS = 1  # The requests that fill the server end within about a second.
DAY_IS_FULL = 63038  # Its 429 is good until midnight: nobody is to ask again in a second.
UNAVAILABLE_SECONDS = 30  # Somebody has to make room on the disk, or to start another node.

_encoder = msgspec.json.Encoder()


@dataclass(slots=True)
class Answer:
    """A status, a body that is at hand, and the headers that go with it."""

    status: int
    body: bytes = b""
    headers: Headers = ()


def json_answer(value: Mapping[str, Any], *, status: int = 200) -> Answer:
    """Return an answer that is a JSON object."""
    return Answer(status, _encoder.encode(value), JSON_HEADERS)


def error_answer(refusal: Refusal, *, path: str, headers: Headers = ()) -> Answer:
    """Return an error in Twilio's shape; a 20404 always names the path that was asked for."""
    if refusal.code == 20404:
        refusal = Refusal(20404, path=path)
    return problem(
        refusal.code,
        refusal.message,
        status=refusal.status,
        headers=(*headers, *_headers_of(refusal)),
    )


def problem(code: int, message: str, *, status: int, headers: Headers = ()) -> Answer:
    """Return an error in Twilio's shape from its parts."""
    more_info = f"{MORE_INFO}{code}"
    body = {"code": code, "message": message, "more_info": more_info, "status": status}
    return Answer(status, _encoder.encode(body), (*JSON_HEADERS, *headers))


def _headers_of(refusal: Refusal) -> Headers:
    return () if refusal.code == DAY_IS_FULL else _HEADERS_BY_STATUS.get(refusal.status, ())


_HEADERS_BY_STATUS: Mapping[int, Headers] = {
    401: ((b"www-authenticate", b'Basic realm="Twilio API"'),),
    429: ((b"retry-after", str(RETRY_AFTER_SECONDS).encode()),),
    503: ((b"retry-after", str(UNAVAILABLE_SECONDS).encode()),),
}
