"""Lists of messages, narrowed by filters: a page costs no more because there are many others.

What is asked for is split until an index has all of a part in the list's order, or most of it; the
rest is looked up in each row. Which of several indexes finds a part soonest nobody knows, so they
take turns: each is followed for a few rows at first and for more later, until one of them has
filled the page or come to its end.

Rule: a statement follows one index in its order and ends after a number of rows, and says so in a
way that leaves planners no choice: they do not know whereabouts in an index the wanted rows lie.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import chain, product
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnCollection,
    ColumnElement,
    CompoundSelect,
    Connection,
    Integer,
    Row,
    Select,
    String,
    Subquery,
    TextClause,
    UnaryExpression,
    bindparam,
    false,
    func,
    literal,
    literal_column,
    select,
    true,
    union_all,
)

from trunkline.domain.ids import EPOCH, position_at, position_of
from trunkline.domain.message import Direction, Message, Status
from trunkline.store.messages import COLUMNS, MessageFilter, build_message
from trunkline.store.paging import Found, Page
from trunkline.store.tables import (
    LOST,
    OUT_OF_STEP,
    SENT_AHEAD,
    SENT_BEHIND,
    messages,
)

ROWS_FIRST = 200  # Looking at these takes little longer than a statement that finds nothing.
ROWS_FACTOR = 4  # What was looked at before is a part of what is looked at in the end, then.
FEW_MAX = 1_000  # Rows that are sorted in a moment.

_TOP, _BOTTOM = "g", ""  # Behind every position, and in front of it.

Names = tuple[str, ...]

EVERYTHING = "messages_pkey"
# What the indexes that lead to messages have between the account and the position.
_LEADS: Mapping[str, Names] = {
    "messages_to": ("recipient", "direction"),
    "messages_from": ("sender", "direction"),
    "messages_in_status": ("status", "direction"),
    "messages_lost": ("sender", "status", "direction"),
    "messages_sent": ("direction",),
    EVERYTHING: (),
}
# Which rows alone an index has, in the words of all databases.
_CONDITIONS: Mapping[str, ColumnElement[bool]] = {
    "messages_lost": messages.c.status.in_([literal_column(f"'{status}'") for status in LOST]),
    "messages_sent": messages.c.sent_at.is_not(None),
}
_HERE = messages.c.account_sid == bindparam("account")
_TOGETHER = (
    select(*COLUMNS)
    .where(_HERE, messages.c.position.in_(bindparam("keys", expanding=True)))
    .order_by(messages.c.position.desc())
)
# PostgreSQL that has no statistics yet believes an account to be so small that it reads all of it
# rather than look up fifty keys. Behind a LIMIT each is looked up.
_KEYS = (
    func.unnest(bindparam("keys", type_=ARRAY(String))).table_valued("position").render_derived()
)
_EACH = select(*COLUMNS).where(_HERE, messages.c.position == _KEYS.c.position).limit(1).lateral()
_ONE_BY_ONE = select(_EACH).select_from(_KEYS.join(_EACH, true())).order_by(_KEYS.c.position.desc())
# What is asked, where it is not called as the column.
_SPANS = ("sent_from", "sent_before")
_COLUMN_OF = dict.fromkeys(_SPANS, "sent_at")
_LATEST = datetime.max.replace(tzinfo=UTC)

Asked = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Way:
    """Where a list is read: from behind one position to another one, the other included."""

    start: str
    end: str
    ascending: bool = False

    def has_passed(self, position: str) -> bool:
        """Tell whether nothing is left of the way at a position."""
        return position >= self.end if self.ascending else position <= self.end

    def within(self, low: str, high: str) -> "_Way":
        """Return as much of the way as lies between two positions."""
        if self.ascending:
            return replace(self, start=max(self.start, low), end=min(self.end, high))
        return replace(self, start=min(self.start, high), end=max(self.end, low))

    def in_order(self, keys: Iterable[str]) -> list[str]:
        """Return each key once, in the order in which they are met."""
        return sorted(set(keys), reverse=not self.ascending)


def page_messages(
    db: Connection, account_sid: str, wanted: MessageFilter, page: Page
) -> Found[Message]:
    """Return one page of an account's messages, newest first."""
    keys = _Search(db, account_sid, need=page.size + 1).keys(wanted, _way(wanted, page))
    items, more = _messages_at(db, account_sid, keys[: page.size]), len(keys) > page.size
    if page.before is not None:
        return Found(items, has_next=True, has_previous=more)
    return Found(items, has_next=more, has_previous=page.after is not None)


