"""Works off what is due, many rows at once, taking turns between the hosts they go to."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from trunkline.dispatch.hosts import Hosts, Pace
from trunkline.runtime import Bell, Clock

NEW_ROWS_MAX = 200  # What one host that answers quickly may have waiting; more is read in vain.
LOOK_SECONDS = 5  # However clocks jump and bells fail, the database is looked at after this.

Row = TypeVar("Row")


class Source(Protocol[Row]):
    """Where rows come from, and what is done with one."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    def place(self, row: Row) -> tuple[str, str]:
        """Return the key of a row and the host that it goes to."""

    async def load(
        self, now: datetime, supplied: Iterable[str], *, limit: int
    ) -> tuple[Sequence[Row], datetime | None]:
        """Return rows that are due, except for *supplied* hosts; and when the next one will be."""

    async def perform(self, row: Row) -> Pace:
        """Do what a row asks for; afterwards it must not be due as it was, even if this raises."""


class Pool(Generic[Row]):
    """Performs the rows of a source; what one of them raises is raised by the next step."""

    def __init__(self, source: Source[Row], clock: Clock, *, bell: Bell, concurrency: int) -> None:
        self.name = source.name
        self.bell, self._news = Bell(), Bell()
        bell.also(self.bell)
        bell.also(self._news)
        self._source = source
        self._clock = clock
        self._concurrency = concurrency
        self._hosts: Hosts[Row] = Hosts()
        self._known: set[str] = set()
        self._ended_meanwhile: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bugs: dict[Exception, None] = {}
        self._looked_at: datetime | None = None
        self._next_at: datetime | None = None
        self._cut: set[str] = set()

    async def step(self) -> int:
        """Start what is due and has room; return how much was started or found."""
        if self._bugs:
            bugs, self._bugs = list(self._bugs), {}
            raise ExceptionGroup(f"{len(bugs)} kinds of trouble", bugs)
        moved = self._start()
        if self._should_look():
            moved += await self._look() + self._start()
        return moved

    async def next_due(self) -> datetime | None:
        """Return when the next row that is not due yet will be."""
        return self._next_at

    async def settle(self) -> None:
        """Return once everything that was started is finished."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Abandon what is under way; it is still due and will be done again."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _should_look(self) -> bool:
        now = self._clock.now()
        has_news = self._news.take()
        if has_news or self._looked_at is None or self._cut - self._hosts.supplied():
            return True
        is_due = self._next_at is not None and self._next_at <= now
        is_fresh = timedelta(0) <= now - self._looked_at < timedelta(seconds=LOOK_SECONDS)
        return is_due or not is_fresh

    async def _look(self) -> int:
        """Take in rows that are due; return how many were new."""
        now = self._looked_at = self._clock.now()
        supplied = self._hosts.supplied()
        self._cut = set(supplied)
        # What is known already is found again, so as many more are asked for.
        limit = NEW_ROWS_MAX + len(self._known)
        # What ends while we read is still in what we read.
        self._ended_meanwhile.clear()
        rows, self._next_at = await self._source.load(now, supplied, limit=limit)
        added = 0
        for row in rows:
            key, host = self._source.place(row)
            if key in self._known or key in self._ended_meanwhile:
                continue
            if self._hosts.add(host, row):
                self._known.add(key)
                added += 1
            else:
                self._cut.add(host)
        if len(rows) == limit:
            self._news.ring()
        return added

    def _start(self) -> int:
        started = 0
        while len(self._tasks) < self._concurrency and (job := self._hosts.take()):
            # The set keeps the task alive; the loop itself holds only a weak reference.
            task = asyncio.create_task(self._perform(*job))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
            started += 1
        return started

    async def _perform(self, host: str, row: Row) -> None:
        pace = Pace.SILENT
        try:
            pace = await self._source.perform(row)
        finally:
            self._hosts.done(host, pace)
            key, _ = self._source.place(row)
            self._known.discard(key)
            self._ended_meanwhile.add(key)
            # It may be due again later, or what had to wait for it may be due now.
            self._news.ring()
            self.bell.ring()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            # Those that failed in one commit raise one and the same.
            self._bugs[error] = None
