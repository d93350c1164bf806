"""The parameters of a request as pairs of names and texts, whatever way the caller wrote them.

Rule: nothing that a caller writes fails here but what is too much; what cannot be read is as good
as not sent, and the operation then says what it misses.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from trunkline.api.fields import Pairs
from trunkline.domain.errors import Refusal

# The largest message: 1,600 characters of 12 bytes each when encoded, and ten URLs of 2 kB.
BODY_BYTES_MAX = 65_536
FIELDS_MAX = 200  # Twilio's largest operation knows 27 names; ten of MediaUrl may repeat.
FILES_MAX = 10  # Files are not asked for anywhere; they are read past.

# It warns of every octet it did not expect; a stranger's body is no news.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

_URL_ENCODED = (b"application/x-www-form-urlencoded", b"")


async def read_body(receive: Receive, *, headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the body of a request, or None when it is longer than BODY_BYTES_MAX.

    Raises ClientDisconnect when the caller is gone.
    """
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and (len(announced) > 9 or int(announced) > BODY_BYTES_MAX):
        return None
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more: bytes = message.get("body", b"")
        body += more
        if len(body) > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return body


def parse_query(query: bytes) -> Pairs:
    """Return the pairs of a query or of an url-encoded form; refuse (20001) more than FIELDS_MAX.

    Twilio's API knows no charset but UTF-8; octets that are not UTF-8 are replaced.
    """
    # The standard parse_qsl takes twice as long, and every message passes here.
    parts = query.decode("utf-8", "replace").split("&")
    if len(parts) > FIELDS_MAX:
        raise Refusal(20001, message=f"Too many parameters: at most {FIELDS_MAX} are read")
    named = (part.partition("=") for part in parts if part)
    return [(_plain(name), _plain(text)) for name, _, text in named]


def _plain(text: str) -> str:
    text = text.replace("+", " ")
    return unquote(text) if "%" in text else text


async def parse_form(body: bytes, content_type: bytes) -> Pairs:
    """Return the pairs of a form; a body of another type, JSON for example, holds none."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind in _URL_ENCODED:
        return parse_query(body)
    if kind == b"multipart/form-data":
        return await _parse_multipart(body, content_type)
    return []


async def _parse_multipart(body: bytes, content_type: bytes) -> Pairs:
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"").decode("latin-1")
    # Without the caller's charset parameter, which may name a codec that is none for text.
    headers = Headers({"content-type": f'multipart/form-data; boundary="{boundary}"'})
    parser = MultiPartParser(
        headers,
        _once(body),
        max_files=FILES_MAX,
        max_fields=FIELDS_MAX,
        max_part_size=BODY_BYTES_MAX,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError):
        return []
    pairs = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    await form.close()
    return pairs


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
