"""Webhooks that were given up: at which host that lies, and making them again."""

from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.responses import Response

from trunkline.console.pages import page
from trunkline.console.visit import PREFIX, Visit
from trunkline.domain.errors import Refusal
from trunkline.domain.ids import is_sid
from trunkline.flows import replay
from trunkline.flows.replay import WebhookFilter
from trunkline.store.callbacks import AttemptRow
from trunkline.store.parked import COUNTED_MAX

ROWS_MAX = 50
REASON_SHOWN_MAX = 160  # A receiver may answer anything.
NOT_YOURS = "Webhooks that were not delivered are shown to the main account."
GONE = "That webhook is not among those that were given up any more."


async def show_webhooks(visit: Visit) -> Response:
    """Show the hosts, and one page of what was given up, of one host or of all."""
    return await _page(visit)


async def replay_host(visit: Visit) -> Response:
    """Make everything again that was given up for a host."""
    wanted = await _host(visit)
    await replay.replay_all(visit.platform, wanted)
    return visit.done("/webhooks")


async def discard_host(visit: Visit) -> Response:
    """Throw everything away that was given up for a host."""
    wanted = await _host(visit)
    await replay.discard_all(visit.platform, wanted)
    return visit.done("/webhooks")


async def replay_one(visit: Visit) -> Response:
    """Make one webhook again, with the others of its message."""
    _require_main_account(visit)
    try:
        await replay.replay(visit.platform, visit.request.path_params["sid"])
    except Refusal:
        return visit.declined(GONE, page=await _page(visit, mistake=GONE))
    return visit.done("/webhooks")


async def discard_one(visit: Visit) -> Response:
    """Throw one webhook away."""
    _require_main_account(visit)
    try:
        await replay.discard(visit.platform, visit.request.path_params["sid"])
    except Refusal:
        return visit.declined(GONE, page=await _page(visit, mistake=GONE))
    return visit.done("/webhooks")


def counted(count: int) -> str:
    """Return a count, as far as it was counted."""
    return f"{count:,}" + ("+" if count >= COUNTED_MAX else "")


def why(attempt: AttemptRow | None) -> str:
    """Return in a few words what came of an attempt."""
    if attempt is None:
        return ""
    return f"{attempt.error_code or ''} {attempt.reason}".strip()[:REASON_SHOWN_MAX]


def webhooks_path(**query: str) -> str:
    """Return the address of the page with these filters."""
    said = urlencode({name: value for name, value in query.items() if value})
    return f"{PREFIX}/webhooks" + (f"?{said}" if said else "")


async def _page(visit: Visit, *, mistake: str = "") -> Response:
    _require_main_account(visit)
    query = visit.request.query_params
    host, before = query.get("host", ""), query.get("before", "")
    found = await replay.listed(
        visit.platform,
        WebhookFilter(host=host or None),
        limit=ROWS_MAX + 1,
        before=before if is_sid(before, "CB") else None,
    )
    rows = found[:ROWS_MAX]
    older = webhooks_path(host=host, before=rows[-1].row.sid) if len(found) > ROWS_MAX else ""
    return page(
        visit,
        "webhooks.html",
        status_code=400 if mistake else 200,
        hosts=await replay.hosts(visit.platform),
        queue=await replay.queue(visit.platform, host) if host else None,
        rows=rows,
        host=host,
        older=older,
        newest=webhooks_path(host=host) if before else "",
        path=webhooks_path,
        counted=counted,
        why=why,
        mistake=mistake,
    )


def _require_main_account(visit: Visit) -> None:
    if not visit.sees_phones:
        raise HTTPException(404, NOT_YOURS)


async def _host(visit: Visit) -> WebhookFilter:
    """Return what a form chooses; one that names no host must not mean all of them."""
    _require_main_account(visit)
    host = (await visit.form()).get("host", "")
    if not host:
        raise HTTPException(400, "Say for which host.")
    return WebhookFilter(host=host)
