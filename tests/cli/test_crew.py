"""The supervisor and its workers without what they serve: connections, and who dies or hangs."""

import asyncio
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry
from structlog.testing import capture_logs

from trunkline.config import Config
from trunkline.crew import supervisor
from trunkline.crew.doors import HELD_MAX, Arrival, Door, Doorway
from trunkline.crew.supervisor import Supervisor
from trunkline.datadir import StartedFacts
from trunkline.ops.gathering import Gathered, told
from trunkline.ops.metrics import Metrics, Reading, Showing
from trunkline.starting import StartupError

SECONDS = 60.0
CONNECTIONS = 3 * HELD_MAX


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the supervisor be impatient, and its workers be those of the tests."""
    monkeypatch.setattr(supervisor, "PROGRAM", "tests.crew_worker")
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(supervisor, "HANGING_LOOKS", 3)
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", (0.0, 0.0, 0.01, 0.02))


@asynccontextmanager
async def supervised(directory: Path, what: str) -> AsyncIterator[int]:
    """Yield the port that two workers serve who do something; they end with SIGTERM."""
    (directory / "what").write_text(what)
    config = Config(data_dir=directory, workers=2, database="postgresql://x/x")
    ready: asyncio.Future[StartedFacts] = asyncio.get_running_loop().create_future()
    with socket.create_server(("127.0.0.1", 0)) as listener, (directory / "lock").open("w") as lock:
        running = asyncio.create_task(
            Supervisor(config, [listener], lock.fileno(), ready.set_result).run()
        )
        port = int(listener.getsockname()[1])
        while not (running.done() or ready.done()):
            await asyncio.wait([running], timeout=0.02)
        try:
            if ready.done():
                yield port
        finally:
            if not running.done():
                os.kill(os.getpid(), signal.SIGTERM)
            await running


async def served_by(port: int) -> str:
    """Make a connection, and return who answers on it; "" when nobody does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"?")
    try:
        return (await asyncio.wait_for(reader.read(), SECONDS)).decode()
    except ConnectionResetError:
        return ""
    finally:
        writer.close()


async def test_who_hangs_is_replaced_and_its_connections_are_served_by_others(
    tmp_path: Path,
) -> None:
    """Nobody who connected notices more than a wait."""
    with capture_logs() as said:
        async with supervised(tmp_path, "hang") as port:
            found = Counter(await asyncio.gather(*(served_by(port) for _ in range(CONNECTIONS))))
            assert found.total() == CONNECTIONS
            assert set(found) <= {"0", "1"}
            while await served_by(port) != "1":
                pass
    ended = [line for line in said if "ended" in line["event"]]
    assert [line["reason"] for line in ended] == ["A worker took no connection and was killed."]


async def test_who_dies_takes_only_those_along_that_he_was_serving(tmp_path: Path) -> None:
    """One connection each time; all the others are answered, and the wait before a start grows."""
    with capture_logs() as said:
        async with supervised(tmp_path, "die") as port:
            found: Counter[str] = Counter()
            while found[""] < 4:
                found += Counter(await asyncio.gather(*(served_by(port) for _ in range(4))))
    waits = [line["after_seconds"] for line in said if "ended" in line["event"]]
    assert waits == [0.0, 0.01, 0.02, 0.02][: len(waits)]
    # It dies with the first that it takes; what it had not read yet goes to somebody else.
    assert found[""] <= len(waits) + 1
    assert set(found) == {"", "0"}


@pytest.mark.parametrize(
    ("what", "level", "reason"),
    [("die", "error", "with exit code 3; what it said"), ("leave", "info", "in good order")],
)
async def test_only_who_ends_badly_is_an_error(
    tmp_path: Path, what: str, level: str, reason: str
) -> None:
    """A worker that was told to end, so that another takes its place, did what it should."""
    with capture_logs() as said:
        async with supervised(tmp_path, what) as port:
            while not (ended := [line for line in said if "ended" in line["event"]]):
                await served_by(port)
    assert ended[0]["log_level"] == level
    assert reason in ended[0]["reason"]


async def test_what_a_worker_says_of_its_start_is_why_there_is_none(tmp_path: Path) -> None:
    """Its sentence, and nobody is left running."""
    with pytest.raises(StartupError, match="There is nothing to serve"):
        async with supervised(tmp_path, "fail"):
            pytest.fail("it started")


@asynccontextmanager
async def doors(take: Callable[[Arrival], None]) -> AsyncIterator[tuple[Door, Doorway]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Door(ours), Doorway(theirs, take)


async def test_a_connection_is_the_supervisors_until_it_is_taken() -> None:
    """What was not taken comes back when the worker is gone; what was taken does not."""
    taken: asyncio.Queue[Arrival] = asyncio.Queue()
    (near, far), (late, other) = socket.socketpair(), socket.socketpair()
    with far, late, other:
        async with doors(taken.put_nowait) as (door, doorway):
            assert door.hand(0, near)
            doorway.open()
            arrival = await asyncio.wait_for(taken.get(), SECONDS)
            assert door.hear()
            assert (door.open[0], door.oldest) == (1, None)
            doorway.shut()
            assert door.hand(1, late)
            with arrival.connection as connection:
                connection.sendall(b"x")
            assert far.recv(1) == b"x"
            arrival.on_lost()
            await asyncio.sleep(0)
            assert door.hear()
            assert (door.open[0], door.open[1]) == (0, 1)
            assert door.close() == [(1, late)]


async def test_a_door_holds_no_more_than_it_may() -> None:
    """Whoever takes nothing gets no more."""
    near, far = socket.socketpair()
    with near, far:
        async with doors(lambda arrival: None) as (door, _):
            for _number in range(HELD_MAX):
                assert door.has_room
                assert door.hand(0, near)
            assert not door.has_room
            assert len(door.close()) == HELD_MAX


def test_pages_of_workers_become_one() -> None:
    """Each metric once, its samples by worker; who gave no page is named."""
    pages = {}
    for number in (0, 2):
        metrics = Metrics()
        metrics.count("messages_accepted", number + 1)
        metrics.observe("commit_works", 3.0)
        pages[number] = told([Showing(metrics, [Reading("ready", 1.0)])])
    registry = CollectorRegistry()
    registry.register(Gathered(pages, range(3)))
    text = generate_latest(registry).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert text.count("# TYPE trunkline_messages_accepted_total counter") == 1
    for line in (
        'trunkline_messages_accepted_total{worker="0"} 1.0',
        'trunkline_messages_accepted_total{worker="2"} 3.0',
        'trunkline_commit_works_bucket{le="5",worker="2"} 1.0',
        'trunkline_worker_up{worker="1"} 0.0',
        'trunkline_worker_up{worker="2"} 1.0',
    ):
        assert line in lines, line
    assert [line for line in lines if "worker=" not in line] == []
