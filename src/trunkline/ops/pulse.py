"""The pulse of the program: how late its event loop is, and whether its disk fills up."""

import asyncio

from trunkline.flows.platform import Platform
from trunkline.ops.health import Health

BEAT_SECONDS = 0.25
# Between two looks at the disk; a platform that writes 100 MB/s stays well above the reserve.
BEATS_PER_LOOK = 2


async def beat(platform: Platform, health: Health) -> None:
    """Measure until cancelled; a disk that is low lets nothing more be accepted."""
    loop = asyncio.get_running_loop()
    count = 0
    while True:
        due = loop.time() + BEAT_SECONDS
        await asyncio.sleep(BEAT_SECONDS)
        platform.meter.observe("loop_delay_seconds", max(0.0, loop.time() - due))
        count += 1
        if count % BEATS_PER_LOOK == 0:
            platform.pressure.is_disk_low = health.is_disk_low
