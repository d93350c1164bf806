"""The sweeper: finds other ways for messages that wait where nobody sends them, or their end."""

from datetime import datetime, timedelta

from trunkline.flows.handover import redirect
from trunkline.flows.platform import Platform
from trunkline.runtime import BATCH_MAX
from trunkline.store.outbox import first_expiry, lanes_in_use, load_any, load_expired

# What found no other way is looked at again after this, or when something changed.
AGAIN_SECONDS = 60


class Sweeper:
    """Lets messages expire, and moves them away from carriers that are down, closed or gone."""

    name = "sweeper"

    def __init__(self, platform: Platform) -> None:
        self.bell = platform.switchboard.elsewhere
        self._platform = platform
        self._seen: tuple[object, ...] = ()
        self._forsaken: list[str] = []
        self._again_at: datetime | None = None
        self._at: tuple[str, str] | None = None

    async def step(self) -> int:
        """Look at one page of what waits; return 0 once all was looked at."""
        expired = await self._expire()
        if expired:
            return expired
        if self._at is None and not await self._must_look():
            return 0
        return await self._look()

    async def next_due(self) -> datetime | None:
        """Return when the next message expires, or the next carrier has been down for too long."""
        dues = [await self._platform.store.read(first_expiry), self._again_at]
        switchboard, now = self._platform.switchboard, self._platform.clock.now()
        for name, carrier in switchboard.live.items():
            if carrier.down_since is not None:
                wait = timedelta(seconds=switchboard.policy(name).failover_seconds)
                dues.append(carrier.down_since + wait)
        return min((at for at in dues if at is not None and at > now), default=None)

    async def _expire(self) -> int:
        now = self._platform.clock.now()
        rows = await self._platform.store.read(lambda db: load_expired(db, now, limit=BATCH_MAX))
        return await redirect(self._platform, rows, reason="expired") if rows else 0

    async def _must_look(self) -> bool:
        """Tell whether anything changed since everything was looked at; then begin anew."""
        now = self._platform.clock.now()
        lanes = await self._platform.store.read(lanes_in_use)
        switchboard = self._platform.switchboard
        down = switchboard.down(now)
        forsaken = [
            lane
            for lane in lanes
            if not switchboard.is_owned(lane) or lane.rpartition("/")[0] in down
        ]
        situation = (switchboard.table, tuple(forsaken), switchboard.stranded)
        is_time = self._again_at is not None and now >= self._again_at
        if situation == self._seen and not is_time:
            return False
        self._seen, self._forsaken = situation, forsaken
        self._again_at = now + timedelta(seconds=AGAIN_SECONDS) if forsaken else None
        self._at = (forsaken[0], "") if forsaken else None
        return bool(forsaken)

    async def _look(self) -> int:
        """Look at the next page of the forsaken lanes."""
        assert self._at is not None
        lane, after = self._at
        rows = await self._platform.store.read(
            lambda db: load_any(db, lane, after=after, limit=BATCH_MAX)
        )
        if rows:
            self._at = (lane, rows[-1].message_sid)
            await redirect(self._platform, rows, reason="nobody sends what waits there")
            return len(rows)
        later = [other for other in self._forsaken if other > lane]
        self._at = (later[0], "") if later else None
        return 1
