"""Watches over a running program: its health, its metrics, its pulse, and the pages of them."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.types import ASGIApp

from trunkline.flows.platform import Platform
from trunkline.ops.gathering import Colleagues
from trunkline.ops.gauges import Gauges
from trunkline.ops.health import Health
from trunkline.ops.metrics import Metrics
from trunkline.ops.pages import Counted, Readers, health_pages, metrics_page
from trunkline.ops.pulse import beat


class Watch:
    """What the composition root starts beside everything else.

    *sources* are gauges that only it can read, *facts* are gauges that are always 1; *colleagues*
    are the workers that are one server with this one.
    """

    def __init__(
        self,
        platform: Platform,
        metrics: Metrics,
        *,
        data_dir: Path,
        disk_free_min: int,
        readers: Readers,
        sources: Mapping[str, Callable[[], float]],
        facts: Mapping[str, Mapping[str, str]],
        colleagues: Colleagues | None = None,
    ) -> None:
        self.health = Health(platform, data_dir, disk_free_min=disk_free_min, colleagues=colleagues)
        self.readers = readers
        self._platform = platform
        self.gauges = Gauges(platform, self.health, sources=sources, facts=facts)
        self.counted = Counted(metrics, self.gauges, colleagues=colleagues)
        self._pulse: asyncio.Task[None] | None = None

    def pages(self) -> dict[str, ASGIApp]:
        """Return what answers, by the path it stands at."""
        return {
            "/health": health_pages(self.health),
            "/metrics": metrics_page(self.counted, readers=lambda: self.readers),
        }

    def start(self) -> None:
        """Begin to take the pulse."""
        self._pulse = asyncio.create_task(beat(self._platform, self.health))

    async def stop(self) -> None:
        """Look no more."""
        if self._pulse is not None:
            self._pulse.cancel()
            await asyncio.gather(self._pulse, return_exceptions=True)
        await self.gauges.close()
        await self.health.close()
