"""How long the first page of a list takes, for every filter that there is and every combination."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import product
from urllib.parse import urlencode

from bench.figures import Row, quantiles
from bench.site import Customer, Server, recipient

Query = Mapping[str, str]

KINDS = API, CONSOLE = "API", "console"
NOBODY = "+19005550199"
# What each filter of the API may be: nothing, much, little, none at all.
_RECIPIENTS = {"": {}, "to": {"To": recipient(0)}, "to nobody": {"To": NOBODY}}
_STATUSES = ("delivered", "failed")
_DIRECTIONS = ("outbound-api", "inbound")


def measure(server: Server, customer: Customer, *, pages: int) -> dict[str, Row]:
    """Return how long pages take by what they were narrowed to, the API's and the console's."""
    found: dict[str, Row] = {}
    connection = HTTPConnection("127.0.0.1", server.port)
    headers = {"Authorization": customer.authorization}
    for name, query in api_filters(customer):
        path = f"{customer.path}/Messages.json?{urlencode(query)}"
        found[f"{API}: {name}"] = _time(connection, path, headers=headers, pages=pages)
    for name, query in console_filters(customer):
        path = f"/console/messages?{urlencode(query)}"
        found[f"{CONSOLE}: {name}"] = _time(connection, path, headers={}, pages=pages)
    connection.close()
    return found


def slowest(found: Mapping[str, Row], kind: str) -> dict[str, str | float]:
    """Return the filter of a kind whose pages took longest, and how long."""
    rows = {name: row for name, row in found.items() if name.startswith(kind)}
    name = max(rows, key=lambda name: rows[name]["page_ms_p50"])
    return {"filter": name, **rows[name]}


def api_filters(customer: Customer) -> Iterator[tuple[str, Query]]:
    """Yield every combination of To, From and DateSent, with a name."""
    senders = {
        "": {},
        "from": {"From": customer.senders[0]},
        "from nobody": {"From": NOBODY},
    }
    for parts in product(_RECIPIENTS.items(), senders.items(), _dates().items()):
        name = ", ".join(name for name, _ in parts if name)
        yield name or "everything", {k: v for _, query in parts for k, v in query.items()}


def console_filters(customer: Customer) -> Iterator[tuple[str, Query]]:
    """Yield every combination of what the console's log can be narrowed to, with a name."""
    numbers = ("", customer.senders[0], NOBODY)
    days = ("", _day(-3))
    names = ("number", "status", "direction", "day")
    for values in product(numbers, ("", *_STATUSES), ("", *_DIRECTIONS), days):
        query = {name: value for name, value in zip(names, values, strict=True) if value}
        shown = {k: "our own" if v == customer.senders[0] else v for k, v in query.items()}
        shown |= {"day": "three days ago"} if "day" in query else {}
        shown |= {"number": "nobody's"} if query.get("number") == NOBODY else {}
        yield ", ".join(f"{k} {v}" for k, v in shown.items()) or "everything", query


def _dates() -> Mapping[str, Query]:
    return {
        "": {},
        "sent on a day": {"DateSent": _day(-3)},
        "sent after": {"DateSent>": _day(-3)},
        "sent before": {"DateSent<": _day(-3)},
        "sent between": {"DateSent>": _day(-9), "DateSent<": _day(-3)},
        "sent in the future": {"DateSent>": _day(3)},
    }


def _day(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def _time(connection: HTTPConnection, path: str, *, headers: Query, pages: int) -> Row:
    # The first of its kind makes the server prepare its statements; that is no matter of the page.
    _fetch(connection, path, headers=headers)
    return quantiles("page_ms", [_fetch(connection, path, headers=headers) for _ in range(pages)])


def _fetch(connection: HTTPConnection, path: str, *, headers: Query) -> float:
    """Return how long a page takes."""
    before = time.perf_counter()
    connection.request("GET", path, headers=dict(headers))
    response = connection.getresponse()
    body = response.read()
    taken = time.perf_counter() - before
    if response.status != 200:
        raise RuntimeError(f"GET {path}: {response.status} {body.decode()}")
    return taken
