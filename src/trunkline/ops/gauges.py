"""What is looked up when metrics are asked for: queues, connections, what waits, the disk."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from trunkline.carriers.port import BindPhase, BindState, Carrier
from trunkline.flows.platform import Platform
from trunkline.ops.asking import Asking
from trunkline.ops.health import Health
from trunkline.ops.metrics import Reading
from trunkline.store.depths import Depths, measure_depths

# Scrapers come every 5 to 60 seconds; several of them share what is counted.
FRESH_SECONDS = 5.0
# A scraper gives up after 10 seconds; without the database the rest is still worth having.
WAIT_SECONDS = 3.0


class Gauges:
    """Reads every gauge; *sources* give those that only the composition root knows."""

    def __init__(
        self,
        platform: Platform,
        health: Health,
        *,
        sources: Mapping[str, Callable[[], float]],
        facts: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._platform = platform
        self._health = health
        self._sources = sources
        self._facts = facts
        self.depths = Asking(self._measure, fresh_seconds=FRESH_SECONDS, wait_seconds=WAIT_SECONDS)

    async def read(self) -> list[Reading]:
        """Return the gauges as they are now; those of a database that is silent are missing."""
        report = await self._health.report()
        depths = (await self.depths.reply()).value
        readings = [
            Reading("ready", float(report.is_ready)),
            Reading("disk_free_bytes", self._health.disk_free),
            Reading("accepting_waiting", self._platform.accepting.waiting),
            Reading("store_waiting", self._platform.store.waiting),
            *(Reading(name, read()) for name, read in self._sources.items()),
            *(Reading(name, 1, tuple(labels.items())) for name, labels in self._facts.items()),
            *self._carriers(),
        ]
        if depths is not None:
            readings += _depths(depths, self._platform.clock.now())
        return readings

    async def close(self) -> None:
        """Look no more."""
        await self.depths.close()

    async def _measure(self) -> Depths:
        now = self._platform.clock.now()
        return await self._platform.store.read(lambda db: measure_depths(db, now))

    def _carriers(self) -> Iterator[Reading]:
        switchboard = self._platform.switchboard
        for name, carrier in list(switchboard.live.items()):
            yield from _carrier(name, carrier)
        for name in switchboard.broken - switchboard.live.keys():
            yield Reading("carrier_up", 0, (("carrier", name),))


def _carrier(name: str, carrier: Carrier) -> Iterator[Reading]:
    who = ("carrier", name)
    yield Reading("carrier_up", float(carrier.down_since is None), (who,))
    binds = carrier.binds()
    for phase in BindPhase:
        count = sum(bind.phase is phase for bind in binds)
        yield Reading("carrier_binds", count, (who, ("phase", phase.value)))
    for lane in sorted({bind.lane for bind in binds}):
        labels = (who, ("lane", str(lane)))
        here = [bind for bind in binds if bind.lane == lane]
        yield Reading("lane_bound", float(any(_is_bound(bind) for bind in here)), labels)
        yield Reading("lane_window_used", _sum_used(here), labels)
        yield Reading("lane_window_max", sum(bind.window_max for bind in here), labels)
        yield Reading("lane_room", carrier.room(lane), labels)


def _is_bound(bind: BindState) -> bool:
    return bind.phase is BindPhase.BOUND


def _sum_used(binds: Sequence[BindState]) -> int:
    return sum(bind.window_used for bind in binds)


def _depths(depths: Depths, now: datetime) -> Iterator[Reading]:
    for carrier, queue in depths.queues.items():
        who = (("carrier", carrier),)
        yield Reading("queue_messages", queue.messages, who)
        yield Reading("queue_oldest_seconds", _age(queue.oldest_at, now), who)
    yield Reading("webhooks_waiting", depths.webhooks_waiting)
    yield Reading("webhooks_parked", depths.webhooks_parked)
    yield Reading("webhooks_late_seconds", _age(depths.webhook_due_at or now, now))


def _age(at: datetime, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds())
