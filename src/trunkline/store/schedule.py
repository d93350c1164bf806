"""Messages whose time has not come: on disk only, found when it comes."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, update

from trunkline.domain.ids import micros
from trunkline.store.prepared import Prepared, as_json
from trunkline.store.sending_tables import schedule

_INSERT = Prepared(insert(schedule), [column.name for column in schedule.c])
_DELETE = Prepared(
    delete(schedule).where(
        schedule.c.account_sid == bindparam("b_account_sid"),
        schedule.c.message_sid == bindparam("b_message_sid"),
    ),
    ("b_account_sid", "b_message_sid"),
)


class Scheduled(Struct, frozen=True, kw_only=True):
    """A message that waits until due_at; media_urls are fetched then."""

    account_sid: str
    message_sid: str
    due_at: datetime
    media_urls: tuple[str, ...] = ()


COLUMNS = [schedule.c[name] for name in Scheduled.__struct_fields__]
# Made once: where many accounts have much to send, it is asked for each of them.
_DUE_OF_ACCOUNT = (
    select(*COLUMNS)
    .where(schedule.c.account_sid == bindparam("account_sid"))
    .where(schedule.c.due_at <= bindparam("now"))
    .order_by(schedule.c.due_at, schedule.c.message_sid)
    .limit(bindparam("share"))
)


def insert_scheduled(db: Connection, rows: Sequence[Scheduled]) -> None:
    """Let messages wait for their time."""
    _INSERT.run(
        db,
        [(r.account_sid, r.message_sid, micros(r.due_at), as_json(r.media_urls)) for r in rows],
    )


def delete_scheduled(db: Connection, keys: Iterable[tuple[str, str]]) -> int:
    """Take messages (account SID, SID) from the schedule; return how many were in it."""
    return _DELETE.run(db, sorted(keys))


def postpone_scheduled(db: Connection, row: Scheduled, due_at: datetime) -> None:
    """Let a message wait longer."""
    here = (schedule.c.account_sid == row.account_sid) & (schedule.c.message_sid == row.message_sid)
    db.execute(update(schedule).where(here).values(due_at=due_at))


def load_scheduled(db: Connection, now: datetime, *, limit: int) -> list[Scheduled]:
    """Return messages whose time has come, in the order of their times.

    Where more have than are returned, accounts share that, lest one hides what others are due.
    """
    rows = _ordered(db, select(*COLUMNS).where(schedule.c.due_at <= now), limit=limit)
    accounts = _due_accounts(db, now, limit=limit) if len(rows) == limit else []
    if len(accounts) < 2:
        return rows
    values = {"now": now, "share": max(limit // len(accounts), 1)}
    shared = [
        row
        for account_sid in accounts
        for row in _read(db.execute(_DUE_OF_ACCOUNT, values | {"account_sid": account_sid}))
    ]
    return sorted(shared, key=lambda row: (row.due_at, row.message_sid))


def next_of_account(db: Connection, account_sid: str, *, limit: int) -> list[Scheduled]:
    """Return what of an account is due next."""
    query = select(*COLUMNS).where(schedule.c.account_sid == account_sid)
    return _ordered(db, query, limit=limit)


def next_scheduled(db: Connection, now: datetime) -> datetime | None:
    """Return when the next message that is not due yet will be."""
    return db.execute(select(func.min(schedule.c.due_at)).where(schedule.c.due_at > now)).scalar()


def count_scheduled(db: Connection, account_sid: str, *, most: int) -> int:
    """Return how many messages of an account are in the schedule, *most* at most."""
    rows = select(schedule.c.message_sid).where(schedule.c.account_sid == account_sid).limit(most)
    return db.execute(select(func.count()).select_from(rows.subquery())).scalar_one()


def _due_accounts(db: Connection, now: datetime, *, limit: int) -> list[str]:
    """Return the accounts with messages whose time has come, the longest due first.

    Each is found by seeks of its own, however much it has.
    """
    sid = schedule.c.account_sid
    accounts = select(func.min(sid).label("sid")).cte("accounts", recursive=True)
    following = select(func.min(sid)).where(sid > accounts.c.sid).scalar_subquery()
    accounts = accounts.union_all(select(following).where(accounts.c.sid.is_not(None)))
    first = select(func.min(schedule.c.due_at)).where(sid == accounts.c.sid).scalar_subquery()
    query = select(accounts.c.sid, first.label("first")).where(accounts.c.sid.is_not(None))
    found = query.subquery()
    due = select(found.c.sid).where(found.c.first <= now).order_by(found.c.first, found.c.sid)
    return list(db.execute(due.limit(limit)).scalars())


def _ordered(db: Connection, query: Select[Any], *, limit: int) -> list[Scheduled]:
    query = query.order_by(schedule.c.due_at, schedule.c.message_sid)
    return _read(db.execute(query.limit(limit)))


def _read(rows: Iterable[Row[Any]]) -> list[Scheduled]:
    return [Scheduled(**{**row._mapping, "media_urls": tuple(row.media_urls)}) for row in rows]
