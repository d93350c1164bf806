"""Makes the webhooks that are due, many at once, a few to any one host."""

import asyncio
from collections import deque
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from trunkline.flows.callbacks import Delivery, deliver_status, finish
from trunkline.flows.conversation import LoopGuard, deliver_inbound
from trunkline.flows.platform import Platform
from trunkline.runtime import BATCH_MAX, Batcher
from trunkline.store.callbacks import CallbackRow, load_due_callbacks, next_due_callback
from trunkline.webhooks.requester import Requester

READY_MAX = 2 * BATCH_MAX  # Rows held in memory; the others wait in the database.
LOOK_AGAIN = timedelta(seconds=1)
PER_HOST_MAX = 24  # Below the client's own limit, so that a slow host never queues inside it.


class WebhookWorker:
    """Sends due webhooks; of one message only the first, so that they arrive in order."""

    name = "webhooks"

    def __init__(self, platform: Platform, sender: Requester, *, concurrency: int) -> None:
        self.bell = platform.bells.webhooks
        self._platform = platform
        self._sender = sender
        self._concurrency = concurrency
        self._ready: dict[str, deque[CallbackRow]] = {}
        self._known: set[str] = set()
        self._ended_meanwhile: set[str] = set()
        self._busy: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._bugs: list[BaseException] = []
        self._guard = LoopGuard()
        self._finish: Batcher[Delivery] = Batcher()

    async def step(self) -> int:
        """Start what is due and has room; return how many were started."""
        if self._bugs:
            raise self._bugs.pop()
        started = self._start()
        if len(self._known) - len(self._tasks) < BATCH_MAX:
            # What ends while we read is still in what we read.
            self._ended_meanwhile.clear()
            now = self._platform.clock.now()
            limit = READY_MAX + len(self._known)
            rows = await self._platform.store.read(
                lambda db: load_due_callbacks(db, now, limit=limit)
            )
            for row in rows:
                if row.sid not in self._known and row.sid not in self._ended_meanwhile:
                    self._known.add(row.sid)
                    self._ready.setdefault(urlsplit(row.url).netloc, deque()).append(row)
            started += self._start()
        return started

    async def next_due(self) -> datetime | None:
        """Return when the next webhook that is not due yet will be."""
        now = self._platform.clock.now()
        if self._tasks:
            # Whatever ends rings the bell; meanwhile a look a second is enough.
            return now + LOOK_AGAIN
        return await self._platform.store.read(lambda db: next_due_callback(db, now))

    async def settle(self) -> None:
        """Return once everything that was started is finished."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Abandon what is under way; it is still due and will be made again."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self) -> int:
        started = 0
        for host in list(self._ready):
            rows = self._ready[host]
            while rows and self._has_room(host):
                row = rows.popleft()
                self._busy[host] = self._busy.get(host, 0) + 1
                # The set keeps the task alive; the loop itself holds only a weak reference.
                task = asyncio.create_task(self._deliver(host, row))
                self._tasks.add(task)
                task.add_done_callback(self._ended)
                started += 1
            if not rows:
                del self._ready[host]
        return started

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._bugs.append(error)

    def _has_room(self, host: str) -> bool:
        return len(self._tasks) < self._concurrency and self._busy.get(host, 0) < PER_HOST_MAX

    async def _deliver(self, host: str, row: CallbackRow) -> None:
        try:
            if row.kind == "inbound":
                delivery = await deliver_inbound(
                    self._platform, self._sender, row, guard=self._guard
                )
            else:
                delivery = await deliver_status(self._platform, self._sender, row)
            await self._finish.add(delivery, partial(finish, self._platform))
        finally:
            self._known.discard(row.sid)
            self._ended_meanwhile.add(row.sid)
            self._busy[host] -= 1
            if not self._busy[host]:
                del self._busy[host]
            self.bell.ring()
