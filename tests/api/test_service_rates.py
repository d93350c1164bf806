"""A pool of several senders sends as often as fast as one, where senders have a rate."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.api.test_carriers import World
from tests.api.test_service_sending import buy, send, service
from trunkline.carriers.port import Submission, SubmitResult, Taken

NUMBERS = ("+16172000001", "+16172000002", "+16172000003")
TEXTS = 12


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Yield a program with carriers of the test's own."""
    world = World(tmp_path)
    yield world
    await world.close()


@pytest.mark.parametrize("pool", [NUMBERS[:1], NUMBERS])
async def test_a_pool_of_three_is_three_times_as_fast(world: World, pool: tuple[str, ...]) -> None:
    """Each of its numbers sends one segment a second, and all of them the same."""
    one = await world.add("one", sender_rates="long_code=1")
    seen: list[tuple[str, timedelta]] = []
    start = world.clock.now()

    def note(submission: Submission) -> SubmitResult:
        seen.append((submission.sender, world.clock.now() - start))
        return Taken(submission.message_sid)

    one.answer = note
    sid = await service(world, *await buy(world, *pool))
    for n in range(TEXTS):
        await send(world, sid, f"+1555867{n:04}")
    await world.run_for(TEXTS + 1)
    each = TEXTS // len(pool)
    assert Counter(sender for sender, _ in seen) == dict.fromkeys(pool, each)
    assert each - 1.1 <= seen[-1][1].total_seconds() <= each
