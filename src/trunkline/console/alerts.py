"""Alerts: what went wrong with the account's webhooks, messages and requests, newest first."""

from urllib.parse import parse_qsl, urlencode

from starlette.responses import Response

from trunkline.console.pages import page
from trunkline.console.visit import PREFIX, Visit
from trunkline.domain.alert import Alert, AlertFilter, Level
from trunkline.domain.ids import is_sid
from trunkline.flows import alerts
from trunkline.store.paging import Page

ROWS_MAX = 50

# Levels that are raised here; the others are Twilio's as well, but nothing of ours is of them.
LEVELS = {Level.ERROR: "Errors", Level.WARNING: "Warnings"}
TONES = {Level.ERROR: "is-bad", Level.WARNING: "is-warn"}


async def show_alerts(visit: Visit) -> Response:
    """Show one page of the account's alerts, of one level or of all."""
    query = visit.request.query_params
    level = next((each for each in LEVELS if each.value == query.get("level")), None)
    after, before = (_cursor(query.get(name, "")) for name in ("after", "before"))
    found = await alerts.page(
        visit.platform,
        visit.account.sid,
        AlertFilter(level=level),
        Page(size=ROWS_MAX, after=after, before=before),
    )
    newer = older = ""
    if found.items and found.has_previous:
        newer = alerts_path(level=level, before=found.items[0].sid)
    if found.items and found.has_next:
        older = alerts_path(level=level, after=found.items[-1].sid)
    return page(
        visit,
        "alerts.html",
        rows=found.items,
        level=level,
        levels=LEVELS,
        tones=TONES,
        newer=newer,
        older=older,
        path=alerts_path,
        words=words,
        asked=asked,
    )


def alerts_path(**query: str | None) -> str:
    """Return the address of the page with this level and cursor."""
    said = urlencode({name: value for name, value in query.items() if value})
    return f"{PREFIX}/alerts" + (f"?{said}" if said else "")


def words(alert: Alert) -> str:
    """Return what went wrong as a sentence begins."""
    text = alerts.text_of(alert)
    return text[:1].upper() + text[1:]


def asked(alert: Alert) -> str:
    """Return what is known of the form of a refused request; names alone say nothing."""
    pairs = [] if alert.resource_sid else parse_qsl(alert.variables)
    return ", ".join(f"{name} {value}" for name, value in pairs)


def _cursor(text: str) -> str | None:
    return text if is_sid(text, "NO") else None
