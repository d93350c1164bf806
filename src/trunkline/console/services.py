"""The Messaging Services: who sends for each, and what it decides for its messages."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from trunkline.console.pages import page
from trunkline.console.visit import Visit
from trunkline.domain.ids import is_sid
from trunkline.domain.message import VALIDITY_SECONDS_MAX
from trunkline.domain.service import MessagingService, SenderKind, ServiceSender
from trunkline.flows import services
from trunkline.flows.services import Changes
from trunkline.store.paging import Found, Page
from trunkline.store.records import SERVICE_SENDERS, SERVICES, child_records, page_records

SERVICES_SHOWN_MAX = 20  # Of one page, each with its senders: some 100 kB.
SENDERS_SHOWN_MAX = 24  # Of one service; the API lists them all.

_KINDS = {
    SenderKind.NUMBER: "number",
    SenderKind.SHORT_CODE: "short code",
    SenderKind.ALPHANUMERIC: "name",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A service as the page shows it."""

    service: MessagingService
    senders: Sequence[ServiceSender]
    has_more: bool

    @property
    def sid(self) -> str:
        """The service's SID."""
        return self.service.sid


async def show_services(visit: Visit) -> Response:
    """Show the services of the account, newest first."""
    after = visit.request.query_params.get("after", "")
    wanted = Page(size=SERVICES_SHOWN_MAX, after=after if is_sid(after, "MG") else None)
    sid = visit.account.sid
    found = await visit.platform.store.read(lambda db: _shown(db, sid, page=wanted))
    older = f"/console/services?after={found.items[-1].sid}" if found.has_next else ""
    return page(
        visit,
        "services.html",
        services=found.items,
        newest="/console/services" if found.has_previous else "",
        older=older,
        kind=_kind,
        validity=_validity,
    )


async def change_consent(visit: Visit) -> Response:
    """Say whether a service sends only to those who agreed to it."""
    form = await visit.form()
    changes = Changes(requires_consent=form.get("required") == "yes")
    sid = visit.request.path_params["sid"]
    if not await services.update(visit.platform, visit.account.sid, sid=sid, changes=changes):
        raise HTTPException(404, "There is no such service any more.")
    return visit.done(f"/services#{sid}")


def _shown(db: Connection, account_sid: str, *, page: Page) -> Found[Shown]:
    found = page_records(db, SERVICES, page, account_sid=account_sid)
    return Found([_with_senders(db, s) for s in found.items], found.has_next, found.has_previous)


def _with_senders(db: Connection, service: MessagingService) -> Shown:
    senders = child_records(db, SERVICE_SENDERS, service.sid, limit=SENDERS_SHOWN_MAX + 1)
    return Shown(
        service=service,
        senders=senders[:SENDERS_SHOWN_MAX],
        has_more=len(senders) > SENDERS_SHOWN_MAX,
    )


def _kind(sender: ServiceSender) -> str:
    words = [_KINDS[sender.kind], sender.country]
    return ", ".join(word for word in words if word)


def _validity(seconds: int) -> str:
    """Return a validity period in words."""
    if seconds == VALIDITY_SECONDS_MAX:
        return "10 hours"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:,} minutes" if not rest and minutes > 1 else f"{seconds:,} seconds"
