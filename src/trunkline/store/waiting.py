"""How much waits for a carrier, counted no further than somebody would read."""

from sqlalchemy import Connection, func, select

from trunkline.store.tables import outbox

# Counting reads every row: past this a page says "10,000 or more" and stays quick.
WAITING_COUNTED_MAX = 10_000

# The name of a lane is the carrier's, a slash, and a number; `0` is the character after the slash.
_SLASH, _AFTER_SLASH = "/", "0"


def count_waiting(db: Connection, carrier: str) -> dict[str, int]:
    """Return how many messages wait in each lane of a carrier, WAITING_COUNTED_MAX in all at most.

    A lane where nothing waits is left out.
    """
    rows = (
        select(outbox.c.lane)
        .where(outbox.c.lane >= carrier + _SLASH, outbox.c.lane < carrier + _AFTER_SLASH)
        .limit(WAITING_COUNTED_MAX)
        .subquery()
    )
    query = select(rows.c.lane, func.count()).group_by(rows.c.lane)
    return {row[0]: row[1] for row in db.execute(query)}
