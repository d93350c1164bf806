"""Statements of the hot paths: compiled once, and given rows that are as the driver wants them.

SQLAlchemy looks at each value of each row again; for the dozen statements of a message's way that
was a good part of the processor's time.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import ClauseElement, Connection, Delete, Dialect, Insert, Select, Update
from sqlalchemy.sql.compiler import SQLCompiler

_MILLIONTHS = Decimal(1_000_000)


class Prepared:
    """A statement that is executed for many rows; *names* are its parameters in their order."""

    def __init__(self, statement: Insert | Update | Delete, names: Sequence[str]) -> None:
        self._statement = statement
        self._names = tuple(names)
        self._texts: dict[str, str] = {}

    def run(self, db: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Execute it for each row; return how many rows of the table that touched in all."""
        if not rows:
            return 0
        text = self._texts.get(db.dialect.name) or self._compile(db)
        if db.dialect.name == "sqlite":
            return db.exec_driver_sql(text, rows).rowcount
        # By name: so the rows can travel together.
        named = [dict(zip(self._names, row, strict=True)) for row in rows]
        return db.exec_driver_sql(text, named).rowcount

    def _compile(self, db: Connection) -> str:
        name = db.dialect.name
        style = "qmark" if name == "sqlite" else "pyformat"
        compiled = _compiled(self._statement, db, style=style, column_keys=self._names)
        places = compiled.positiontup or self._names
        assert tuple(places) == self._names, compiled.positiontup
        self._texts[name] = str(compiled)
        return self._texts[name]


class Lookup:
    """A question which of many texts are there: a statement whose last parameter is *keys*."""

    def __init__(self, statement: Select[Any], names: Sequence[str] = ()) -> None:
        self._statement = statement
        self._names = (*names, "keys")
        self._texts: dict[str, tuple[str, str]] = {}

    def run(self, db: Connection, values: Sequence[Any], *, keys: Sequence[str]) -> set[str]:
        """Return the first column of what `rows` returns."""
        return {row[0] for row in self.rows(db, values, keys=keys)}

    def rows(
        self, db: Connection, values: Sequence[Any], *, keys: Sequence[str]
    ) -> Sequence[tuple[Any, ...]]:
        """Return what the statement finds for its first parameters and any of *keys*."""
        if not keys:
            return ()
        before, after = self._texts.get(db.dialect.name) or self._compile(db)
        mark = "?" if db.dialect.name == "sqlite" else "%s"
        text = f"{before}({', '.join([mark] * len(keys))}){after}"
        return db.exec_driver_sql(text, (*values, *keys)).all()

    def _compile(self, db: Connection) -> tuple[str, str]:
        style = "qmark" if db.dialect.name == "sqlite" else "format"
        compiled = _compiled(self._statement, db, style=style)
        assert tuple(compiled.positiontup or ()) == self._names, compiled.positiontup
        before, mark, after = str(compiled).partition("(__[POSTCOMPILE_keys])")
        assert mark, str(compiled)
        self._texts[db.dialect.name] = before, after
        return before, after


def _compiled(
    statement: ClauseElement,
    db: Connection,
    *,
    style: str,
    column_keys: Sequence[str] | None = None,
) -> SQLCompiler:
    build: Callable[..., Dialect] = type(db.dialect)
    dialect = build(paramstyle=style)
    compiled = statement.compile(dialect=dialect, column_keys=column_keys)
    assert isinstance(compiled, SQLCompiler)
    return compiled


def as_json(value: Any) -> str:
    """Return what a JSON column stores."""
    return msgspec.json.encode(value).decode()


def as_millionths(value: Decimal | None) -> int | None:
    """Return what a column of money stores."""
    return None if value is None else int((value * _MILLIONTHS).to_integral_value())
