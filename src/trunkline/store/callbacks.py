"""Webhooks that are due, every attempt that was made, and the cookies their receivers set."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from zlib import crc32

from msgspec import Struct
from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from trunkline.domain.ids import micros
from trunkline.store.hosts import Turn, host_of
from trunkline.store.prepared import Lookup, Prepared, as_json
from trunkline.store.rows import by_account
from trunkline.store.tables import callback_attempts, callbacks, cookies
from trunkline.store.upserts import upsert

COOKIE_LIFE = timedelta(hours=4)  # Twilio keeps a pair's cookies for four hours without traffic.


# Accounts are spread over these, so that several nodes share the webhooks. A number that fits all
# from one node to dozens; it must be the same on every node of a database.
SHARDS = 16
TURNS_MAX = 500  # That one statement lists, each for some seeks; further ones list the others.

_FIRST = Turn("", "")
_NONE_KNOWN: Mapping[Turn, Set[str]] = MappingProxyType({})


def shard_of(account_sid: str) -> int:
    """Return the shard of an account's webhooks."""
    return crc32(account_sid.encode()) % SHARDS


class CallbackRow(Struct, frozen=True, kw_only=True):
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


class AttemptRow(Struct, frozen=True, kw_only=True):
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


COLUMNS = [callbacks.c[name] for name in CallbackRow.__struct_fields__]
_WAITS = callbacks.c.due_at.is_not(None)  # And is not parked.
_INSERT = Prepared(insert(callbacks), [column.name for column in callbacks.c])
_HERE = and_(
    callbacks.c.account_sid == bindparam("b_account_sid"),
    callbacks.c.message_sid == bindparam("b_message_sid"),
    callbacks.c.sid == bindparam("b_sid"),
)
_KEY = ("b_account_sid", "b_message_sid", "b_sid")
_FINISH = Prepared(delete(callbacks).where(_HERE), _KEY)
_POSTPONE = Prepared(
    update(callbacks)
    .where(_HERE)
    .values(due_at=bindparam("b_due"), attempts=callbacks.c.attempts + literal_column("1")),
    ("b_due", *_KEY),
)
_WAITING = Lookup(
    select(callbacks.c.message_sid).where(
        callbacks.c.account_sid == bindparam("b_account_sid"),
        callbacks.c.due_at.is_not(None),
        callbacks.c.message_sid.in_(bindparam("keys", expanding=True)),
    ),
    ["b_account_sid"],
)
_earlier = callbacks.alias("earlier")
_IS_FIRST = ~(
    select(_earlier.c.sid)
    .where(
        _earlier.c.account_sid == callbacks.c.account_sid,
        _earlier.c.message_sid == callbacks.c.message_sid,
        _earlier.c.due_at.is_not(None),
        or_(
            _earlier.c.created_at < callbacks.c.created_at,
            and_(
                _earlier.c.created_at == callbacks.c.created_at,
                _earlier.c.sid < callbacks.c.sid,
            ),
        ),
    )
    .exists()
)
_DUE = (
    select(*COLUMNS)
    .where(
        callbacks.c.host == bindparam("b_host"),
        callbacks.c.account_sid == bindparam("b_account_sid"),
        callbacks.c.due_at <= bindparam("b_now"),
        _WAITS,
        _IS_FIRST,
    )
    .order_by(callbacks.c.due_at, callbacks.c.sid)
    .limit(bindparam("b_limit", type_=Integer))
)
_DUE_KEYS = _DUE.with_only_columns(callbacks.c.message_sid, callbacks.c.sid)
_THESE = select(*COLUMNS).where(
    callbacks.c.account_sid == bindparam("b_account_sid"),
    callbacks.c.message_sid.in_(bindparam("messages", expanding=True)),
    callbacks.c.sid.in_(bindparam("sids", expanding=True)),
)
_FOLLOWING = (
    select(*COLUMNS)
    .where(
        callbacks.c.account_sid == bindparam("b_account_sid"),
        callbacks.c.message_sid.in_(bindparam("messages", expanding=True)),
        _WAITS,
    )
    .order_by(callbacks.c.created_at, callbacks.c.sid)
)
_INSERT_ATTEMPT = Prepared(
    insert(callback_attempts), [column.name for column in callback_attempts.c]
)


