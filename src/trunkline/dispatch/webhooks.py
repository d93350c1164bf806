"""The webhooks that are due; of one message only the first, so that they arrive in order."""

import asyncio
from collections.abc import Collection, Mapping, Set
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from trunkline.dispatch.hosts import Pace
from trunkline.dispatch.pool import Answered, Found
from trunkline.flows.callbacks import Delivery, broken, deliver_status, finish
from trunkline.flows.conversation import LoopGuard, deliver_inbound
from trunkline.flows.platform import Platform
from trunkline.runtime import Batcher
from trunkline.store.callbacks import CallbackRow, load_due_callbacks, next_due_callback
from trunkline.store.hosts import Turn
from trunkline.webhooks.requester import Requester

SLOW_MS = 5000  # A third of the time a receiver has; one that takes it gets no more at once.


class Webhooks:
    """Where a pool finds webhooks, and how it makes one."""

    name = "webhooks"

    def __init__(self, platform: Platform, sender: Requester) -> None:
        self._platform = platform
        self._sender = sender
        self._guard = LoopGuard()
        self._finish: Batcher[Delivery] = Batcher()
        self._after = Turn("", "")

    def place(self, row: CallbackRow) -> tuple[str, Turn]:
        """Return the key of a webhook, and the host that it goes to with its account."""
        return row.sid, Turn(row.host, row.account_sid)

    async def load(
        self,
        now: datetime,
        *,
        supplied: Collection[Turn],
        known: Mapping[Turn, Set[str]],
        limit: int,
    ) -> Found[CallbackRow]:
        """Return due webhooks but for known ones and supplied turns', a little of each turn."""

        def query(db: Connection) -> Found[CallbackRow]:
            due = load_due_callbacks(
                db,
                now,
                limit=limit,
                supplied=supplied,
                known=known,
                after=self._after,
                shards=shards,
            )
            next_at = next_due_callback(db, now, shards=shards)
            return Found(due, next_at, is_all=len(due) < limit)

        shards = self._platform.tenure.webhook_shards()
        found = await self._platform.store.read(query)
        if found.rows:
            # What was not looked at for want of room comes first next time.
            self._after = self.place(found.rows[-1])[1]
        return found

    async def perform(self, row: CallbackRow, answered: Answered) -> None:
        """Make a webhook and commit what came of it; one that meets a bug of ours is put off.

        What another node has taken over is left to it.
        """
        if not self._platform.tenure.has_webhooks_of(row.account_sid):
            answered(Pace.QUICK)
            return
        delivery = None
        try:
            if row.kind == "inbound":
                delivery = await deliver_inbound(
                    self._platform, self._sender, row, guard=self._guard
                )
            else:
                delivery = await deliver_status(self._platform, self._sender, row)
        finally:
            # What is abandoned stays due as it is.
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                if delivery is None:
                    delivery = broken(row)
                answered(_pace(delivery))
                await self._finish.add(delivery, partial(finish, self._platform))


def _pace(delivery: Delivery) -> Pace:
    if delivery.is_broken:
        return Pace.SILENT
    if not delivery.attempts:
        return Pace.QUICK
    last = delivery.attempts[-1]
    if last.http_status is None:
        return Pace.SILENT
    is_slow = last.duration_ms >= SLOW_MS or delivery.error_code is not None
    return Pace.SLOW if is_slow else Pace.QUICK
