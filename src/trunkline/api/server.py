"""The HTTP server of the API: one ASGI callable, from the request's bytes to the answer's.

Every error leaves in Twilio's shape. What nobody expected is caught here and nowhere else in the
API: it is logged with its traceback (without bodies, numbers or paths) and answered with 20500.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from trunkline.api.answers import Answer, Headers, error_answer, problem
from trunkline.api.auth import Actor, authenticate, authenticate_test, reach
from trunkline.api.concurrency import Concurrency
from trunkline.api.fields import Pairs
from trunkline.api.forms import BODY_BYTES_MAX, parse_form, parse_query, read_body
from trunkline.api.openapi import OPENAPI_PATH, openapi_document
from trunkline.api.resource import Call, Resource, Route
from trunkline.api.routing import Match, router_of
from trunkline.domain.account import Account, AccountStatus
from trunkline.domain.errors import Refusal
from trunkline.domain.message import REQUEST_ID
from trunkline.flows.alerts import rejected
from trunkline.flows.platform import Platform
from trunkline.runtime import request_id

# Each may hold a body and wait for a commit; a thousand of them take about 100 MB at the worst.
CONCURRENT_REQUESTS_MAX = 1000

# What Twilio sends, so that pages in a browser may call us too.
_CORS: Headers = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"ETag, Twilio-Request-Id"),
)
_PREFLIGHT: Headers = (
    (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Accept, Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key",
    ),
    (b"access-control-max-age", b"86400"),
)
# Where a request's scope says which route it took; a path that is nobody's is no label.
ROUTE, NO_ROUTE = "trunkline.route", "none"
# There as well: whose requests the answer tells of, and among whose this one is counted.
SHOWN, COUNTED = "trunkline.account", "trunkline.counted"
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})

_DEFAULT_PORTS = {"http": 80, "https": 443}

_log = logging.getLogger(__name__)


class ApiServer:
    """Answers requests to a set of resources."""

    def __init__(self, platform: Platform, resources: Iterable[Resource]) -> None:
        declared = tuple(resources)
        self._platform = platform
        self._router = router_of(declared)
        self._openapi = openapi_document(declared)
        self._running = 0
        self._by_account = Concurrency()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        assert scope["type"] == "http", "the composition root sends other scopes elsewhere"
        started = asyncio.get_running_loop().time()
        self._running += 1
        request_id.set(self._platform.chance.sid("RQ", self._platform.clock.now()))
        try:
            answer = await self._answer(scope, receive)
            self._report(answer, scope, started=started)
            await self._send(answer, scope, send=send, started=started)
        except ClientDisconnect:
            return
        finally:
            self._running -= 1
            if account_sid := scope.get(COUNTED):
                self._by_account.leave(account_sid)
            request_id.set("")

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        return self._running

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path = _raw_path(scope)
        match: Match | None = None
        try:
            if self._running > CONCURRENT_REQUESTS_MAX:
                raise Refusal(20429)
            if scope["method"] == "OPTIONS":
                return Answer(204, headers=_PREFLIGHT)
            if path == OPENAPI_PATH and scope["method"] in ("GET", "HEAD"):
                return self._openapi
            headers = dict(scope["headers"])
            host = headers.get(b"host", b"").decode("latin-1")
            match = self._router.find(scope["method"], path, host=host)
            if match is None:
                raise Refusal(20404, path=path)
            scope[ROUTE] = match.route and match.route.path
            if match.route is None:
                allow = ", ".join((*match.methods, "OPTIONS")).encode()
                return error_answer(Refusal(20004), path=path, headers=((b"allow", allow),))
            call = await self._call(match.route, match, scope=scope, headers=headers)
            self._count(call.account.sid, scope)
            pairs = await _pairs(scope, receive, headers=headers)
            if pairs is None:
                message = f"A request's body may have {BODY_BYTES_MAX} bytes"
                return problem(20001, message, status=413)
            url = _base_url(scope, headers) + call.uri
            return await _answer_of(match.route, call, pairs, url=url)
        except Refusal as refusal:
            self._platform.meter.count("api_refusals", code=str(refusal.code))
            return error_answer(refusal, path=path)
        except ClientDisconnect:
            raise
        except ConnectionError as error:  # The store's, and nothing was done.
            _log.warning("A request was turned away: %s", error)
            return error_answer(Refusal(20503), path=path)
        except Exception:
            route = match and match.route and f"{match.route.method} {match.route.path}"
            extra = {REQUEST_ID: request_id.get()}
            _log.exception("A request failed: %s", route, extra=extra)
            return error_answer(Refusal(20500), path=path)

    async def _call(
        self, route: Route, match: Match, *, scope: Scope, headers: Mapping[bytes, bytes]
    ) -> Call:
        """Return the call of somebody who may make it, or refuse."""
        authorization = headers.get(b"authorization")
        text = None if authorization is None else authorization.decode("latin-1")
        actor = await authenticate(self._platform, text)
        actor = actor or await authenticate_test(self._platform, text)
        if actor is None or (actor.key is not None and not route.resource.open_to_keys):
            raise Refusal(20003)
        if actor.is_test and route.op.rehearse is None:
            raise Refusal(20008)
        account_sid = match.path.get(route.resource.account, actor.account.sid)
        account = await reach(self._platform, actor, account_sid=account_sid)
        _check_status(route, actor, account=account)
        key = headers.get(b"idempotency-key") if route.op.takes_key else None
        return Call(
            platform=self._platform,
            account=account,
            actor=actor,
            path=match.path,
            uri=_raw_path(scope),
            base_url=_base_url(scope, headers) + match.prefix,
            idempotency_key=None if key is None else key.decode("latin-1").strip(),
        )

    def _count(self, account_sid: str, scope: Scope) -> None:
        """Count a request among its account's, or refuse it (20429)."""
        scope[SHOWN] = account_sid
        self._by_account.enter(account_sid, most=self._platform.rules.account_concurrency)
        scope[COUNTED] = account_sid

    async def _send(self, answer: Answer, scope: Scope, *, send: Send, started: float) -> None:
        headers = [*answer.headers, *self._common_headers(scope, started=started)]
        if answer.status != 204:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    def _report(self, answer: Answer, scope: Scope, *, started: float) -> None:
        seconds = asyncio.get_running_loop().time() - started
        status = answer.status
        route, method = scope.get(ROUTE) or NO_ROUTE, scope["method"]
        if method not in KNOWN_METHODS:
            method = "other"
        self._platform.meter.observe(
            "http_request_seconds",
            seconds,
            route=route,
            method=method,
            status=f"{status // 100}xx",
        )
        level = logging.DEBUG if status < 500 else logging.INFO
        if _log.isEnabledFor(level):
            facts = {REQUEST_ID: request_id.get(), "route": route, "method": method}
            facts |= {"status": status, "duration_ms": round(seconds * 1000, 3)}
            _log.log(level, "request", extra=facts)

    def _common_headers(self, scope: Scope, *, started: float) -> Headers:
        seconds = asyncio.get_running_loop().time() - started
        account_sid = scope.get(SHOWN)
        running = self._by_account.of(account_sid) if account_sid else self._running
        return (
            (b"twilio-request-id", request_id.get().encode()),
            (b"twilio-request-duration", f"{seconds:.3f}".encode()),
            (b"twilio-concurrent-requests", str(running).encode()),
            *_CORS,
        )


