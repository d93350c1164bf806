"""Where messages can go: the carrier accounts, the routes to them, and the connectors at work."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from zlib import crc32

from sqlalchemy import Connection

from trunkline.carriers.port import Carrier, Connector
from trunkline.domain.carrier import (
    PRIORITY_MAX,
    CarrierAccount,
    CarrierState,
    Policy,
    Route,
    policy_of,
)
from trunkline.domain.routing import ROUTES_MAX, Ask, RoutingTable
from trunkline.runtime import Bell
from trunkline.store.records import CARRIERS, ROUTES, all_records
from trunkline.store.store import Store

# An operator has a handful; each is some connections and their memory.
CARRIERS_MAX = 200
SIMULATED = "simulated"


class Switchboard:
    """A snapshot of carriers and routes; whoever writes one of them awaits `refresh`."""

    def __init__(self, store: Store, connectors: Mapping[str, Connector], *, bell: Bell) -> None:
        self.connectors = connectors
        self.table = RoutingTable((), {})
        self.accounts: Mapping[str, CarrierAccount] = {}
        self.live: dict[str, Carrier] = {}
        self.broken: set[str] = set()  # Carriers that cannot be opened with their settings.
        self.stranded = 0  # How often something was put where nobody empties it.
        self._store = store
        self._bell = bell
        self._policies: dict[str, Policy] = {}
        self._lane_bells: dict[str, Bell] = {}
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
        states = {account.name: account.state for account in carriers}
        self.table = RoutingTable(tuple(routes), states)
        self._bell.ring()
        self._elsewhere.ring()

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
        """Return the carriers that have been down for longer than messages are to wait.

        One that cannot be opened is down until its account is changed.
        """
        return self.broken | {
            name
            for name, carrier in self.live.items()
            if carrier.down_since is not None
            and now - carrier.down_since >= timedelta(seconds=self.policy(name).failover_seconds)
        }

    def choose(self, ask: Ask, now: datetime) -> Route | None:
        """Return the route of a message; one that is down is better than none."""
        route = self.table.choose(ask)
        down = self.down(now)
        if route is None or route.carrier not in down:
            return route
        return self.choose_other(ask, route.carrier, avoid=down) or route

    def choose_other(self, ask: Ask, carrier: str, *, avoid: Collection[str]) -> Route | None:
        """Return the route of a message that a carrier cannot have now, or None.

        What was for a real carrier never ends in the simulated network: its phones would say that
        it was delivered.
        """
        routes = (route for route in self.table.candidates(ask) if route.carrier not in avoid)
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
        """Tell whether somebody empties a lane."""
        return lane in self._lane_bells

    def own(self, lane: str, bell: Bell | None) -> None:
        """Let *bell* be rung when something is put into a lane; None: nobody empties it now."""
        if bell is None:
            self._lane_bells.pop(lane, None)
            self._elsewhere.ring()
        else:
            self._lane_bells[lane] = bell

    def ring(self, lane: str) -> None:
        """Wake whoever empties a lane, or finds other ways for what nobody empties."""
        bell = self._lane_bells.get(lane)
        if bell is None:
            self.stranded += 1
            bell = self._elsewhere
        bell.ring()

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
