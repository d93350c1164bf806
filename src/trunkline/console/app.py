"""The console as one application: its routes behind its gate."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from trunkline.console.alerts import show_alerts
from trunkline.console.carrier_settings import (
    add_carrier,
    change_settings,
    remove_carrier,
    show_add,
    show_settings,
)
from trunkline.console.carriers import (
    change_state,
    send_test_message,
    show_carrier,
    show_carriers,
    show_now,
    try_connection,
)
from trunkline.console.connect import change_number, reveal_token, show_connect
from trunkline.console.consent import show_consent
from trunkline.console.gate import Gate, unavailable
from trunkline.console.live import Live
from trunkline.console.log import show_log
from trunkline.console.media import serve_medium, upload
from trunkline.console.nodes import show_nodes
from trunkline.console.pages import page
from trunkline.console.phones import (
    add_phone,
    change_phone,
    remove_phone,
    send_from_phone,
    send_test,
    show_hint,
    show_phone,
    show_shelf,
    show_thread,
)
from trunkline.console.routes import add_route, remove_route, show_routes
from trunkline.console.scheduled import cancel_scheduled, show_scheduled
from trunkline.console.services import change_consent, show_services
from trunkline.console.strays import show_strays
from trunkline.console.trace import show_message
from trunkline.console.visit import Handler, Visit, endpoint
from trunkline.console.webhooks import (
    discard_host,
    discard_one,
    replay_host,
    replay_one,
    show_webhooks,
)
from trunkline.flows.platform import Platform
from trunkline.network.network import Network

STATIC = Path(__file__).parent / "static"


class Console:
    """The console; whoever stops the program calls `close` first, for the pages that listen."""

    def __init__(
        self,
        platform: Platform,
        network: Network,
        *,
        is_loopback: bool,
        allowed_hosts: frozenset[str],
    ) -> None:
        self._live = Live()
        self._gate = Gate(
            _routes(platform, network, self._live),
            platform,
            is_loopback=is_loopback,
            allowed_hosts=allowed_hosts,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._gate(scope, receive, send)

    def close(self) -> None:
        """End the streams of the pages that are open."""
        self._live.close()


def console_app(
    platform: Platform,
    network: Network,
    *,
    is_loopback: bool,
    allowed_hosts: frozenset[str],
) -> Console:
    """Return the console, to be served under /console.

    On the loopback interface it opens without a login for requests to *allowed_hosts* (see
    `gate.loopback_hosts`); elsewhere it asks for credentials, and an empty set allows every host.
    """
    return Console(platform, network, is_loopback=is_loopback, allowed_hosts=allowed_hosts)


def _routes(platform: Platform, network: Network, live: Live) -> Starlette:
    table: list[tuple[str, str, Handler]] = [
        ("GET", "/", show_shelf),
        ("GET", "/events", live.stream),
        ("POST", "/hint", show_hint),
        ("POST", "/phones", add_phone),
        ("GET", "/phones/{number}", show_phone),
        ("POST", "/phones/{number}", change_phone),
        ("GET", "/phones/{number}/thread", show_thread),
        ("POST", "/phones/{number}/remove", remove_phone),
        ("POST", "/phones/{number}/texts", send_from_phone),
        ("POST", "/phones/{number}/test", send_test),
        ("GET", "/messages", show_log),
        ("GET", "/messages/{sid}", show_message),
        ("GET", "/scheduled", show_scheduled),
        ("POST", "/scheduled/{sid}/cancel", cancel_scheduled),
        ("POST", "/uploads", upload),
        ("GET", "/media/{account_sid}/{message_sid}/{sid}", serve_medium),
        ("GET", "/services", show_services),
        ("POST", "/services/{sid}/consent", change_consent),
        ("GET", "/consent", show_consent),
        ("GET", "/carriers", show_carriers),
        ("POST", "/carriers", add_carrier),
        # A carrier may be called `new`.
        ("GET", "/new-carrier", show_add),
        ("GET", "/carriers/{name}", show_carrier),
        ("GET", "/carriers/{name}/now", show_now),
        ("POST", "/carriers/{name}/state", change_state),
        ("POST", "/carriers/{name}/probe", try_connection),
        ("POST", "/carriers/{name}/test", send_test_message),
        ("GET", "/carriers/{name}/settings", show_settings),
        ("POST", "/carriers/{name}/settings", change_settings),
        ("POST", "/carriers/{name}/remove", remove_carrier),
        ("GET", "/routes", show_routes),
        ("POST", "/routes", add_route),
        ("POST", "/routes/{sid}/remove", remove_route),
        ("GET", "/strays", show_strays),
        ("GET", "/nodes", show_nodes),
        ("GET", "/webhooks", show_webhooks),
        ("POST", "/webhooks/replay", replay_host),
        ("POST", "/webhooks/discard", discard_host),
        ("POST", "/webhooks/{sid}/replay", replay_one),
        ("POST", "/webhooks/{sid}/discard", discard_one),
        ("GET", "/alerts", show_alerts),
        ("GET", "/connect", show_connect),
        ("POST", "/connect/token", reveal_token),
        ("POST", "/numbers/{sid}", change_number),
    ]
    routes = [
        Route(path, endpoint(handler, platform, network=network), methods=[method])
        for method, path, handler in table
    ]

    return Starlette(
        routes=[*routes, Mount("/static", StaticFiles(directory=STATIC))],
        exception_handlers={
            HTTPException: _refusals(platform, network),
            ConnectionError: _unavailable,  # The store's.
        },
    )


async def _unavailable(_: Request, __: Exception) -> Response:
    return unavailable()


def _refusals(
    platform: Platform, network: Network
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return what answers a request that is refused: a page, or words for a script."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        visit = Visit(
            platform=platform, network=network, actor=request.scope["actor"], request=request
        )
        if visit.is_scripted:
            return PlainTextResponse(error.detail, status_code=error.status_code)
        return page(
            visit,
            "refused.html",
            status_code=error.status_code,
            headers=error.headers,
            reason=error.detail,
        )

    return refused
