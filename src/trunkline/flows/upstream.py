"""Upstream accounts: what they ask of what we remember, and what they tell us of themselves."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Protocol, runtime_checkable

from trunkline.domain.carrier import CarrierAccount
from trunkline.domain.errors import Refusal
from trunkline.flows import carriers
from trunkline.flows.platform import Platform
from trunkline.store.references import known_refs, oldest_open
from trunkline.store.store import Store

# A database takes so many values in one query.
REFS_MAX = 5000
# Who signs in otherwise than before does not sign in by what is left over.
_CREDENTIALS = frozenset({"api_key_sid", "api_key_secret", "auth_token"})
_SENDERS = frozenset({"from_number", "messaging_service_sid"})


@runtime_checkable
class Tellable(Protocol):
    """A connector that its carrier calls."""

    async def told(self, form: Mapping[str, str], *, signature: str, url: str) -> bool:
        """Take in a callback; False when it is not genuine."""


class References:
    """The references of everything that was handed over, for connectors that ask."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def known(self, carrier: str, refs: Collection[str]) -> set[str]:
        """Return those of *refs* that stand for a segment of ours."""
        wanted, found = list(refs), set[str]()
        for start in range(0, len(wanted), REFS_MAX):
            query = partial(known_refs, carrier=carrier, refs=wanted[start : start + REFS_MAX])
            found |= await self._store.read(query)
        return found

    async def oldest_open(self, carrier: str, *, since: datetime) -> datetime | None:
        """Return when the oldest message was made that was taken and is open, None without one."""
        return await self._store.read(lambda db: oldest_open(db, carrier, since=since))


async def told(
    platform: Platform, carrier: str, form: Mapping[str, str], *, signature: str, url: str
) -> None:
    """Take in a callback of a carrier; refuse (20403) one that is not genuine.

    Whether there is a carrier of that name is not told. Refused (20503) while it is not at work.
    """
    connector = platform.switchboard.live.get(carrier)
    if connector is None or not isinstance(connector, Tellable):
        raise Refusal(20403)
    if not await connector.told(form, signature=signature, url=url):
        raise Refusal(20403)


async def adopt(
    platform: Platform, name: str, carrier_type: str, *, settings: Mapping[str, str]
) -> bool:
    """Make or update the carrier account that the environment offers; False where it is not one.

    What an operator set besides stays, the state too, and no route is made. An account of another
    type is left alone, and so is an offer of our own main account: who tries an application
    against us gives it our credentials by the same names.
    """
    if settings.get("account_sid") == platform.rules.main_account_sid:
        return False
    account = await carriers.find(platform, name)
    if account is None:
        await carriers.add(platform, name=name, carrier_type=carrier_type, settings=settings)
        return True
    if account.type != carrier_type:
        return False
    if changes := _changes(platform, account, settings):
        await carriers.change(platform, name, settings=changes)
    return True


def _changes(
    platform: Platform, account: CarrierAccount, settings: Mapping[str, str]
) -> dict[str, str]:
    left_over = _CREDENTIALS | (_SENDERS if _SENDERS & settings.keys() else frozenset())
    wanted = dict.fromkeys(left_over, "") | dict(settings)
    present = account.settings | {
        name: platform.vault.open(sealed) for name, sealed in account.sealed.items()
    }
    return {name: value for name, value in wanted.items() if present.get(name, "") != value}
