"""Messages and the trace of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    func,
    insert,
    select,
    update,
)

from trunkline.domain.ids import micros, position_at, position_of
from trunkline.domain.message import Direction, Message, Status
from trunkline.store.prepared import Prepared, as_json, as_millionths
from trunkline.store.rows import by_account
from trunkline.store.tables import events, messages

FIELDS = Message.__struct_fields__
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

# What a fact changes, where the message is as it was when the fact was judged.
_ADVANCING = ("status", "price", "error_code", "updated_at", "sent_at")
_ADVANCE = Prepared(
    update(messages)
    .where(
        messages.c.account_sid == bindparam("b_account_sid"),
        messages.c.position == bindparam("b_position"),
        messages.c.status == bindparam("b_status_before"),
        messages.c.updated_at == bindparam("b_updated_before"),
    )
    .values({name: bindparam("b_" + name) for name in _ADVANCING}),
    [
        *("b_" + name for name in _ADVANCING),
        *("b_account_sid", "b_position", "b_status_before", "b_updated_before"),
    ],
)
_INSERT = Prepared(insert(messages), [column.name for column in messages.c])
_INSERT_EVENT = Prepared(insert(events), [column.name for column in events.c])

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


class Event(Struct, frozen=True, kw_only=True):
    """One thing that happened to a message; the time says when we knew."""

    sid: str
    account_sid: str
    message_sid: str
    at: datetime
    kind: str
    detail: dict[str, Any]


def insert_messages(db: Connection, batch: Sequence[Message]) -> None:
    """Add messages."""
    _INSERT.run(db, [_row(message) for message in batch])


def update_messages(db: Connection, batch: Iterable[Message]) -> None:
    """Store what may change of messages: status, text, price, error and times."""
    rows = [
        {"b_account_sid": m.account_sid, "b_position": position_of(m.sid)}
        | {"b_" + name: getattr(m, name) for name in CHANGING}
        for m in batch
    ]
    if rows:
        db.execute(_UPDATE, rows)


def advance_messages(db: Connection, pairs: Iterable[tuple[Message, Message]]) -> int:
    """Store what facts made of messages; return how many were as the first of their pair says.

    Those that were not are left as they are.
    """
    rows = [
        (
            after.status.value,
            as_millionths(after.price),
            after.error_code,
            micros(after.updated_at),
            None if after.sent_at is None else micros(after.sent_at),
            after.account_sid,
            position_of(after.sid),
            before.status.value,
            micros(before.updated_at),
        )
        for before, after in pairs
    ]
    # In one order everywhere, so that two nodes do not wait for each other.
    rows.sort(key=itemgetter(6))
    return _ADVANCE.run(db, rows)


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


def messages_by_sid(
    db: Connection, keys: Iterable[tuple[str, str]], *, to_change: bool = False
) -> dict[str, Message]:
    """Return the messages with these (account SID, SID) keys; those that are gone are missing.

    What is read to be changed is nobody else's until the commit.
    """
    found: dict[str, Message] = {}
    for account_sid, sids in by_account(keys).items():
        query = select(*COLUMNS).where(
            messages.c.account_sid == account_sid,
            messages.c.position.in_([position_of(sid) for sid in sids]),
        )
        if to_change:
            query = query.order_by(messages.c.position).with_for_update()
        found |= {row.sid: build_message(row) for row in db.execute(query)}
    return found


def newest_sids(db: Connection) -> list[str]:
    """Return the newest message of each account; each is found by seeks of its own."""
    accounts = select(func.min(messages.c.account_sid).label("sid")).cte("accounts", recursive=True)
    following = (
        select(func.min(messages.c.account_sid))
        .where(messages.c.account_sid > accounts.c.sid)
        .scalar_subquery()
    )
    accounts = accounts.union_all(select(following).where(accounts.c.sid.is_not(None)))
    newest = (
        select(func.max(messages.c.position))
        .where(messages.c.account_sid == accounts.c.sid)
        .scalar_subquery()
    )
    query = select(newest).where(accounts.c.sid.is_not(None))
    return [f"SM{position}" for position in db.execute(query).scalars()]


def has_sent(db: Connection, account_sid: str, since: datetime, *, count: int) -> bool:
    """Tell whether an account sent so many messages since a time, whatever became of them."""
    sent = (
        select(messages.c.position)
        .where(
            messages.c.account_sid == account_sid,
            messages.c.position >= position_at(since),
            messages.c.direction != Direction.INBOUND,
        )
        .limit(count)
    )
    return len(db.execute(sent).all()) == count


def insert_events(db: Connection, batch: Sequence[Event]) -> None:
    """Add to the trace."""
    _INSERT_EVENT.run(
        db,
        [
            (e.account_sid, e.message_sid, e.sid, micros(e.at), e.kind, as_json(e.detail))
            for e in batch
        ],
    )


def events_of(
    db: Connection, account_sid: str, message_sid: str, *, limit: int = 1000
) -> list[Event]:
    """Return the trace of a message, oldest first."""
    query = (
        select(events)
        .where(events.c.account_sid == account_sid, events.c.message_sid == message_sid)
        .order_by(events.c.sid)
        .limit(limit)
    )
    return [Event(**row._mapping) for row in db.execute(query)]


def _row(message: Message) -> tuple[Any, ...]:
    """Return the values of a new message, in the order of the table's columns."""
    return (
        message.account_sid,
        position_of(message.sid),
        message.sid,
        message.direction.value,
        message.status.value,
        message.sender,
        message.recipient,
        message.body,
        message.encoding,
        message.num_segments,
        message.num_media,
        message.messaging_service_sid,
        message.carrier,
        as_millionths(message.price),
        message.error_code,
        message.status_callback,
        message.validity_seconds,
        micros(message.created_at),
        micros(message.updated_at),
        None if message.sent_at is None else micros(message.sent_at),
        as_json(message.options),
    )


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
