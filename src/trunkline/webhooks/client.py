"""Sends webhook requests, with time limits, redirects, challenges, cookies and retries.

Rules: the guard judges every address at the moment of connecting; nothing is read beyond its
limit; a request to a remote that misbehaves in any way ends in an Answer.
"""

import asyncio
import errno
import secrets
import socket
import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

import aiohttp
from aiohttp import AddrInfoType
from yarl import URL

from trunkline.webhooks.answer import (
    ANSWER_SIZE_MAX,
    BAD_URL,
    HEAD_SIZE_MAX,
    TOO_MANY_REDIRECTS,
    Answer,
    Attempt,
    Failure,
    judge_status,
)
from trunkline.webhooks.challenge import Credentials, answer_challenges
from trunkline.webhooks.cookies import merge_cookies, render_cookies
from trunkline.webhooks.failures import REMOTE_ERRORS, judge_error
from trunkline.webhooks.guard import Guard
from trunkline.webhooks.overrides import Overrides
from trunkline.webhooks.request import (
    Rendered,
    Target,
    is_same_place,
    origin,
    path_and_query,
    redirected,
)
from trunkline.webhooks.requester import NO_COOKIES
from trunkline.webhooks.resolver import ThreadResolver
from trunkline.webhooks.slots import Slots

# A quarter of the 1,024 open files that a process commonly gets.
CONNECTIONS_MAX: Final = 256
# Four hosts that never answer leave most of the room to the others.
CONNECTIONS_PER_HOST_MAX: Final = 32
# https://www.twilio.com/docs/errors/11215 names no number; browsers stop at 20, curl at 30.
REDIRECTS_MAX: Final = 10
# Servers close idle connections after 2 s (gunicorn) to 5 s (Node, uvicorn); be first.
KEEP_ALIVE_SECONDS: Final = 1.5
# A connection that the server closed while we picked it up says nothing about the server.
STALE_RETRIES_MAX: Final = 2
# Status line and single header; nginx and Apache answer within 8 kB.
HEADER_SIZE_MAX: Final = 8190
HEADERS_MAX: Final = 128
READ_SIZE: Final = 16 * 1024

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Beyond this many seconds the HTTP client may round a time limit up; none of ours is so long.
TIMEOUT_CEILING_SECONDS: Final = 60
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

# Failures that a connection of an earlier request meets when the server has closed it meanwhile.
_STALE: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


@dataclass(slots=True)
class _Exchange:
    """One request under way; *may_be_stale* until it opens a connection of its own."""

    host: str
    may_be_stale: bool = True


_under_way: ContextVar[_Exchange] = ContextVar("_under_way")


@dataclass(frozen=True, slots=True)
class _Page:
    """What one exchange brought."""

    status: int
    content_type: str | None
    body: bytes
    is_cut: bool
    location: str | None
    challenges: list[str]


@dataclass(slots=True)
class _Visit:
    """How far an attempt has come; what is here survives the moment time runs out."""

    request: Rendered
    target: Target
    cookies: dict[str, str]
    size_max: int
    status: int | None = None
    page: _Page | None = None
    failure: Failure | None = None

    @property
    def is_home(self) -> bool:
        """Say whether the request goes where cookies and passwords belong."""
        return is_same_place(self.target.url, self.request.url)


