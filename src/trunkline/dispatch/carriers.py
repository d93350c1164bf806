"""The carriers at work: opened, changed and closed as their accounts say, without a restart."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

import structlog

from trunkline.carriers.port import Carrier, Handler, Sharing
from trunkline.dispatch.lanes import Lane, handler
from trunkline.dispatch.worker import Worker, run
from trunkline.domain.carrier import CarrierAccount
from trunkline.domain.errors import Refusal
from trunkline.flows.carriers import effective_settings
from trunkline.flows.platform import Platform
from trunkline.flows.rerouting import rehome
from trunkline.flows.switchboard import is_open
from trunkline.flows.tenure import DRAINED
from trunkline.runtime import Bell, News
from trunkline.store.leases import Lease

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
    """One carrier at work; of one that is with another node this one may have no lanes."""

    account: CarrierAccount
    sharing: Sharing
    carrier: Carrier
    reception: Worker
    lanes: dict[int, Lane]
    tasks: dict[Worker, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def leases(self) -> dict[int, Lease]:
        """Return under which lease each lane is at work."""
        return {index: lane.lease for index, lane in self.lanes.items()}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A carrier that is to be at work here, with the lanes that are this node's."""

    account: CarrierAccount
    sharing: Sharing
    leases: dict[int, Lease]

    def is_met(self, station: Station) -> bool:
        """Tell whether a station need not be closed to be as wanted; lanes may come and go."""
        may_differ = self.sharing is Sharing.LANES
        return _is_same(station.account, self.account) and (
            may_differ or station.leases == self.leases
        )


