"""The media that messages wait for."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from trunkline.dispatch.hosts import Pace
from trunkline.dispatch.pool import Answered
from trunkline.flows.media import fetch_media, put_off
from trunkline.flows.platform import Platform
from trunkline.store.media import MediaFetch, load_due_fetches, next_due_fetch
from trunkline.webhooks.requester import Requester

FETCHES_MAX = 16  # Messages whose media are fetched at once: at most 80 MB a URL in memory.


class Media:
    """Where a pool finds messages that wait for media, and how it fetches them."""

    name = "media"

    def __init__(self, platform: Platform, fetcher: Requester) -> None:
        self._platform = platform
        self._fetcher = fetcher

    def place(self, row: MediaFetch) -> tuple[str, str]:
        """Return the message of a fetch and the host of its first URL."""
        return row.message_sid, row.host

    async def load(
        self, now: datetime, supplied: Iterable[str], *, limit: int
    ) -> tuple[Sequence[MediaFetch], datetime | None]:
        """Return due fetches, except from *supplied* hosts; and when the next one will be."""

        def query(db: Connection) -> tuple[list[MediaFetch], datetime | None]:
            due = load_due_fetches(db, now, limit=limit, passing_over=supplied)
            return due, next_due_fetch(db, now)

        return await self._platform.store.read(query)

    async def perform(self, row: MediaFetch, answered: Answered) -> None:
        """Fetch what a message waits for; one that meets a bug of ours is put off."""
        fetching = fetch_media(self._platform, self._fetcher, row)
        (found,) = await asyncio.gather(fetching, return_exceptions=True)
        if isinstance(found, BaseException):
            await put_off(self._platform, row)
            raise found
        if any(item.is_silent for item in found):
            answered(Pace.SILENT)
        else:
            answered(Pace.SLOW if any(item.error_code for item in found) else Pace.QUICK)
