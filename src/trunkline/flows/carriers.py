"""Carrier accounts: making, changing and removing them, and looking at how their connectors do."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from trunkline.carriers.port import BindState, PduSeen, Probe
from trunkline.domain.carrier import (
    COMMON_SETTINGS,
    NAME_MAX,
    CarrierAccount,
    CarrierState,
    Route,
    Setting,
    check_settings,
)
from trunkline.domain.errors import Refusal
from trunkline.domain.message import Message
from trunkline.domain.routing import ROUTES_MAX
from trunkline.domain.sending import SendRequest
from trunkline.flows import outbound
from trunkline.flows.platform import Platform
from trunkline.flows.switchboard import CARRIERS_MAX, SIMULATED
from trunkline.store.records import (
    CARRIERS,
    ROUTES,
    all_records,
    alone,
    delete_record,
    find_unique,
    insert_record,
    update_record,
)
from trunkline.store.strays import Stray, page_strays

# Whoever asks waits; a connection that takes longer than this is no good one.
PROBE_SECONDS_MAX = 12
MASK = "********"

# Names stand in paths, in the names of lanes and on the command line.
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._\-]{{0,{NAME_MAX - 1}}}").fullmatch


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """A setting of a carrier as people may see it; the value of a secret one is a mask."""

    setting: Setting
    value: str
    is_set: bool


def known_settings(platform: Platform, carrier_type: str) -> dict[str, Setting]:
    """Return what can be set of a type of carrier, by name; refuse (20422) an unknown type."""
    connectors = platform.switchboard.connectors
    connector = connectors.get(carrier_type)
    if connector is None:
        raise Refusal(20422, name="`Type`", reason=f"must be one of {', '.join(connectors)}")
    return {setting.name: setting for setting in (*connector.settings, *COMMON_SETTINGS)}


def effective_settings(platform: Platform, account: CarrierAccount) -> dict[str, str]:
    """Return every setting with the value that holds, secrets in clear: what connectors take."""
    chosen = account.settings | {
        name: platform.vault.open(sealed) for name, sealed in account.sealed.items()
    }
    known = known_settings(platform, account.type).values()
    return {setting.name: chosen.get(setting.name, setting.default) for setting in known}


def shown_settings(platform: Platform, account: CarrierAccount) -> list[ShownSetting]:
    """Return every setting of a carrier with the value that holds, secrets masked."""
    return [_shown(account, setting) for setting in known_settings(platform, account.type).values()]


async def listed(platform: Platform) -> list[CarrierAccount]:
    """Return all carrier accounts, oldest first."""
    return await platform.store.read(lambda db: all_records(db, CARRIERS, limit=CARRIERS_MAX))


async def find(platform: Platform, name: str) -> CarrierAccount | None:
    """Return a carrier account."""
    return await platform.store.read(lambda db: find_unique(db, CARRIERS, name))


async def add(
    platform: Platform,
    *,
    name: str,
    carrier_type: str,
    settings: Mapping[str, str],
    state: str = CarrierState.ENABLED,
) -> CarrierAccount:
    """Make a carrier account, or refuse what it cannot be (20422) or is already there (20409)."""
    if not _NAME(name):
        reason = f"must be 1 to {NAME_MAX} letters, digits, dots, dashes and underscores"
        raise Refusal(20422, name="`Name`", reason=reason)
    known_settings(platform, carrier_type)
    if name == platform.rules.carrier and carrier_type != SIMULATED:
        # What is tied to the simulated network by that name must never reach another.
        reason = f"`{name}` is the name of a carrier of the type {SIMULATED}"
        raise Refusal(20422, name="`Name`", reason=reason)
    now = platform.clock.now()
    blank = CarrierAccount(
        sid=platform.chance.sid("CX", now),
        account_sid=platform.rules.main_account_sid,
        name=name,
        type=carrier_type,
        state=_state(state),
        created_at=now,
        updated_at=now,
    )
    account = _with_settings(platform, blank, settings)

    def work(db: Connection) -> None:
        alone(db)
        if find_unique(db, CARRIERS, name) is not None:
            raise Refusal(20409, reason=f"there is a carrier `{name}` already")
        if len(all_records(db, CARRIERS, limit=CARRIERS_MAX)) >= CARRIERS_MAX:
            raise Refusal(20409, reason=f"there are {CARRIERS_MAX} carriers, and no more can be")
        insert_record(db, CARRIERS, account)

    await platform.store.write(work)
    await platform.switchboard.refresh()
    return account


async def change(
    platform: Platform,
    name: str,
    *,
    settings: Mapping[str, str] | None = None,
    state: str | None = None,
) -> CarrierAccount:
    """Set settings, where "" means the default again, and the state; refuse (20404) a stranger."""

    def work(db: Connection) -> CarrierAccount:
        alone(db)
        before = _carrier(db, name)
        after = replace(
            before if settings is None else _with_settings(platform, before, settings),
            state=before.state if state is None else _state(state),
            updated_at=platform.clock.now(),
        )
        update_record(db, CARRIERS, after)
        return after

    account = await platform.store.write(work)
    await platform.switchboard.refresh()
    return account


async def remove(platform: Platform, name: str, *, forced: bool = False) -> None:
    """Forget a carrier account; refuse (20409) while routes lead to it, unless they go with it."""

    def work(db: Connection) -> None:
        alone(db)
        account = _carrier(db, name)
        routes = _routes_to(db, name)
        if routes and not forced:
            names = ", ".join(route.sid for route in routes)
            raise Refusal(20409, reason=f"routes lead to the carrier `{name}`: {names}")
        for route in routes:
            delete_record(db, ROUTES, route.sid)
        delete_record(db, CARRIERS, account.sid)

    await platform.store.write(work)
    await platform.switchboard.refresh()


async def probe(platform: Platform, name: str) -> Probe:
    """Try the connection to a carrier; one that is not at work fails with the reason."""
    account = await _known(platform, name)
    carrier = platform.switchboard.live.get(name)
    if carrier is None:
        is_off = account.state is CarrierState.DISABLED
        detail = "the carrier is disabled" if is_off else "its connector is not at work yet"
        return Probe(is_good=False, detail=detail)
    try:
        async with asyncio.timeout(PROBE_SECONDS_MAX):
            return await carrier.probe()
    except TimeoutError:
        return Probe(is_good=False, detail=f"no answer within {PROBE_SECONDS_MAX} seconds")


async def send_test(
    platform: Platform, name: str, *, sender: str, recipient: str, body: str = ""
) -> Message:
    """Send a real message through a carrier, whatever the routes say and whoever holds the sender.

    Refuses (20409) a carrier that takes nothing new.
    """
    account = await _known(platform, name)
    if account.state is not CarrierState.ENABLED:
        raise Refusal(20409, reason=f"the carrier `{name}` is {account.state}")
    owner = await platform.directory.account(platform.rules.main_account_sid)
    if owner is None:
        raise Refusal(20404)
    request = SendRequest(
        to=recipient, from_=sender, body=body or f"A test of the carrier {name} by Trunkline."
    )
    draft = await outbound.prepare(platform, owner, request, via=name, may_use_any_sender=True)
    await outbound.accept(platform, [draft])
    return draft.message


async def binds(platform: Platform, name: str) -> Sequence[BindState]:
    """Return the state of a carrier's connections; none while its connector is not at work."""
    await _known(platform, name)
    carrier = platform.switchboard.live.get(name)
    return () if carrier is None else carrier.binds()


