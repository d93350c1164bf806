"""Working off what is due: dead hosts, bugs and news, on a source that the test holds."""

import asyncio
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from tests.harness import NOON
from trunkline.dispatch.hosts import Pace
from trunkline.dispatch.pool import LOOK_SECONDS, NEW_ROWS_MAX, Answered, Found, Pool
from trunkline.runtime import Batcher, Bell, Inbox, ManualClock
from trunkline.store.hosts import Turn

PLACES = 50


@dataclass(frozen=True)
class Row:
    """Something to do at a host."""

    key: str
    host: str
    due_at: datetime = NOON
    account: str = "AC1"


@dataclass
class Source:
    """Rows in a list; hosts called dead… never answer, those called broken… meet a bug."""

    rows: list[Row] = field(default_factory=list)
    performed: list[str] = field(default_factory=list)
    looks: int = 0
    most: int = 0
    name: str = "test"

    def place(self, row: Row) -> tuple[str, Turn]:
        return row.key, Turn(row.host, row.account)

    async def load(
        self,
        now: datetime,
        *,
        supplied: Collection[Turn],
        known: Mapping[Turn, Set[str]],
        limit: int,
    ) -> Found[Row]:
        self.looks += 1
        new = [r for r in self.rows if r.due_at <= now and not self._is_had(r, supplied, known)]
        next_at = min((r.due_at for r in self.rows if r.due_at > now), default=None)
        self.most = max(self.most, len(new[:limit]))
        return Found(new[:limit], next_at, is_all=len(new) <= limit)

    def _is_had(self, row: Row, supplied: Collection[Turn], known: Mapping[Turn, Set[str]]) -> bool:
        key, turn = self.place(row)
        return turn in supplied or key in known.get(turn, ())

    async def perform(self, row: Row, answered: Answered) -> None:
        if row.host.startswith("dead"):
            await asyncio.Event().wait()
        self.rows.remove(row)
        if row.host.startswith("broken"):
            raise LookupError(row.key)
        self.performed.append(row.key)
        answered(Pace.QUICK)


@dataclass
class SlowSource(Source):
    """One whose answer to a look is late."""

    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    is_performed: asyncio.Event = field(default_factory=asyncio.Event)

    async def perform(self, row: Row, answered: Answered) -> None:
        await super().perform(row, answered)
        self.is_performed.set()

    async def load(
        self,
        now: datetime,
        *,
        supplied: Collection[Turn],
        known: Mapping[Turn, Set[str]],
        limit: int,
    ) -> Found[Row]:
        self.is_asked.set()
        await self.may_answer.wait()
        return await super().load(now, supplied=supplied, known=known, limit=limit)


@dataclass
class Desk:
    """A pool with its source, its clock and its bell."""

    source: Source
    clock: ManualClock
    bell: Bell
    pool: Pool[Row]

    async def work(self) -> None:
        """Step until nothing moves, and what was started has had its time to end."""
        idle = 0
        while idle < 2:
            idle = 0 if await self.pool.step() else idle + 1
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
def desk() -> Desk:
    """Return a pool without rows."""
    source, clock, bell = Source(), ManualClock(NOON), Bell()
    return Desk(source, clock, bell, Pool(source, clock, bell=bell, concurrency=PLACES))


def rows(host: str, count: int) -> list[Row]:
    return [Row(f"{host}-{n}", host) for n in range(count)]


async def test_dead_hosts_with_thousands_of_rows_starve_nobody(desk: Desk) -> None:
    """Their rows come first and fill neither the memory nor the places."""
    for n in range(8):
        desk.source.rows += rows(f"dead{n}", 2000)
    desk.source.rows += rows("live", 700)
    await desk.work()
    assert len(desk.source.performed) == 700
    await desk.pool.stop()


async def test_a_bug_is_told_once_and_stops_no_other_row(desk: Desk) -> None:
    """Everything else was done; the bug comes out of the next step, for the log."""
    desk.source.rows = [*rows("broken", 3), *rows("live", 20)]
    with pytest.raises(ExceptionGroup) as raised:
        await desk.work()
    assert [str(e) for e in raised.value.exceptions] == ["broken-0", "broken-1", "broken-2"]
    await desk.work()
    assert (len(desk.source.performed), desk.source.rows) == (20, [])


async def test_nothing_is_looked_for_without_a_reason(desk: Desk) -> None:
    """News, a due time or a while without a look are reasons."""
    later = NOON + timedelta(seconds=2)
    desk.source.rows = [Row("later", "a", later)]
    await desk.work()
    looks = desk.source.looks
    await desk.work()
    assert (desk.source.looks, await desk.pool.next_due()) == (looks, later)
    desk.source.rows.append(Row("now", "a"))
    desk.bell.ring()
    await desk.work()
    assert desk.source.performed == ["now"]
    desk.clock.advance(2)
    await desk.work()
    assert desk.source.performed == ["now", "later"]
    desk.source.rows.append(Row("unannounced", "a"))
    desk.clock.advance(LOOK_SECONDS)
    await desk.work()
    assert desk.source.performed == ["now", "later", "unannounced"]


async def test_of_a_list_that_fails_only_the_culprit_fails() -> None:
    """The others are done all the same, each alone."""
    batcher: Batcher[int] = Batcher()
    done: list[int] = []

    async def flow(items: list[int]) -> None:
        if 3 in items:
            raise LookupError("three")
        done.extend(items)

    calls = (batcher.add(n, flow) for n in range(6))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        *[type(None)] * 3,
        LookupError,
        *[type(None)] * 2,
    ]
    assert sorted(done) == [0, 1, 2, 4, 5]


async def test_one_account_with_thousands_of_rows_starves_no_other_at_its_host(desk: Desk) -> None:
    """Neither in memory nor on disk: the single row is done among the first."""
    many = rows("live", 3000)
    desk.source.rows = [*many, Row("single", "live", account="AC2")]
    while "single" not in desk.source.performed:
        assert await desk.pool.step()
        for _ in range(5):
            await asyncio.sleep(0)
    assert len(desk.source.performed) < 3000
    await desk.pool.stop()


async def test_what_is_known_is_not_asked_for_again(desk: Desk) -> None:
    """A look brings so much and no more, whatever is in memory already."""
    desk.source.rows = rows("dead", 500) + rows("live", 1000)
    await desk.work()
    assert len(desk.source.performed) == 1000
    assert desk.source.most <= NEW_ROWS_MAX
    await desk.pool.stop()


async def test_what_comes_during_a_look_does_not_wait_for_it() -> None:
    """It is in memory; only what is on disk alone must be read."""
    source, clock, inbox = SlowSource(), ManualClock(NOON), Inbox[Row](Bell())
    pool = Pool(source, clock, bell=inbox.bell, concurrency=PLACES, inbox=inbox)
    step = asyncio.create_task(pool.step())
    await source.is_asked.wait()
    row = Row("new", "a")
    source.rows.append(row)
    inbox.offer([row])
    await source.is_performed.wait()
    assert (source.performed, step.done()) == (["new"], False)
    source.may_answer.set()
    await step
    await pool.stop()


async def test_who_is_stopped_in_the_midst_of_a_look_leaves_nothing_behind() -> None:
    """A task that nobody ends is complained of whenever it is collected."""
    before = asyncio.all_tasks()
    source, bell = SlowSource(), Bell()
    pool = Pool(source, ManualClock(NOON), bell=bell, concurrency=PLACES)
    step = asyncio.ensure_future(pool.step())
    await source.is_asked.wait()
    step.cancel()
    await asyncio.wait([step])
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
