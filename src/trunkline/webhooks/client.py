"""Sends webhook requests, with time limits, redirects, challenges, cookies and retries.

Rules: nothing is read beyond its limit; a request to a remote that misbehaves in any way ends in
an Answer. Where a connection may lead is judged in dialling.py.
"""

import asyncio
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

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
from trunkline.webhooks.connection import Connection
from trunkline.webhooks.connections import CONNECTIONS_MAX, CONNECTIONS_PER_HOST_MAX, Connections
from trunkline.webhooks.cookies import merge_cookies, parse_set_cookies, render_cookies
from trunkline.webhooks.dialling import Dialler
from trunkline.webhooks.guard import Guard
from trunkline.webhooks.request import (
    Rendered,
    Target,
    is_same_place,
    origin,
    path_and_query,
    redirected,
)
from trunkline.webhooks.requester import NO_COOKIES
from trunkline.webhooks.slots import Slots
from trunkline.webhooks.wire import Reply, encode_request

# https://www.twilio.com/docs/errors/11215 names no number; browsers stop at 20, curl at 30.
REDIRECTS_MAX: Final = 10

_TO_NOWHERE: Final = Failure(BAD_URL, "a redirect names no URL that can be followed")
_IN_CIRCLES: Final = Failure(TOO_MANY_REDIRECTS, f"more than {REDIRECTS_MAX} redirects")
_UNAUTHORIZED: Final = 401


@dataclass(slots=True)
class _Visit:
    """How far an attempt has come; *reply* is what came of its last exchange."""

    request: Rendered
    target: Target
    cookies: Mapping[str, str]
    size_max: int
    ends_at: float
    reply: Reply = field(default_factory=Reply)
    failure: Failure | None = None

    @property
    def is_home(self) -> bool:
        """Say whether the request goes where cookies and passwords belong."""
        return is_same_place(self.target.url, self.request.url)


class WebhookClient:
    """Send requests over shared connections; start() before the first, close() after the last."""

    def __init__(
        self, guard: Guard, now: Callable[[], datetime], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._guard = guard
        self._now = now
        self._tls = tls
        self._slots = Slots(CONNECTIONS_MAX, per_host_max=CONNECTIONS_PER_HOST_MAX)
        self._connections: Connections | None = None

    async def start(self) -> None:
        """Make room for connections; they need the running event loop."""
        # Reading the world's certificates takes as long as all the rest of a start.
        tls = self._tls or ssl.create_default_context()
        self._connections = Connections(Dialler(self._guard, tls))

    def admit(self, guard: Guard) -> None:
        """Let *guard* judge addresses from now on; a connection that waits has been judged."""
        self._guard = guard
        if self._connections is not None:
            self._connections.dialler.guard = guard

    async def close(self) -> None:
        """Close all connections; what is under way ends, and so does what is sent later."""
        if self._connections is not None:
            await self._connections.close()

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
        host = origin(target.url).host
        await self._slots.take(host)
        try:
            return await self._send(request, target, cookies=cookies, size_max=size_max)
        finally:
            self._slots.leave(host)

    async def _send(
        self, request: Rendered, target: Target, *, cookies: Mapping[str, str], size_max: int
    ) -> Answer:
        """Try until an attempt succeeds, is not to be repeated, or the total time is used up."""
        time = asyncio.get_running_loop().time
        overrides = target.overrides
        ends_at = time() + overrides.total_ms / 1000
        attempts: list[Attempt] = []
        while True:
            visit = _Visit(request, target, cookies, size_max, ends_at)
            started_at, began = self._now(), time()
            await self._follow(visit)
            ended = time()
            attempts.append(_attempt(visit, started_at, seconds=ended - began))
            cookies, failure = visit.cookies, visit.failure
            is_repeatable = failure is not None and failure.retry_class in overrides.retry_on
            if not is_repeatable or len(attempts) > overrides.retries or ended >= ends_at:
                return _answer(visit, attempts)

    async def _follow(self, visit: _Visit) -> None:
        """Exchange until an answer is no redirect, and leave the last answer in *visit*."""
        for _ in range(REDIRECTS_MAX + 1):
            reply = await self._exchange(visit, {})
            if (authorization := _authorization(visit)) is not None:
                reply = await self._exchange(visit, {"Authorization": authorization})
            if reply.failure is not None or reply.status is None:
                visit.failure = reply.failure
                return
            if reply.location is None:
                visit.failure = judge_status(reply.status)
                return
            following = redirected(visit.request, reply.status, location=reply.location)
            if following is None:
                visit.failure = _TO_NOWHERE
                return
            visit.request = following
        visit.failure = _IN_CIRCLES

    async def _exchange(self, visit: _Visit, extra: dict[str, str]) -> Reply:
        """Send once; again only where a connection of an earlier request turns out to be closed.

        The second time goes over a new connection, so there is no third.
        """
        assert self._connections is not None, "the client has not been started"
        place = origin(visit.request.url)
        if visit.cookies and visit.is_home and (text := render_cookies(visit.cookies)):
            extra = {"Cookie": text, **extra}
        data = encode_request(visit.request, extra)
        waiting = self._connections.borrow(place)
        reply = await _ask(visit, waiting, self._connections, data=data) if waiting else None
        if reply is None or reply.is_stale:
            opened = await self._connections.open(
                place,
                connect_seconds=visit.target.overrides.connect_ms / 1000,
                ends_at=visit.ends_at,
            )
            if isinstance(opened, Failure):
                reply = Reply(failure=opened)
            else:
                reply = await _ask(visit, opened, self._connections, data=data)
        visit.reply = reply
        if reply.set_cookies and visit.is_home:
            received = parse_set_cookies(reply.set_cookies)
            visit.cookies = merge_cookies(visit.cookies, received, now=self._now())
        return reply


async def _ask(
    visit: _Visit, connection: Connection, connections: Connections, *, data: bytes
) -> Reply:
    """Send *data* over a connection of *connections*, and give it back whatever happens."""
    try:
        return await connection.exchange(
            data,
            size_max=visit.size_max,
            read_seconds=visit.target.overrides.read_ms / 1000,
            ends_at=visit.ends_at,
        )
    finally:
        connections.give_back(connection)


def _authorization(visit: _Visit) -> str | None:
    """Return what a 401 asks for, if the URL's user-info can answer it."""
    reply, target = visit.reply, visit.target
    if reply.status != _UNAUTHORIZED or reply.failure is not None:
        return None
    if target.username is None or not visit.is_home:
        return None
    return answer_challenges(
        reply.challenges,
        Credentials(target.username, target.password),
        method=visit.request.method,
        uri=path_and_query(visit.request.url),
        cnonce=secrets.token_hex(16),
    )


def _attempt(visit: _Visit, started_at: datetime, *, seconds: float) -> Attempt:
    reply, failure = visit.reply, visit.failure
    return Attempt(
        started_at=started_at,
        duration_ms=round(seconds * 1000),
        status=reply.status,
        error_code=failure.error_code if failure else None,
        reason=failure.reason if failure else "",
        url_host=origin(visit.request.url).host,
        head=reply.body[:HEAD_SIZE_MAX],
    )


def _answer(visit: _Visit, attempts: list[Attempt]) -> Answer:
    reply = visit.reply
    is_whole = reply.failure is None
    return Answer(
        status=reply.status,
        content_type=reply.content_type if is_whole else None,
        body=reply.body if is_whole else b"",
        is_cut=reply.is_cut,
        error_code=visit.failure.error_code if visit.failure else None,
        cookies=visit.cookies,
        final_url=visit.request.url,
        attempts=tuple(attempts),
    )
