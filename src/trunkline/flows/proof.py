"""Consent as people and programs record it and look at it: statements, states and the history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from trunkline.domain.consent import (
    Consent,
    Effect,
    Entry,
    Pair,
    Statement,
    read_statement,
)
from trunkline.domain.errors import Refusal
from trunkline.flows.consent import scopes_of, spoken_for
from trunkline.flows.platform import Platform
from trunkline.store.consents import State, declare, page_history, page_states, read_history
from trunkline.store.consents import states as store_states
from trunkline.store.records import NUMBERS, SERVICES, find_record, find_unique

# Statements of one commit: what a request can hold, and others wait for no longer.
STATEMENTS_MAX = 200
PAGE_MAX = 1000  # About 500 bytes each.
RECORDED_BY = "recorded_by"


@dataclass(frozen=True, slots=True)
class Item:
    """A statement as somebody wrote it: its parts by Twilio's names, and what shows it."""

    values: Mapping[str, str]
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item: what it did, or what is wrong with it."""

    effect: Effect | None = None
    errors: Sequence[str] = ()


async def record(
    platform: Platform,
    account_sid: str,
    items: Sequence[Item],
    *,
    by: str,
    needs_dates: bool = False,
) -> list[Outcome]:
    """Keep statements in one commit, those that can be read; *by* says who recorded them.

    Where dates are needed, nobody who opted out opts in without one: a list that is read again
    would overrule him.
    """
    if len(items) > STATEMENTS_MAX:
        raise Refusal(20422, name="`Items`", reason=f"at most {STATEMENTS_MAX} at once")
    now = platform.clock.now()
    read = [
        read_statement(item.values, evidence={**item.evidence, RECORDED_BY: by}, now=now)
        for item in items
    ]

    def work(db: Connection) -> list[Outcome]:
        known = store_states(db, account_sid, {said.recipient for said, _ in read if said})
        out = {pair for pair, status in known.items() if status is Consent.OUT}
        ours = {
            scope: scopes_of(db, scope)
            for scope in {said.scope for said, _ in read if said}
            if _is_ours(db, account_sid, scope)
        }
        judged = [
            _judged(db, said, ours, out=out, needs_dates=needs_dates) if said else wrong
            for said, wrong in read
        ]
        good = [each for each in judged if isinstance(each, Statement)]
        done = iter(declare(db, account_sid, good, at=now))
        return [
            Outcome(next(done).effect) if isinstance(each, Statement) else Outcome(errors=each)
            for each in judged
        ]

    return await platform.store.write(work)


def _judged(
    db: Connection,
    said: Statement,
    ours: Mapping[str, set[str]],
    *,
    out: set[Pair],
    needs_dates: bool,
) -> Statement | list[str]:
    """Return a statement with the scopes that it is about, or what is wrong with it.

    As with a text to a number, whoever speaks of it speaks of its service; and who opts in, of all
    numbers of that. What is opted out of is added to *out*.
    """
    scopes = ours.get(said.scope)
    if scopes is None:
        return ["INVALID_SENDER_ID"]
    if said.status is Consent.OUT:
        out |= {(said.recipient, scope) for scope in scopes}
    else:
        mine = {scope for recipient, scope in out if recipient == said.recipient}
        mine = spoken_for(db, scopes, mine)
        if mine and needs_dates and said.consented_at is None:
            return ["DATE_OF_CONSENT_NEEDED"]
        scopes = scopes | mine
    return replace(said, others=tuple(sorted(scopes - {said.scope})))


async def states(
    platform: Platform,
    account_sid: str,
    *,
    status: Consent | None = None,
    recipient: str | None = None,
    after: Pair | None = None,
    limit: int,
) -> list[State]:
    """Return what recipients want, in the order of their addresses, behind the pair *after*."""
    return await platform.store.read(
        lambda db: page_states(
            db, account_sid, status=status, recipient=recipient, after=after, limit=limit
        )
    )


async def history(
    platform: Platform,
    account_sid: str,
    *,
    recipient: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[Entry]:
    """Return what was said, of everybody or of one recipient, the newest first."""
    return await platform.store.read(
        lambda db: page_history(db, account_sid, recipient=recipient, before=before, limit=limit)
    )


async def history_after(
    platform: Platform, account_sid: str, number: int, *, limit: int
) -> list[Entry]:
    """Return what was said, in the order in which it was kept, behind an entry."""
    return await platform.store.read(
        lambda db: read_history(db, account_sid, after=number, limit=limit)
    )


def _is_ours(db: Connection, account_sid: str, scope: str) -> bool:
    """Tell whether an account sends from a scope; everybody may from alphanumeric senders."""
    service = find_record(db, SERVICES, scope)
    if service is not None:
        return service.account_sid == account_sid
    number = find_unique(db, NUMBERS, scope)
    if number is not None:
        return number.account_sid == account_sid
    return not scope.startswith(("+", "MG")) and not scope.isdigit()
