"""Accounts, their subaccounts and API keys: making, changing, closing; what is left to spend."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import Connection

from trunkline.domain.account import Account, AccountStatus, Key
from trunkline.domain.errors import Refusal
from trunkline.flows.platform import Platform
from trunkline.flows.pools import forget_account
from trunkline.store.paging import Found, Page
from trunkline.store.pools import leave_pool
from trunkline.store.records import (
    ACCOUNTS,
    KEYS,
    NUMBERS,
    alone,
    child_records,
    delete_record,
    find_record,
    insert_record,
    page_records,
    update_record,
)
from trunkline.store.usage import spent

FRIENDLY_NAME_LENGTH_MAX = 64  # Twilio's limit for the names of accounts, keys and numbers alike.
# Of one account; beyond it, filtered lists of them are no longer read in a moment.
NUMBERS_MAX = 10_000
SUBACCOUNTS_MAX = 1000  # What Twilio allows an upgraded account.
TOKEN_BYTES = 16  # 32 hexadecimal digits, as auth tokens have always had.
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made, with the secret that is told only now."""

    key: Key
    secret: str


async def create(
    platform: Platform, owner: Account, *, friendly_name: str | None, is_trial: bool = False
) -> Account:
    """Make a subaccount, or refuse: a subaccount may have none (20010), an owner 1,000 (21480)."""
    if not owner.is_main:
        raise Refusal(20010)
    now = platform.clock.now()
    sid = platform.chance.sid("AC", now)
    account = Account(
        sid=sid,
        account_sid=sid,
        owner_sid=owner.sid,
        friendly_name=checked_name(friendly_name or f"SubAccount Created at {now:%Y-%m-%d %H:%M}"),
        sealed_token=platform.vault.seal(platform.chance.token_hex(TOKEN_BYTES)),
        is_trial=is_trial,
        created_at=now,
        updated_at=now,
    )

    def work(db: Connection) -> None:
        alone(db)
        if len(child_records(db, ACCOUNTS, owner.sid, limit=SUBACCOUNTS_MAX + 1)) > SUBACCOUNTS_MAX:
            raise Refusal(21480)
        insert_record(db, ACCOUNTS, account)

    await platform.store.write(work)
    platform.directory.forget()
    return account


async def page(
    platform: Platform, account: Account, *, where: Callable[[Account], bool], page: Page
) -> Found[Account]:
    """Return a page of what an account may see: itself and its subaccounts."""
    parent_sid = account.sid if account.is_main else None
    account_sid = None if account.is_main else account.sid

    def query(db: Connection) -> Found[Account]:
        return page_records(
            db, ACCOUNTS, page, account_sid=account_sid, parent_sid=parent_sid, where=where
        )

    return await platform.store.read(query)


async def update(
    platform: Platform,
    sid: str,
    *,
    friendly_name: str | None = None,
    status: AccountStatus | None = None,
) -> Account | None:
    """Rename, suspend, wake or close an account; None when there is none.

    A closed account's numbers are free again. Refuses another status for a main account (21477),
    and any change of a closed one (20005).
    """

    def work(db: Connection) -> Account | None:
        alone(db)
        before = find_record(db, ACCOUNTS, sid)
        if before is None:
            return None
        if before.status is AccountStatus.CLOSED:
            raise Refusal(20005)
        if before.is_main and status not in (None, before.status):
            raise Refusal(21477)
        after = replace(
            before,
            friendly_name=checked_name(friendly_name or before.friendly_name),
            status=status or before.status,
            updated_at=platform.clock.now(),
        )
        update_record(db, ACCOUNTS, after)
        if after.status is AccountStatus.CLOSED:
            for number in child_records(db, NUMBERS, sid, limit=NUMBERS_MAX):
                delete_record(db, NUMBERS, number.sid)
                leave_pool(db, number.sid)
        return after

    account = await platform.store.write(work)
    platform.directory.forget()
    if account is not None and account.status is AccountStatus.CLOSED:
        await forget_account(platform, sid)
    return account


async def rewrite(platform: Platform, sid: str, changed: Callable[[Account], Account]) -> Account:
    """Replace an account by what *changed* makes of it, or refuse (20404, 20005 for a closed one).

    *changed* may refuse as well; then everything is as it was.
    """

    def work(db: Connection) -> Account:
        alone(db)
        before = find_record(db, ACCOUNTS, sid)
        if before is None:
            raise Refusal(20404)
        if before.status is AccountStatus.CLOSED:
            raise Refusal(20005)
        after = replace(changed(before), updated_at=platform.clock.now())
        update_record(db, ACCOUNTS, after)
        return after

    account = await platform.store.write(work)
    platform.directory.forget()
    return account


async def create_key(platform: Platform, account_sid: str, *, friendly_name: str) -> NewKey:
    """Make an API key; only its digest is kept."""
    now = platform.clock.now()
    secret = platform.chance.token_hex(SECRET_BYTES)
    key = Key(
        sid=platform.chance.sid("SK", now),
        account_sid=account_sid,
        friendly_name=checked_name(friendly_name),
        secret_digest=hashlib.sha256(secret.encode()).hexdigest(),
        created_at=now,
        updated_at=now,
    )
    await platform.store.write(lambda db: insert_record(db, KEYS, key))
    platform.directory.forget()
    return NewKey(key, secret)


async def find_key(platform: Platform, account_sid: str, sid: str) -> Key | None:
    """Return a key of an account."""
    return await platform.store.read(lambda db: _key(db, account_sid, sid=sid))


async def page_keys(platform: Platform, account_sid: str, *, page: Page) -> Found[Key]:
    """Return a page of an account's keys, newest first."""
    return await platform.store.read(
        lambda db: page_records(db, KEYS, page, account_sid=account_sid)
    )


async def rename_key(
    platform: Platform, account_sid: str, *, sid: str, friendly_name: str | None
) -> Key | None:
    """Give a key another name; None when there is no such key."""

    def work(db: Connection) -> Key | None:
        alone(db)
        before = _key(db, account_sid, sid=sid)
        if before is None or friendly_name is None:
            return before
        name = checked_name(friendly_name)
        after = replace(before, friendly_name=name, updated_at=platform.clock.now())
        update_record(db, KEYS, after)
        return after

    key = await platform.store.write(work)
    platform.directory.forget()
    return key


async def delete_key(platform: Platform, account_sid: str, *, sid: str) -> bool:
    """Revoke a key; say whether there was one."""

    def work(db: Connection) -> bool:
        return _key(db, account_sid, sid=sid) is not None and delete_record(db, KEYS, sid)

    was_there = await platform.store.write(work)
    platform.directory.forget()
    return was_there


async def balance(platform: Platform, account: Account) -> Decimal:
    """Return what an account may still spend; it starts with the configured amount."""
    used = await platform.store.read(lambda db: spent(db, account.sid))
    return platform.rules.starting_balance - used


def checked_name(name: str) -> str:
    """Return a friendly name, or refuse (20002) one that is too long."""
    if len(name) > FRIENDLY_NAME_LENGTH_MAX:
        raise Refusal(20002, reason=f"more than {FRIENDLY_NAME_LENGTH_MAX} characters")
    return name


def _key(db: Connection, account_sid: str, *, sid: str) -> Key | None:
    key = find_record(db, KEYS, sid)
    return key if key is not None and key.account_sid == account_sid else None