def _messages_at(db: Connection, account_sid: str, keys: list[str]) -> list[Message]:
    """Return the messages at some positions, newest first."""
    if not keys:
        return []
    query = _ONE_BY_ONE if db.dialect.name == "postgresql" else _TOGETHER
    return [build_message(row) for row in db.execute(query, {"account": account_sid, "keys": keys})]


def _way(wanted: MessageFilter, page: Page) -> _Way:
    if page.before is not None:
        way = _Way(position_of(page.before), _TOP, ascending=True)
    else:
        way = _Way(position_of(page.after) if page.after else _TOP, _BOTTOM)
    low = _BOTTOM if wanted.created_from is None else position_at(wanted.created_from)
    high = _TOP if wanted.created_before is None else position_at(wanted.created_before)
    return way.within(low, high)


def _parts(wanted: MessageFilter) -> Iterator[Asked]:
    """Split what is wanted by whatever has few values, until an index has all of a part."""
    named = {"recipient": wanted.recipient, "sender": wanted.sender}
    named = {name: address for name, address in named.items() if address is not None}
    numbers = [named]
    if wanted.address is not None:
        numbers = [named | {name: wanted.address} for name in ("recipient", "sender")]
    is_split = numbers[0] or wanted.statuses or wanted.sent_from or wanted.sent_before
    directions = list(Direction) if is_split and not wanted.direction else [wanted.direction]
    statuses: Sequence[Status | None] = wanted.statuses
    if not statuses:
        statuses = list(Status) if wanted.direction and not numbers[0] else [None]
    for number, direction, status in product(numbers, directions, statuses):
        asked: dict[str, Any] = {
            **number,
            "direction": direction and direction.value,
            "status": status and status.value,
            "sent_from": wanted.sent_from,
            "sent_before": wanted.sent_before,
        }
        yield {name: value for name, value in asked.items() if value is not None}


@dataclass(slots=True)
class _Scan:
    """One index that is followed for a part of what is wanted, and what it led to so far."""

    lead: str
    asked: Asked
    reached: str  # Nothing that is asked for lies in front of this but what is in keys.
    keys: list[str]

    def look(self, search: "_Search", way: _Way, *, rows: int) -> None:
        """Follow the index by a number of rows, until the page is full or the way ends."""
        rest = tuple(name for name in self.asked if name not in _LEADS[self.lead])
        more = search.need - len(self.keys)
        way = replace(way, start=self.reached)
        values = search.values(self.asked, way, rows=rows if rest else more, more=more)
        found = search.rows(_next(self.lead, rest, ascending=way.ascending), values)
        matching = [row.position for row in found if not row.is_edge]
        self.keys += matching
        if len(matching) == more:
            self.reached = matching[-1]
        else:
            self.reached = next((row.position for row in found if row.is_edge), way.end)


class _Part:
    """A part of what is wanted, and the indexes that lead to it; the furthest knows the most."""

    def __init__(self, asked: Asked, way: _Way) -> None:
        self._scans = [_Scan(lead, asked, way.start, []) for lead in _leads(asked)]
        self.keys: list[str] = []
        self.is_done = False

    def look(self, search: "_Search", way: _Way, *, rows: int) -> None:
        """Let each index have its turn, until one has all that is to be found."""
        for scan in self._scans:
            scan.look(search, way, rows=rows)
            if len(scan.keys) >= len(self.keys):
                self.keys = scan.keys
            self.is_done = len(scan.keys) == search.need or way.has_passed(scan.reached)
            if self.is_done:
                return


