"""What recipients want, and the evidence of everything they said of it.

Rules: a state and its entry in the history commit together; no entry is ever changed or removed
(the database's triggers hold that as well); what was said last counts, whenever we hear of it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select, tuple_

from trunkline.domain.consent import Consent, Effect, Entry, Pair, Source, Statement, digest_of
from trunkline.domain.ids import MICROSECOND
from trunkline.store.prepared import Lookup
from trunkline.store.sending_tables import consent_history, consents
from trunkline.store.upserts import upsert

# In the evidence of an entry that another scope's statement made: which scope that named.
NAMED_SCOPE = "sender_id"
DECLARING = 0x636F6E73656E74  # "consent": the number of the lock.

_STATES = Lookup(
    select(consents.c.recipient, consents.c.scope, consents.c.status).where(
        consents.c.account_sid == bindparam("b_account_sid"),
        consents.c.recipient.in_(bindparam("keys", expanding=True)),
    ),
    ("b_account_sid",),
)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a statement did, and its entry, if it was not known before."""

    effect: Effect
    entry: Entry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a recipient wants of a scope, and when that was said."""

    recipient: str
    scope: str
    status: Consent
    since: datetime


@dataclass(slots=True)
class _State:
    status: Consent
    since: datetime


def states(db: Connection, account_sid: str, recipients: Collection[str]) -> dict[Pair, Consent]:
    """Return all that *recipients* want of an account's scopes; who said nothing is missing."""
    rows = _STATES.rows(db, (account_sid,), keys=sorted(set(recipients)))
    return {(row[0], row[1]): Consent(row[2]) for row in rows}


def declare(
    db: Connection, account_sid: str, statements: Sequence[Statement], *, at: datetime
) -> list[Declared]:
    """Keep *statements* as evidence, and have those count that are the last of their pair.

    One that is known, with the same time, is not kept again. Those of other scopes are kept with
    one that counts.
    """
    if not statements:
        return []
    _alone(db)
    known = _known(db, account_sid, statements)
    before = _said_before(db, account_sid, statements)
    number, digest = _last(db, account_sid)
    book = _Book(account_sid, at, known, before, number, digest)
    declared: list[Declared] = []
    for said in statements:
        declared.append(book.keep(said, said.scope))
        if declared[-1].effect in (Effect.CHANGED, Effect.CONFIRMED):
            for scope in said.others:
                book.keep(said, scope)
    _insert(db, book.entries)
    _store(db, account_sid, book.changed)
    return declared


@dataclass(slots=True)
class _Book:
    """What is written of an account, entry by entry, until it is stored."""

    account_sid: str
    at: datetime
    known: dict[Pair, _State]
    said_before: set[tuple[str, str, Consent, datetime]]
    number: int
    digest: str
    entries: list[Entry] = field(default_factory=list)
    changed: dict[Pair, _State] = field(default_factory=dict)

    def keep(self, said: Statement, scope: str) -> Declared:
        """Write down what was said of a scope, and tell what that does."""
        pair = (said.recipient, scope)
        state = self.known.get(pair)
        just_now = max(self.at, state.since + MICROSECOND) if state else self.at
        when = said.consented_at or just_now
        if (*pair, said.status, when) in self.said_before:
            return Declared(Effect.KNOWN)
        self.said_before.add((*pair, said.status, when))
        effect = Effect.CHANGED
        if state and when < state.since:
            effect = Effect.LATE
        elif state and state.status is said.status:
            effect = Effect.CONFIRMED
        if effect is not Effect.LATE:
            self.known[pair] = self.changed[pair] = _State(said.status, when)
        return Declared(effect, self._add(said, scope, when=when))

    def _add(self, said: Statement, scope: str, *, when: datetime) -> Entry:
        self.number += 1
        named = {} if scope == said.scope else {NAMED_SCOPE: said.scope}
        entry = Entry(
            account_sid=self.account_sid,
            number=self.number,
            recipient=said.recipient,
            scope=scope,
            status=said.status,
            source=said.source,
            evidence={**said.evidence, **named},
            consented_at=when,
            at=self.at,
        )
        self.digest = digest_of(entry, self.digest)
        self.entries.append(replace(entry, digest=self.digest))
        return self.entries[-1]


def _alone(db: Connection) -> None:
    """Let nobody else declare anything until the commit: entries are numbered without a gap."""
    if db.dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(DECLARING)))


