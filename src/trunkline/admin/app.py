"""The admin API as one application."""

import math

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from trunkline.admin.accounts import (
    add_account,
    add_secondary_token,
    change_account,
    list_accounts,
    promote_token,
    remove_secondary_token,
    show_account,
    show_test_credentials,
)
from trunkline.admin.ask import Ask, Handler, by_method, endpoint, render
from trunkline.admin.carriers import (
    add_carrier,
    change_carrier,
    list_binds,
    list_carriers,
    list_pdus,
    list_strays,
    list_types,
    remove_carrier,
    show_carrier,
    try_carrier,
)
from trunkline.admin.consent import (
    change_keywords,
    change_service,
    list_consents,
    list_history,
    list_services,
    record_consents,
    reset_keywords,
    show_keywords,
)
from trunkline.admin.customers import (
    add_credential,
    change_credential,
    list_credentials,
    remove_credential,
    show_credential,
)
from trunkline.admin.nodes import list_nodes
from trunkline.admin.numbers import add_number, list_numbers, remove_number
from trunkline.admin.phones import change_phone, list_phones, read_inbox, send_text
from trunkline.admin.preview import check_messages
from trunkline.admin.retention import (
    change_account_retention,
    reset_account_retention,
    show_account_retention,
    show_retention,
)
from trunkline.admin.routes import (
    add_route,
    change_route,
    explain_routes,
    list_routes,
    remove_route,
    show_route,
)
from trunkline.admin.upstream import TOLD_PATH, told_endpoint
from trunkline.admin.views import iso, trace_view
from trunkline.admin.webhooks import (
    count_webhooks,
    discard_webhook,
    discard_webhooks,
    list_hosts,
    list_webhooks,
    replay_webhook,
    replay_webhooks,
)
from trunkline.api.answers import Answer, error_answer, json_answer, problem
from trunkline.domain.errors import Refusal
from trunkline.flows import messages
from trunkline.flows.platform import Platform
from trunkline.network.network import Network
from trunkline.runtime import ManualClock

PREFIX = "/trunkline/v1"
SECONDS_MAX = 10 * 365 * 86_400  # Ten years at once; the calendar ends if nobody says stop.

_NOT_FOUND, _NOT_ALLOWED = 404, 405


def _table() -> dict[str, dict[str, Handler]]:
    """Return what answers, by path and method."""
    return {
        "/phones": {"GET": list_phones},
        "/phones/{number}": {"POST": change_phone},
        "/phones/{number}/inbox": {"GET": read_inbox},
        "/phones/{number}/texts": {"POST": send_text},
        "/numbers": {"GET": list_numbers, "POST": add_number},
        "/numbers/{number}": {"DELETE": remove_number},
        "/messages/check": {"POST": check_messages},
        "/messages/{sid}/trace": {"GET": show_trace},
        "/clock": {"POST": move_clock},
        "/carrier-types": {"GET": list_types},
        "/carriers": {"GET": list_carriers, "POST": add_carrier},
        "/carriers/{name}": {
            "GET": show_carrier,
            "POST": change_carrier,
            "DELETE": remove_carrier,
        },
        "/carriers/{name}/test": {"POST": try_carrier},
        "/carriers/{name}/binds": {"GET": list_binds},
        "/carriers/{name}/pdus": {"GET": list_pdus},
        "/nodes": {"GET": list_nodes},
        "/routes": {"GET": list_routes, "POST": add_route},
        # In front of the path that would take it for a route.
        "/routes/explain": {"GET": explain_routes},
        "/routes/{sid}": {"GET": show_route, "POST": change_route, "DELETE": remove_route},
        "/strays": {"GET": list_strays},
        "/retention": {"GET": show_retention},
        "/accounts": {"GET": list_accounts, "POST": add_account},
        "/accounts/{account}": {"GET": show_account, "POST": change_account},
        "/accounts/{account}/test-credentials": {"GET": show_test_credentials},
        "/accounts/{account}/auth-token/secondary": {
            "POST": add_secondary_token,
            "DELETE": remove_secondary_token,
        },
        "/accounts/{account}/auth-token/promote": {"POST": promote_token},
        "/accounts/{account}/retention": {
            "GET": show_account_retention,
            "POST": change_account_retention,
            "DELETE": reset_account_retention,
        },
        "/consents": {"GET": list_consents, "POST": record_consents},
        "/consents/history": {"GET": list_history},
        "/services": {"GET": list_services},
        "/services/{sid}": {"POST": change_service},
        "/services/{sid}/keywords": {
            "GET": show_keywords,
            "POST": change_keywords,
            "DELETE": reset_keywords,
        },
        "/webhooks": {"GET": list_webhooks},
        # In front of the path that would take them for a webhook.
        "/webhooks/count": {"GET": count_webhooks},
        "/webhooks/hosts": {"GET": list_hosts},
        "/webhooks/replay": {"POST": replay_webhooks},
        "/webhooks/discard": {"POST": discard_webhooks},
        "/webhooks/{sid}": {"DELETE": discard_webhook},
        "/webhooks/{sid}/replay": {"POST": replay_webhook},
        "/smpp-credentials": {"GET": list_credentials, "POST": add_credential},
        "/smpp-credentials/{system_id}": {
            "GET": show_credential,
            "POST": change_credential,
            "DELETE": remove_credential,
        },
    }


def admin_app(platform: Platform, network: Network) -> ASGIApp:
    """Return the admin API, to be served under /trunkline/v1.

    It asks for the credentials of the main account, or one of its keys, on every interface; only
    the callbacks of upstream accounts are known by their address and signature.
    """
    return Starlette(
        routes=[
            Route(
                PREFIX + path,
                endpoint(by_method(handlers), platform, network=network),
                methods=list(handlers),
            )
            for path, handlers in _table().items()
        ]
        + [Route(PREFIX + TOLD_PATH, told_endpoint(platform), methods=["POST"])],
        exception_handlers={HTTPException: _unrouted, 500: _unexpected},
    )


async def show_trace(ask: Ask) -> Answer:
    """Answer with everything that is known of a message of the account."""
    trace = await messages.trace(ask.platform, ask.account.sid, ask.path("sid"))
    if trace is None:
        raise Refusal(20404)
    return json_answer(trace_view(trace))


async def move_clock(ask: Ask) -> Answer:
    """Move the manual clock forward, or say that this Trunkline has none."""
    clock = ask.platform.clock
    if not isinstance(clock, ManualClock):
        reason = "The clock is the system's and cannot be moved; start with `--clock manual`."
        return problem(20404, reason, status=_NOT_FOUND)
    clock.advance(_seconds(ask))
    return json_answer({"now": iso(clock.now())})


def _seconds(ask: Ask) -> float:
    try:
        seconds = float(ask.value("Seconds") or "")
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= SECONDS_MAX:
        raise Refusal(20422, name="`Seconds`", reason=f"a number from 0 to {SECONDS_MAX}")
    return seconds


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allow = (error.headers or {}).get("Allow", "")
    code = 20004 if error.status_code == _NOT_ALLOWED else 20404
    headers = ((b"allow", allow.encode()),) if allow else ()
    return render(error_answer(Refusal(code), path=request.url.path, headers=headers))


async def _unexpected(request: Request, _: Exception) -> Response:
    return render(error_answer(Refusal(20500), path=request.url.path))