@dataclass(frozen=True, slots=True)
class _Sent:
    """What is asked of the time of sending, and which rows of an index it is about."""

    spans: Names
    only: TextClause | None = None


class _Search:
    """The search for the keys of one page."""

    def __init__(self, db: Connection, account_sid: str, *, need: int) -> None:
        self._db = db
        self._account_sid = account_sid
        self.need = need

    def values(self, asked: Asked, way: _Way, **limits: int) -> Asked:
        """Return what statements about a part have to be told."""
        edges = {"start": way.start, "end": way.end}
        return {"account_sid": self._account_sid, **asked, **edges, **limits}

    def rows(self, query: Select[Any] | CompoundSelect[Any], values: Asked) -> Sequence[Row[Any]]:
        """Return what a query finds."""
        return self._db.execute(query, values).all()

    def keys(self, wanted: MessageFilter, way: _Way) -> list[str]:
        """Return the positions of what is wanted, as many as are needed, in their order."""
        parts = list(_parts(wanted))
        sent = _Sent(tuple(name for name in _SPANS if name in parts[0]))
        if not sent.spans:
            return self._followed(parts, way)
        if self._count(parts[0], way, sent=sent) <= FEW_MAX:
            return self._sorted(parts, way, sent=sent)
        out_of_step = replace(sent, only=OUT_OF_STEP[self._db.dialect.name])
        count = self._count(parts[0], way, sent=out_of_step)
        if count > FEW_MAX:
            return self._followed(parts, way)
        others = self._sorted(parts, way, sent=out_of_step) if count else []
        in_step = self._followed(parts, way.within(*_in_step(wanted)))
        return way.in_order([*others, *in_step])[: self.need]

    def _followed(self, wanted: Sequence[Asked], way: _Way) -> list[str]:
        """Return the first keys of all parts; the more is found, the shorter becomes the way."""
        parts = [_Part(asked, way) for asked in wanted]
        rows, first = max(ROWS_FIRST, self.need), list[str]()
        while running := [part for part in parts if not part.is_done]:
            for part in running:
                part.look(self, way, rows=rows)
                first = way.in_order(chain.from_iterable(part.keys for part in parts))
                if len(first) >= self.need:
                    way = replace(way, end=first[self.need - 1])
            rows *= ROWS_FACTOR
        return first[: self.need]

    def _count(self, asked: Asked, way: _Way, *, sent: "_Sent") -> int:
        """Count what was sent in a span of time, as far as FEW_MAX and one more."""
        values = self.values(asked, way, rows=FEW_MAX + 1)
        counted: int = self._db.execute(_count(sent), values).scalar_one()
        return counted

    def _sorted(self, parts: Sequence[Asked], way: _Way, *, sent: "_Sent") -> list[str]:
        """Return the first keys of all parts, where what was sent in a span of time is little."""
        keys: list[str] = []
        for asked in parts:
            rest = tuple(name for name in asked if name not in sent.spans)
            values = self.values(asked, way, rows=FEW_MAX, more=self.need)
            keys += [
                row.position for row in self.rows(_few(sent, rest, ascending=way.ascending), values)
            ]
        return way.in_order(keys)[: self.need]


def _leads(asked: Asked) -> list[str]:
    """Return the indexes that lead to a part of what is wanted."""
    if "sender" in asked and asked.get("status") in LOST:
        return ["messages_lost"]
    names = {"recipient": "messages_to", "sender": "messages_from", "status": "messages_in_status"}
    names |= dict.fromkeys(_SPANS, "messages_sent")
    return list(dict.fromkeys(names[name] for name in names if name in asked)) or [EVERYTHING]


def _in_step(wanted: MessageFilter) -> tuple[str, str]:
    """Return between which positions everything lies that was sent when wanted, and in step."""
    low, high = _BOTTOM, _TOP
    if wanted.sent_from is not None:
        low = position_at(max(wanted.sent_from, EPOCH + SENT_BEHIND) - SENT_BEHIND)
    if wanted.sent_before is not None:
        high = position_at(min(wanted.sent_before, _LATEST - SENT_AHEAD) + SENT_AHEAD)
    return low, high


