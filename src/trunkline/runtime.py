"""What a program takes from outside and tests must own: time, chance, waking up; and batching."""

import asyncio
import contextlib
import heapq
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Generic, Protocol, TypeVar

from trunkline.domain.ids import RANDOM_BITS, micros, render_sid

BATCH_MAX = 500  # Measured: beyond a few hundred rows a longer group commit gains little.
SID_DIGITS = RANDOM_BITS // 4
UUID_DIGITS = 30  # Two of the 32 say what kind of UUID it is.
POOL_BYTES = 4500  # The system is asked for randomness once in 500 SIDs, not for each.
INBOX_MAX = 5000  # Ten batches, about 5 MB; a worker that is so far behind reads from the disk.
FEED_BACKLOG_MAX = 500  # A browser that falls this far behind reloads instead.


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Return the time, aware UTC."""

    async def sleep(self, seconds: float) -> None:
        """Return once *seconds* have passed on this clock."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Return once *seconds* have passed."""
        await asyncio.sleep(seconds)


def uptime() -> float:
    """Return seconds that pass whatever becomes of clocks, of this process and of a lid that shuts.

    Where the system has no such time, its monotonic one, which may stand still while it sleeps.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ManualClock:
    """Time that moves only when somebody moves it."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        """Return the time at which the clock was left."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was moved by *seconds*."""
        due = asyncio.get_running_loop().create_future()
        self._count += 1
        entry = (self._now + timedelta(seconds=seconds), self._count, due)
        heapq.heappush(self._sleepers, entry)
        await due

    def advance(self, seconds: float) -> None:
        """Move the time forward and wake whoever slept until then."""
        self._now += timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, due = heapq.heappop(self._sleepers)
            if not due.done():
                due.set_result(None)


