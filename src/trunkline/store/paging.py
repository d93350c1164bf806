"""Pages by key: a cursor is the SID at a page's edge, so every page costs what the first costs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select

T = TypeVar("T")

PAGE_SIZE = 50
PAGE_SIZE_MAX = 1000
SCAN_MAX = 20_000  # Rows a filter in Python may look at for one page of configuration records.


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which page is wanted: newest first, behind the SID *after* or in front of *before*."""

    size: int = PAGE_SIZE
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The items of one page, and whether there are more on either side."""

    items: list[T]
    has_next: bool
    has_previous: bool


def fetch_page(
    db: Connection,
    query: Select[Any],
    page: Page,
    *,
    key: ColumnElement[str],
    build: Callable[[Row[Any]], T],
    cursor: Callable[[str], str] = str,
    where: Callable[[T], bool] | None = None,
) -> Found[T]:
    """Return one page of *query*, ordered by *key* descending; *where* filters what is built.

    *cursor* makes of a page's SID the key it stands for.
    """
    backwards = page.before is not None
    if page.before is not None:
        query = query.where(key > cursor(page.before)).order_by(key)
    else:
        query = query.order_by(key.desc())
        if page.after is not None:
            query = query.where(key < cursor(page.after))
    query = query.limit(page.size + 1 if where is None else SCAN_MAX)
    items: list[T] = []
    for row in db.execute(query):
        item = build(row)
        if where is None or where(item):
            items.append(item)
        if len(items) > page.size:
            break
    more = len(items) > page.size
    items = items[: page.size]
    if backwards:
        return Found(items[::-1], has_next=True, has_previous=more)
    return Found(items, has_next=more, has_previous=page.after is not None)