@cache
def _next(lead: str, rest: Names, *, ascending: bool) -> Select[Any] | CompoundSelect[Any]:
    """Find what is wanted among the next rows of an index, and the last of these rows.

    Where they are fewer than are to be looked at, there is no last one: the way ends there.
    """
    query = _rows(lead, rest, ascending=ascending)
    if not rest:
        return query.add_columns(false().label("is_edge"))
    rows = query.cte("rows")
    position, count = rows.c.position, bindparam("rows", type_=Integer)
    order = _by(position, ascending)
    matching = select(position, literal(0).label("is_edge"))
    matching = matching.where(*(_test(name, rows.c) for name in rest))
    matching = matching.order_by(order).limit(bindparam("more", type_=Integer))
    edge = select(position, literal(1).label("is_edge")).order_by(order).offset(count - 1)
    # A member of a union that is sorted has to be a query of its own.
    return union_all(*(select(part.subquery()) for part in (matching, edge)))


def _rows(lead: str, rest: Names, *, ascending: bool) -> Select[Any]:
    """Return the next rows of an index. Behind a LIMIT, the rest of the filter misleads nobody."""
    columns = messages.c
    wanted = [_test(name, columns) for name in _LEADS[lead]]
    if lead in _CONDITIONS:
        wanted.append(_CONDITIONS[lead])
    used = dict.fromkeys(["position", *(_COLUMN_OF.get(name, name) for name in rest)])
    query = select(*(columns[name] for name in used))
    query = query.where(_is_here(), *wanted, *_between(columns.position, ascending))
    order = _by(columns.position, ascending)
    if lead != EVERYTHING:
        # As these indexes have it and the primary key has not, see tables.py.
        order = order.nulls_first() if ascending else order.nulls_last()
    return query.order_by(order).limit(bindparam("rows", type_=Integer))


@cache
def _count(sent: _Sent) -> Select[Any]:
    """Count what was sent in a span of time, up to a number."""
    return select(func.count()).select_from(_sent(sent, rest=()))


@cache
def _few(sent: _Sent, rest: Names, *, ascending: bool) -> Select[Any]:
    """Find what was sent in a span of time by sorting all of it."""
    rows = _sent(sent, rest)
    position = rows.c.position
    tests = [_test(name, rows.c) for name in rest]
    query = select(position).where(*_between(position, ascending), *tests)
    return query.order_by(_by(position, ascending)).limit(bindparam("more", type_=Integer))


def _sent(sent: _Sent, rest: Names) -> Subquery:
    """Return what was sent in a span of time, from an index that is in the order of sending."""
    columns = messages.c
    query = select(*(columns[name] for name in dict.fromkeys(["position", *rest])))
    query = query.where(_is_here(), *(_test(name, columns) for name in sent.spans))
    if sent.only is None:
        query = query.order_by(columns.sent_at)
    else:
        query = query.where(sent.only).order_by(columns.sent_at, columns.created_at)
    return query.limit(bindparam("rows", type_=Integer)).subquery()


def _is_here() -> ColumnElement[bool]:
    return messages.c.account_sid == bindparam("account_sid", type_=messages.c.account_sid.type)


def _test(name: str, columns: ColumnCollection[str, Any]) -> ColumnElement[bool]:
    """Return the condition that one thing that was asked is."""
    column: ColumnElement[Any] = columns[_COLUMN_OF.get(name, name)]
    value = bindparam(name, type_=column.type)
    if name == "sent_from":
        return column >= value
    return column < value if name == "sent_before" else column == value


def _between(position: ColumnElement[str], ascending: bool) -> Sequence[ColumnElement[bool]]:
    start, end = (bindparam(name, type_=position.type) for name in ("start", "end"))
    return [position > start, position <= end] if ascending else [position < start, position >= end]


def _by(column: ColumnElement[Any], ascending: bool) -> UnaryExpression[Any]:
    return column.asc() if ascending else column.desc()
