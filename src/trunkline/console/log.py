"""The message log: what was sent and received, newest first, narrowed by a few filters."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from starlette.responses import Response

from trunkline.console.pages import page
from trunkline.console.visit import PREFIX, Visit
from trunkline.domain.address import parse_sender
from trunkline.domain.ids import is_sid
from trunkline.domain.message import Direction, Message, Status
from trunkline.flows import messages
from trunkline.flows.messages import MessageFilter
from trunkline.store.paging import Found, Page

ROWS_MAX = 50
EXCERPT_MAX = 120

DIRECTIONS = {
    "inbound": "Inbound",
    "outbound-api": "Outbound",
    "outbound-reply": "Reply",
}
FIELDS = ("number", "status", "direction", "day")

_STATUSES = {status.value: status for status in Status}
_DIRECTIONS = {direction.value: direction for direction in Direction}


@dataclass(frozen=True, slots=True)
class Filters:
    """What the form above the log says, as it was typed, and what of it makes no sense."""

    typed: Mapping[str, str]
    wanted: MessageFilter
    mistake: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether everything is shown."""
        return not any(self.typed.values())


async def show_log(visit: Visit) -> Response:
    """Show one page of the account's messages."""
    filters = read_filters(visit.request.query_params)
    after, before = (_cursor(visit, name) for name in ("after", "before"))
    found = await messages.page(
        visit.platform,
        visit.account.sid,
        filters.wanted,
        Page(size=ROWS_MAX, after=after, before=before),
    )
    newer, older = _neighbours(found, filters.typed)
    return page(
        visit,
        "log.html",
        rows=found.items,
        filters=filters,
        newer=newer,
        older=older,
        statuses=list(_STATUSES),
        directions=DIRECTIONS,
        excerpt_max=EXCERPT_MAX,
    )


def read_filters(query: Mapping[str, str]) -> Filters:
    """Return the filters of a query; one that makes no sense is named and not applied."""
    typed = {name: query.get(name, "").strip() for name in FIELDS}
    day = _day(typed["day"])
    # An address bar shows `+1555…` unescaped, and its plus then reads as a space.
    address = parse_sender(typed["number"]) if typed["number"] else None
    status, direction = _STATUSES.get(typed["status"]), _DIRECTIONS.get(typed["direction"])
    understood = {"number": address, "status": status, "direction": direction, "day": day}
    mistakes = [name for name in FIELDS if typed[name] and understood[name] is None]
    wanted = MessageFilter(
        address=address.text if address else None,
        statuses=(status,) if status else (),
        direction=direction,
        created_from=day,
        created_before=_next(day) if day else None,
    )
    mistake = f"Not understood, so not applied: {', '.join(mistakes)}." if mistakes else ""
    return Filters(typed, wanted, mistake)


def _next(day: datetime) -> datetime | None:
    """Return when a day is over; the last of all days never is."""
    return None if day.date() == date.max else day + timedelta(days=1)


def log_path(**query: str) -> str:
    """Return the address of the log with these filters."""
    said = urlencode({name: value for name, value in query.items() if value})
    return f"{PREFIX}/messages" + (f"?{said}" if said else "")


def _neighbours(found: Found[Message], typed: Mapping[str, str]) -> tuple[str, str]:
    """Return the addresses of the pages with newer and with older messages, where there are any."""
    if not found.items:
        return "", ""
    newer = log_path(**typed, before=found.items[0].sid) if found.has_previous else ""
    older = log_path(**typed, after=found.items[-1].sid) if found.has_next else ""
    return newer, older


def _cursor(visit: Visit, name: str) -> str | None:
    sid = visit.request.query_params.get(name, "")
    return sid if is_sid(sid, "SM", "MM") else None


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