def _known(db: Connection, account_sid: str, statements: Sequence[Statement]) -> dict[Pair, _State]:
    query = select(consents).where(
        consents.c.account_sid == account_sid,
        consents.c.recipient.in_({said.recipient for said in statements}),
    )
    return {
        (row.recipient, row.scope): _State(Consent(row.status), row.since)
        for row in db.execute(query)
    }


def _said_before(
    db: Connection, account_sid: str, statements: Sequence[Statement]
) -> set[tuple[str, str, Consent, datetime]]:
    """Return what is in the history with the times of statements that have one."""
    dated = [said for said in statements if said.consented_at]
    if not dated:
        return set()
    history = consent_history.c
    query = select(history.recipient, history.scope, history.status, history.consented_at).where(
        history.account_sid == account_sid,
        history.recipient.in_({said.recipient for said in dated}),
        history.consented_at.in_({said.consented_at for said in dated}),
    )
    return {(row[0], row[1], Consent(row[2]), row[3]) for row in db.execute(query)}


def _last(db: Connection, account_sid: str) -> tuple[int, str]:
    query = (
        select(consent_history.c.number, consent_history.c.digest)
        .where(consent_history.c.account_sid == account_sid)
        .order_by(consent_history.c.number.desc())
        .limit(1)
    )
    row = db.execute(query).first()
    return (row.number, row.digest) if row else (0, "")


def _insert(db: Connection, entries: Sequence[Entry]) -> None:
    if entries:
        db.execute(insert(consent_history), [_row(entry) for entry in entries])


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "account_sid": entry.account_sid,
        "number": entry.number,
        "recipient": entry.recipient,
        "scope": entry.scope,
        "status": entry.status.value,
        "source": entry.source.value,
        "evidence": dict(entry.evidence),
        "consented_at": entry.consented_at,
        "at": entry.at,
        "digest": entry.digest,
    }


def _store(db: Connection, account_sid: str, changed: Mapping[Pair, _State]) -> None:
    if not changed:
        return
    statement = upsert(consents)
    new = {name: statement.excluded[name] for name in ("status", "since")}
    db.execute(
        statement.on_conflict_do_update(
            index_elements=["account_sid", "recipient", "scope"], set_=new
        ),
        [
            {
                "account_sid": account_sid,
                "recipient": recipient,
                "scope": scope,
                "status": state.status.value,
                "since": state.since,
            }
            for (recipient, scope), state in changed.items()
        ],
    )


def build_entry(row: Row[Any]) -> Entry:
    """Return the entry in a row of the history."""
    values = dict(row._mapping)
    return Entry(
        **values | {"status": Consent(values["status"]), "source": Source(values["source"])}
    )


def page_states(
    db: Connection,
    account_sid: str,
    *,
    status: Consent | None = None,
    recipient: str | None = None,
    after: Pair | None = None,
    limit: int,
) -> list[State]:
    """Return what recipients want, in the order of their addresses, behind the pair *after*."""
    columns = [consents.c[name] for name in ("recipient", "scope", "status", "since")]
    query = select(*columns).where(consents.c.account_sid == account_sid)
    if status is not None:
        query = query.where(consents.c.status == status.value)
    if recipient is not None:
        query = query.where(consents.c.recipient == recipient)
    if after is not None:
        query = query.where(tuple_(consents.c.recipient, consents.c.scope) > after)
    query = query.order_by(consents.c.recipient, consents.c.scope).limit(limit)
    return [
        State(
            recipient=row.recipient,
            scope=row.scope,
            status=Consent(row.status),
            since=row.since,
        )
        for row in db.execute(query)
    ]


def page_history(
    db: Connection,
    account_sid: str,
    *,
    recipient: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[Entry]:
    """Return what was said, of everybody or of one recipient, the newest first."""
    query = _history_of(account_sid, recipient=recipient)
    if before is not None:
        query = query.where(consent_history.c.number < before)
    query = query.order_by(consent_history.c.number.desc()).limit(limit)
    return [build_entry(row) for row in db.execute(query)]


def read_history(db: Connection, account_sid: str, *, after: int, limit: int) -> list[Entry]:
    """Return what was said, in the order in which it was kept, behind the entry *after*."""
    query = _history_of(account_sid).where(consent_history.c.number > after)
    query = query.order_by(consent_history.c.number).limit(limit)
    return [build_entry(row) for row in db.execute(query)]


def _history_of(account_sid: str, *, recipient: str | None = None) -> Select[Any]:
    query = select(consent_history).where(consent_history.c.account_sid == account_sid)
    return query if recipient is None else query.where(consent_history.c.recipient == recipient)
