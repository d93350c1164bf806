"""What is erased so that it is gone: texts of messages wherever they lie, and whole messages.

Rule: whatever copies the text of a message into another table is named here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, select, update

from trunkline.domain.ids import position_of
from trunkline.domain.message import FINAL
from trunkline.store.records import FEEDBACK
from trunkline.store.sending_tables import alerts
from trunkline.store.tables import (
    callback_attempts,
    callbacks,
    carrier_refs,
    deliveries,
    erasures,
    events,
    handset_texts,
    messages,
    records,
)
from trunkline.store.upserts import upsert

# The references of inbound texts have this in front of what the carrier calls them.
_INBOUND_MARK = "in:"

TEXT, MESSAGE, BYTES = "text", "message", "bytes"
# What hangs on a message that stays: removed by age, and once more if something came after that.
TRACE, ATTEMPTS = "trace", "attempts"

Doc = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Something to be erased once more: a message, a part of it, or bytes by their digest."""

    target: str
    kind: str
    account_sid: str
    due_at: datetime


def erase_texts(db: Connection, account_sid: str, sids: Sequence[str]) -> None:
    """Empty the texts of messages of an account, and every copy of them."""
    if not sids:
        return
    here = _are_messages(account_sid, sids) & (messages.c.body != "")
    db.execute(update(messages).where(here).values(body=""))
    attempts = _of(callback_attempts, account_sid, sids)
    _change(db, callback_attempts, attempts, column="head", change=lambda head: "")
    # Where TwiML led, and what became of it there, may hold what the text said.
    _change(db, callback_attempts, attempts, column="url", change=_bare_url)
    _change(db, events, _of(events, account_sid, sids), column="detail", change=_bare_detail)
    _change(db, alerts, _warn_of(account_sid, sids), column="doc", change=_bare_alert)
    erase_copies(db, account_sid, sids)


def erase_copies(db: Connection, account_sid: str, sids: Sequence[str]) -> None:
    """Empty what is on its way to somebody, and what simulated phones show, of messages."""
    waiting = _of(callbacks, account_sid, sids)
    _change(db, callbacks, waiting, column="parameters", change=without_text)
    # Customers of other accounts may be owed a text as well.
    owed = deliveries.c.message_sid.in_(sids)
    _change(db, deliveries, owed, column="doc", change=_empty_note)
    shown = _are_on_phones(db, account_sid, sids)
    _change(db, handset_texts, shown, column="segments", change=_empty_segments)