class WebhookClient:
    """Send requests over one shared session; start() before the first, close() after the last."""

    def __init__(
        self, guard: Guard, now: Callable[[], datetime], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._guard = guard
        self._now = now
        self._tls = tls or ssl.create_default_context()
        self._slots = Slots(CONNECTIONS_MAX, per_host_max=CONNECTIONS_PER_HOST_MAX)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the session; it needs the running event loop."""
        connector = aiohttp.TCPConnector(
            limit=CONNECTIONS_MAX,
            ssl=self._tls,
            resolver=ThreadResolver(),
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            socket_factory=self._open_socket,
            timeout_ceil_threshold=TIMEOUT_CEILING_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
            max_line_size=HEADER_SIZE_MAX,
            max_field_size=HEADER_SIZE_MAX,
            max_headers=HEADERS_MAX,
            read_bufsize=READ_SIZE,
        )

    async def close(self) -> None:
        """Close the session and its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self,
        request: Rendered,
        target: Target,
        *,
        cookies: Mapping[str, str] = NO_COOKIES,
        size_max: int = ANSWER_SIZE_MAX,
    ) -> Answer:
        """Send *request* as *target* says and return what came of it, whatever the remote does.

        Waiting for a place among the connections to a host costs none of the request's time.
        """
        async with self._slots.taken(origin(target.url)[1]):
            return await self._send(_Visit(request, target, dict(cookies), size_max))

    async def _send(self, first: _Visit) -> Answer:
        """Try until an attempt succeeds, is not to be repeated, or the total time is used up."""
        time = asyncio.get_running_loop().time
        overrides = first.target.overrides
        deadline = time() + overrides.total_ms / 1000
        attempts: list[Attempt] = []
        cookies = first.cookies
        while True:
            visit = replace(first, cookies=cookies)
            attempts.append(await self._attempt(visit, deadline))
            cookies = visit.cookies
            is_repeatable = visit.failure and visit.failure.retry_class in overrides.retry_on
            if not is_repeatable or len(attempts) > overrides.retries or time() >= deadline:
                return _answer(visit, attempts)

    async def _attempt(self, visit: _Visit, deadline: float) -> Attempt:
        time = asyncio.get_running_loop().time
        started_at, began = self._now(), time()
        try:
            async with asyncio.timeout_at(deadline):
                await self._follow(visit)
        except REMOTE_ERRORS as error:
            visit.failure = judge_error(error)
        return Attempt(
            started_at=started_at,
            duration_ms=round((time() - began) * 1000),
            status=visit.status,
            error_code=visit.failure.error_code if visit.failure else None,
            reason=visit.failure.reason if visit.failure else "",
            url_host=origin(visit.request.url)[1],
            head=visit.page.body[:HEAD_SIZE_MAX] if visit.page else b"",
        )

    async def _follow(self, visit: _Visit) -> None:
        """Exchange until an answer is no redirect, and leave the last answer in *visit*."""
        for _ in range(REDIRECTS_MAX + 1):
            page = await self._authenticated(visit)
            if page.location is None:
                visit.failure = judge_status(page.status)
                return
            following = redirected(visit.request, page.status, location=page.location)
            if following is None:
                visit.failure = Failure(BAD_URL, "a redirect names no URL that can be followed")
                return
            visit.request = following
        visit.failure = Failure(TOO_MANY_REDIRECTS, f"more than {REDIRECTS_MAX} redirects")

    async def _authenticated(self, visit: _Visit) -> _Page:
        """Exchange, and once more with the URL's user-info if that is asked for."""
        page = await self._exchange(visit)
        if page.status != 401 or visit.target.username is None or not visit.is_home:
            return page
        authorization = answer_challenges(
            page.challenges,
            Credentials(visit.target.username, visit.target.password),
            method=visit.request.method,
            uri=path_and_query(visit.request.url),
            cnonce=secrets.token_hex(16),
        )
        if authorization is None:
            return page
        return await self._exchange(visit, {"Authorization": authorization})

    async def _exchange(self, visit: _Visit, extra: Mapping[str, str] = NO_HEADERS) -> _Page:
        """Send once; again only where a connection of an earlier request turns out to be closed."""
        stale_retries = 0
        while True:
            exchange = _Exchange(origin(visit.request.url)[1])
            token = _under_way.set(exchange)
            try:
                return await self._fetch(visit, extra)
            except _STALE as error:
                is_connecting = isinstance(error, aiohttp.ClientConnectorError)
                if is_connecting or not exchange.may_be_stale or stale_retries == STALE_RETRIES_MAX:
                    raise
                stale_retries += 1
            finally:
                _under_way.reset(token)

    async def _fetch(self, visit: _Visit, extra: Mapping[str, str]) -> _Page:
        assert self._session is not None, "the client has not been started"
        visit.status, visit.page = None, None
        async with self._session.request(
            visit.request.method,
            URL(visit.request.url, encoded=True),
            headers={**visit.request.headers, **_cookie_header(visit), **extra},
            data=visit.request.body or None,
            timeout=_time_limits(visit.target.overrides),
            allow_redirects=False,
        ) as response:
            visit.status = response.status
            if visit.is_home:
                received = response.cookies.values()
                visit.cookies = merge_cookies(visit.cookies, received, now=self._now())
            visit.page = await _read_page(response, visit.size_max)
            return visit.page

    def _open_socket(self, address: AddrInfoType) -> socket.socket:
        """Open a socket for one resolved address, or refuse it; every connection passes here."""
        family, kind, protocol, _, socket_address = address
        exchange = _under_way.get()
        exchange.may_be_stale = False
        if not self._guard.permits(str(socket_address[0]), exchange.host):
            raise PermissionError(errno.EACCES, "the guard refuses the address")
        return socket.socket(family, kind, protocol)


async def _read_page(response: aiohttp.ClientResponse, size_max: int) -> _Page:
    """Read at most *size_max* bytes of an answer; the body of a redirect is left unread."""
    headers = response.headers
    location = headers.get("Location") if response.status in REDIRECTS else None
    body = bytearray()
    if location is None:
        async for piece in response.content.iter_chunked(READ_SIZE):
            body += piece
            if len(body) > size_max:
                break
    return _Page(
        status=response.status,
        content_type=headers.get("Content-Type"),
        body=bytes(body[:size_max]),
        is_cut=len(body) > size_max,
        location=location,
        challenges=headers.getall("WWW-Authenticate", []),
    )


def _cookie_header(visit: _Visit) -> dict[str, str]:
    text = render_cookies(visit.cookies) if visit.is_home else ""
    return {"Cookie": text} if text else {}


def _time_limits(overrides: Overrides) -> aiohttp.ClientTimeout:
    """Return the limits of one exchange; the total time, retries included, is kept outside it."""
    return aiohttp.ClientTimeout(
        total=None,
        connect=overrides.connect_ms / 1000,
        sock_read=overrides.read_ms / 1000,
        ceil_threshold=TIMEOUT_CEILING_SECONDS,
    )


def _answer(visit: _Visit, attempts: list[Attempt]) -> Answer:
    page = visit.page
    return Answer(
        status=visit.status,
        content_type=page.content_type if page else None,
        body=page.body if page else b"",
        is_cut=page.is_cut if page else False,
        error_code=visit.failure.error_code if visit.failure else None,
        cookies=visit.cookies,
        final_url=visit.request.url,
        attempts=tuple(attempts),
    )
