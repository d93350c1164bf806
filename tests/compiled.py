"""What one engine has compiled serves all others.

Each test has engines of its own, and spent nearly half of its time on the same statements.
"""

from collections.abc import Hashable
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.util import LRUCache

STATEMENTS_MAX = 5000  # The program has some hundred, on each kind of database.


class Compiled(LRUCache[tuple[Any, ...], Any]):
    """Statements by what they are and by their kind of database, not by their engine."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        """Return what was compiled on any engine of the kind."""
        return super().get(of_kind(key), default)

    def __setitem__(self, key: tuple[Any, ...], value: Any) -> None:
        super().__setitem__(of_kind(key), value)


def of_kind(key: tuple[Any, ...]) -> tuple[Hashable, ...]:
    """Return a key that has the dialect's kind in the dialect's place, which is the first."""
    return (type(key[0]), *key[1:])


def share_compiled() -> None:
    """Let all engines of this process have one cache from now on."""
    cache = Compiled(STATEMENTS_MAX)
    # An engine that begins sets one of its own, which is not kept.
    Engine._compiled_cache = property(lambda _: cache, lambda *_: None)  # type: ignore[assignment]
