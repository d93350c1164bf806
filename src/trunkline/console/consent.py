"""Consent: who opted out, in the order of their numbers; and the history of one number."""

from urllib.parse import urlencode

from starlette.responses import Response

from trunkline.console.pages import page
from trunkline.console.visit import PREFIX, Visit
from trunkline.domain.address import parse_recipient
from trunkline.domain.consent import Consent
from trunkline.flows import proof

ROWS_MAX = 50
HISTORY_MAX = 200  # Of one number; the command line and the admin API read on.
NUMBER_LENGTH_MAX = 64
NO_NUMBER = "That is no phone number; write it as +15558675310."


async def show_consent(visit: Visit) -> Response:
    """Show those who opted out, or what is known of one number."""
    typed = visit.request.query_params.get("number", "").strip()[:NUMBER_LENGTH_MAX]
    if not typed:
        return await _show_all(visit)
    address = parse_recipient(typed)
    if address is None:
        return await _show_all(visit, typed=typed, mistake=NO_NUMBER)
    sid, number = visit.account.sid, address.text
    return page(
        visit,
        "consent.html",
        typed=typed,
        mistake="",
        number=number,
        rows=await proof.states(visit.platform, sid, recipient=number, limit=ROWS_MAX),
        history=await proof.history(visit.platform, sid, recipient=number, limit=HISTORY_MAX),
        history_max=HISTORY_MAX,
        older="",
        newest="",
    )


async def _show_all(visit: Visit, *, typed: str = "", mistake: str = "") -> Response:
    recipient, comma, scope = visit.request.query_params.get("after", "").partition(",")
    found = await proof.states(
        visit.platform,
        visit.account.sid,
        status=Consent.OUT,
        after=(recipient, scope) if comma else None,
        limit=ROWS_MAX + 1,
    )
    rows = found[:ROWS_MAX]
    has_more = len(found) > ROWS_MAX
    return page(
        visit,
        "consent.html",
        typed=typed,
        mistake=mistake,
        number="",
        rows=rows,
        history=(),
        history_max=HISTORY_MAX,
        older=_path(after=f"{rows[-1].recipient},{rows[-1].scope}") if has_more else "",
        newest=_path() if comma else "",
    )


def _path(**query: str) -> str:
    return f"{PREFIX}/consent" + (f"?{urlencode(query)}" if query else "")
