"""The sweeper: finds other ways for messages that wait where nobody sends them, or their end.

It also brings together receipts and what they name, where the node died that had to.
"""

from datetime import datetime, timedelta

from trunkline.domain.ids import position_at
from trunkline.flows.platform import Platform
from trunkline.flows.receipts import meet_again
from trunkline.flows.rerouting import redirect
from trunkline.runtime import BATCH_MAX
from trunkline.store.outbox import OutboxRow, first_expiry, lanes_in_use, load_any, load_expired

# What found no other way is looked at again after this, or when something changed.
AGAIN_SECONDS = 60.0
# Or after that many times what the last look took: a million rows take a minute.
AGAIN_TIMES = 20
AGAIN_SECONDS_MAX = 3600.0
# Receipts older than this were looked at when the program started, or ever since.
MEETING_SECONDS = 3600.0


class Sweeper:
    """Lets messages expire, moves them away from carriers that are down, closed or gone, and
    matches what was left unmatched.
    """

    name = "sweeper"

    def __init__(self, platform: Platform) -> None:
        self.bell = platform.switchboard.elsewhere
        self._platform = platform
        self._seen: tuple[object, ...] = ()
        self._stranded = 0
        self._left: list[str] = []  # Lanes that are still to be looked at; the first one now.
        self._after: OutboxRow | None = None
        self._began_at = self._ended_at = platform.clock.now()
        self._met: tuple[str, str] | None = ("", "")  # Up to where receipts were looked at.
        self._met_at = platform.clock.now()
        self._is_waiting = False

    async def step(self) -> int:
        """Look at one page of what waits; return 0 once all was looked at."""
        expired = await self._expire()
        if expired:
            return expired
        if await self._meet():
            return 1
        if not self._left:
            await self._begin()
        return await self._look() if self._left else 0

    async def next_due(self) -> datetime | None:
        """Return when the next message expires, or the next carrier has been down for too long.

        What was left unmatched need not be looked at on the second: a worker steps every few.
        """
        dues = [await self._platform.store.read(first_expiry)]
        if self._is_waiting:
            dues.append(self._ended_at + timedelta(seconds=self._rest_seconds()))
        switchboard, now = self._platform.switchboard, self._platform.clock.now()
        for name, since in switchboard.down_sinces().items():
            dues.append(since + timedelta(seconds=switchboard.policy(name).failover_seconds))
        return min((at for at in dues if at is not None and at > now), default=None)

    async def _expire(self) -> int:
        now = self._platform.clock.now()
        rows = await self._platform.store.read(lambda db: load_expired(db, now, limit=BATCH_MAX))
        return await redirect(self._platform, rows, reason="expired") if rows else 0

    async def _meet(self) -> bool:
        """Look at one page of receipts that matched nothing; tell whether there are more.

        One node alone needs no such look: whatever it commits sees all that was committed.
        """
        if self._platform.tenure.is_alone:
            return False
        now = self._platform.clock.now()
        if self._met is None:
            if timedelta() <= now - self._met_at < timedelta(seconds=AGAIN_SECONDS):
                return False
            since = now - timedelta(seconds=MEETING_SECONDS)
            self._met = ("SY" + position_at(since), "")
        self._met, self._met_at = await meet_again(self._platform, self._met), now
        return self._met is not None

    async def _begin(self) -> None:
        """Begin to look anew if anything changed since everything was looked at, or it is time."""
        now = self._platform.clock.now()
        lanes = await self._platform.store.read(lanes_in_use)
        switchboard = self._platform.switchboard
        forsaken = [lane for lane in lanes if self._is_forsaken(lane, now)]
        situation = (
            switchboard.table,
            frozenset(switchboard.down(now)),
            tuple((lane, switchboard.is_owned(lane)) for lane in forsaken),
        )
        since = now - self._ended_at
        # A clock that was set back says nothing about how long it is.
        is_rested = not timedelta() <= since < timedelta(seconds=self._rest_seconds())
        is_stranded = switchboard.stranded != self._stranded and since >= self._took() * AGAIN_TIMES
        if situation == self._seen and not is_rested and not is_stranded:
            return
        self._seen, self._stranded = situation, switchboard.stranded
        self._left, self._after = forsaken, None
        self._began_at = self._ended_at = now
        self._is_waiting = bool(forsaken)

    async def _look(self) -> int:
        """Look at the next page of the forsaken lanes."""
        lane, now = self._left[0], self._platform.clock.now()
        rows = await self._platform.store.read(
            lambda db: load_any(db, lane, after=self._after, limit=BATCH_MAX)
        )
        if rows and self._is_forsaken(lane, now):
            self._after = rows[-1]
            await redirect(self._platform, rows, reason="nobody sends what waits there")
        else:
            self._left, self._after = self._left[1:], None
        self._ended_at = self._platform.clock.now()
        return max(len(rows), 1)

    def _is_forsaken(self, lane: str, now: datetime) -> bool:
        switchboard = self._platform.switchboard
        return not switchboard.is_owned(lane) or lane.rpartition("/")[0] in switchboard.down(now)

    def _took(self) -> timedelta:
        return max(self._ended_at - self._began_at, timedelta())

    def _rest_seconds(self) -> float:
        seconds = self._took().total_seconds() * AGAIN_TIMES
        return min(max(AGAIN_SECONDS, seconds), AGAIN_SECONDS_MAX)
