"""Lists of messages, narrowed by filters: a page costs no more because there are many others.

Every filter has an index. Of several, the one that leaves the fewest rows leads the search; the
others are hidden from the planner, who knows nothing of how many rows each one leaves.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, null, select

from trunkline.domain.ids import position_at, position_of
from trunkline.domain.message import Message
from trunkline.store.messages import COLUMNS, MessageFilter, build_message
from trunkline.store.paging import Found, Page, fetch_page
from trunkline.store.tables import messages

COUNT_MAX = 20_000  # Rows that are filtered or sorted in a moment; nothing is counted further.

# By what each finds is in the list's order already, so that where all leave many rows the first
# one that is asked for leads; what was sent in a span of time would have to be sorted.
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
        db, keys, page, key=messages.c.position, cursor=position_of, build=lambda row: row.position
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


def _conditions(wanted: MessageFilter) -> dict[str, list[ColumnElement[bool]]]:
    """Return what is asked of each column that has an index."""
    column = messages.c
    asked = {
        "recipient": [column.recipient == wanted.recipient] if wanted.recipient is not None else [],
        "sender": [column.sender == wanted.sender] if wanted.sender is not None else [],
        "status": [column.status.in_(wanted.statuses)] if wanted.statuses else [],
        "direction": [column.direction == wanted.direction] if wanted.direction else [],
        "sent_at": [
            *([column.sent_at >= wanted.sent_from] if wanted.sent_from else []),
            *([column.sent_at < wanted.sent_before] if wanted.sent_before else []),
        ],
    }
    return {name: conditions for name, conditions in asked.items() if conditions}
