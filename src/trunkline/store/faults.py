"""How the phones of the simulated network were told to behave."""

from collections.abc import Iterable

from sqlalchemy import Connection, select

from trunkline.store.tables import handsets


def behaviours_of(db: Connection, numbers: Iterable[str]) -> dict[str, str]:
    """Return the behaviours that were set for numbers; those that do as usual are missing."""
    query = select(handsets.c.number, handsets.c.behaviour).where(
        handsets.c.number.in_(list(numbers)), handsets.c.behaviour != ""
    )
    return {row.number: row.behaviour for row in db.execute(query)}
