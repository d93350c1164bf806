"""Lists of messages, narrowed by filters: a page costs no more because there are many others.

Every filter has an index. Of several, the one that leaves the fewest rows leads the search; the
others are hidden from the planner, who knows nothing of how many rows each one leaves.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, null, select, true

from trunkline.domain.ids import position_at, position_of
from trunkline.domain.message import Message
from trunkline.store.messages import COLUMNS, MessageFilter, build_message
from trunkline.store.paging import Found, Page, fetch_page
from trunkline.store.tables import messages

COUNT_MAX = 20_000  # Rows that are filtered or sorted in a moment; nothing is counted further.

Test = Callable[[ColumnElement[Any]], ColumnElement[bool]]

# What each of these finds is in the list's order already, so the first that is asked for leads
# where all leave many rows; what was sent in a span of time would have to be sorted.
_ORDERED = ("recipient", "sender", "status", "direction")


def page_messages(
    db: Connection, account_sid: str, wanted: MessageFilter, page: Page
) -> Found[Message]:
    """Return one page of an account's messages, newest first."""
    if wanted.address is not None:
        return _page_of_address(db, account_sid, wanted, page=page)
    leader = _leader(db, account_sid, wanted)
    if leader != "sent_at":
        query = _query(select(*COLUMNS), account_sid, wanted, leader=leader)
        return fetch_page(
            db, query, page, key=messages.c.position, cursor=position_of, build=build_message
        )
    # Sorted by their keys alone; whole rows would take ten times as long.
    keys = _query(select(messages.c.position), account_sid, wanted, leader=leader)
    found = fetch_page(
        db,
        keys,
        page,
        key=_hidden(messages.c.position),
        cursor=position_of,
        build=lambda row: str(row.position),
    )
    here = (messages.c.account_sid == account_sid) & messages.c.position.in_(found.items)
    rows = db.execute(select(*COLUMNS).where(here).order_by(messages.c.position.desc()))
    return Found([build_message(row) for row in rows], found.has_next, found.has_previous)


def _page_of_address(
    db: Connection, account_sid: str, wanted: MessageFilter, *, page: Page
) -> Found[Message]:
    """Return a page of what an address sent or received: two searches, and the best of both."""
    halves = [
        page_messages(db, account_sid, half, page)
        for half in (
            replace(wanted, address=None, sender=wanted.address),
            replace(wanted, address=None, recipient=wanted.address),
        )
    ]
    found = {message.sid: message for half in halves for message in half.items}
    items = sorted(found.values(), key=lambda message: position_of(message.sid), reverse=True)
    more = len(items) > page.size
    if page.before is not None:
        more = more or any(half.has_previous for half in halves)
        return Found(items[-page.size :], has_next=True, has_previous=more)
    more = more or any(half.has_next for half in halves)
    return Found(items[: page.size], has_next=more, has_previous=page.after is not None)


def _tests(wanted: MessageFilter) -> dict[str, Test]:
    """Return what is asked of each column that has an index."""
    tests: dict[str, Test] = {}
    if wanted.recipient is not None:
        tests["recipient"] = lambda column: column == wanted.recipient
    if wanted.sender is not None:
        tests["sender"] = lambda column: column == wanted.sender
    if wanted.statuses:
        tests["status"] = lambda column: column.in_(wanted.statuses)
    if wanted.direction is not None:
        tests["direction"] = lambda column: column == wanted.direction
    if wanted.sent_from is not None or wanted.sent_before is not None:
        tests["sent_at"] = lambda column: and_(
            true() if wanted.sent_from is None else column >= wanted.sent_from,
            true() if wanted.sent_before is None else column < wanted.sent_before,
        )
    return tests


def _leader(db: Connection, account_sid: str, wanted: MessageFilter) -> str | None:
    """Return the column whose index leads the search; None for the order of the list itself."""
    tests = _tests(wanted)
    if tests.keys() <= {"recipient"} or tests.keys() <= {"sender"}:
        return next(iter(tests), None)
    counts = {name: _count(db, account_sid, name, test=test) for name, test in tests.items()}
    fewest = min(counts, key=lambda name: counts[name])
    if counts[fewest] < COUNT_MAX:
        return fewest
    ordered = next((name for name in _ORDERED if name in tests), None)
    # Nearly all of the newest messages were sent lately: that is soon found in the list's order.
    return ordered if ordered or wanted.sent_before is None else "sent_at"


def _count(db: Connection, account_sid: str, name: str, *, test: Test) -> int:
    here = (messages.c.account_sid == account_sid) & test(messages.c[name])
    some = select(messages.c.position).where(here).limit(COUNT_MAX).subquery()
    return db.execute(select(func.count()).select_from(some)).scalar_one()


def _query(
    query: Select[Any], account_sid: str, wanted: MessageFilter, *, leader: str | None
) -> Select[Any]:
    """Add what is wanted to *query* so that only the index of *leader* serves it."""
    query = query.where(messages.c.account_sid == account_sid)
    for name, test in _tests(wanted).items():
        column = messages.c[name]
        query = query.where(test(column if name == leader else _hidden(column)))
    if wanted.created_from is not None:
        query = query.where(messages.c.position >= position_at(wanted.created_from))
    if wanted.created_before is not None:
        query = query.where(messages.c.position < position_at(wanted.created_before))
    return query


def _hidden(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the same value as an expression, which no index serves."""
    return func.coalesce(column, null())
