"""Who may come in, and what every answer tells the browser to forbid.

Rules: on the loopback interface the console opens without a login, so only a browser that called a
loopback name may see it (a foreign name that resolves to us is DNS rebinding) and nobody who came
through a proxy; elsewhere it asks for the credentials of an account that is active. What changes
something must come from our own pages, and what our scripts fetch may be fetched by them alone.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trunkline.api.auth import Actor, authenticate
from trunkline.console.visit import PREFIX
from trunkline.domain.account import AccountStatus
from trunkline.flows.platform import Platform

REALM = "Trunkline console"
UNAVAILABLE_SECONDS = 5

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self'; connect-src 'self'; font-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: under it browsers send `Origin: null` with our own forms, too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PROXY_HEADERS = frozenset(
    "forwarded via x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip".split()
)
# No browser speaks it any more; nginx does to what stands behind it, unless it is told otherwise.
_HTTP_OF_PROXIES = "1.0"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HTTP_PORT = 80


def loopback_hosts(port: int) -> frozenset[str]:
    """Return the Host headers by which a browser on this machine may call the console."""
    hosts = {f"{name}:{port}" for name in _LOOPBACK_NAMES}
    return frozenset(hosts | set(_LOOPBACK_NAMES) if port == _HTTP_PORT else hosts)


class Gate:
    """Stands before the console; lets requests through with who makes them in the scope."""

    def __init__(
        self,
        inner: ASGIApp,
        platform: Platform,
        *,
        is_loopback: bool,
        allowed_hosts: frozenset[str],
    ) -> None:
        self._inner = inner
        self._platform = platform
        self._is_loopback = is_loopback
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        is_proxied = scope.get("http_version") == _HTTP_OF_PROXIES or any(
            name in headers for name in _PROXY_HEADERS
        )
        try:
            outcome = self._objection(scope["method"], headers) or await self._actor(
                headers, is_proxied=is_proxied
            )
        except ConnectionError:  # The store's.
            outcome = unavailable()
        # Files may be kept, but asked about: after an upgrade the old ones must not stay.
        is_file = scope["path"].startswith(f"{PREFIX}/static/")
        send = _with_headers(send, caching="no-cache" if is_file else "no-store")
        if isinstance(outcome, Actor):
            # Mounted or called directly, the routes below are those behind our prefix.
            inside = {**scope, "root_path": PREFIX, "actor": outcome}
            await self._inner(inside, receive, send)
        else:
            await outcome(scope, receive, send)

    def _objection(self, method: str, headers: Headers) -> Response | None:
        host = headers.get("host", "").lower()
        if (self._is_loopback or self._allowed_hosts) and host not in self._allowed_hosts:
            return _forbidden("The console does not answer to this host name.")
        if method not in ("GET", "HEAD"):
            return None if _is_ours(headers, host) else _forbidden("This form is not ours.")
        fetched_from = headers.get("sec-fetch-site", "none")
        navigates = headers.get("sec-fetch-mode", "navigate") == "navigate"
        if fetched_from in ("cross-site", "same-site") and not navigates:
            return _forbidden("Only the console's own pages may fetch this.")
        return None

    async def _actor(self, headers: Headers, *, is_proxied: bool) -> Actor | Response:
        """Return whose account is shown, or what asks for a login."""
        if self._is_loopback and not is_proxied:
            main = await self._platform.directory.account(self._platform.rules.main_account_sid)
            return Actor(main) if main else _forbidden("There is no account yet.")
        actor = await authenticate(self._platform, headers.get("authorization"))
        if actor is not None:
            is_active = actor.account.status is AccountStatus.ACTIVE
            return actor if is_active else _forbidden("This account is suspended.")
        return PlainTextResponse(
            "Log in with an account SID and its auth token, or with an API key and its secret.",
            status_code=401,
            headers={"WWW-Authenticate": f'Basic realm="{REALM}", charset="UTF-8"'},
        )


def unavailable() -> Response:
    """Return what is answered while the database cannot be reached; no page can be made then."""
    return PlainTextResponse(
        "The database cannot be reached at the moment; nothing was changed. Try again.",
        status_code=503,
        headers={"Retry-After": str(UNAVAILABLE_SECONDS)},
    )


def _is_ours(headers: Headers, host: str) -> bool:
    """Tell whether one of our own pages sent this; a request that names no page is not ours."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    _, _, named = headers.get("origin", "").lower().partition("://")
    return bool(host) and named == host


def _forbidden(reason: str) -> Response:
    return PlainTextResponse(reason, status_code=403)


def _with_headers(send: Send, *, caching: str) -> Send:
    async def send_safely(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            for name, value in SECURITY_HEADERS.items():
                # A medium comes with a stricter policy of its own.
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", caching)
        await send(message)

    return send_safely
