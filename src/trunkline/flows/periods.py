"""How long each account's things are kept: the platform's periods, and what differs from them."""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from trunkline.domain.errors import Refusal
from trunkline.domain.retention import DAYS_MAX, OF_ACCOUNTS, Periods, Retention
from trunkline.flows.platform import Platform
from trunkline.store.records import (
    ACCOUNTS,
    all_records,
    alone,
    delete_record,
    find_record,
    find_unique,
    insert_record,
    update_record,
)
from trunkline.store.retention import RETENTIONS

# All of them are read for each pass: some 300 bytes each.
RETENTIONS_MAX = 10_000


async def listed(platform: Platform) -> list[Retention]:
    """Return what differs from the platform's periods, oldest first."""
    return await platform.store.read(own_periods)


async def find(platform: Platform, account_sid: str) -> Mapping[str, int]:
    """Return what an account keeps longer or shorter than the rest, or refuse (20404)."""

    def query(db: Connection) -> Mapping[str, int]:
        _require(db, account_sid)
        known = find_unique(db, RETENTIONS, account_sid)
        return known.days if known else {}

    return await platform.store.read(query)


async def change(
    platform: Platform, account_sid: str, days: Mapping[str, int | None]
) -> Mapping[str, int]:
    """Set days of some kinds for an account; None takes a kind back to the platform's period.

    Refuses (20404) an account that is not there and (20422) days that cannot be.
    """
    for kind, count in days.items():
        if count is not None and not 0 <= count <= DAYS_MAX:
            name = f"`{kind.title()}Days`"
            raise Refusal(20422, name=name, reason=f"a whole number from 0 to {DAYS_MAX}")

    def work(db: Connection) -> Mapping[str, int]:
        alone(db)
        _require(db, account_sid)
        now = platform.clock.now()
        known = find_unique(db, RETENTIONS, account_sid)
        merged = {**(known.days if known else {}), **days}
        kept = {kind: count for kind, count in merged.items() if count is not None}
        if known is None:
            _insert(platform, db, account_sid, days=kept)
        elif kept:
            update_record(db, RETENTIONS, replace(known, days=kept, updated_at=now))
        else:
            delete_record(db, RETENTIONS, known.sid)
        return kept

    return await platform.store.write(work)


async def reset(platform: Platform, account_sid: str) -> None:
    """Keep an account's things as long as everybody's, or refuse (20404)."""
    await change(platform, account_sid, dict.fromkeys(OF_ACCOUNTS))


def own_periods(db: Connection) -> list[Retention]:
    """Return what differs from the platform's periods, oldest first."""
    return all_records(db, RETENTIONS, limit=RETENTIONS_MAX)


def periods_for(platform: Platform, days: Mapping[str, int]) -> Periods:
    """Return the platform's periods with an account's own in their places."""
    return platform.rules.retention.with_days(days)


def _insert(platform: Platform, db: Connection, account_sid: str, *, days: dict[str, int]) -> None:
    if not days:
        return
    if len(own_periods(db)) >= RETENTIONS_MAX:
        raise Refusal(20409, reason=f"{RETENTIONS_MAX} accounts have periods of their own already")
    now = platform.clock.now()
    retention = Retention(
        sid=platform.chance.sid("RT", now),
        account_sid=account_sid,
        days=days,
        created_at=now,
        updated_at=now,
    )
    insert_record(db, RETENTIONS, retention)


def _require(db: Connection, account_sid: str) -> None:
    if find_record(db, ACCOUNTS, account_sid) is None:
        raise Refusal(20404, path=f"/2010-04-01/Accounts/{account_sid}.json")
