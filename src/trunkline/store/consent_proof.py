"""Whether the evidence of consent is whole: every account's chain, and what follows from it."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, select

from trunkline.domain.consent import digest_of
from trunkline.store.consents import read_history
from trunkline.store.sending_tables import consent_history, consents

ENTRIES_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Break:
    """Something that cannot be, if nobody changed anything: an example of it, and how many."""

    what: str
    count: int
    example: str


def breaks(db: Connection) -> Iterator[Break]:
    """Yield what contradicts the evidence of consent; every entry is read."""
    for account_sid in _accounts(db):
        number = _first_break(db, account_sid)
        if number is not None:
            what = "consent_history: an entry was changed, removed or put in"
            yield Break(what, 1, f"{account_sid} number {number}")
    yield from _unfounded(db)


def _accounts(db: Connection) -> list[str]:
    """Return the accounts that have a history; each is found by a seek of its own."""
    found: list[str] = []
    smallest = select(func.min(consent_history.c.account_sid))
    account_sid = db.execute(smallest).scalar()
    while account_sid is not None:
        found.append(account_sid)
        following = smallest.where(consent_history.c.account_sid > account_sid)
        account_sid = db.execute(following).scalar()
    return found


def _first_break(db: Connection, account_sid: str) -> int | None:
    """Return the number of the first entry that does not follow from the one before it."""
    number, digest = 0, ""
    while entries := read_history(db, account_sid, after=number, limit=ENTRIES_AT_ONCE):
        for entry in entries:
            number += 1
            if entry.number != number or entry.digest != digest_of(entry, digest):
                return number
            digest = entry.digest
    return None


def _unfounded(db: Connection) -> Iterator[Break]:
    """Find states that no entry says, and those of which a later entry says something else."""
    history = consent_history.c
    same = and_(history.status == consents.c.status, history.consented_at == consents.c.since)
    later = history.consented_at > consents.c.since
    for what, is_wrong in (
        ("consents: no entry of the history says so", ~_exists(same)),
        ("consents: a later entry of the history counts", _exists(later)),
    ):
        query = select(func.count(), func.min(consents.c.account_sid)).where(is_wrong)
        count, example = db.execute(query).one()
        if count:
            yield Break(what, count, example)


def _exists(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    history = consent_history.c
    here = and_(
        history.account_sid == consents.c.account_sid,
        history.recipient == consents.c.recipient,
        history.scope == consents.c.scope,
    )
    return select(1).select_from(consent_history).where(here, condition).exists()
