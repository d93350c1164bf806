"""When a group commit begins, and what is in it; no database is needed for that."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count, repeat
from typing import Any

from trunkline.store.groups import GATHER_SECONDS, GROUP_MAX, QUIET_SECONDS, Groups

BUSY_SECONDS = 10 * QUIET_SECONDS
TURNS = 5

Commits = list[int]


@asynccontextmanager
async def groups(seconds_per_turn: float) -> AsyncIterator[tuple[Groups, Commits]]:
    """Yield groups whose event loop takes so long for a turn, and the sizes of their commits."""
    sizes: Commits = []

    def commit(works: list[Callable[[Any], Any]]) -> list[Any]:
        sizes.append(len(works))
        return [work(None) for work in works]

    times = count(0.0, seconds_per_turn) if seconds_per_turn else repeat(0.0)
    made = Groups(commit, timer=lambda: next(times))
    try:
        yield made, sizes
    finally:
        await made.close()


async def write_in_turns(made: Groups, turns: int) -> None:
    """Write a work in each of some turns of the event loop."""
    writes: list[Awaitable[None]] = []
    for _ in range(turns):
        writes.append(asyncio.ensure_future(made.write(lambda _: None)))
        await asyncio.sleep(0)
    await asyncio.gather(*writes)


async def test_a_busy_program_gathers_what_comes_in_several_turns() -> None:
    """All are in one commit."""
    async with groups(BUSY_SECONDS) as (made, sizes):
        await write_in_turns(made, TURNS)
    assert sizes == [TURNS]


async def test_at_rest_a_commit_begins_at_once() -> None:
    """The first work does not wait for the others."""
    async with groups(0.0) as (made, sizes):
        await write_in_turns(made, TURNS)
    assert sizes[0] < TURNS
    assert sum(sizes) == TURNS


async def test_nobody_is_waited_for_longer_than_the_limit() -> None:
    """However busy the program is."""
    turns = 3 * round(GATHER_SECONDS / BUSY_SECONDS)
    async with groups(BUSY_SECONDS) as (made, sizes):
        await write_in_turns(made, turns)
    assert sizes[0] <= turns / 2
    assert sum(sizes) == turns


async def test_a_full_group_waits_for_nothing() -> None:
    """What is beyond its limit is in the next one."""
    async with groups(BUSY_SECONDS) as (made, sizes):
        works = [made.write(lambda _: None) for _ in range(GROUP_MAX + 1)]
        await asyncio.gather(*works)
    assert sizes == [GROUP_MAX, 1]
