"""What a crash left in doubt: a restart finds it, follows the setting, and says so."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.api.test_carriers import World
from tests.api.test_ops import values
from trunkline.carriers.port import Deferred, InDoubt, Taken
from trunkline.store.outbox import awaited, give_up_answers


async def crashed(world: World, rule: str) -> str:
    """End a program between a submission and its answer; return the message's SID."""
    one = await world.add("one", in_doubt=rule)
    one.gate = asyncio.Event()
    sid = str((await world.send()).json["sid"])
    lane = next(w for w in world.app.workers if w.name == "one/0")
    assert await lane.step()
    tasks = [task for task in asyncio.all_tasks() if "_hand_over" in repr(task.get_coro())]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await world.app.store.close()
    return sid


@pytest.mark.parametrize("rule", ["resubmit", "fail"])
async def test_a_crash_between_sending_and_answer_leaves_the_message_in_doubt(
    tmp_path: Path, rule: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart finds it, follows the setting, and says so: in the trace, the metrics, the log."""
    sid = await crashed(World(tmp_path), rule)
    again = World(tmp_path)
    await again.app.settle()
    if rule == "fail":
        assert await again.status(sid) == ("failed", 30008)
    else:
        assert [s.is_repeat for s in again.connector.made["one"].seen] == [True]
        assert await again.status(sid) == ("sent", None)
    goes_again = rule == "resubmit"
    found = [e["detail"] for e in await again.events(sid) if e["kind"] == "in_doubt"]
    assert found == [{"carrier": "one", "segments": 1, "submitted_again": goes_again}]
    assert await in_doubt_counted(again) == 1
    (line,) = [vars(each) for each in caplog.records if each.message == "found in doubt"]
    told = (line["lane"], line["messages"], line["segments"], line["submitted_again"])
    assert told == ("one/0", 1, 1, int(goes_again))
    await again.close()


async def in_doubt_counted(world: World) -> float:
    """Return how many segments the metrics of a carrier say are in doubt."""
    found = await values(world)
    return found.get(("trunkline_segments_submitted_total", "one", "in_doubt"), 0)


async def give_up(world: World) -> None:
    """Do what a lane does with the answers that an earlier one awaited."""

    def work(db: Connection) -> None:
        give_up_answers(db, "one/0", awaited(db, "one/0", limit=9))

    await world.app.store.write(work)


async def test_a_crash_is_told_of_once_whatever_came_before_it(tmp_path: Path) -> None:
    """A lane may have given the answer up already; what the carrier left open is told of then."""
    sid = await crashed(World(tmp_path), "resubmit")
    again = World(tmp_path)
    await give_up(again)
    again.connector.answer = lambda s: InDoubt("no answer")
    await again.app.settle()
    assert await in_doubt_counted(again) == 2  # The crash, and then the carrier.
    again.connector.made["one"].answer = lambda s: Deferred(5)
    await again.run_for(20)
    assert await in_doubt_counted(again) == 2
    again.connector.made["one"].answer = lambda s: Taken("at last")
    await again.run_for(20)
    assert await in_doubt_counted(again) == 2
    assert await again.status(sid) == ("sent", None)
    await again.close()
