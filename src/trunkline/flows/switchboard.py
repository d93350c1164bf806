"""Where messages can go: the carrier accounts, the routes to them, and the connectors at work."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from zlib import crc32

from sqlalchemy import Connection

from trunkline.carriers.port import Carrier, Connector, Sharing
from trunkline.domain.carrier import (
    PRIORITY_MAX,
    CarrierAccount,
    CarrierState,
    Policy,
    Route,
    policy_of,
)
from trunkline.domain.routing import ROUTES_MAX, Ask, RoutingTable
from trunkline.flows.tenure import CARRIERS as CARRIER_LEASE
from trunkline.flows.tenure import LANES, NETWORK, Tenure
from trunkline.runtime import Bell, Inbox
from trunkline.store.leases import Lease
from trunkline.store.outbox import OutboxRow
from trunkline.store.records import CARRIERS, ROUTES, all_records
from trunkline.store.store import Store

# An operator has a handful; each is some connections and their memory.
CARRIERS_MAX = 200
SIMULATED = "simulated"
MMS = "mms"  # The channel of messages with media.


class Switchboard:
    """A snapshot of carriers and routes; whoever writes one of them awaits `refresh`."""

    def __init__(
        self,
        store: Store,
        connectors: Mapping[str, Connector],
        *,
        bell: Bell,
        tenure: Tenure | None = None,
    ) -> None:
        self.tenure = tenure or Tenure()
        self.connectors = connectors
        self.table = RoutingTable((), {})
        self.accounts: Mapping[str, CarrierAccount] = {}
        self.live: dict[str, Carrier] = {}
        self.broken: set[str] = set()  # Carriers that cannot be opened with their settings.
        self.stranded = 0  # How often something was put where nobody empties it.
        # Since when the carriers at work on other nodes are down, None for those that are not.
        self.reports: Mapping[str, Sequence[datetime | None]] = {}
        self._store = store
        self._bell = bell
        self._policies: dict[str, Policy] = {}
        self._without_media: frozenset[str] = frozenset()
        self._lanes: dict[str, Inbox[OutboxRow]] = {}
        self._lease_names: dict[str, str] = {}  # By lane, of all lanes that some node must have.
        self._elsewhere = Bell()
        self._asked = self._shown = 0

    async def refresh(self) -> None:
        """Read carriers and routes anew and let what depends on them follow."""
        self._asked += 1
        asked = self._asked
        found = await self._store.read(read_configuration)
        # What was asked for later and came sooner is newer.
        if asked > self._shown:
            self._shown = asked
            self.show(*found)

    def show(self, carriers: Collection[CarrierAccount], routes: Collection[Route]) -> None:
        """Take over what was read."""
        self.accounts = {account.name: account for account in carriers}
        self._policies = {account.name: policy_of(account.settings) for account in carriers}
        self._without_media = frozenset(
            account.name for account in carriers if not self._takes_media(account)
        )
        states = {account.name: account.state for account in carriers}
        self.table = RoutingTable(tuple(routes), states)
        self._lease_names = {
            f"{account.name}/{index}": self.lease_name(account.name, index)
            for account in carriers
            if is_open(account)
            for index in range(self.policy(account.name).lanes)
        }
        names = self._lease_names.values()
        for prefix in (LANES, CARRIER_LEASE, NETWORK):
            self.tenure.wish(prefix, (name for name in names if name.startswith(prefix)))
        self._bell.ring()
        self._elsewhere.ring()

    def _takes_media(self, account: CarrierAccount) -> bool:
        connector = self.connectors.get(account.type)
        return connector is not None and connector.takes_media

    def lease_name(self, carrier: str, index: int) -> str:
        """Return the name of the lease under which a lane of a carrier is emptied."""
        account = self.accounts.get(carrier)
        connector = None if account is None else self.connectors.get(account.type)
        if connector is not None and connector.sharing is Sharing.NOTHING:
            return NETWORK
        if connector is not None and connector.sharing is Sharing.CARRIERS:
            return f"{CARRIER_LEASE}{carrier}"
        return f"{LANES}{carrier}/{index}"

    def lease(self, lane: str) -> Lease | None:
        """Return the lease of a lane, None where it is not this node's."""
        carrier, _, index = lane.rpartition("/")
        return self.tenure.lease(self.lease_name(carrier, int(index)))

    def is_usable(self, carrier: str) -> bool:
        """Tell whether a carrier account is there and what waits for it is sent."""
        account = self.accounts.get(carrier)
        return account is not None and is_open(account)

    def namespace(self, carrier: str) -> str:
        """Return under what a carrier's references are known: its name, as a rule.

        All simulated carriers stand before one network, which does not know them apart.
        """
        return SIMULATED if self.is_simulated(carrier) else carrier

    def policy(self, carrier: str) -> Policy:
        """Return what our queue does for a carrier account, the defaults for one that is gone."""
        return self._policies.get(carrier) or policy_of({})

    def down(self, now: datetime) -> set[str]:
        """Return the carriers that have been down for longer than messages are to wait."""
        names = {*self.broken, *self.reports, *self.live}
        return {name for name in names if self.is_down(name, now)}

    def is_down(self, carrier: str, now: datetime) -> bool:
        """Tell whether a carrier has been down for longer than messages are to wait.

        One that cannot be opened is down until its account is changed.
        """
        if carrier in self.broken:
            return True
        since = self._down_since(carrier)
        if since is None:
            return False
        return now - since >= timedelta(seconds=self.policy(carrier).failover_seconds)

    def down_sinces(self) -> dict[str, datetime]:
        """Return since when carriers are down on all nodes that have lanes of theirs."""
        names = {*self.reports, *self.live}
        return {name: since for name in names if (since := self._down_since(name))}

    def _down_since(self, carrier: str) -> datetime | None:
        reports = [*self.reports.get(carrier, ())]
        live = self.live.get(carrier)
        if live is not None and live.lanes:
            reports.append(live.down_since)
        down = [at for at in reports if at is not None]
        return max(down) if down and len(down) == len(reports) else None

    def unfit(self, ask: Ask) -> frozenset[str]:
        """Return the carriers that cannot take a message: one with media those that take none."""
        return self._without_media if ask.channel == MMS else frozenset()

    def choose(self, ask: Ask, now: datetime) -> Route | None:
        """Return the route of a message; one that is down is better than none."""
        route, unfit = self.table.choose(ask), self.unfit(ask)
        if route is None:
            return None
        if route.carrier not in unfit and not self.is_down(route.carrier, now):
            return route
        other = self.choose_other(ask, route.carrier, avoid=self.down(now))
        if other is not None or route.carrier not in unfit:
            return other or route
        return self.choose_other(ask, route.carrier, avoid=())

    def choose_other(self, ask: Ask, carrier: str, *, avoid: Collection[str]) -> Route | None:
        """Return the route of a message that a carrier cannot have now, or None.

        What was for a real carrier never ends in the simulated network: its phones would say that
        it was delivered.
        """
        useless = {*avoid, *self.unfit(ask)}
        routes = (route for route in self.table.candidates(ask) if route.carrier not in useless)
        if not self.is_simulated(carrier):
            routes = (route for route in routes if not self.is_simulated(route.carrier))
        return next(iter(routes), None)

    def is_simulated(self, carrier: str) -> bool:
        """Tell whether a carrier stands before the simulated network; one that is gone does not."""
        account = self.accounts.get(carrier)
        return account is not None and account.type == SIMULATED

    def lane(self, carrier: str, sender: str | None) -> str:
        """Return the lane in which messages of a sender wait for a carrier: always the same one."""
        lanes = self.policy(carrier).lanes
        return f"{carrier}/{crc32((sender or '').encode()) % lanes}"

    def is_owned(self, lane: str) -> bool:
        """Tell whether somebody empties a lane: this node, or another that has it or will."""
        if lane in self._lanes or self.tenure.is_alone:
            return lane in self._lanes
        carrier = lane.rpartition("/")[0]
        leases = {f"{LANES}{lane}", f"{CARRIER_LEASE}{carrier}"}
        return lane in self._lease_names or not self.tenure.taken.isdisjoint(leases)

    def own(self, lane: str, inbox: Inbox[OutboxRow] | None) -> None:
        """Let what is put into a lane be told to *inbox*; None: nobody empties it now."""
        if inbox is None:
            self._lanes.pop(lane, None)
            self._elsewhere.ring()
        else:
            self._lanes[lane] = inbox

    def ring(self, lane: str) -> None:
        """Wake whoever empties a lane, or finds other ways for what nobody empties."""
        inbox = self._lanes.get(lane)
        if inbox is not None:
            inbox.ring()
        elif self.is_owned(lane):
            self.tenure.stir(f"{LANES}{lane}")
        else:
            self.stranded += 1
            self._elsewhere.ring()

    def wake(self, lane: str) -> None:
        """Let a lane that is emptied here look for what another node put into it."""
        if lane in self._lanes:
            self._lanes[lane].ring()

    def wake_all(self) -> None:
        """Let all lanes that are emptied here look."""
        for inbox in self._lanes.values():
            inbox.ring()

    def offer(self, rows: Sequence[OutboxRow]) -> None:
        """Tell whoever empties their lanes of new rows."""
        by_lane: dict[str, list[OutboxRow]] = {}
        for row in rows:
            by_lane.setdefault(row.lane, []).append(row)
        for lane, group in by_lane.items():
            if lane in self._lanes:
                self._lanes[lane].offer(group)
            else:
                self.ring(lane)

    @property
    def elsewhere(self) -> Bell:
        """Rung when something may wait where nobody empties it."""
        return self._elsewhere


def read_configuration(db: Connection) -> tuple[list[CarrierAccount], list[Route]]:
    """Return all carrier accounts and routes."""
    return all_records(db, CARRIERS, limit=CARRIERS_MAX), all_records(db, ROUTES, limit=ROUTES_MAX)


def flow_of(account_sid: str, sender: str | None, *, priority: int) -> str:
    """Return what takes turns with others in a lane; urgent ones sort first."""
    digest = crc32(f"{account_sid}|{sender or ''}".encode())
    return f"{PRIORITY_MAX - priority}{digest:08x}"


def is_open(account: CarrierAccount) -> bool:
    """Tell whether a carrier account is to be connected."""
    return account.state is not CarrierState.DISABLED
