"""Accounts, keys and numbers as the hot paths want them: looked up once, then remembered."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection

from trunkline.domain.account import Account, Key, Number, TestCredential
from trunkline.domain.address import is_tollfree
from trunkline.domain.service import POOL_MAX, Pool, PoolSender, SenderKind, ServiceSender
from trunkline.runtime import Bell
from trunkline.store.records import (
    ACCOUNTS,
    KEYS,
    NUMBERS,
    SERVICE_SENDERS,
    SERVICES,
    TEST_CREDENTIALS,
    Kind,
    Record,
    child_records,
    find_record,
    find_unique,
)
from trunkline.store.store import Store
from trunkline.store.vault import Vault

REMEMBERED_MAX = 50_000  # About 50 MB; past it everything is forgotten and looked up anew.

T = TypeVar("T")
R = TypeVar("R", bound=Record)


class Directory:
    """A cache in front of the configuration records; whoever writes one calls `forget`."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._found: dict[tuple[str, str], Any] = {}
        self._tokens: dict[str, str] = {}
        self._generation = 0
        self.changed = Bell()  # Rung when something was written, here or by another node.

    async def account(self, sid: str) -> Account | None:
        """Return an account."""
        return await self._record(ACCOUNTS, sid)

    async def key(self, sid: str) -> Key | None:
        """Return an API key."""
        return await self._record(KEYS, sid)

    async def test_credential(self, sid: str) -> TestCredential | None:
        """Return test credentials by their SID."""
        return await self._record(TEST_CREDENTIALS, sid)

    async def number(self, phone_number: str) -> Number | None:
        """Return a number that some account holds."""
        return await self._named(NUMBERS, phone_number)

    async def service_of(self, sender: str) -> str | None:
        """Return the SID of the Messaging Service that a number is in, if it is in one."""
        found = await self._named(SERVICE_SENDERS, sender)
        return found.service_sid if found else None

    async def pool(self, service_sid: str) -> Pool | None:
        """Return a Messaging Service with its senders."""
        place = ("pool", service_sid)
        return await self._lookup(place, lambda db: find_pool(db, service_sid))

    def auth_token(self, account: Account) -> str:
        """Return the token with which the account's webhooks are signed."""
        return self._opened(account.sealed_token)

    def test_token(self, credential: TestCredential) -> str:
        """Return the token of test credentials."""
        return self._opened(credential.sealed_token)

    def auth_tokens(self, account: Account) -> list[str]:
        """Return the tokens that prove who calls: two of them while they are being rotated."""
        sealed = (account.sealed_token, account.sealed_secondary)
        return [self._opened(each) for each in sealed if each]

    def forget(self) -> None:
        """Look everything up anew: something was written."""
        self._found.clear()
        self._tokens.clear()
        self._generation += 1
        self.changed.ring()

    def _opened(self, sealed: str) -> str:
        token = self._tokens.get(sealed)
        if token is None:
            token = self._tokens[sealed] = self._vault.open(sealed)
        return token

    async def _record(self, kind: Kind[R], sid: str) -> R | None:
        return await self._lookup((kind.name, sid), lambda db: find_record(db, kind, sid))

    async def _named(self, kind: Kind[R], name: str) -> R | None:
        return await self._lookup((kind.name, name), lambda db: find_unique(db, kind, name))

    async def _lookup(self, place: tuple[str, str], find: Callable[[Connection], T]) -> T:
        if place in self._found:
            known: T = self._found[place]
            return known
        generation = self._generation
        value = await self._store.read(find)
        # What was written while we read must not be hidden by what we read.
        if generation == self._generation:
            if len(self._found) >= REMEMBERED_MAX:
                self._found.clear()
            self._found[place] = value
        return value


def find_pool(db: Connection, service_sid: str) -> Pool | None:
    """Return a Messaging Service with those of its senders that can send."""
    service = find_record(db, SERVICES, service_sid)
    if service is None:
        return None
    account = find_record(db, ACCOUNTS, service.account_sid)
    members = child_records(db, SERVICE_SENDERS, service_sid, limit=POOL_MAX)
    is_trial = account is not None and account.is_trial
    found = [
        _pool_sender(db, member)
        for member in members
        if not (is_trial and member.kind is SenderKind.ALPHANUMERIC)
    ]
    senders = tuple(sender for sender in found if sender)
    return Pool(service, senders, left_out=len(members) - len(senders))


def _pool_sender(db: Connection, member: ServiceSender) -> PoolSender | None:
    if member.kind is SenderKind.ALPHANUMERIC:
        return PoolSender(
            sender=member.sender,
            kind=member.kind,
            country=member.country,
            capabilities=member.capabilities,
        )
    number = find_record(db, NUMBERS, member.sid)
    if number is None or not number.capabilities.sms:
        return None
    return PoolSender(
        sender=number.phone_number,
        kind=member.kind,
        country=number.country,
        is_tollfree=is_tollfree(number.phone_number),
        capabilities=number.capabilities,
    )
