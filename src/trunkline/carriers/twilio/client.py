"""Makes requests to the upstream API: bounded, without redirects, and none of them raises.

Rule: whether a request may have arrived is never guessed: once a connection stood, it may.
"""

import asyncio
import base64
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import urlencode, urlsplit

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from trunkline.carriers.twilio.settings import WINDOW_MAX, TwilioSettings
from trunkline.carriers.twilio.wire import parse_date

API_VERSION = "2010-04-01"
# A page of 200 messages of 1,600 characters, each escaped with six, is 2 MB.
ANSWER_SIZE_MAX: Final = 4_000_000
# Everything under way and a test of the connection beside it.
CONNECTIONS_MAX: Final = WINDOW_MAX + 4
# Servers close idle connections after 2 s (gunicorn) to 5 s (Node, uvicorn); be first.
KEEP_ALIVE_SECONDS: Final = 1.5
# A whole TLS handshake across the world takes one second.
CONNECT_SECONDS_MAX: Final = 10.0
# Somebody else's idea of "later" must not stop us for a day.
RETRY_AFTER_SECONDS_MAX: Final = 600.0
READ_SIZE: Final = 64 * 1024

Pairs = Sequence[tuple[str, str]]

# What an exchange raises for things the other side or the network does.
_TROUBLE: Final = (
    aiohttp.ClientError,
    http_exceptions.HttpProcessingError,
    OSError,
    UnicodeError,
    # uvloop says so where asyncio says OSError: the other end closed while we were writing.
    RuntimeError,
)
# Of these, what happens before there is a connection: nothing can have arrived.
_UNCONNECTED: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    UnicodeError,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever it says."""

    status: int
    body: bytes
    retry_after: float | None = None
    date: datetime | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer; has_left: the request may have arrived."""

    has_left: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; *path* begins with the version of the API. The client gives it its number."""

    method: str
    path: str
    form: Pairs = ()
    number: int = 0


Watcher = Callable[[Request, Reply | Silence | None], None]


class TwilioClient:
    """Ask the API of one account; *watch* sees each request, then what came of it."""

    def __init__(
        self, settings: TwilioSettings, watch: Watcher, *, now: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._now = now
        pair = f"{settings.username}:{settings.password}".encode()
        self._authorization = "Basic " + base64.b64encode(pair).decode("ascii")
        self._session: aiohttp.ClientSession | None = None
        self._count = 0

    @property
    def account_path(self) -> str:
        """Where the account's resources are."""
        return f"/{API_VERSION}/Accounts/{self._settings.account_sid}"

    def authorization_for(self, url: str) -> str | None:
        """Return the Authorization for a URL of the API; None for anybody else's."""
        return self._authorization if self.is_own(url) else None

    def is_own(self, url: str) -> bool:
        """Say whether a URL has the scheme, host and port of the API."""
        try:
            return URL(url).origin() == URL(self._settings.base_url).origin()
        except (ValueError, TypeError):
            return False

    def absolute(self, path: str) -> str | None:
        """Return the URL of a path of the API; None where it would lead elsewhere."""
        url = self._settings.base_url + path
        return url if path.startswith("/") and self.is_own(url) else None

    async def ask(self, request: Request) -> Reply | Silence:
        """Make one request and return what came of it."""
        self._count += 1
        request = replace(request, number=self._count)
        self._watch(request, None)
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                outcome: Reply | Silence = await self._exchange(request)
        except _TROUBLE as error:
            outcome = Silence(not isinstance(error, _UNCONNECTED), _words(error))
        self._watch(request, outcome)
        return outcome

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, request: Request) -> Reply | Silence:
        query = urlencode(request.form) if request.method == "GET" else ""
        url = self._settings.base_url + request.path
        if query:
            url += ("&" if urlsplit(url).query else "?") + query
        if self._session is None:
            self._session = self._opened()
        async with self._session.request(
            request.method,
            URL(url, encoded=True),
            headers={"Authorization": self._authorization, "Accept": "application/json"},
            data=None if request.method == "GET" else aiohttp.FormData(list(request.form)),
            allow_redirects=False,
        ) as response:
            body = await _read(response)
            if body is None:
                return Silence(True, "the answer is too large")
            return Reply(
                response.status,
                body,
                self._retry_after(response.headers.get("Retry-After", "")),
                parse_date(response.headers.get("Date", "")),
            )

    def _opened(self) -> aiohttp.ClientSession:
        # Half of the time at most goes into connecting, so that running out of the whole of it
        # always means that the request has left.
        connect = min(CONNECT_SECONDS_MAX, self._settings.request_seconds / 2)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=CONNECTIONS_MAX,
                ssl=ssl.create_default_context(),
                keepalive_timeout=KEEP_ALIVE_SECONDS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect),
            read_bufsize=READ_SIZE,
            trust_env=False,
        )

    def _retry_after(self, text: str) -> float | None:
        """Read Retry-After: seconds, or a date."""
        if text.isascii() and text.isdigit():
            return min(float(text), RETRY_AFTER_SECONDS_MAX)
        at = parse_date(text)
        if at is None:
            return None
        return min(max((at - self._now()).total_seconds(), 0.0), RETRY_AFTER_SECONDS_MAX)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    body = bytearray()
    async for piece in response.content.iter_chunked(READ_SIZE):
        body += piece
        if len(body) > ANSWER_SIZE_MAX:
            return None
    return bytes(body)


def _words(error: BaseException) -> str:
    """Say what went wrong; never the address, which may hold numbers."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "connecting took too long"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection could be made"
    if isinstance(error, TimeoutError):
        return "no answer came in time"
    return "the connection ended before the answer"
