"""Fetches the media that messages wait for."""

import asyncio
from datetime import datetime

from trunkline.flows.media import fetch_media
from trunkline.flows.platform import Platform
from trunkline.store.media import MediaFetch, load_due_fetches, next_due_fetch
from trunkline.webhooks.requester import Requester

FETCHES_MAX = 16  # Messages whose media are fetched at once: at most 80 MB in memory.


class MediaWorker:
    """Fetches due media, a few messages at once."""

    name = "media"

    def __init__(self, platform: Platform, fetcher: Requester) -> None:
        self.bell = platform.bells.media
        self._platform = platform
        self._fetcher = fetcher

    async def step(self) -> int:
        """Fetch for the messages that are due now, and wait for them."""
        now = self._platform.clock.now()
        rows = await self._platform.store.read(
            lambda db: load_due_fetches(db, now, limit=FETCHES_MAX)
        )
        await asyncio.gather(*(self._fetch(row) for row in rows))
        return len(rows)

    async def next_due(self) -> datetime | None:
        """Return when the next fetch that is not due yet will be."""
        now = self._platform.clock.now()
        return await self._platform.store.read(lambda db: next_due_fetch(db, now))

    async def _fetch(self, row: MediaFetch) -> None:
        await fetch_media(self._platform, self._fetcher, row)
