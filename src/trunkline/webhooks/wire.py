"""HTTP/1.1 as it stands on the wire: a request into bytes, and bytes into an answer.

Rules: no sockets here; nothing is kept beyond its limit; whatever the bytes are, nothing raises.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from trunkline.webhooks.answer import Failure
from trunkline.webhooks.encodings import ENCODINGS, Inflater
from trunkline.webhooks.failures import BODY_BROKEN, NOT_HTTP
from trunkline.webhooks.request import USER_AGENT, Rendered, authority, path_and_query

# A single header; nginx and Apache answer within 8 kB.
HEADER_SIZE_MAX: Final = 8190
HEADERS_MAX: Final = 128
# What is no body: status lines, headers, chunk sizes, trailers. Of chunks, some 40,000.
OVERHEAD_MAX: Final = 256 * 1024
# Answers such as 100 and 103 before the one that counts; servers send one or two.
INTERIMS_MAX: Final = 16
# Servers say when they close idle connections; beyond half a minute one is rarely needed again.
IDLE_SECONDS_MAX: Final = 30.0
# Servers close idle connections after 2 s (gunicorn) to 5 s (Node, uvicorn); be first.
IDLE_SECONDS: Final = 1.5
# Of the time that a server says it keeps a connection: what is under way must still arrive.
IDLE_SHARE: Final = 0.75

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
SWITCHING_PROTOCOLS: Final = 101
BODILESS: Final = frozenset({204, 304})
_WANTED: Final = frozenset(
    {
        *(b"content-type", b"content-length", b"content-encoding", b"transfer-encoding"),
        *(b"location", b"set-cookie", b"www-authenticate", b"keep-alive"),
    }
)
_KEPT_SECONDS = re.compile(r"(?:^|[,;\s])timeout\s*=\s*([0-9]{1,6})", re.IGNORECASE)


@dataclass(slots=True)
class Reply:
    """What one exchange brought, as far as it came; *failure* says why it went no further.

    *location* is that of a redirect, whose body is left unread. *is_stale* says that nothing came
    over a connection of an earlier request: it was closed before this one arrived.
    """

    status: int | None = None
    content_type: str | None = None
    location: str | None = None
    challenges: tuple[str, ...] = ()
    set_cookies: tuple[str, ...] = ()
    body: bytes = field(default=b"", repr=False)
    is_cut: bool = False
    failure: Failure | None = None
    is_stale: bool = False


def encode_request(request: Rendered, extra: Mapping[str, str]) -> bytes:
    """Return the bytes of *request* with *extra* headers."""
    lines = [f"{request.method} {path_and_query(request.url)} HTTP/1.1"]
    lines.append("Host: " + authority(request.url))
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if "User-Agent" not in request.headers:
        lines.append("User-Agent: " + USER_AGENT)
    lines += [f"{name}: {value}" for name, value in extra.items()]
    if request.body or request.method != "GET":
        lines.append(f"Content-Length: {len(request.body)}")
    head = "\r\n".join(lines)
    is_clean = head.count("\n") == head.count("\r") == len(lines) - 1 and "\0" not in head
    assert is_clean, "a header would break out of its line"
    return head.encode() + b"\r\n\r\n" + request.body


class Reader:
    """Reads the answers of one connection, one after another."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        # What browsers and other clients let pass: servers that write by hand rely on it.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self.expect(0)

    def expect(self, size_max: int) -> None:
        """Begin a new answer, of whose body *size_max* bytes are wanted."""
        self.reply = Reply()
        self.idle_seconds = IDLE_SECONDS
        self._size_max = size_max
        self._headers: list[tuple[bytes, str]] = []
        self._header_count = self._interims = 0
        self._overhead = 0
        self._body = bytearray()
        self._packed_size = 0
        self._inflater: Inflater | None = None
        self._ends_by_closing = False
        self._is_interim = self._is_over = self._is_whole = False
        self._is_sound = True

    @property
    def is_reusable(self) -> bool:
        """Whether the next answer will begin where this one ended."""
        return self._is_whole and self._is_sound

    def feed(self, data: bytes) -> bool:
        """Read on; return whether the reply is all that will be."""
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._is_sound = False
            if not self._is_over:
                self._fail()
        if self._overhead > OVERHEAD_MAX and not self._is_over:
            self._fail()
        return self._is_over

    def end(self) -> bool:
        """Take the other side's closing for an answer's end, if it may be; return whether it is."""
        if not self._is_over and self._ends_by_closing and self.reply.status is not None:
            self._complete()
        self._is_sound = False
        return self._is_over

    def close(self) -> None:
        """Let go of the parser: it and this object hold each other."""
        del self._parser

    def on_message_begin(self) -> None:
        """Note an answer that nobody asked for behind the one that is read."""
        if self._is_over:
            self._is_sound = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header that matters; too many, and too long ones, end the reading."""
        self._header_count += 1
        if self._header_count > HEADERS_MAX or len(name) + len(value) > HEADER_SIZE_MAX:
            raise ValueError("the headers exceed their limits")
        name = name.lower()
        if name in _WANTED and self.reply.status is None:
            self._headers.append((name, value.decode("utf-8", "surrogateescape").strip(" \t")))

    def on_headers_complete(self) -> None:
        """Judge by the headers how the answer goes on."""
        if self._is_over:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != SWITCHING_PROTOCOLS:
            self._interims += 1
            if self._interims > INTERIMS_MAX:
                raise ValueError("there are too many interim answers")
            self._is_interim = True
            self._headers.clear()
            return
        self.reply.status = status
        self._take_headers(status)
        if self.reply.location is not None:
            self._is_over = True
        elif status == SWITCHING_PROTOCOLS:
            self._is_over, self._is_sound = True, False

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body, up to one byte more than is wanted."""
        self._overhead -= len(data)
        if self._is_over:
            return
        if self._inflater is not None:
            # No honest stream is longer than what it stands for.
            self._packed_size += len(data)
            data = self._inflater.inflate(data, self._size_max + 1 - len(self._body))
        self._body += data
        if max(len(self._body), self._packed_size) > self._size_max:
            self.reply.is_cut = True
            self.reply.body = bytes(self._body[: self._size_max])
            self._is_over = True

    def on_message_complete(self) -> None:
        """End the answer, unless it is one before the one that counts."""
        if self._is_interim:
            self._is_interim = False
            return
        self._is_sound = self._is_sound and self._parser.should_keep_alive()
        self._is_whole = True
        if not self._is_over:
            self._complete()

    def _take_headers(self, status: int) -> None:
        """Put the headers where they are looked for; of those that occur once the first counts."""
        found = dict(reversed(self._headers))
        reply = self.reply
        if (content_type := found.get(b"content-type")) is not None:
            reply.content_type = _without_surrogates(content_type)
        if status in REDIRECTS:
            reply.location = found.get(b"location")
        if b"set-cookie" in found:
            reply.set_cookies = self._all(b"set-cookie")
        if b"www-authenticate" in found:
            reply.challenges = self._all(b"www-authenticate")
        if b"keep-alive" in found:
            self.idle_seconds = _idle_seconds(found[b"keep-alive"])
        if (encoding := found.get(b"content-encoding", "").lower()) in ENCODINGS:
            self._inflater = Inflater(encoding)
        is_chunked = found.get(b"transfer-encoding", "").lower().endswith("chunked")
        has_length = b"content-length" in found or is_chunked or status in BODILESS
        self._ends_by_closing = not has_length

    def _all(self, wanted: bytes) -> tuple[str, ...]:
        return tuple(_without_surrogates(value) for name, value in self._headers if name == wanted)

    def _complete(self) -> None:
        if self._inflater is not None and not self._inflater.is_whole and self._packed_size:
            self._fail()
            return
        self.reply.body = bytes(self._body)
        self._is_over = True

    def _fail(self) -> None:
        self.reply.failure = NOT_HTTP if self.reply.status is None else BODY_BROKEN
        self._is_over, self._is_sound = True, False


def _without_surrogates(value: str) -> str:
    """Return *value* as it can be stored and hashed; bytes that are no UTF-8 become U+FFFD."""
    if value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _idle_seconds(header: str) -> float:
    """Return how long a connection may wait by a Keep-Alive header (RFC 2068 §19.7.1)."""
    found = _KEPT_SECONDS.search(header)
    if found is None:
        return IDLE_SECONDS
    return min(int(found[1]) * IDLE_SHARE, IDLE_SECONDS_MAX)
