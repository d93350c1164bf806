"""The page that helps a program to connect: addresses, credentials, and where inbound texts go."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import Response

from trunkline.console.holdings import holdings
from trunkline.console.pages import page
from trunkline.console.snippets import PLACEHOLDER, curl_snippet, node_snippet, python_snippet
from trunkline.console.visit import Visit
from trunkline.domain.errors import Refusal
from trunkline.flows.numbers import Changes, update
from trunkline.flows.rehearsal import SENDER, credentials

METHODS = ("POST", "GET")


async def show_connect(visit: Visit) -> Response:
    """Show the page with the token hidden."""
    return await _page(visit)


async def reveal_token(visit: Visit) -> Response:
    """Show the page with the token; asked for by a form, so that no link can do it."""
    if not visit.sees_tokens:
        raise HTTPException(403, "An API key does not see auth tokens.")
    test = await credentials(visit.platform, visit.account.sid)
    directory = visit.platform.directory
    return await _page(
        visit,
        auth_token=directory.auth_token(visit.account),
        test={"account_sid": test.sid, "auth_token": directory.test_token(test), "sender": SENDER},
    )


async def change_number(visit: Visit) -> Response:
    """Set where texts to a number are told."""
    form = await visit.form()
    sid = visit.request.path_params["sid"]
    changes = Changes(
        sms_url=form.get("sms_url", "").strip(), sms_method=form.get("sms_method", METHODS[0])
    )
    try:
        changed = await update(visit.platform, visit.account.sid, sid=sid, changes=changes)
    except Refusal as refusal:
        return visit.declined(refusal.message, page=await _page(visit, notice=refusal.message))
    if changed is None:
        raise HTTPException(404, "This account has no such number.")
    return visit.done("/connect#numbers")


async def _page(
    visit: Visit,
    *,
    auth_token: str = "",
    notice: str = "",
    test: Mapping[str, str] | None = None,
) -> Response:
    held = await holdings(visit)
    sent_from = [number.phone_number for number in held]
    token = auth_token or PLACEHOLDER
    return page(
        visit,
        "connect.html",
        status_code=400 if notice else 200,
        held=held,
        methods=METHODS,
        auth_token=auth_token,
        sees_tokens=visit.sees_tokens,
        test=test,
        notice=notice,
        snippets={
            "Python": python_snippet(visit, token, sent_from),
            "Node.js": node_snippet(visit, token, sent_from),
            "curl": curl_snippet(visit, token, sent_from),
        },
    )