def without_text(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the form of a webhook as it is told once the text was erased."""
    return {name: "" if name == "Body" else value for name, value in parameters.items()}


def delete_messages(db: Connection, account_sid: str, sids: Sequence[str]) -> None:
    """Remove messages of an account with their traces, references and parked webhooks.

    What is due is still told, without the text. Media are left.
    """
    if not sids:
        return
    erase_copies(db, account_sid, sids)
    db.execute(delete(messages).where(_are_messages(account_sid, sids)))
    delete_traces(db, account_sid, sids)
    delete_attempts(db, account_sid, sids)
    db.execute(delete(carrier_refs).where(_of(carrier_refs, account_sid, sids)))
    parked = _of(callbacks, account_sid, sids) & callbacks.c.due_at.is_(None)
    db.execute(delete(callbacks).where(parked))
    db.execute(delete(alerts).where(_warn_of(account_sid, sids)))
    said = (records.c.kind == FEEDBACK.name) & records.c.unique_key.in_(sids)
    db.execute(delete(records).where(said))


def delete_traces(db: Connection, account_sid: str, sids: Sequence[str]) -> None:
    """Remove what happened to messages of an account."""
    db.execute(delete(events).where(_of(events, account_sid, sids)))


def delete_attempts(db: Connection, account_sid: str, sids: Sequence[str]) -> None:
    """Remove the attempts at the webhooks of messages of an account."""
    db.execute(delete(callback_attempts).where(_of(callback_attempts, account_sid, sids)))


def awaited(db: Connection, account_sid: str, sids: Sequence[str]) -> set[str]:
    """Return which of these messages somebody is still to be told of."""
    here = _of(callbacks, account_sid, sids) & callbacks.c.due_at.is_not(None)
    return set(db.execute(select(callbacks.c.message_sid).where(here)).scalars())


def unfinished(db: Connection, account_sid: str, sids: Sequence[str]) -> set[str]:
    """Return which of these messages may still be heard of."""
    final = [status.value for status in FINAL]
    here = _are_messages(account_sid, sids) & messages.c.status.not_in(final)
    return set(db.execute(select(messages.c.sid).where(here)).scalars()) | awaited(
        db, account_sid, sids
    )


def note_erasures(db: Connection, rows: Iterable[Erasure]) -> None:
    """Have things erased once more; what is noted already waits until the later time."""
    values = [
        {"target": e.target, "kind": e.kind, "account_sid": e.account_sid, "due_at": e.due_at}
        for e in rows
    ]
    if values:
        statement = upsert(erasures)
        later = {"due_at": statement.excluded.due_at}
        db.execute(
            statement.on_conflict_do_update(index_elements=["target", "kind"], set_=later), values
        )


def due_erasures(db: Connection, now: datetime, *, limit: int) -> list[Erasure]:
    """Return what is to be erased now."""
    query = (
        select(erasures).where(erasures.c.due_at <= now).order_by(erasures.c.due_at).limit(limit)
    )
    return [Erasure(**row._mapping) for row in db.execute(query)]


def next_erasure(db: Connection) -> datetime | None:
    """Return when something is to be erased next."""
    query = select(erasures.c.due_at).order_by(erasures.c.due_at).limit(1)
    return db.execute(query).scalar()


def end_erasures(db: Connection, rows: Iterable[Erasure]) -> None:
    """Forget what needs to be erased no more; what was noted anew meanwhile stays."""
    keys = [_key(row) for row in rows]
    if keys:
        db.execute(delete(erasures).where(_NOTED), keys)


def postpone_erasures(db: Connection, rows: Iterable[tuple[Erasure, datetime]]) -> None:
    """Have things erased once more, but later."""
    values = [_key(row) | {"b_later": due_at} for row, due_at in rows]
    if values:
        db.execute(update(erasures).where(_NOTED).values(due_at=bindparam("b_later")), values)


_NOTED = and_(
    erasures.c.target == bindparam("b_target"),
    erasures.c.kind == bindparam("b_kind"),
    erasures.c.due_at == bindparam("b_due_at"),
)


def _key(row: Erasure) -> Doc:
    return {"b_target": row.target, "b_kind": row.kind, "b_due_at": row.due_at}


def _are_messages(account_sid: str, sids: Sequence[str]) -> ColumnElement[bool]:
    positions = [position_of(sid) for sid in sids]
    # The SID itself as well: with another prefix it is nobody's.
    return and_(
        messages.c.account_sid == account_sid,
        messages.c.position.in_(positions),
        messages.c.sid.in_(sids),
    )


def _of(table: Table, account_sid: str, sids: Sequence[str]) -> ColumnElement[bool]:
    return and_(table.c.account_sid == account_sid, table.c.message_sid.in_(sids))


def _warn_of(account_sid: str, sids: Sequence[str]) -> ColumnElement[bool]:
    return and_(alerts.c.account_sid == account_sid, alerts.c.resource_sid.in_(sids))


def _are_on_phones(db: Connection, account_sid: str, sids: Sequence[str]) -> ColumnElement[bool]:
    """Choose the texts of simulated phones that are these messages, in either direction."""
    query = select(carrier_refs.c.ref).where(_of(carrier_refs, account_sid, sids))
    refs = [
        ref.removeprefix(_INBOUND_MARK)
        for ref in db.execute(query).scalars()
        if ref.startswith(_INBOUND_MARK)
    ]
    received = handset_texts.c.message_ref.in_(sids)
    return received | handset_texts.c.sid.in_(refs) if refs else received


def _change(
    db: Connection,
    table: Table,
    where: ColumnElement[bool],
    *,
    column: str,
    change: Callable[[Any], Any],
) -> None:
    """Store what *change* makes of a column; rows that stay as they are, are not written."""
    keys = list(table.primary_key.columns)
    query = select(*keys, table.c[column].label("b_before")).where(where)
    rows = [
        {f"b_{key.name}": getattr(row, key.name) for key in keys} | {"b_after": after}
        for row in db.execute(query)
        if (after := change(row.b_before)) != row.b_before
    ]
    if rows:
        here = and_(*(key == bindparam(f"b_{key.name}") for key in keys))
        db.execute(update(table).where(here).values({column: bindparam("b_after")}), rows)


def _bare_detail(detail: Doc) -> Doc:
    bare = {name: _bare_url(value) if name == "url" else value for name, value in detail.items()}
    # What is wrong with TwiML is said in its own words, which may be the text's.
    return bare | {"reason": ""} if "webhook" in bare else bare


def _bare_alert(doc: Doc) -> Doc:
    """Return an alert without the reason, which may quote what was answered to a text."""
    return {name: value for name, value in _bare_detail(doc).items() if name != "reason"}


def _bare_url(url: str) -> str:
    return url.partition("?")[0]


def _empty_note(doc: Doc) -> Doc:
    """Return what a customer is owed without the text, or the beginning of it."""
    return {name: "" if name in ("body", "text") else value for name, value in doc.items()}


def _empty_segments(segments: Sequence[str | None]) -> list[str | None]:
    return [None if segment is None else "" for segment in segments]
