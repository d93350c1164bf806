"""What recipients want and the evidence of it: states, the history behind them, and its chain."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, text, update
from sqlalchemy.exc import DBAPIError

from tests.databases import DATABASES
from trunkline.app import open_store
from trunkline.domain.consent import Consent, Effect, Pair, Source, Statement
from trunkline.store.consent_proof import breaks
from trunkline.store.consents import (
    Declared,
    declare,
    page_history,
    page_states,
    states,
)
from trunkline.store.sending_tables import consent_history, consents
from trunkline.store.store import Database

ACCOUNT, OTHER = "AC" + "1" * 32, "AC" + "2" * 32
SERVICE = "MG" + "3" * 32
ANNA, BEN = "+15550100001", "+15550100002"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a started store."""
    store = open_store(tmp_path, **DATABASES.settings(tmp_path))
    yield store
    await store.close()


def said(
    status: Consent, recipient: str = ANNA, *, scope: str = SERVICE, at: datetime | None = None
) -> Statement:
    """Return a statement."""
    return Statement(
        recipient=recipient,
        scope=scope,
        status=status,
        source=Source.WEBSITE,
        evidence={"form": "spring"},
        consented_at=at,
    )


async def put(
    store: Database, *statements: Statement, at: datetime = NOON, account_sid: str = ACCOUNT
) -> list[Declared]:
    """Declare in one commit."""
    return await store.write(lambda db: declare(db, account_sid, statements, at=at))


async def blocked(store: Database, account_sid: str, pairs: Sequence[Pair]) -> set[Pair]:
    """Return which pairs were opted out of."""
    found = await store.read(lambda db: states(db, account_sid, [pair[0] for pair in pairs]))
    return {pair for pair in pairs if found.get(pair) is Consent.OUT}


async def test_a_pair_is_blocked_from_opt_out_to_opt_in(store: Database) -> None:
    """Other scopes, recipients and accounts do not notice."""
    pairs = [(ANNA, SERVICE), (ANNA, "+15551234567"), (BEN, SERVICE)]
    assert await blocked(store, ACCOUNT, pairs) == set()
    (first,) = await put(store, said(Consent.OUT))
    assert first.effect is Effect.CHANGED
    assert await blocked(store, ACCOUNT, pairs) == {(ANNA, SERVICE)}
    assert await blocked(store, OTHER, pairs) == set()
    (again,) = await put(store, said(Consent.OUT))
    assert again.entry is not None
    assert again.effect is Effect.CONFIRMED
    (back,) = await put(store, said(Consent.IN))
    assert back.effect is Effect.CHANGED  # Although the clock stands still.
    assert await blocked(store, ACCOUNT, pairs) == set()
    assert await store.read(lambda db: states(db, ACCOUNT, [ANNA, BEN])) == {
        (ANNA, SERVICE): Consent.IN
    }


async def test_what_was_said_last_counts_whenever_it_is_heard(store: Database) -> None:
    """An old agreement that is imported after an opt-out is kept, and changes nothing."""
    await put(store, said(Consent.OUT))
    old = said(Consent.IN, at=NOON - timedelta(days=400))
    (late,) = await put(store, old, at=NOON + timedelta(hours=1))
    assert late.entry is not None
    assert late.effect is Effect.LATE
    assert await store.read(lambda db: states(db, ACCOUNT, [ANNA])) == {
        (ANNA, SERVICE): Consent.OUT
    }
    (again,) = await put(store, old, at=NOON + timedelta(hours=2))
    assert again.entry is None
    assert again.effect is Effect.KNOWN


