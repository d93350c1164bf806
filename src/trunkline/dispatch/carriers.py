"""The carriers at work: opened, changed and closed as their accounts say, without a restart."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

import structlog

from trunkline.carriers.port import Carrier, Handler
from trunkline.dispatch.lanes import Lane, handler
from trunkline.dispatch.worker import Worker, run
from trunkline.domain.carrier import CarrierAccount, policy_of
from trunkline.domain.errors import Refusal
from trunkline.flows.carriers import effective_settings
from trunkline.flows.platform import Platform
from trunkline.flows.rerouting import rehome
from trunkline.flows.switchboard import is_open
from trunkline.runtime import Bell, News

# A connector takes leave of its peer within this, or is cut off.
LEAVE_SECONDS = 3.0

log = structlog.get_logger()


@runtime_checkable
class Steppable(Protocol):
    """A connector that is driven a step at a time: its network is in this process."""

    async def step(self, handle: Handler) -> int:
        """Bring what is due now; return how much that was."""

    async def next_due(self) -> datetime | None:
        """Return when something will be due."""


class Connection:
    """Keeps a simulated network moving: its steps bring receipts and inbound texts."""

    def __init__(self, name: str, carrier: Steppable, *, handle: Handler, bell: Bell) -> None:
        self.name = name
        self.bell = bell
        self._carrier = carrier
        self._handle = handle

    async def step(self) -> int:
        """Bring what is due now."""
        return await self._carrier.step(self._handle)

    async def next_due(self) -> datetime | None:
        """Return when the network has something again."""
        return await self._carrier.next_due()


class Reception:
    """Keeps a connector connected; what it raises is logged, and it is run again."""

    def __init__(self, name: str, carrier: Carrier, *, handle: Handler) -> None:
        self.name = name
        self.bell = Bell()
        self._carrier = carrier
        self._handle = handle

    async def step(self) -> int:
        """Stay connected until cancelled."""
        await self._carrier.run(self._handle)
        return 0

    async def next_due(self) -> datetime | None:
        """Return None: a connector has its own clock."""
        return None


@dataclass(slots=True)
class Station:
    """One carrier at work."""

    account: CarrierAccount
    carrier: Carrier
    lanes: list[Lane]
    reception: Worker
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Carriers:
    """Opens a connector for every carrier account that is not disabled, and owns its lanes."""

    name = "carriers"

    def __init__(self, platform: Platform) -> None:
        self.bell = platform.bells.carriers
        self._platform = platform
        self._stations: dict[str, Station] = {}
        self._broken: dict[str, CarrierAccount] = {}  # As they were when they could not be opened.
        self._is_running = False

    @property
    def workers(self) -> list[Worker]:
        """What works for the carriers; for programs that drive the workers themselves."""
        stations = self._stations.values()
        steppable = [s.reception for s in stations if isinstance(s.reception, Connection)]
        return [*(lane for s in stations for lane in s.lanes), *steppable]

    async def step(self) -> int:
        """Bring what is open in line with the carrier accounts; return how many were changed."""
        wanted = self._wanted()
        gone = [
            station
            for name, station in self._stations.items()
            if name not in wanted or not _is_same(station.account, wanted[name])
        ]
        await asyncio.gather(*(self._close(station) for station in gone))
        # Asked again: taking leave takes seconds, in which accounts may have changed.
        missing = [
            account
            for name, account in self._wanted().items()
            if name not in self._stations and not self._is_broken(account)
        ]
        for account in missing:
            await rehome(self._platform, account.name)
            if self._wanted().get(account.name) == account:
                self._open(account)
        return len(gone) + len(missing)

    async def next_due(self) -> datetime | None:
        """Return None: only the bell says that something changed."""
        return None

    async def start(self) -> None:
        """Let what is opened work by itself."""
        self._is_running = True
        for station in self._stations.values():
            self._start(station)

    async def stop(self) -> None:
        """Take leave of all carriers; what is not done is on disk."""
        await asyncio.gather(*(self._close(s) for s in list(self._stations.values())))

    async def settle(self) -> None:
        """Return once every batch under way is recorded."""
        for station in self._stations.values():
            for lane in station.lanes:
                await lane.settle()

    def _wanted(self) -> dict[str, CarrierAccount]:
        """Return the accounts that are to be connected; forget what was known of others."""
        accounts = self._platform.switchboard.accounts
        wanted = {name: account for name, account in accounts.items() if is_open(account)}
        self._broken = {
            name: account
            for name, account in self._broken.items()
            if name in wanted and _is_same(account, wanted[name])
        }
        self._platform.switchboard.broken = set(self._broken)
        return wanted

    def _is_broken(self, account: CarrierAccount) -> bool:
        return account.name in self._broken

    def _give_up(self, account: CarrierAccount, reason: str) -> None:
        """Let a carrier be that cannot be opened; what waits for it takes other routes."""
        log.error("carrier cannot be opened", carrier=account.name, reason=reason)
        self._broken[account.name] = account
        self._platform.switchboard.broken.add(account.name)
        self._platform.switchboard.elsewhere.ring()

    def _open(self, account: CarrierAccount) -> None:
        platform, name = self._platform, account.name
        lanes: list[Lane] = []

        def changed() -> None:
            for lane in lanes:
                lane.bell.ring()
            platform.switchboard.elsewhere.ring()
            if platform.feed.is_watched:
                platform.feed.publish(News("carrier", "", name))

        try:
            settings = effective_settings(platform, account)
            connector = platform.switchboard.connectors[account.type]
            connector.check(settings)
        except Refusal as refusal:
            # Settings that an older version took. The account can be mended while all else works.
            self._give_up(account, refusal.message)
            return
        count = policy_of(settings).lanes
        carrier = connector.open(name, settings, lanes=count, changed=changed)
        lanes += [Lane(platform, carrier, index) for index in range(count)]
        handle = handler(platform, name)
        reception: Worker = Reception(name, carrier, handle=handle)
        if isinstance(carrier, Steppable):
            reception = Connection(name, carrier, handle=handle, bell=platform.bells.network)
        station = Station(account, carrier, lanes, reception)
        self._stations[name] = station
        platform.switchboard.live[name] = carrier
        for lane in lanes:
            platform.switchboard.own(lane.name, lane.bell)
        if self._is_running:
            self._start(station)

    def _start(self, station: Station) -> None:
        clock = self._platform.clock
        workers: Sequence[Worker] = [station.reception, *station.lanes]
        station.tasks = [asyncio.create_task(run(worker, clock)) for worker in workers]

    async def _close(self, station: Station) -> None:
        name = station.account.name
        await asyncio.gather(*(lane.close() for lane in station.lanes))
        for task in station.tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await asyncio.gather(*station.tasks, return_exceptions=True)
        # The connector has answered what it still held.
        await asyncio.gather(*(lane.close() for lane in station.lanes))
        for lane in station.lanes:
            self._platform.switchboard.own(lane.name, None)
        self._platform.switchboard.live.pop(name, None)
        self._stations.pop(name, None)


def _is_same(before: CarrierAccount, after: CarrierAccount) -> bool:
    """Tell whether two accounts are connected in the same way."""
    return (before.sid, before.settings, before.sealed) == (
        after.sid,
        after.settings,
        after.sealed,
    )