class Chance:
    """Randomness: unguessable by default, repeatable under a seed."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._random: Random = secrets.SystemRandom() if seed is None else Random(seed)  # noqa: S311 - a seed asks for what can be foreseen
        self._last_micros = 0
        self._pool, self._taken = "", 0
        self._lock = threading.Lock()  # The store's writer makes SIDs too.

    def sid(self, prefix: str, at: datetime) -> str:
        """Return a new SID; SIDs of one process never go backwards, even if its clock does."""
        with self._lock:
            self._last_micros = max(micros(at), self._last_micros + 1)
            return render_sid(prefix, self._last_micros, digits=self._digits(SID_DIGITS))

    def _digits(self, count: int) -> str:
        """Return random hexadecimal digits."""
        begin, end = self._taken, self._taken + count
        if end > len(self._pool):
            self._pool = self._random.randbytes(POOL_BYTES).hex()
            begin, end = 0, count
        self._taken = end
        return self._pool[begin:end]

    def resume(self, after_micros: int) -> None:
        """Make no SID that is not after *after_micros*: the clock may have been set back."""
        self._last_micros = max(self._last_micros, after_micros)

    def uuid(self) -> str:
        """Return a random UUID (RFC 4122 §4.4: version 4, variant 10)."""
        with self._lock:
            d = self._digits(UUID_DIGITS)
        return f"{d[:8]}-{d[8:12]}-4{d[12:15]}-a{d[15:18]}-{d[18:]}"

    def fraction(self) -> float:
        """Return a number at least 0 and below 1."""
        return self._random.random()

    def token_hex(self, size: int) -> str:
        """Return *size* random bytes as hexadecimal digits."""
        return f"{self._random.getrandbits(8 * size):0{2 * size}x}"


class Bell:
    """Wakes the worker that waits for it; rung while nobody waits, it is remembered once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._others: list[Bell] = []

    def ring(self) -> None:
        """Wake the waiting worker, or let it not wait next time."""
        self._event.set()
        for other in self._others:
            other.ring()

    def also(self, other: "Bell") -> None:
        """Ring *other* whenever this one is rung: each bell wakes one worker."""
        self._others.append(other)

    def no_longer(self, other: "Bell") -> None:
        """Leave *other* alone from now on."""
        self._others.remove(other)

    def take(self) -> bool:
        """Tell whether it was rung since the last time, for those who look and do not wait."""
        was_rung = self._event.is_set()
        self._event.clear()
        return was_rung

    async def rung(self) -> None:
        """Return when rung."""
        await self._event.wait()
        self._event.clear()

    async def wait(self, clock: Clock, seconds: float) -> None:
        """Return when rung or after *seconds*, whichever is first."""
        if self._event.is_set():
            self._event.clear()
            await asyncio.sleep(0)
            return
        timer = asyncio.ensure_future(clock.sleep(seconds))
        ring = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait((timer, ring), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Not awaited: while we did, our own cancellation could not be told from theirs.
            timer.cancel()
            ring.cancel()
            self._event.clear()


Row = TypeVar("Row")


class Inbox(Generic[Row]):
    """Rows for a worker, handed over by whoever wrote them, so that they need not be read again.

    They are on disk all the same: what finds no room here, the worker finds there.
    """

    def __init__(self, bell: Bell) -> None:
        self.bell = bell
        self._rows: list[Row] = []
        self._is_incomplete = True  # What came before we were here is on disk only.

    def offer(self, rows: Sequence[Row]) -> None:
        """Hand rows over, in their order."""
        if len(self._rows) + len(rows) > INBOX_MAX:
            self._is_incomplete = True
        else:
            self._rows.extend(rows)
        self.bell.ring()

    def ring(self) -> None:
        """Say that there is something new on disk."""
        self._is_incomplete = True
        self.bell.ring()

    def take(self) -> list[Row]:
        """Return what was handed over since the last time."""
        rows, self._rows = self._rows, []
        return rows

    def take_news(self) -> bool:
        """Tell whether since the last time something came that is on disk only."""
        was_incomplete, self._is_incomplete = self._is_incomplete, False
        return was_incomplete


@dataclass(frozen=True, slots=True)
class News:
    """Something that changed and that a watching page may want to show."""

    topic: str  # 'message', 'handset', 'webhook', 'alert' or 'carrier'
    account_sid: str
    sid: str


class Feed:
    """Tells every subscriber what changed; a slow one is told it missed something (None)."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[News | None]] = set()

    def publish(self, news: News) -> None:
        """Tell all subscribers; never waits."""
        for queue in self._queues:
            if queue.qsize() >= FEED_BACKLOG_MAX:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(news)

    @property
    def is_watched(self) -> bool:
        """Whether anybody listens; publishers may save themselves the work."""
        return bool(self._queues)

    @contextlib.contextmanager
    def subscribe(self) -> Iterator["asyncio.Queue[News | None]"]:
        """Yield a queue that receives what is published from now on."""
        queue: asyncio.Queue[News | None] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)


class Meter(Protocol):
    """Where what happens is counted: once a batch, not once a message."""

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Note one value of a distribution."""


class NullMeter:
    """Counts nothing."""

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Leave it."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Leave it."""


# The id of the HTTP request that is being answered; what is made meanwhile remembers it.
request_id: ContextVar[str] = ContextVar("request_id", default="")


Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Gathers single calls into lists while a list is being worked on; quiet traffic goes alone.

    A flow that raises must have done nothing: its list is then tried again one by one.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many calls wait for the list after the one that is being worked on."""
        return len(self._waiting)

    async def add(self, item: Item, flow: Callable[[list[Item]], Awaitable[None]]) -> None:
        """Return when *flow* has done the list that holds *item*; raise what it raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._running is None:
            self._running = asyncio.create_task(self._run(flow))
        await done

    async def _run(self, flow: Callable[[list[Item]], Awaitable[None]]) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            trouble = await _trouble(flow, [item for item, _ in batch])
            for item, done in batch:
                if trouble is not None and len(batch) > 1:
                    # Each alone, so that the one that failed fails alone.
                    _settle(done, await _trouble(flow, [item]))
                else:
                    _settle(done, trouble)
        self._running = None


async def _trouble(
    flow: Callable[[list[Item]], Awaitable[None]], items: list[Item]
) -> BaseException | None:
    (trouble,) = await asyncio.gather(flow(items), return_exceptions=True)
    return trouble if isinstance(trouble, BaseException) else None


def _settle(done: "asyncio.Future[None]", trouble: BaseException | None) -> None:
    """Tell a caller how it went; who no longer waits is not told."""
    if done.done():
        return
    if trouble is None:
        done.set_result(None)
    else:
        done.set_exception(trouble)


def next_attempt(
    attempts: int, now: datetime, *, backoff_seconds: Sequence[float], chance: float
) -> datetime | None:
    """Return when to try again after *attempts* tries, or None to give up. 0 <= chance < 1."""
    if attempts > len(backoff_seconds):
        return None
    # Jitter keeps what failed together from coming back together.
    return now + timedelta(seconds=backoff_seconds[attempts - 1] * (0.5 + chance / 2))
