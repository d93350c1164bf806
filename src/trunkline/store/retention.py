"""What is old enough to go, found by the time in its key, and how far retention came.

Rule: every search begins at a key and ends after a number of rows.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, select, tuple_, update

from trunkline.domain.account import Media
from trunkline.domain.message import Status
from trunkline.domain.retention import Retention
from trunkline.store.records import MEDIA, Kind
from trunkline.store.tables import (
    callbacks,
    cookies,
    deliveries,
    handset_texts,
    messages,
    records,
    retention_marks,
    strays,
)
from trunkline.store.upserts import upsert

RETENTIONS = Kind("retention", Retention, lambda r: r.account_sid, lambda r: r.account_sid)


def messages_between(
    db: Connection, account_sid: str, *, after: str, before: str, limit: int
) -> list[tuple[str, Status]]:
    """Return the SIDs and statuses of an account's messages between two positions, oldest first."""
    column = messages.c
    query = (
        select(column.sid, column.status)
        .where(column.account_sid == account_sid, column.position > after, column.position < before)
        .order_by(column.position)
        .limit(limit)
    )
    return [(row.sid, Status(row.status)) for row in db.execute(query)]


def parked_between(
    db: Connection, *, after: str, before: str, limit: int
) -> list[tuple[str, str, str]]:
    """Return the parked webhooks between two positions, oldest first: SID, account, message."""
    column = callbacks.c
    query = (
        select(column.sid, column.account_sid, column.message_sid)
        .where(column.due_at.is_(None), column.sid > "CB" + after, column.sid < "CB" + before)
        .order_by(column.sid)
        .limit(limit)
    )
    return [(row.sid, row.account_sid, row.message_sid) for row in db.execute(query)]


def delete_parked(db: Connection, keys: Iterable[tuple[str, str, str]]) -> None:
    """Remove webhooks, given by SID, account and message, if they are parked still."""
    rows = [
        {"b_sid": sid, "b_account_sid": account_sid, "b_message_sid": message_sid}
        for sid, account_sid, message_sid in keys
    ]
    if rows:
        column = callbacks.c
        here = and_(
            column.account_sid == bindparam("b_account_sid"),
            column.message_sid == bindparam("b_message_sid"),
            column.sid == bindparam("b_sid"),
        )
        db.execute(delete(callbacks).where(here, column.due_at.is_(None)), rows)


def delete_strays(db: Connection, *, before: str, limit: int) -> int:
    """Remove strays from in front of a position; return how many rows."""
    column = strays.c
    old = select(column.sid).where(column.sid < "SY" + before).order_by(column.sid).limit(limit)
    return db.execute(delete(strays).where(column.sid.in_(old.scalar_subquery()))).rowcount


def delete_handset_texts(db: Connection, *, after: str, before: str, limit: int) -> tuple[int, str]:
    """Remove the finished texts of simulated phones between two positions.

    Return how many rows were looked at, and the position of the last.
    """
    column = handset_texts.c
    query = (
        select(column.sid, column.due_at)
        .where(column.sid > "HT" + after, column.sid < "HT" + before)
        .order_by(column.sid)
        .limit(limit)
    )
    rows = db.execute(query).all()
    finished = [row.sid for row in rows if row.due_at is None]
    db.execute(delete(handset_texts).where(column.sid.in_(finished)))
    return len(rows), rows[-1].sid[2:] if rows else ""


def delete_deliveries(db: Connection, *, before: str, limit: int) -> int:
    """Remove what customers did not take, from in front of a position; return how much."""
    column = deliveries.c
    old = select(column.sid).where(column.sid < "DL" + before).order_by(column.sid).limit(limit)
    return db.execute(delete(deliveries).where(column.sid.in_(old.scalar_subquery()))).rowcount