async def pdus(platform: Platform, name: str) -> Sequence[PduSeen]:
    """Return what passed between a carrier and us lately, oldest first."""
    await _known(platform, name)
    carrier = platform.switchboard.live.get(name)
    return () if carrier is None else carrier.pdus()


async def strays(
    platform: Platform, *, kind: str | None = None, limit: int, before: str | None = None
) -> list[Stray]:
    """Return what carriers brought that matches nothing of ours, newest first."""
    return await platform.store.read(
        lambda db: page_strays(db, kind=kind, limit=limit, before=before)
    )


async def _known(platform: Platform, name: str) -> CarrierAccount:
    return await platform.store.read(lambda db: _carrier(db, name))


def _carrier(db: Connection, name: str) -> CarrierAccount:
    account = find_unique(db, CARRIERS, name)
    if account is None:
        raise Refusal(20404)
    return account


def _routes_to(db: Connection, carrier: str) -> list[Route]:
    return [r for r in all_records(db, ROUTES, limit=ROUTES_MAX) if r.carrier == carrier]


def _state(text: str) -> CarrierState:
    if text not in set(CarrierState):
        reason = f"must be one of {', '.join(CarrierState)}"
        raise Refusal(20422, name="`State`", reason=reason)
    return CarrierState(text)


def _with_settings(
    platform: Platform, account: CarrierAccount, changes: Mapping[str, str]
) -> CarrierAccount:
    """Return the account as *changes* make it, or refuse values that cannot be, or not together."""
    known = known_settings(platform, account.type)
    given = {name: value for name, value in changes.items() if value}
    # A name that is reset must exist as well, though nothing is no value to be checked.
    check_settings({name: "" for name in changes if name not in known} | given, known=known)
    kept = {name: value for name, value in account.settings.items() if name not in changes}
    sealed = {name: value for name, value in account.sealed.items() if name not in changes}
    for name, value in given.items():
        if known[name].is_secret:
            sealed[name] = platform.vault.seal(value)
        else:
            kept[name] = value
    after = replace(account, settings=kept, sealed=sealed)
    connector = platform.switchboard.connectors[account.type]
    connector.check(effective_settings(platform, after))
    return after


def _shown(account: CarrierAccount, setting: Setting) -> ShownSetting:
    if setting.is_secret:
        is_set = setting.name in account.sealed
        return ShownSetting(setting, MASK if is_set else "", is_set)
    value = account.settings.get(setting.name)
    return ShownSetting(setting, setting.default if value is None else value, value is not None)
