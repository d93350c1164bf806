"""Messages and the trace of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from trunkline.domain.ids import position_of
from trunkline.domain.message import Direction, Message, Status
from trunkline.store.rows import rows_of, values_of
from trunkline.store.tables import (
    callback_attempts,
    callbacks,
    carrier_refs,
    events,
    messages,
    outbox,
)

FIELDS = tuple(f.name for f in fields(Message))
COLUMNS = [messages.c[name] for name in FIELDS]
CHANGING = (
    "status",
    "body",
    "price",
    "error_code",
    "updated_at",
    "sent_at",
    "sender",
    "num_segments",
    "encoding",
)
SIDS_MAX = 500  # SQLite binds 32,766 values at most; lists here are batches, far below it.

_UPDATE = (
    update(messages)
    .where(
        messages.c.account_sid == bindparam("b_account_sid"),
        messages.c.position == bindparam("b_position"),
    )
    .values({name: bindparam("b_" + name) for name in CHANGING})
)

_REROUTE = (
    update(messages)
    .where(
        messages.c.account_sid == bindparam("b_account_sid"),
        messages.c.position == bindparam("b_position"),
    )
    .values(carrier=bindparam("b_carrier"), options=bindparam("b_options"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilter:
    """Which messages are wanted. Times begin inclusive and end exclusive.

    When a message was created its SID says, which a clock that is set back does not put back.
    """

    recipient: str | None = None
    sender: str | None = None
    sent_from: datetime | None = None
    sent_before: datetime | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    statuses: tuple[Status, ...] = ()
    direction: Direction | None = None
    address: str | None = None  # Sender or recipient.


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to a message; the time says when we knew."""

    sid: str
    account_sid: str
    message_sid: str
    at: datetime
    kind: str
    detail: dict[str, Any]


def insert_messages(db: Connection, batch: Sequence[Message]) -> None:
    """Add messages."""
    db.execute(insert(messages), [_values(m) for m in batch])


def update_messages(db: Connection, batch: Iterable[Message]) -> None:
    """Store what may change of messages: status, text, price, error and times."""
    rows = [
        {"b_account_sid": m.account_sid, "b_position": position_of(m.sid)}
        | {"b_" + name: getattr(m, name) for name in CHANGING}
        for m in batch
    ]
    if rows:
        db.execute(_UPDATE, rows)


def reroute_messages(db: Connection, batch: Iterable[Message]) -> None:
    """Store which carrier messages go to, and what their options say of it."""
    rows = [
        {
            "b_account_sid": m.account_sid,
            "b_position": position_of(m.sid),
            "b_carrier": m.carrier,
            "b_options": dict(m.options),
        }
        for m in batch
    ]
    if rows:
        db.execute(_REROUTE, rows)


def find_message(db: Connection, account_sid: str, sid: str) -> Message | None:
    """Return one message of an account."""
    query = select(*COLUMNS).where(_is(account_sid, sid))
    row = db.execute(query).first()
    return None if row is None else build_message(row)


def messages_by_sid(db: Connection, keys: Iterable[tuple[str, str]]) -> dict[str, Message]:
    """Return the messages with these (account SID, SID) keys; those that are gone are missing."""
    found: dict[str, Message] = {}
    for account_sid, sids in _by_account(keys).items():
        query = select(*COLUMNS).where(
            messages.c.account_sid == account_sid,
            messages.c.position.in_([position_of(sid) for sid in sids]),
        )
        found |= {row.sid: build_message(row) for row in db.execute(query)}
    return found


def delete_message(db: Connection, account_sid: str, sid: str) -> None:
    """Remove a message with its trace and its references; webhooks that are due are still made."""
    db.execute(delete(messages).where(_is(account_sid, sid)))
    for table in (events, carrier_refs, callback_attempts):
        db.execute(delete(table).where(table.c.message_sid == sid))
    parked = (callbacks.c.message_sid == sid) & callbacks.c.due_at.is_(None)
    db.execute(delete(callbacks).where(parked))


def newest_sids(db: Connection) -> list[str]:
    """Return the greatest SIDs of what is ordered by them; cheap however many rows there are."""
    columns = (callbacks.c.sid, events.c.sid, outbox.c.message_sid)
    queries = [select(func.max(column)) for column in columns]
    return [sid for query in queries if (sid := db.execute(query).scalar())]


def insert_events(db: Connection, batch: Sequence[Event]) -> None:
    """Add to the trace."""
    if batch:
        db.execute(insert(events), rows_of(batch))


def events_of(db: Connection, message_sid: str, *, limit: int = 1000) -> list[Event]:
    """Return the trace of a message, oldest first."""
    query = (
        select(events)
        .where(events.c.message_sid == message_sid)
        .order_by(events.c.sid)
        .limit(limit)
    )
    return [Event(**row._mapping) for row in db.execute(query)]


def _values(message: Message) -> dict[str, Any]:
    return values_of(message) | {"position": position_of(message.sid)}


def _is(account_sid: str, sid: str) -> ColumnElement[bool]:
    # The SID itself as well: with another prefix it is nobody's.
    return and_(
        messages.c.account_sid == account_sid,
        messages.c.position == position_of(sid),
        messages.c.sid == sid,
    )


def build_message(row: Row[Any]) -> Message:
    """Return the message in a row of COLUMNS."""
    values = dict(row._mapping)
    values["status"] = Status(values["status"])
    values["direction"] = Direction(values["direction"])
    return Message(**values)


def _by_account(keys: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    sids: dict[str, list[str]] = {}
    for account_sid, sid in keys:
        sids.setdefault(account_sid, []).append(sid)
    return sids