def insert_callbacks(db: Connection, rows: Sequence[CallbackRow]) -> None:
    """Queue webhooks."""
    _INSERT.run(
        db,
        [
            (
                row.account_sid,
                row.message_sid,
                row.sid,
                row.kind,
                row.url,
                row.method,
                row.fallback_url,
                row.fallback_method,
                row.host,
                as_json(row.parameters),
                row.token,
                row.attempts,
                None if row.due_at is None else micros(row.due_at),
                micros(row.created_at),
                shard_of(row.account_sid),
            )
            for row in rows
        ],
    )


def load_due_callbacks(
    db: Connection,
    now: datetime,
    *,
    limit: int,
    supplied: Collection[Turn] = (),
    known: Mapping[Turn, Set[str]] = _NONE_KNOWN,
    after: Turn = _FIRST,
    shards: Collection[int] | None = None,
) -> list[CallbackRow]:
    """Return due webhooks, the oldest of each turn, only the first of each message.

    A turn is an account at a host; those behind *after* come first, and then the others, so that
    none waits for what another has. What is *known* of a turn is left out, and so are turns that
    are *supplied*. Where *shards* are given, only accounts in those count.
    """
    found: list[CallbackRow] = []
    for turns in _due_turns(db, now, after=after):
        hungry = [turn for turn in turns if turn not in supplied and _is_in(shards, turn)]
        for place, turn in enumerate(hungry):
            left = limit - len(found)
            if left <= 0:
                return found
            portion = max(left // (len(hungry) - place), 1)
            found += _load_turn(db, now, turn, known=known.get(turn, frozenset()), limit=portion)
    return found


def _is_in(shards: Collection[int] | None, turn: Turn) -> bool:
    return shards is None or shard_of(turn[1]) in shards


def _due_turns(db: Connection, now: datetime, *, after: Turn) -> Iterator[list[Turn]]:
    """Give out the turns that have something due, once around."""
    seen: set[Turn] = set()
    for start in dict.fromkeys((after, _FIRST)):
        place: Turn | None = start
        while place is not None:
            here = [Turn(*row) for row in db.execute(_turns(place, now))]
            new = [turn for turn in here if turn not in seen]
            seen.update(new)
            yield new
            is_end = len(here) < TURNS_MAX or len(new) < len(here)
            place = None if is_end else here[-1]


def _turns(after: Turn, now: datetime) -> Select[str, str]:
    """Return the question for the turns behind *after*: some seeks for each, whatever it has."""
    host, account_sid = _following(literal(after.host), literal(after.account_sid), of=None)
    first = select(host.label("host"), account_sid.label("account_sid"))
    turns = first.cte("turns", recursive=True)
    following = select(*_following(turns.c.host, turns.c.account_sid, of=turns))
    turns = turns.union_all(following.where(turns.c.host.is_not(None)))
    oldest = (
        select(func.min(callbacks.c.due_at))
        .where(callbacks.c.host == turns.c.host, callbacks.c.account_sid == turns.c.account_sid)
        .where(_WAITS)
        .scalar_subquery()
    )
    return select(turns.c.host, turns.c.account_sid).where(oldest <= now).limit(TURNS_MAX)


def _following(
    host: ColumnElement[str], account_sid: ColumnElement[str], *, of: CTE | None
) -> tuple[ColumnElement[str], ColumnElement[str]]:
    """Return the turn behind one: the host's next account, or the next host's first.

    Not by comparing pairs: SQLite then walks through all that the one turn has.
    """
    account = select(func.min(callbacks.c.account_sid)).where(_WAITS).correlate(of)
    same = account.where(callbacks.c.host == host, callbacks.c.account_sid > account_sid)
    other = select(func.min(callbacks.c.host)).where(_WAITS, callbacks.c.host > host)
    next_host = other.correlate(of).scalar_subquery()
    first = account.where(callbacks.c.host == next_host).scalar_subquery()
    is_same = same.scalar_subquery().is_not(None)
    return case((is_same, host), else_=next_host), func.coalesce(same.scalar_subquery(), first)


def _load_turn(
    db: Connection, now: datetime, turn: Turn, *, known: Set[str], limit: int
) -> list[CallbackRow]:
    """Return the oldest due webhooks of a turn that are not known."""
    host, account_sid = turn
    values = {"b_host": host, "b_account_sid": account_sid, "b_now": now}
    if not known:
        values |= {"b_limit": limit}
        return [CallbackRow(**row._mapping) for row in db.execute(_DUE, values)]
    # The keys alone first, because what is known is found again.
    values |= {"b_limit": limit + len(known)}
    keys = [(row[0], row[1]) for row in db.execute(_DUE_KEYS, values) if row[1] not in known]
    sids = [sid for _, sid in keys[:limit]]
    messages = [message_sid for message_sid, _ in keys[:limit]]
    there = {"b_account_sid": account_sid, "messages": messages, "sids": sids}
    rows = {row.sid: CallbackRow(**row._mapping) for row in db.execute(_THESE, there)}
    return [rows[sid] for sid in sids if sid in rows]


def waiting_callbacks(db: Connection, rows: Sequence[CallbackRow]) -> set[str]:
    """Return the messages of these rows of which webhooks wait already, but for parked ones."""
    return _waiting(db, by_account((row.account_sid, row.message_sid) for row in rows))


def following_callbacks(
    db: Connection, rows: Iterable[CallbackRow], *, now: datetime
) -> list[CallbackRow]:
    """Return of the message of each of these rows the first webhook that waits, if it is due."""
    sids = by_account({(row.account_sid, row.message_sid) for row in rows})
    waiting = _waiting(db, sids)
    if not waiting:
        return []
    first: dict[str, CallbackRow] = {}
    for account_sid, group in sids.items():
        these = [sid for sid in group if sid in waiting]
        for row in db.execute(_FOLLOWING, {"b_account_sid": account_sid, "messages": these}):
            first.setdefault(row.message_sid, CallbackRow(**row._mapping))
    return [row for row in first.values() if row.due_at is not None and row.due_at <= now]


def _waiting(db: Connection, sids: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    for account_sid, group in sids.items():
        found |= _WAITING.run(db, (account_sid,), keys=group)
    return found


def next_due_callback(
    db: Connection, now: datetime, *, shards: Collection[int] | None = None
) -> datetime | None:
    """Return when the next webhook that is not due yet will be, of some shards or of all."""
    query = select(callbacks.c.due_at).where(callbacks.c.due_at > now)
    if shards is not None:
        query = query.where(callbacks.c.shard.in_(shards))
    return db.execute(query.order_by(callbacks.c.due_at).limit(1)).scalar()


def finish_callbacks(db: Connection, rows: Iterable[CallbackRow]) -> int:
    """Take webhooks out of the queue: they were delivered. Return how many were still there."""
    return _FINISH.run(db, [_key(row) for row in rows])


def postpone_callbacks(db: Connection, rows: Iterable[tuple[CallbackRow, datetime | None]]) -> None:
    """Let webhooks wait until a time, or park them (None)."""
    _POSTPONE.run(
        db,
        [(None if due_at is None else micros(due_at), *_key(row)) for row, due_at in rows],
    )


def _key(row: CallbackRow) -> tuple[str, str, str]:
    return (row.account_sid, row.message_sid, row.sid)


def callbacks_of(db: Connection, account_sid: str, message_sid: str) -> list[CallbackRow]:
    """Return the webhooks of a message that are not delivered yet, the first of them first."""
    query = (
        select(*COLUMNS)
        .where(callbacks.c.account_sid == account_sid, callbacks.c.message_sid == message_sid)
        .order_by(callbacks.c.created_at, callbacks.c.sid)
    )
    return [CallbackRow(**row._mapping) for row in db.execute(query)]


def insert_attempts(db: Connection, rows: Sequence[AttemptRow]) -> None:
    """Keep what was tried."""
    _INSERT_ATTEMPT.run(
        db,
        [
            (
                row.account_sid,
                row.message_sid,
                row.sid,
                row.callback_sid,
                row.kind,
                row.url,
                row.method,
                row.label,
                micros(row.at),
                row.duration_ms,
                row.http_status,
                row.error_code,
                row.reason,
                row.head,
            )
            for row in rows
        ],
    )


def attempts_of(
    db: Connection, account_sid: str, message_sid: str, *, limit: int = 1000
) -> list[AttemptRow]:
    """Return the attempts for a message, oldest first."""
    query = (
        select(callback_attempts)
        .where(
            callback_attempts.c.account_sid == account_sid,
            callback_attempts.c.message_sid == message_sid,
        )
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
