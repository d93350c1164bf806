"""What is scheduled: the next to leave first, with a way to cancel each."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection
from starlette.responses import Response

from trunkline.console.pages import page
from trunkline.console.visit import Visit
from trunkline.domain.errors import Refusal
from trunkline.domain.message import Status
from trunkline.flows import messages, scheduling
from trunkline.store.records import SERVICES, find_record

ROWS_MAX = 100  # Who wants to know more of many asks the API.
EXCERPT_MAX = 120
TOO_LATE = "That message is not scheduled any more."


async def show_scheduled(visit: Visit) -> Response:
    """Show what of the account leaves next."""
    return await _page(visit)


async def cancel_scheduled(visit: Visit) -> Response:
    """Cancel a message that waits for its time."""
    sid = visit.request.path_params["sid"]
    try:
        await messages.amend(
            visit.platform, visit.account.sid, sid, body=None, status=Status.CANCELED
        )
    except Refusal:
        return visit.declined(TOO_LATE, page=await _page(visit, mistake=TOO_LATE))
    return visit.done("/scheduled")


async def _page(visit: Visit, *, mistake: str = "") -> Response:
    rows = await scheduling.upcoming(visit.platform, visit.account.sid, limit=ROWS_MAX)
    sids = {each.message.messaging_service_sid for each in rows}
    return page(
        visit,
        "scheduled.html",
        rows=rows,
        names=await visit.platform.store.read(lambda db: _names(db, sids)),
        rows_max=ROWS_MAX,
        excerpt_max=EXCERPT_MAX,
        mistake=mistake,
    )


def _names(db: Connection, sids: Iterable[str | None]) -> Mapping[str, str]:
    """Return what services are called, by their SID, but for those that are gone."""
    found = [find_record(db, SERVICES, sid) for sid in sids if sid]
    return {service.sid: service.friendly_name for service in found if service is not None}
