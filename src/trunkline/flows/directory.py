"""Accounts, keys and numbers as the hot paths want them: looked up once, then remembered."""

from typing import Any, TypeVar

from trunkline.domain.account import Account, Key, Number
from trunkline.store.records import ACCOUNTS, KEYS, NUMBERS, Kind, Record, find_record, find_unique
from trunkline.store.store import Store
from trunkline.store.vault import Vault

REMEMBERED_MAX = 50_000  # About 50 MB; past it everything is forgotten and looked up anew.

R = TypeVar("R", bound=Record)


class Directory:
    """A cache in front of the configuration records; whoever writes one calls `forget`."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._found: dict[tuple[str, str], Any] = {}
        self._tokens: dict[str, str] = {}
        self._generation = 0

    async def account(self, sid: str) -> Account | None:
        """Return an account."""
        return await self._lookup(ACCOUNTS, sid, by_key=False)

    async def key(self, sid: str) -> Key | None:
        """Return an API key."""
        return await self._lookup(KEYS, sid, by_key=False)

    async def number(self, phone_number: str) -> Number | None:
        """Return a number that some account holds."""
        return await self._lookup(NUMBERS, phone_number, by_key=True)

    def auth_token(self, account: Account) -> str:
        """Return the token with which the account's webhooks are signed."""
        token = self._tokens.get(account.sealed_token)
        if token is None:
            token = self._tokens[account.sealed_token] = self._vault.open(account.sealed_token)
        return token

    def forget(self) -> None:
        """Look everything up anew: something was written."""
        self._found.clear()
        self._tokens.clear()
        self._generation += 1

    async def _lookup(self, kind: Kind[R], name: str, *, by_key: bool) -> R | None:
        place = (kind.name, name)
        if place in self._found:
            known: R | None = self._found[place]
            return known
        find = find_unique if by_key else find_record
        generation = self._generation
        value = await self._store.read(lambda db: find(db, kind, name))
        # What was written while we read must not be hidden by what we read.
        if generation == self._generation:
            if len(self._found) >= REMEMBERED_MAX:
                self._found.clear()
            self._found[place] = value
        return value
