"""What each account used, by day and category."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from trunkline.store.tables import usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """One item of use; day is YYYY-MM-DD in UTC."""

    account_sid: str
    day: str
    category: str
    count: int
    units: int
    price: Decimal


def add_usage(db: Connection, items: Iterable[Used]) -> None:
    """Add items to the totals of their day."""
    totals: dict[tuple[str, str, str], tuple[int, int, Decimal]] = {}
    for item in items:
        key = (item.account_sid, item.day, item.category)
        count, units, price = totals.get(key, (0, 0, Decimal(0)))
        totals[key] = (count + item.count, units + item.units, price + item.price)
    for (account_sid, day, category), (count, units, price) in totals.items():
        row = {"account_sid": account_sid, "day": day, "category": category}
        statement = upsert(usage).values(**row, count=count, units=units, price=price)
        new = statement.excluded
        change = {
            "count": usage.c.count + new.count,
            "units": usage.c.units + new.units,
            "price": usage.c.price + new.price,
        }
        db.execute(statement.on_conflict_do_update(index_elements=list(row), set_=change))


def spent(db: Connection, account_sid: str) -> Decimal:
    """Return what an account's use cost in total."""
    query = select(func.sum(usage.c.price)).where(usage.c.account_sid == account_sid)
    return db.execute(query).scalar() or Decimal(0)
