"""The keys of requests that are to have their effect once.

Rule: a key is taken in the commit that does what its request asks for, or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, literal_column, select, tuple_

from trunkline.store.rows import rows_of
from trunkline.store.sending_tables import idempotency_keys
from trunkline.store.upserts import upsert

# As long as Stripe keeps them: whoever tries again, tries again within a day.
KEPT_FOR = timedelta(hours=24)

# A parameter here would have PostgreSQL execute the statement once for each row.
_is_over = idempotency_keys.c.created_at < literal_column(
    f"excluded.created_at - {KEPT_FOR // timedelta(microseconds=1)}"
)
_TAKING = upsert(idempotency_keys)
_TAKE = _TAKING.on_conflict_do_update(
    index_elements=["account_sid", "key"],
    set_={name: _TAKING.excluded[name] for name in ("digest", "message_sid", "created_at")},
    where=_is_over,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key, a digest of what was asked under it, and the message that came of it."""

    account_sid: str
    key: str
    digest: str
    message_sid: str
    created_at: datetime


def take_keys(db: Connection, rows: Sequence[KeyRow]) -> set[str]:
    """Take keys for messages; return the SIDs of the messages that came too late for theirs.

    Another commit that is taking one of the keys is waited for.
    """
    if not rows:
        return set()
    # In one order everywhere, so that two nodes do not wait for each other.
    ordered = sorted(rows, key=lambda row: (row.account_sid, row.key))
    db.execute(_TAKE, rows_of(ordered))
    column = idempotency_keys.c
    pairs = tuple_(column.account_sid, column.key)
    query = select(column.message_sid).where(pairs.in_([(r.account_sid, r.key) for r in rows]))
    return {row.message_sid for row in rows}.difference(db.execute(query).scalars())


def find_key(db: Connection, account_sid: str, key: str, *, now: datetime) -> KeyRow | None:
    """Return what was asked under a key, unless that is too long ago."""
    column = idempotency_keys.c
    query = select(idempotency_keys).where(
        column.account_sid == account_sid, column.key == key, column.created_at >= now - KEPT_FOR
    )
    row = db.execute(query).first()
    return None if row is None else KeyRow(**row._mapping)


def delete_keys(db: Connection, before: datetime, *, limit: int) -> int:
    """Remove keys that were taken before a time; return how many."""
    keys = tuple(idempotency_keys.primary_key.columns)
    column = idempotency_keys.c.created_at
    old = select(*keys).where(column < before).order_by(column).limit(limit)
    return db.execute(delete(idempotency_keys).where(tuple_(*keys).in_(old))).rowcount
