"""Webhooks that are due, every attempt that was made, and the cookies their receivers set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from trunkline.store.hosts import host_of
from trunkline.store.rows import rows_of, values_of
from trunkline.store.tables import callback_attempts, callbacks, cookies

COOKIE_LIFE = timedelta(hours=4)  # Twilio keeps a pair's cookies for four hours without traffic.


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackRow:
    """A webhook to be made. kind: 'status', 'inbound' or 'action'; due_at None: parked."""

    sid: str
    account_sid: str
    message_sid: str
    kind: str
    url: str
    method: str = "POST"
    fallback_url: str = ""
    fallback_method: str = "POST"
    parameters: Mapping[str, str]
    token: str
    attempts: int = 0
    due_at: datetime | None
    created_at: datetime

    @property
    def host(self) -> str:
        """The host it goes to."""
        return host_of(self.url)

    @property
    def next_at(self) -> datetime | None:
        """When it is made next, for people: what is due at once is due since it exists."""
        return None if self.due_at is None else max(self.due_at, self.created_at)

    @property
    def label(self) -> str:
        """What the webhook tells: the status it reports, or its kind."""
        if self.kind != "status":
            return self.kind
        return self.parameters.get("MessageStatus", "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One HTTP request that a webhook cost, and what came of it."""

    sid: str
    callback_sid: str
    account_sid: str
    message_sid: str
    kind: str
    url: str
    method: str
    label: str
    at: datetime
    duration_ms: int
    http_status: int | None
    error_code: int | None
    reason: str
    head: str


COLUMNS = [callbacks.c[f.name] for f in fields(CallbackRow)]


def insert_callbacks(db: Connection, rows: Sequence[CallbackRow]) -> None:
    """Queue webhooks."""
    if rows:
        db.execute(insert(callbacks), [values_of(row) | {"host": row.host} for row in rows])


def load_due_callbacks(
    db: Connection, now: datetime, *, limit: int, passing_over: Iterable[str] = ()
) -> list[CallbackRow]:
    """Return due webhooks, oldest first, only the first of each message; some hosts' not."""
    earlier = callbacks.alias("earlier")
    first = ~(
        select(earlier.c.sid)
        .where(
            earlier.c.message_sid == callbacks.c.message_sid,
            earlier.c.sid < callbacks.c.sid,
            earlier.c.due_at.is_not(None),
        )
        .exists()
    )
    query = (
        select(*COLUMNS)
        .where(callbacks.c.due_at <= now, callbacks.c.host.not_in(passing_over), first)
        .order_by(callbacks.c.due_at, callbacks.c.sid)
        .limit(limit)
    )
    return [CallbackRow(**row._mapping) for row in db.execute(query)]


def next_due_callback(db: Connection, now: datetime) -> datetime | None:
    """Return when the next webhook that is not due yet will be."""
    query = (
        select(callbacks.c.due_at)
        .where(callbacks.c.due_at > now)
        .order_by(callbacks.c.due_at)
        .limit(1)
    )
    return db.execute(query).scalar()


def finish_callbacks(db: Connection, sids: Iterable[str]) -> None:
    """Take webhooks out of the queue: they were delivered."""
    keys = [{"b_sid": sid} for sid in sids]
    if keys:
        db.execute(delete(callbacks).where(callbacks.c.sid == bindparam("b_sid")), keys)


def postpone_callbacks(db: Connection, rows: Iterable[tuple[str, datetime | None]]) -> None:
    """Let webhooks wait until a time, or park them (None)."""
    values = [{"b_sid": sid, "b_due": due_at} for sid, due_at in rows]
    if values:
        change = {"due_at": bindparam("b_due"), "attempts": callbacks.c.attempts + 1}
        here = callbacks.c.sid == bindparam("b_sid")
        db.execute(update(callbacks).where(here).values(**change), values)


def callbacks_of(db: Connection, message_sid: str) -> list[CallbackRow]:
    """Return the webhooks of a message that are not delivered yet."""
    query = select(*COLUMNS).where(callbacks.c.message_sid == message_sid).order_by(callbacks.c.sid)
    return [CallbackRow(**row._mapping) for row in db.execute(query)]


def insert_attempts(db: Connection, rows: Sequence[AttemptRow]) -> None:
    """Keep what was tried."""
    if rows:
        db.execute(insert(callback_attempts), rows_of(rows))


def attempts_of(db: Connection, message_sid: str, *, limit: int = 1000) -> list[AttemptRow]:
    """Return the attempts for a message, oldest first."""
    query = (
        select(callback_attempts)
        .where(callback_attempts.c.message_sid == message_sid)
        .order_by(callback_attempts.c.sid)
        .limit(limit)
    )
    return [AttemptRow(**row._mapping) for row in db.execute(query)]


def find_cookies(
    db: Connection, account_sid: str, sender: str, recipient: str, *, host: str, now: datetime
) -> dict[str, str]:
    """Return the cookies a receiver set for a pair of addresses, unless they lapsed."""
    query = select(cookies.c.jar).where(
        cookies.c.account_sid == account_sid,
        cookies.c.sender == sender,
        cookies.c.recipient == recipient,
        cookies.c.host == host,
        cookies.c.used_at > now - COOKIE_LIFE,
    )
    jar: dict[str, str] | None = db.execute(query).scalar()
    return jar or {}


def save_cookies(db: Connection, key: Sequence[str], jar: dict[str, str], *, now: datetime) -> None:
    """Keep a receiver's cookies under (account, sender, recipient, host)."""
    names = ("account_sid", "sender", "recipient", "host")
    values: dict[str, Any] = {**dict(zip(names, key, strict=True)), "jar": jar, "used_at": now}
    statement = upsert(cookies).values(**values)
    db.execute(
        statement.on_conflict_do_update(index_elements=names, set_={"jar": jar, "used_at": now})
    )
