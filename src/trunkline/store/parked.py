"""Webhooks looked at from outside: which wait, which were given up, and at whom that lies."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    select,
    true,
    update,
)

from trunkline.domain.ids import position_at
from trunkline.store.callbacks import COLUMNS, AttemptRow, CallbackRow
from trunkline.store.tables import callback_attempts, callbacks

PREFIX = "CB"
COUNTED_MAX = 10_000  # Past this, "10,000 or more" says as much.
TURNS_LOOKED_AT_MAX = 8  # Accounts at one host, each for some seeks; one program has one or two.
LATEST_MAX = 20  # Those that were replayed a moment ago may wait longer than one that was tried.
ATTEMPTS_KEPT_MAX = 50  # Of a webhook that is replayed again and again; some 60 kB.


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFilter:
    """Which webhooks are meant: parked ones, or else those that still wait for their time."""

    is_parked: bool = True
    host: str | None = None
    account_sid: str | None = None
    message_sid: str | None = None
    kind: str | None = None
    since: datetime | None = None


def page_webhooks(
    db: Connection, wanted: WebhookFilter, *, limit: int, before: str | None = None
) -> list[CallbackRow]:
    """Return the newest webhooks in front of the SID *before*, newest first."""
    query = select(*COLUMNS).where(_chosen(wanted))
    if before is not None:
        query = query.where(callbacks.c.sid < before)
    rows = db.execute(query.order_by(callbacks.c.sid.desc()).limit(limit))
    return [CallbackRow(**row._mapping) for row in rows]


def find_parked(db: Connection, sid: str) -> CallbackRow | None:
    """Return a webhook that was given up, of any account."""
    here = callbacks.c.due_at.is_(None) & (callbacks.c.sid == sid)
    row = db.execute(select(*COLUMNS).where(here)).first()
    return None if row is None else CallbackRow(**row._mapping)


def load_parked(
    db: Connection, wanted: WebhookFilter, *, after: str, limit: int
) -> list[CallbackRow]:
    """Return parked webhooks behind the SID *after*, oldest first."""
    query = (
        select(*COLUMNS)
        .where(_chosen(wanted), callbacks.c.due_at.is_(None), callbacks.c.sid > after)
        .order_by(callbacks.c.sid)
        .limit(limit)
    )
    return [CallbackRow(**row._mapping) for row in db.execute(query)]


def count_webhooks(db: Connection, wanted: WebhookFilter) -> int:
    """Return how many webhooks there are, COUNTED_MAX at most."""
    some = select(callbacks.c.sid).where(_chosen(wanted)).limit(COUNTED_MAX).subquery()
    return db.execute(select(func.count()).select_from(some)).scalar_one()


def newest_by_host(db: Connection, *, is_parked: bool) -> dict[str, tuple[int, str]]:
    """Return how many of the newest COUNTED_MAX webhooks are for each host, and the newest SID."""
    column = callbacks.c
    chosen = _chosen(WebhookFilter(is_parked=is_parked))
    newest = select(column.host, column.sid).where(chosen).order_by(column.sid.desc())
    some = newest.limit(COUNTED_MAX).subquery()
    query = select(some.c.host, func.count(), func.max(some.c.sid)).group_by(some.c.host)
    return {row[0]: (row[1], row[2]) for row in db.execute(query)}


def last_tried(db: Connection, host: str) -> CallbackRow | None:
    """Return, of what waits for a host after an attempt, what waits longest; few are looked at.

    What failed waits for a later time than what is new does.
    """
    found = [row for account in _accounts_at(db, host) if (row := _latest_tried(db, host, account))]
    return max(found, key=_due, default=None)


def next_try(db: Connection, host: str, *, now: datetime) -> datetime | None:
    """Return when something that waits for a host is tried next; None if that is now or never."""
    column = callbacks.c
    soonest = (
        db.execute(select(func.min(column.due_at)).where(_at(host, account), column.due_at > now))
        for account in _accounts_at(db, host)
    )
    return min((at for result in soonest if (at := result.scalar())), default=None)


def last_attempts(db: Connection, rows: Iterable[CallbackRow]) -> dict[str, AttemptRow]:
    """Return the last attempt at each of these webhooks, by its SID."""
    found: dict[str, AttemptRow] = {}
    for row in rows:
        query = select(callback_attempts).where(_tries(row))
        last = db.execute(query.order_by(callback_attempts.c.sid.desc()).limit(1)).first()
        if last is not None:
            found[row.sid] = AttemptRow(**last._mapping)
    return found


def unpark(db: Connection, rows: Sequence[CallbackRow], *, due_at: datetime) -> int:
    """Let parked webhooks be made again, with all their attempts anew; return how many."""
    keys = _keys(rows)
    if not keys:
        return 0
    change = update(callbacks).where(_HERE, callbacks.c.due_at.is_(None))
    return db.execute(change.values(due_at=due_at, attempts=0), keys).rowcount


def discard_parked(db: Connection, rows: Sequence[CallbackRow]) -> int:
    """Remove webhooks that are parked still; return how many."""
    keys = _keys(rows)
    if not keys:
        return 0
    return db.execute(delete(callbacks).where(_HERE, callbacks.c.due_at.is_(None)), keys).rowcount


def trim_attempts(db: Connection, row: CallbackRow) -> None:
    """Keep only the newest attempts at a webhook."""
    column = callback_attempts.c
    edge = (
        select(column.sid)
        .where(_tries(row))
        .order_by(column.sid.desc())
        .offset(ATTEMPTS_KEPT_MAX)
        .limit(1)
    )
    oldest_to_go = db.execute(edge).scalar()
    if oldest_to_go is not None:
        db.execute(delete(callback_attempts).where(_tries(row), column.sid <= oldest_to_go))


def _accounts_at(db: Connection, host: str) -> Iterator[str]:
    """Give out the first accounts of which something waits for a host."""
    account: str | None = ""
    for _ in range(TURNS_LOOKED_AT_MAX):
        column = callbacks.c
        here = (column.host == host) & column.due_at.is_not(None) & (column.account_sid > account)
        account = db.execute(select(func.min(column.account_sid)).where(here)).scalar()
        if account is None:
            return
        yield account


def _latest_tried(db: Connection, host: str, account_sid: str) -> CallbackRow | None:
    latest = (
        select(*COLUMNS)
        .where(_at(host, account_sid))
        .order_by(callbacks.c.due_at.desc(), callbacks.c.sid.desc())
        .limit(LATEST_MAX)
    )
    rows = (CallbackRow(**row._mapping) for row in db.execute(latest))
    return next((row for row in rows if row.attempts), None)


def _due(row: CallbackRow) -> datetime:
    assert row.due_at is not None  # Of what waits.
    return row.due_at


def _at(host: str, account_sid: str) -> ColumnElement[bool]:
    column = callbacks.c
    is_there = and_(column.host == host, column.account_sid == account_sid)
    return and_(is_there, column.due_at.is_not(None))


_HERE = and_(
    callbacks.c.account_sid == bindparam("b_account_sid"),
    callbacks.c.message_sid == bindparam("b_message_sid"),
    callbacks.c.sid == bindparam("b_sid"),
)


def _keys(rows: Sequence[CallbackRow]) -> list[dict[str, str]]:
    return [
        {"b_account_sid": r.account_sid, "b_message_sid": r.message_sid, "b_sid": r.sid}
        for r in rows
    ]


def _tries(row: CallbackRow) -> ColumnElement[bool]:
    column = callback_attempts.c
    return and_(
        column.account_sid == row.account_sid,
        column.message_sid == row.message_sid,
        column.callback_sid == row.sid,
    )


def _chosen(wanted: WebhookFilter) -> ColumnElement[bool]:
    column = callbacks.c
    tests: list[ColumnElement[bool]] = [
        column.due_at.is_(None) if wanted.is_parked else column.due_at.is_not(None)
    ]
    for name in ("host", "account_sid", "message_sid", "kind"):
        value = getattr(wanted, name)
        if value is not None:
            tests.append(column[name] == value)
    if wanted.since is not None:
        tests.append(column.sid >= PREFIX + position_at(wanted.since))
    return and_(true(), *tests)
