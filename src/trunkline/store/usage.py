"""What each account used, by day and category."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, Insert, func, select

from trunkline.store.prepared import Prepared, as_millionths
from trunkline.store.tables import usage
from trunkline.store.upserts import upsert

SHARDS_MAX = 16  # As many nodes count the use of one account without waiting for each other.
_SHARD = os.getpid() % SHARDS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """One item of use; day is YYYY-MM-DD in UTC."""

    account_sid: str
    day: str
    category: str
    count: int
    units: int
    price: Decimal


def _add() -> Insert:
    statement = upsert(usage)
    change = {name: usage.c[name] + statement.excluded[name] for name in _SUMS}
    return statement.on_conflict_do_update(index_elements=list(_KEY), set_=change)


_KEY, _SUMS = ("account_sid", "day", "category", "shard"), ("count", "units", "price")
_ADD = Prepared(_add(), (*_KEY, *_SUMS))


def add_usage(db: Connection, items: Iterable[Used]) -> None:
    """Add items to the totals of their day."""
    totals: dict[tuple[str, str, str], tuple[int, int, Decimal]] = {}
    for item in items:
        key = (item.account_sid, item.day, item.category)
        count, units, price = totals.get(key, (0, 0, Decimal(0)))
        totals[key] = (count + item.count, units + item.units, price + item.price)
    rows = [
        (*key, _SHARD, count, units, as_millionths(price))
        for key, (count, units, price) in totals.items()
    ]
    _ADD.run(db, sorted(rows))


def spent(db: Connection, account_sid: str) -> Decimal:
    """Return what an account's use cost in total."""
    query = select(func.sum(usage.c.price)).where(usage.c.account_sid == account_sid)
    return db.execute(query).scalar() or Decimal(0)
