"""Works off what is due, many rows at once, taking turns between the hosts they go to."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from trunkline.dispatch.hosts import Hosts, Pace
from trunkline.runtime import Bell, Clock, Inbox

NEW_ROWS_MAX = 200  # What one host that answers quickly may have waiting; more is read in vain.
LOOK_SECONDS = 5  # However clocks jump and bells fail, the database is looked at after this.

# What is answered and waits for its commit, beside what is under way; a full disk keeps it here.
COMMITTING_MAX = 1000

Row = TypeVar("Row")
Answered = Callable[[Pace], None]


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

    async def perform(self, row: Row, answered: Answered) -> None:
        """Do what a row asks for; afterwards it must not be due as it was, even if this raises.

        *answered* is called when the host has nothing more to do with it, and what came of it is
        still to be committed.
        """


class Pool(Generic[Row]):
    """Performs the rows of a source; what one of them raises is raised by the next step."""

    def __init__(
        self,
        source: Source[Row],
        clock: Clock,
        *,
        bell: Bell,
        concurrency: int,
        inbox: Inbox[Row] | None = None,
    ) -> None:
        self.name = source.name
        self.bell, self._news = Bell(), Bell()
        bell.also(self.bell)
        if inbox is None:  # An inbox says itself what is on disk only.
            bell.also(self._news)
        self._inbox = inbox
        self._source = source
        self._clock = clock
        self.concurrency = concurrency
        self._hosts: Hosts[Row] = Hosts()
        self._known: set[str] = set()
        self._ended_meanwhile: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._is_stopping = False
        self._bugs: dict[Exception, None] = {}
        self._looked_at: datetime | None = None
        self._next_at: datetime | None = None
        self._cut: set[str] = set()

    def listen(self, bell: Bell) -> None:
        """Look for rows whenever *bell* is rung."""
        bell.also(self._news)
        bell.also(self.bell)

    async def step(self) -> int:
        """Start what is due and has room; return how much was started or found."""
        if self._bugs:
            bugs, self._bugs = list(self._bugs), {}
            raise ExceptionGroup(f"{len(bugs)} kinds of trouble", bugs)
        moved = self._take_in() + self._start()
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
        self._is_stopping = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take_in(self) -> int:
        """Take in what was just written; return how much had room."""
        return 0 if self._inbox is None else self._add(self._inbox.take())

    def _add(self, rows: Iterable[Row]) -> int:
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
        return added

    def _should_look(self) -> bool:
        now = self._clock.now()
        has_news = self._news.take()
        if self._inbox is not None:
            has_news |= self._inbox.take_news()
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
        added = self._add(rows)
        if len(rows) == limit:
            self._news.ring()
        return added

    def _start(self) -> int:
        started = 0
        while self._has_room() and (job := self._hosts.take()):
            self._under_way += 1
            # The set keeps the task alive; the loop itself holds only a weak reference.
            task = asyncio.create_task(self._perform(*job))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
            started += 1
        return started

    def _has_room(self) -> bool:
        is_full = len(self._tasks) >= self.concurrency + COMMITTING_MAX
        return self._under_way < self.concurrency and not is_full and not self._is_stopping

    async def _perform(self, host: str, row: Row) -> None:
        paces: list[Pace] = []

        def leave(pace: Pace) -> None:
            paces.append(pace)
            self._under_way -= 1
            self._hosts.done(host, pace)

        def answered(pace: Pace) -> None:
            if not paces:
                leave(pace)
                self._start()

        try:
            await self._source.perform(row, answered)
        finally:
            if not paces:
                leave(Pace.SILENT)
            key, _ = self._source.place(row)
            self._known.discard(key)
            self._ended_meanwhile.add(key)
            # It may be due again later, or what had to wait for it may be due now: that is told to
            # the inbox, where there is one.
            if self._inbox is None or paces[0] is not Pace.QUICK:
                self._news.ring()
                self.bell.ring()
            elif self._cut - self._hosts.supplied():
                self.bell.ring()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            # Those that failed in one commit raise one and the same.
            self._bugs[error] = None
