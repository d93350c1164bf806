"""What carriers brought that belongs to nothing here: receipts and texts, newest first."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.responses import Response

from trunkline.console.pages import page
from trunkline.console.visit import PREFIX, Visit
from trunkline.domain.errors import delivery_error
from trunkline.domain.ids import is_sid
from trunkline.flows import carriers
from trunkline.flows.inbound import INBOUND_MARK
from trunkline.store.strays import RECEIPT, TEXT, Stray

ROWS_MAX = 50
BODY_SHOWN_MAX = 320  # Two segments: enough to see who writes and what about.
FACT_SHOWN_MAX = 160  # A carrier may send anything in a receipt.

KINDS = {RECEIPT: "Receipts", TEXT: "Texts"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddment:
    """One stray as the page shows it; number is the one that nobody here holds."""

    stray: Stray
    title: str
    reference: str
    facts: tuple[tuple[str, str], ...] = ()
    sender: str = ""
    number: str = ""
    body: str = ""


async def show_strays(visit: Visit) -> Response:
    """Show one page of strays, of one kind or of both."""
    visit.require_main_account()
    query = visit.request.query_params
    kind = query.get("kind", "")
    kind = kind if kind in KINDS else ""
    before = query.get("before", "")
    found = await carriers.strays(
        visit.platform,
        kind=kind or None,
        limit=ROWS_MAX + 1,
        before=before if is_sid(before, "SY") else None,
    )
    rows = [draw_stray(stray) for stray in found[:ROWS_MAX]]
    older = strays_path(kind=kind, before=rows[-1].stray.sid) if len(found) > ROWS_MAX else ""
    newest = strays_path(kind=kind) if before else ""
    return page(visit, "strays.html", rows=rows, kinds=KINDS, kind=kind, older=older, newest=newest)


def strays_path(**query: str) -> str:
    """Return the address of the page with these filters."""
    said = urlencode({name: value for name, value in query.items() if value})
    return f"{PREFIX}/strays" + (f"?{said}" if said else "")


def draw_stray(stray: Stray) -> Oddment:
    """Return a stray in words."""
    doc: Mapping[str, object] = stray.doc
    if stray.kind == TEXT:
        return Oddment(
            stray=stray,
            title="Text to a number that nobody here holds",
            reference=stray.refs[0].removeprefix(INBOUND_MARK),
            sender=str(doc.get("from", "")),
            number=str(doc.get("to", "")),
            body=str(doc.get("body", ""))[:BODY_SHOWN_MAX],
        )
    return Oddment(
        stray=stray,
        title="Receipt for a message that was not sent from here",
        reference=stray.refs[0],
        facts=(("Outcome", _outcome(doc.get("delivered"))), *_reasons(doc)),
    )


def _outcome(delivered: object) -> str:
    if delivered is None:
        return "Not final"
    return "Delivered" if delivered else "Not delivered"


def _reasons(doc: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return why a message failed, and what else the carrier told."""
    code, detail = doc.get("error_code"), doc.get("detail")
    reasons = [("Error", f"{code} {delivery_error(code)}")] if isinstance(code, int) else []
    more = detail.items() if isinstance(detail, Mapping) else ()
    return reasons + [(str(name), str(value)[:FACT_SHOWN_MAX]) for name, value in more]
