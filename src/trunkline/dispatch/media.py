"""The media that messages wait for."""

import asyncio
from collections.abc import Collection, Mapping, Set
from datetime import datetime

from sqlalchemy import Connection

from trunkline.dispatch.hosts import Pace
from trunkline.dispatch.pool import Answered, Found
from trunkline.flows.media import fetch_media, put_off
from trunkline.flows.platform import Platform
from trunkline.store.hosts import Turn
from trunkline.store.media import MediaFetch, load_due_fetches, next_due_fetch
from trunkline.webhooks.requester import Requester

FETCHES_MAX = 16  # Messages whose media are fetched at once: at most 80 MB in memory.


class Media:
    """Where a pool finds messages that wait for media, and how it fetches them."""

    name = "media"

    def __init__(self, platform: Platform, fetcher: Requester) -> None:
        self._platform = platform
        self._fetcher = fetcher

    def place(self, row: MediaFetch) -> tuple[str, Turn]:
        """Return the message of a fetch, and the host of its first URL with its account."""
        return row.message_sid, Turn(row.host, row.account_sid)

    async def load(
        self,
        now: datetime,
        *,
        supplied: Collection[Turn],
        known: Mapping[Turn, Set[str]],
        limit: int,
    ) -> Found[MediaFetch]:
        """Return due fetches, but for known ones and those of supplied turns."""
        sids = frozenset[str]().union(*known.values())

        def query(db: Connection) -> Found[MediaFetch]:
            # What is known already is found again, so as many more are asked for.
            most = limit + len(sids)
            due = load_due_fetches(db, now, limit=most, passing_over=supplied)
            new = [row for row in due if row.message_sid not in sids][:limit]
            return Found(new, next_due_fetch(db, now), is_all=len(due) < most)

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