async def test_what_counts_is_said_of_the_other_scopes_as_well(store: Database) -> None:
    """With an entry for each that names the first; what is late or known says nothing of them."""
    number = "+15551234567"
    new = replace(said(Consent.OUT, at=NOON), others=(number,))
    for _ in range(2):
        await put(store, new)
    old = replace(said(Consent.IN, at=NOON - timedelta(days=1)), others=("+15551234568",))
    assert [each.effect for each in await put(store, old)] == [Effect.LATE]
    assert await store.read(lambda db: states(db, ACCOUNT, [ANNA])) == {
        (ANNA, SERVICE): Consent.OUT,
        (ANNA, number): Consent.OUT,
    }
    kept = await store.read(lambda db: page_history(db, ACCOUNT, limit=10))
    assert [entry.scope for entry in reversed(kept)] == [SERVICE, number, SERVICE]
    assert kept[1].evidence == {"form": "spring", "sender_id": SERVICE}
    assert await store.read(lambda db: list(breaks(db))) == []


async def test_the_database_refuses_to_change_the_history(store: Database) -> None:
    """Neither a program nor a person with SQL changes or removes an entry."""
    await put(store, said(Consent.OUT), said(Consent.IN, BEN))
    for statement in (
        update(consent_history).values(status="opt-in"),
        delete(consent_history).where(consent_history.c.number == 1),
    ):

        def work(db: Connection, statement: object = statement) -> None:
            db.execute(statement)  # type: ignore[call-overload]

        with pytest.raises(DBAPIError, match="consent_history"):
            await store.write(work)
    count = "SELECT count(*) FROM consent_history WHERE status = 'opt-out'"
    assert await store.read(lambda db: db.execute(text(count)).scalar()) == 1
    await store.write(lambda db: db.execute(delete(consents)))  # States are no evidence.


async def test_history_is_paged_and_its_chain_is_checked(store: Database) -> None:
    """What somebody changes with the triggers out of the way shows; so does a state of nobody's."""
    for number in range(5):
        await put(store, said(Consent.OUT, f"+1555010000{number}"))
    await put(store, said(Consent.IN), account_sid=OTHER)
    newest = await store.read(lambda db: page_history(db, ACCOUNT, before=5, limit=2))
    assert [entry.number for entry in newest] == [4, 3]
    after = (ANNA, SERVICE)
    found = await store.read(
        lambda db: page_states(db, ACCOUNT, status=Consent.OUT, after=after, limit=2)
    )
    assert [state.recipient for state in found] == [BEN, "+15550100003"]
    assert await store.read(lambda db: list(breaks(db))) == []

    def forge(db: Connection) -> None:
        if db.dialect.name == "postgresql":
            db.execute(text("ALTER TABLE consent_history DISABLE TRIGGER USER"))
        else:
            db.execute(text("DROP TRIGGER consent_history_no_update"))
        db.execute(
            text("UPDATE consent_history SET status = 'opt-in' WHERE number = 3"),
        )

    await store.write(forge)
    forged, unfounded = await store.read(lambda db: list(breaks(db)))
    assert forged.example == f"{ACCOUNT} number 3"
    assert unfounded.what == "consents: no entry of the history says so"


@pytest.mark.sqlite
async def test_no_question_looks_through_all_rows_of_an_account(store: Database) -> None:
    """SQLite plans without knowing how many there are, and must be led to the right index."""
    await put(store, said(Consent.OUT))
    asked: list[tuple[str, Any]] = []

    def query(db: Connection) -> list[str]:
        def note(*args: Any) -> None:
            asked.append((args[2], args[3]))

        event.listen(db, "before_cursor_execute", note)
        states(db, ACCOUNT, [ANNA, BEN])
        page_states(db, ACCOUNT, status=Consent.OUT, after=(ANNA, SERVICE), limit=5)
        page_states(db, ACCOUNT, recipient=ANNA, limit=5)
        page_history(db, ACCOUNT, recipient=ANNA, before=7, limit=5)
        event.remove(db, "before_cursor_execute", note)
        explained = [
            db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values) for sql, values in asked
        ]
        return [" ".join(str(row[3]) for row in rows) for rows in explained]

    plans = await store.read(query)
    wanted = ("recipient=?", "status=?", "recipient=?", "recipient=?")
    for plan, column in zip(plans, wanted, strict=True):
        assert f"account_sid=? AND {column}" in plan
