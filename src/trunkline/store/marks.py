"""Marks: one row of every group commit, which tells whether it is kept when nobody else could say.

The number of a transaction would not do: a server that crashed, or a standby that took over, may
give it to another.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, text

from trunkline.domain.ids import instant
from trunkline.store.tables import commits
from trunkline.store.upserts import upsert

KEPT_MAX = 500  # Of one writer, before they are removed; only the last can be asked for.
# Marks of writers that are gone; no transaction lives as long.
OTHERS_HOURS_MAX = 24

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
# In the same message as BEGIN, which takes no parameters.
_LEAVE = (
    "INSERT INTO commits (writer, number, at)"
    " VALUES ('{writer}', {number}, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);"
)
_REMOVE = (
    "DELETE FROM commits WHERE writer = '{writer}' AND number >= {since} AND number < {number};"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What one transaction leaves."""

    writer: str
    number: int


class Marks:
    """The marks of one writer, whose name is hexadecimal digits and its own."""

    def __init__(self, writer: str) -> None:
        self.last = Mark(writer, 0)

    def next(self) -> str:
        """Return the statements that leave the next mark, as the first thing in a transaction."""
        self.last = Mark(self.last.writer, self.last.number + 1)
        number = self.last.number
        # From where the last were removed: what is dead before that need not be passed again.
        values = {"writer": self.last.writer, "number": number, "since": number - 2 * KEPT_MAX}
        return (_LEAVE if number % KEPT_MAX else _LEAVE + _REMOVE).format(**values)

    def forget_others(self, db: Connection) -> None:
        """Remove what writers left that are gone."""
        age = f"{OTHERS_HOURS_MAX * 3600} * 1000000::bigint"
        db.execute(delete(commits).where(text(f"at < {_NOW} - {age}")))


def was_kept(db: Connection, mark: Mark) -> bool:
    """Tell whether the transaction that was to leave *mark* was committed; waits for its end.

    The caller undoes what this does.
    """
    # When does not matter: it never stays.
    statement = upsert(commits).values(writer=mark.writer, number=mark.number, at=instant(0))
    attempt = statement.on_conflict_do_nothing().returning(commits.c.number)
    return db.execute(attempt).first() is None