class Carriers:
    """Opens a connector for every carrier account that is not disabled, with the lanes we own."""

    name = "carriers"

    def __init__(self, platform: Platform) -> None:
        self.bell = platform.bells.carriers
        platform.tenure.bell.also(self.bell)
        self._platform = platform
        self._stations: dict[str, Station] = {}
        self._broken: dict[str, CarrierAccount] = {}  # As they were when they could not be opened.
        self._is_running = False

    @property
    def workers(self) -> list[Worker]:
        """What works for the carriers; for programs that drive the workers themselves."""
        stations = self._stations.values()
        steppable = [s.reception for s in stations if isinstance(s.reception, Connection)]
        return [*(lane for s in stations for lane in s.lanes.values()), *steppable]

    async def step(self) -> int:
        """Bring what is open in line with accounts and leases; return how much was changed."""
        leaving = self._platform.tenure.leaving
        wanted = self._wanted()
        gone = [
            station
            for name, station in self._stations.items()
            if name not in wanted or not wanted[name].is_met(station)
        ]
        dropped = [
            (station, lane)
            for name, station in self._stations.items()
            if station not in gone
            for index, lane in station.lanes.items()
            if wanted[name].leases.get(index) != lane.lease
        ]
        await asyncio.gather(
            *(self._close(station) for station in gone),
            *(self._drop(station, lane) for station, lane in dropped),
        )
        for name in leaving:
            if name.startswith(DRAINED):
                self._platform.tenure.give_back(name)
        return len(gone) + len(dropped) + await self._open_missing()

    async def next_due(self) -> datetime | None:
        """Return None: only the bell says that something changed."""
        return None

    async def start(self) -> None:
        """Let what is opened work by itself."""
        self._is_running = True
        for station in self._stations.values():
            self._start(station, station.reception, *station.lanes.values())

    async def stop(self) -> None:
        """Take leave of all carriers; what is not done is on disk."""
        await asyncio.gather(*(self._close(s) for s in list(self._stations.values())))

    async def settle(self) -> None:
        """Return once every batch under way is recorded."""
        for station in self._stations.values():
            for lane in list(station.lanes.values()):
                await lane.settle()

    async def _open_missing(self) -> int:
        """Open what is to be at work and is not; return how much that was.

        Asked again for each: taking leave takes seconds, in which accounts may have changed.
        """
        opened = 0
        for name, wanted in self._wanted().items():
            station = self._stations.get(name)
            more = set(wanted.leases) - set(station.lanes if station else ())
            if name in self._broken or (station is not None and not more):
                continue
            await rehome(self._platform, name)
            now_wanted = self._wanted().get(name)
            if now_wanted is None or now_wanted.account != wanted.account:
                continue
            opened += 1
            if station is None:
                self._open(now_wanted)
            elif now_wanted.is_met(station):
                for index in sorted(more & now_wanted.leases.keys()):
                    self._add(station, index, lease=now_wanted.leases[index])
        return opened

    def _wanted(self) -> dict[str, _Wanted]:
        """Return the carriers that are to be at work here; forget what was known of others."""
        switchboard = self._platform.switchboard
        accounts = {n: a for n, a in switchboard.accounts.items() if is_open(a)}
        self._broken = {
            name: account
            for name, account in self._broken.items()
            if name in accounts and _is_same(account, accounts[name])
        }
        switchboard.broken = set(self._broken)
        wanted: dict[str, _Wanted] = {}
        for name, account in accounts.items():
            connector = switchboard.connectors.get(account.type)
            sharing = Sharing.LANES if connector is None else connector.sharing
            leases = self._leases(name)
            if leases or (connector is not None and connector.is_called):
                wanted[name] = _Wanted(account, sharing, leases)
        return wanted

    def _leases(self, carrier: str) -> dict[int, Lease]:
        """Return the lanes of a carrier that are this node's."""
        switchboard = self._platform.switchboard
        found = {
            index: switchboard.lease(f"{carrier}/{index}")
            for index in range(switchboard.policy(carrier).lanes)
        }
        return {index: lease for index, lease in found.items() if lease is not None}

    def _give_up(self, account: CarrierAccount, reason: str) -> None:
        """Let a carrier be that cannot be opened; what waits for it takes other routes."""
        log.error("carrier cannot be opened", carrier=account.name, reason=reason)
        self._broken[account.name] = account
        self._platform.switchboard.broken.add(account.name)
        self._platform.switchboard.elsewhere.ring()

    def _open(self, wanted: _Wanted) -> None:
        platform, account = self._platform, wanted.account
        name = account.name
        lanes: dict[int, Lane] = {}

        def changed() -> None:
            for lane in lanes.values():
                lane.bell.ring()
            platform.switchboard.elsewhere.ring()
            if platform.feed.is_watched:
                platform.feed.publish(News("carrier", "", name))

        def may_send(index: int) -> bool:
            lane = lanes.get(index)
            return lane is not None and lane.lease.is_valid()

        try:
            settings = effective_settings(platform, account)
            connector = platform.switchboard.connectors[account.type]
            connector.check(settings)
        except Refusal as refusal:
            # Settings that an older version took. The account can be mended while all else works.
            self._give_up(account, refusal.message)
            return
        carrier = connector.open(
            name, settings, lanes=sorted(wanted.leases), changed=changed, may_send=may_send
        )
        handle = handler(platform, name, lanes=lanes)
        reception: Worker = Reception(name, carrier, handle=handle)
        if isinstance(carrier, Steppable):
            reception = Connection(name, carrier, handle=handle, bell=platform.bells.network)
        station = Station(account, wanted.sharing, carrier, reception, lanes)
        self._stations[name] = station
        platform.switchboard.live[name] = carrier
        self._start(station, reception)
        for index, lease in sorted(wanted.leases.items()):
            self._put_to_work(station, index, lease=lease)

    def _add(self, station: Station, index: int, *, lease: Lease) -> None:
        station.carrier.take_lane(index)
        self._put_to_work(station, index, lease=lease)

    def _put_to_work(self, station: Station, index: int, *, lease: Lease) -> None:
        lane = Lane(self._platform, station.carrier, index, lease=lease)
        station.lanes[index] = lane
        self._platform.switchboard.own(lane.name, lane.inbox)
        self._start(station, lane)

    def _start(self, station: Station, *workers: Worker) -> None:
        if self._is_running:
            clock = self._platform.clock
            for worker in workers:
                station.tasks[worker] = asyncio.create_task(run(worker, clock))

    async def _drop(self, station: Station, lane: Lane) -> None:
        """Take leave of the carrier on one lane."""
        await lane.close()
        await self._cancel(station, lane)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await station.carrier.leave_lane(lane.index)
        # The connector has answered what it still held.
        await lane.close()
        self._platform.switchboard.own(lane.name, None)
        station.lanes.pop(lane.index, None)

    async def _close(self, station: Station) -> None:
        name, lanes = station.account.name, list(station.lanes.values())
        await asyncio.gather(*(lane.close() for lane in lanes))
        await self._cancel(station, *station.tasks)
        # The connector has answered what it still held.
        await asyncio.gather(*(lane.close() for lane in lanes))
        for lane in lanes:
            self._platform.switchboard.own(lane.name, None)
        self._platform.switchboard.live.pop(name, None)
        self._stations.pop(name, None)

    async def _cancel(self, station: Station, *workers: Worker) -> None:
        tasks = [station.tasks.pop(worker) for worker in workers if worker in station.tasks]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await asyncio.gather(*tasks, return_exceptions=True)


def _is_same(before: CarrierAccount, after: CarrierAccount) -> bool:
    """Tell whether two accounts are connected in the same way."""
    return (before.sid, before.settings, before.sealed) == (
        after.sid,
        after.settings,
        after.sealed,
    )