def delete_cookies(db: Connection, before: datetime, *, limit: int) -> int:
    """Remove cookies that were not used since a time; return how many jars."""
    keys = tuple(cookies.primary_key.columns)
    old = select(*keys).where(cookies.c.used_at < before).order_by(cookies.c.used_at).limit(limit)
    return db.execute(delete(cookies).where(tuple_(*keys).in_(old))).rowcount


def media_of(db: Connection, message_sids: Sequence[str]) -> list[Media]:
    """Return the media of messages."""
    query = select(records.c.doc).where(
        records.c.kind == MEDIA.name, records.c.parent_sid.in_(message_sids)
    )
    return [_medium(row) for row in db.execute(query)]


def media_before(db: Connection, account_sid: str, *, before: str, limit: int) -> list[Media]:
    """Return an account's media from in front of a position, oldest first."""
    column = records.c
    query = (
        select(column.doc)
        .where(column.kind == MEDIA.name, column.account_sid == account_sid)
        .where(column.sid < "ME" + before)
        .order_by(column.sid)
        .limit(limit)
    )
    return [_medium(row) for row in db.execute(query)]


def delete_media(db: Connection, media: Iterable[Media]) -> None:
    """Remove the records of media."""
    sids = [medium.sid for medium in media]
    db.execute(delete(records).where(records.c.kind == MEDIA.name, records.c.sid.in_(sids)))


def used_digests(db: Connection, digests: Iterable[str]) -> set[str]:
    """Return which bytes a medium still names."""
    column = records.c
    # A medium's unique key is the digest, a colon and its SID; `;` is the character behind `:`.
    query = (
        select(column.sid)
        .where(
            column.kind == MEDIA.name,
            column.unique_key >= bindparam("b_from"),
            column.unique_key < bindparam("b_to"),
        )
        .limit(1)
    )
    return {
        digest
        for digest in digests
        if db.execute(query, {"b_from": f"{digest}:", "b_to": f"{digest};"}).first()
    }


def name_media(db: Connection, *, limit: int) -> int:
    """Give a unique key to media that an older version stored without; return how many."""
    column = records.c
    query = select(column.doc).where(column.kind == MEDIA.name, column.unique_key.is_(None))
    media = [_medium(row) for row in db.execute(query.limit(limit))]
    if media:
        rows = [{"b_sid": medium.sid, "b_key": MEDIA.unique_key(medium)} for medium in media]
        here = (column.kind == MEDIA.name) & (column.sid == bindparam("b_sid"))
        db.execute(update(records).where(here).values(unique_key=bindparam("b_key")), rows)
    return len(media)


def marks_of(db: Connection, account_sid: str) -> dict[str, str]:
    """Return how far retention came with an account, by kind."""
    query = select(retention_marks).where(retention_marks.c.account_sid == account_sid)
    return {row.kind: row.position for row in db.execute(query)}


def put_mark(db: Connection, account_sid: str, kind: str, *, position: str) -> None:
    """Note how far retention came with a kind of an account's things."""
    statement = upsert(retention_marks).values(
        account_sid=account_sid, kind=kind, position=position
    )
    db.execute(
        statement.on_conflict_do_update(
            index_elements=["account_sid", "kind"], set_={"position": position}
        )
    )


def lower_mark(db: Connection, account_sid: str, kind: str, *, position: str) -> None:
    """Have retention look again at what lies at a position and behind it."""
    column = retention_marks.c
    here = (column.account_sid == account_sid) & (column.kind == kind)
    is_passed = column.position >= position
    # One digit less is in front of the position itself.
    db.execute(update(retention_marks).where(here, is_passed).values(position=position[:-1]))


def remove_mark(db: Connection, account_sid: str, kind: str) -> None:
    """Forget how far retention came."""
    column = retention_marks.c
    here = (column.account_sid == account_sid) & (column.kind == kind)
    db.execute(delete(retention_marks).where(here))


def _medium(row: Any) -> Media:
    return MEDIA.decoder.decode(row.doc)