def _check_status(route: Route, actor: Actor, *, account: Account) -> None:
    """Refuse (20005) a suspended account everything, and its owner all but looking and waking it.

    A closed subaccount is to its owner like a suspended one.
    """
    if actor.account.status is not AccountStatus.ACTIVE:
        raise Refusal(20005)
    is_locked = account.status is not AccountStatus.ACTIVE and route.method != "GET"
    if is_locked and not route.resource.open_when_inactive:
        raise Refusal(20005)


async def _answer_of(route: Route, call: Call, pairs: Pairs, *, url: str) -> Answer:
    """Do what is asked, or refuse; what an account posts in vain is noted for its people."""
    try:
        return await route.answer(call, pairs)
    except Refusal as refusal:
        # For test credentials nothing is done, and nothing is kept.
        if route.method == "POST" and not call.actor.is_test:
            await rejected(call.platform, call.account.sid, refusal, url=url, pairs=pairs)
        raise


async def _pairs(scope: Scope, receive: Receive, *, headers: Mapping[bytes, bytes]) -> Pairs | None:
    """Return the parameters: of the body where there may be one, else of the query."""
    if scope["method"] not in ("POST", "PATCH"):
        return parse_query(scope["query_string"])
    if headers.get(b"content-encoding", b"").lower() not in (b"", b"identity"):
        raise Refusal(20001, message="A body is read as it is: without a Content-Encoding")
    body = await read_body(receive, headers=headers)
    return None if body is None else await parse_form(body, headers.get(b"content-type", b""))


def _raw_path(scope: Scope) -> str:
    """Return the path as the caller wrote it, so that an encoded slash is no separator."""
    raw: bytes | None = scope.get("raw_path")
    return quote(scope["path"], safe="/+") if raw is None else raw.decode("latin-1")


def _base_url(scope: Scope, headers: Mapping[bytes, bytes]) -> str:
    if host := headers.get(b"host"):
        return f"{scope['scheme']}://{host.decode('latin-1')}"
    name, port = scope.get("server") or ("localhost", None)
    is_default = port is None or port == _DEFAULT_PORTS.get(scope["scheme"])
    return f"{scope['scheme']}://{name}{'' if is_default else f':{port}'}"
