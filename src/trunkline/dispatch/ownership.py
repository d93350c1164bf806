"""This node's part of the work: it says that it lives, and takes, renews and gives back leases.

Rule 1: a lease counts from before its renewal was asked for, and ends a little before others may
        take it: whatever stands still in between, ours is over first.
Rule 2: what is to be given back is drained first; what nobody gives back in time runs out.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from trunkline.dispatch.shares import Plan, Situation, plan
from trunkline.dispatch.tidings import Exchange
from trunkline.dispatch.worker import Worker
from trunkline.domain.ids import EPOCH, instant, micros
from trunkline.flows.platform import Platform
from trunkline.flows.tenure import DRAINED, Tenure
from trunkline.runtime import Bell, SystemClock, uptime
from trunkline.store.leases import (
    LeaseRow,
    all_leases,
    database_time,
    release_leases,
    renew_leases,
    take_leases,
)
from trunkline.store.nodes import (
    NodeRow,
    NodeState,
    all_nodes,
    forget_dead_nodes,
    put_node,
    remove_node,
)

BEATS = 4  # So often a lease is renewed within its time: two beats may fail.
# Of a lease's time, for clocks that run at different speeds and for what is under way to the peer.
MARGIN = 0.1
# A surplus is given back when it lasts for so much of a lease's time: a node that starts and dies
# at once, again and again, shall not move lanes to and fro.
PATIENCE = 0.5
TICK_SECONDS = 0.05
# Between others' expiry and our look at it, so that rounding cannot make the look come too early.
GRACE_SECONDS = 0.01

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Sight:
    """What a beat found, and what it took."""

    situation: Situation
    plan: Plan
    taken: list[LeaseRow]

    @property
    def mine(self) -> list[LeaseRow]:
        """What is ours now."""
        node_sid = self.situation.node_sid
        return [*(r for r in self.situation.leases if r.node_sid == node_sid), *self.taken]


class Leased:
    """Lets a worker work only while this node has a lease."""

    def __init__(self, worker: Worker, tenure: Tenure, *, lease: str) -> None:
        self.name = worker.name
        self.bell: Bell = worker.bell
        tenure.bell.also(worker.bell)
        self._worker = worker
        self._tenure = tenure
        self._lease = lease

    async def step(self) -> int:
        """Do what is due now, if it is ours to do."""
        return await self._worker.step() if self._is_ours() else 0

    async def next_due(self) -> datetime | None:
        """Return when something will be due that is ours to do."""
        return await self._worker.next_due() if self._is_ours() else None

    def _is_ours(self) -> bool:
        return self._tenure.lease(self._lease) is not None


class Ownership:
    """Keeps this node's leases; *node* is what it says of itself, *time* never stands still.

    *predecessor* is a node that is surely dead, so that nobody need wait for its leases to run out.
    """

    name = "leases"

    def __init__(
        self,
        platform: Platform,
        node: NodeRow,
        *,
        predecessor: str = "",
        time: Callable[[], float] = uptime,
    ) -> None:
        self._predecessor = predecessor
        self._platform = platform
        self._tenure = platform.tenure
        self._tenure.node_sid = node.sid
        self._time = time
        self._node = node
        self._seconds = float(node.lease_seconds)
        self._beat_at = float("-inf")
        self._surplus_since: float | None = None
        self._exchange = Exchange(platform, node.sid, time=time)
        self._stepping = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        # For who drives the workers: the time that leases go by is no clock's.
        self.bell = Bell()
        self._tenure.wishes.also(self.bell)

    def start(self) -> None:
        """Keep leases from now on, whoever steps."""
        self._task = asyncio.create_task(self._run())

    async def rest(self) -> None:
        """Leave it to others to step again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def leave(self) -> None:
        """Take nothing more; others count us out."""
        self._node = replace(self._node, state=NodeState.LEAVING)
        self._beat_at = float("-inf")

    async def stop(self) -> None:
        """Give everything back, once nothing is done with it any more."""
        await self.rest()
        self._tenure.lost(self._tenure.held)
        writing = self._platform.store.write(lambda db: remove_node(db, self._node.sid))
        (trouble,) = await asyncio.gather(writing, return_exceptions=True)
        if isinstance(trouble, BaseException):
            log.warning("leases were not given back and will run out", reason=str(trouble))

    async def step(self) -> int:
        """Renew and take leases and hear what others did, if it is time; return what changed."""
        async with self._stepping:
            return await self._step()

    async def _step(self) -> int:
        changed = len(self.lapse())
        if self._tenure.wishes.take() or self._exchange.take_leases_news():
            self._beat_at = float("-inf")
        if self._time() >= self._beat_at:
            changed += await self._beat()
        return changed + await self._exchange.step()

    async def next_due(self) -> datetime | None:
        """Return None: beats go by a time of their own."""
        return None

    def lapse(self) -> frozenset[str]:
        """Let go of the leases whose time is over."""
        over = self._tenure.lapse()
        if over:
            log.warning("leases ran out before they could be renewed", count=len(over))
        return over

    async def _run(self) -> None:
        """Beat until cancelled; what cannot be renewed lapses meanwhile, whoever waits."""
        lapsing = asyncio.create_task(self._watch())
        clock = SystemClock()
        try:
            while True:
                (trouble,) = await asyncio.gather(self.step(), return_exceptions=True)
                if isinstance(trouble, BaseException):
                    log.error("leases cannot be kept", exc_info=trouble)
                    self._beat_at = self._time() + self._seconds / BEATS
                await clock.sleep(TICK_SECONDS)
        finally:
            lapsing.cancel()

    async def _watch(self) -> None:
        clock = SystemClock()
        while True:
            await clock.sleep(TICK_SECONDS)
            self.lapse()

    async def _beat(self) -> int:
        """Say that we live, renew what we have and take what we may; return what changed."""
        began = self._time()
        self._beat_at = began + self._seconds / BEATS
        node = replace(self._node, carriers=self._reports())
        given_back = frozenset(self._tenure.given_back)
        now, wanted = self._platform.clock.now(), self._tenure.wanted
        predecessor = self._predecessor

        def work(db: Connection) -> _Sight:
            if predecessor:
                remove_node(db, predecessor)
            return _meet(db, node, now=now, wanted=wanted, given_back=given_back)

        sight = await self._platform.store.write(work)
        self._predecessor = ""
        return self._adopt(sight, began=began, given_back=given_back)

    def _adopt(self, sight: _Sight, *, began: float, given_back: frozenset[str]) -> int:
        """Take over what a beat found."""
        tenure, before = self._tenure, self._tenure.held
        until = began + self._seconds * (1 - MARGIN)
        for row in sight.mine:
            tenure.gained(row.name, node_sid=row.node_sid, fence=row.fence, until=until)
        held = {row.name for row in sight.mine}
        tenure.lost(tenure.held - held)
        situation = sight.situation
        others = {r.name for r in situation.leases if not r.is_free(situation.at)}
        tenure.taken = frozenset(others | held)
        self._leave(sight.plan)
        self._hear_others(situation)
        if given_back:
            tenure.stir("leases")
        self._expect(situation)
        return len(before ^ tenure.held)

    def _leave(self, found: Plan) -> None:
        """Let go of what is useless, and of a surplus that lasts."""
        now = self._time()
        since = now if self._surplus_since is None else self._surplus_since
        self._surplus_since = since if found.surplus else None
        is_lasting = now - since >= self._seconds * PATIENCE
        self._tenure.leave({*found.useless, *(found.surplus if is_lasting else ())})
        for name in self._tenure.leaving:
            if not name.startswith(DRAINED):
                self._tenure.give_back(name)

    def _expect(self, situation: Situation) -> None:
        """Beat when another's lease runs out, if that is sooner than usual."""
        ends = [row.expires_at for row in situation.leases if row.expires_at > situation.at]
        if ends:
            seconds = (min(ends) - situation.at).total_seconds() + GRACE_SECONDS
            self._beat_at = min(self._beat_at, self._time() + seconds)

    def _reports(self) -> dict[str, int | None]:
        """Return how the carriers do that are at work here."""
        switchboard = self._platform.switchboard
        found = {
            name: None if carrier.down_since is None else micros(carrier.down_since)
            for name, carrier in switchboard.live.items()
            if carrier.lanes
        }
        return found | dict.fromkeys(switchboard.broken, micros(EPOCH))

    def _hear_others(self, situation: Situation) -> None:
        switchboard = self._platform.switchboard
        others = [
            n for n in situation.nodes if n.sid != self._node.sid and n.is_alive(situation.at)
        ]
        self._exchange.has_others = bool(others)
        found: dict[str, list[datetime | None]] = {}
        for node in others:
            for name, since in node.carriers.items():
                found.setdefault(name, []).append(None if since is None else instant(since))
        if found != switchboard.reports:
            switchboard.reports = found
            switchboard.elsewhere.ring()
        self._platform.queues.nodes = situation.workers


def _meet(
    db: Connection,
    node: NodeRow,
    *,
    now: datetime,
    wanted: frozenset[str],
    given_back: frozenset[str],
) -> _Sight:
    at = database_time(db, now)
    until = at + timedelta(seconds=node.lease_seconds)
    put_node(db, replace(node, seen_at=at))
    if given_back:
        release_leases(db, node.sid, names=given_back)
    renew_leases(db, node.sid, until=until)
    forget_dead_nodes(db, at)
    situation = Situation(
        node_sid=node.sid, at=at, nodes=all_nodes(db), leases=all_leases(db), wanted=wanted
    )
    found = plan(situation)
    wishes = found.take if node.state is NodeState.UP else []
    taken = take_leases(db, wishes, node_sid=node.sid, at=at, until=until)
    return _Sight(situation, found, taken)
