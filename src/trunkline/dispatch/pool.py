"""Works off what is due, many rows at once; hosts take turns, and at each host accounts do."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from trunkline.dispatch.hosts import Hosts, Pace
from trunkline.runtime import Bell, Clock, Inbox
from trunkline.store.hosts import Turn

NEW_ROWS_MAX = 200  # What one look brings; reading takes the processor from what is under way.
LOOK_SECONDS = 5  # However clocks jump and bells fail, the database is looked at after this.

# What is answered and waits for its commit, beside what is under way; a full disk keeps it here.
# It goes into one commit, for which others wait: so no more than takes some milliseconds.
COMMITTING_MAX = 300

Row = TypeVar("Row")
Answered = Callable[[Pace], None]


@dataclass(frozen=True, slots=True)
class Found(Generic[Row]):
    """What a look brings: rows, when the next one will be due, and whether those due are all."""

    rows: Sequence[Row]
    next_at: datetime | None
    is_all: bool


class Source(Protocol[Row]):
    """Where rows come from, and what is done with one."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    def place(self, row: Row) -> tuple[str, Turn]:
        """Return the key of a row and the turn in which it comes."""

    async def load(
        self,
        now: datetime,
        *,
        supplied: Collection[Turn],
        known: Mapping[Turn, Set[str]],
        limit: int,
    ) -> Found[Row]:
        """Return rows that are due, but for those *known* by their keys and *supplied* turns'."""

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
        self._known: dict[Turn, set[str]] = {}  # By their keys.
        self._ended_meanwhile: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._is_stopping = False
        self._bugs: dict[Exception, None] = {}
        self._looked_at: datetime | None = None
        self._next_at: datetime | None = None
        self._cut: set[Turn] = set()  # Of which there may be more on disk.
        self._is_full = False  # Whether something was cut that has too little here.

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
            key, turn = self._source.place(row)
            if key in self._known.get(turn, ()) or key in self._ended_meanwhile:
                continue
            if self._hosts.add(turn, row):
                self._known.setdefault(turn, set()).add(key)
                added += 1
            else:
                self._cut.add(turn)
                self._is_full |= not self._hosts.is_supplied(turn)
        return added

    def _should_look(self) -> bool:
        now = self._clock.now()
        has_news = self._news.take()
        if self._inbox is not None:
            has_news |= self._inbox.take_news()
        if has_news or self._looked_at is None or not all(map(self._hosts.is_supplied, self._cut)):
            return True
        is_due = self._next_at is not None and self._next_at <= now
        is_fresh = timedelta(0) <= now - self._looked_at < timedelta(seconds=LOOK_SECONDS)
        return is_due or not is_fresh

    async def _look(self) -> int:
        """Take in rows that are due; return how many were new."""
        now = self._looked_at = self._clock.now()
        supplied = self._hosts.supplied()
        self._cut, self._is_full = set(supplied), False
        known = {t: frozenset(keys) for t, keys in self._known.items() if t not in supplied}
        # What ends while we read is still in what we read.
        self._ended_meanwhile.clear()
        found = await self._meanwhile(
            self._source.load(now, supplied=supplied, known=known, limit=NEW_ROWS_MAX)
        )
        self._next_at = found.next_at
        added = self._add(found.rows)
        if not found.is_all:
            self._news.ring()
        return added

    async def _meanwhile(self, load: Awaitable[Found[Row]]) -> Found[Row]:
        """Return what is loaded; what comes before that need not wait for it."""
        loading = asyncio.ensure_future(load)
        ring = asyncio.create_task(self.bell.rung())
        try:
            while not loading.done():
                await asyncio.wait((loading, ring), return_when=asyncio.FIRST_COMPLETED)
                if ring.done():
                    ring = asyncio.create_task(self.bell.rung())
                self._take_in()
                self._start()
        finally:
            loading.cancel()
            ring.cancel()
        return await loading

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
            key, turn = self._source.place(row)
            self._forget(key, turn)
            self._ended_meanwhile.add(key)
            # It may be due again later, or what had to wait for it may be due now: that is told to
            # the inbox, where there is one.
            if self._inbox is None or paces[0] is not Pace.QUICK:
                self._news.ring()
                self.bell.ring()
            elif self._is_full or (turn in self._cut and not self._hosts.is_supplied(turn)):
                self.bell.ring()

    def _forget(self, key: str, turn: Turn) -> None:
        keys = self._known[turn]
        keys.discard(key)
        if not keys:
            del self._known[turn]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            # Those that failed in one commit raise one and the same.
            self._bugs[error] = None
