"""What must hold between the tables, looked up in all rows: a check for whoever doubts them.

Rule: nothing here writes; everything is read in one transaction, so that what moves meanwhile is
no contradiction.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, func, select, text

from trunkline.domain.ids import instant, sid_micros
from trunkline.domain.message import Direction, Status
from trunkline.store.consent_proof import breaks
from trunkline.store.messages import newest_sids
from trunkline.store.records import (
    ACCOUNTS,
    CALLER_IDS,
    CARRIERS,
    FEEDBACK,
    KEYS,
    MEDIA,
    NUMBERS,
    OPT_OUT_RULES,
    ROUTES,
    SERVICE_SENDERS,
    SERVICES,
    SMPP_CREDENTIALS,
    TEST_CREDENTIALS,
    VALIDATIONS,
    Kind,
)
from trunkline.store.retention import RETENTIONS
from trunkline.store.sending_tables import schedule
from trunkline.store.tables import (
    carrier_refs,
    events,
    media_bytes,
    media_fetches,
    messages,
    outbox,
    records,
)

FAULTS_MAX = 20  # Of a damaged file; one is enough to take the backup instead.
ROWS_AT_ONCE = 5_000
AHEAD_MAX = timedelta(days=1)

KINDS: tuple[Kind[Any], ...] = (
    *(ACCOUNTS, CARRIERS, FEEDBACK, KEYS, MEDIA, NUMBERS, RETENTIONS, ROUTES, SMPP_CREDENTIALS),
    *(SERVICES, SERVICE_SENDERS, OPT_OUT_RULES, CALLER_IDS, VALIDATIONS),
    TEST_CREDENTIALS,
)
# Of these states a message is moved on by a row that waits for its turn.
_WAITING = (Status.ACCEPTED, Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.RECEIVING)
_MOVING = (outbox, media_fetches, schedule)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that cannot be: how often it is there, and one instance of it."""

    what: str
    count: int = 1
    example: str = ""


def faults(db: Connection, now: datetime) -> Iterator[Fault]:
    """Yield what is wrong with a database; nothing for a sound one."""
    yield from _damage(db)
    yield from _strangers(db)
    yield from _stuck(db)
    yield from _unreadable(db)
    yield from _ahead(db, now)
    yield from (Fault(each.what, each.count, each.example) for each in breaks(db))


def bytes_named(db: Connection) -> Iterator[tuple[str, str]]:
    """Yield the SID and the digest of each medium; a store of media is to have them all."""
    for sid, doc in _documents(db, MEDIA):
        yield sid, MEDIA.decoder.decode(doc).digest


def digests_missing(db: Connection, digests: list[str]) -> set[str]:
    """Return which contents are not in the database."""
    query = select(media_bytes.c.digest).where(
        media_bytes.c.digest.in_(digests), media_bytes.c.number == 0
    )
    return set(digests) - set(db.execute(query).scalars())


def _damage(db: Connection) -> Iterator[Fault]:
    """Ask the database itself."""
    raw = db.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        said = [row[0] for row in raw.execute(f"PRAGMA integrity_check({FAULTS_MAX})")]
        if said != ["ok"]:
            yield Fault("the file is damaged", len(said), str(said[0]))
        return
    query = text("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
    if broken := list(db.execute(query).scalars()):
        yield Fault("an index was left half made: REINDEX it", len(broken), broken[0])


def _strangers(db: Connection) -> Iterator[Fault]:
    """Find what belongs to messages that are not there."""
    for table in (outbox, media_fetches, schedule, carrier_refs, events):
        lonely = ~_exists(messages, _same_message(table))
        query = select(func.count(), func.min(table.c.message_sid)).where(lonely)
        yield from _fault(db, query, f"{table.name}: the message is not there")


def _stuck(db: Connection) -> Iterator[Fault]:
    """Find messages that are to move on, without a row that moves them."""
    waits = messages.c.status.in_(_WAITING)
    moved = [_exists(table, _same_message(table)) for table in _MOVING]
    is_outbound = messages.c.direction != Direction.INBOUND
    query = select(func.count(), func.min(messages.c.sid)).where(
        waits, is_outbound, *(~each for each in moved)
    )
    yield from _fault(db, query, "messages: nothing is there that would ever move it on")


def _unreadable(db: Connection) -> Iterator[Fault]:
    """Find records that are of no kind, or not what their kind says."""
    known = {kind.name for kind in KINDS}
    query = select(func.count(), func.min(records.c.sid)).where(records.c.kind.not_in(known))
    yield from _fault(db, query, "records: the kind is not known")
    for kind in KINDS:
        broken = [sid for sid, doc in _documents(db, kind) if not _reads(doc, kind)]
        if broken:
            yield Fault(f"records: no {kind.name} can be read from it", len(broken), broken[0])


def _ahead(db: Connection, now: datetime) -> Iterator[Fault]:
    """Find SIDs of times to come: those made from now on would be ordered before them."""
    newest = max(newest_sids(db), key=sid_micros, default=None)
    if newest is not None and instant(sid_micros(newest)) > now + AHEAD_MAX:
        yield Fault("a SID is of a time to come: look at the clock", 1, newest)


def _fault(db: Connection, query: Select[int, Any], what: str) -> Iterator[Fault]:
    found = db.execute(query).one()
    if found[0]:
        yield Fault(what, found[0], found[1])


def _exists(table: FromClause, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(1).select_from(table).where(condition).exists()


def _same_message(table: FromClause) -> ColumnElement[bool]:
    return and_(
        messages.c.account_sid == table.c.account_sid,
        messages.c.position == func.substr(table.c.message_sid, 3),
    )


def _documents(db: Connection, kind: Kind[Any]) -> Iterator[tuple[str, str]]:
    """Yield the SID and the document of every record of a kind, some at a time."""
    query = select(records.c.sid, records.c.doc).where(records.c.kind == kind.name)
    after = ""
    while True:
        page = query.where(records.c.sid > after).order_by(records.c.sid).limit(ROWS_AT_ONCE)
        rows = db.execute(page).all()
        yield from ((row.sid, row.doc) for row in rows)
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1].sid


def _reads(doc: str, kind: Kind[Any]) -> bool:
    try:
        kind.decoder.decode(doc)
    except msgspec.DecodeError:  # A ValidationError is one.
        return False
    return True
