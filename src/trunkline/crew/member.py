"""A worker's end of what joins it to its supervisor and, by way of that, to the other workers."""

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field

from trunkline.config import Config
from trunkline.crew.doors import Arrival, Doorway
from trunkline.crew.line import (
    Answer,
    Ask,
    Assigned,
    Crew,
    Drain,
    Failed,
    Leave,
    Leaving,
    Line,
    Message,
    Reload,
    Serving,
    open_line,
)
from trunkline.datadir import StartedFacts
from trunkline.ops.gathering import Page

# Gauges take three seconds at most, and a scraper gives up after ten.
ANSWER_SECONDS = 5.0
# Pages that are put together at once; a scraper asks for one, and few machines have ten scrapers.
QUESTIONS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What a worker does when it is told to."""

    drain: Callable[[], None]
    leave: Callable[[], None]
    reload: Callable[[Config], None]
    take: Callable[[Arrival], None]
    page: Callable[[], Awaitable[Page]]


@dataclass(slots=True)
class _Question:
    """What is asked of the others, and what was answered so far."""

    pages: dict[int, Page] = field(default_factory=dict)
    heard: asyncio.Event = field(default_factory=asyncio.Event)


class Member:
    """One worker of several: its settings, its connections and its colleagues."""

    def __init__(self, number: int, line: Line, *, door: socket.socket, given: Assigned) -> None:
        self._number = number
        self._line = line
        self._door = door
        self.config = Config.model_validate_json(given.config)
        self.ports = given.ports
        self._serving: Sequence[int] = ()
        self._questions: dict[int, _Question] = {}
        self._asked = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def number(self) -> int:
        """Which worker this is, from 0 on."""
        return self._number

    @property
    def numbers(self) -> Sequence[int]:
        """All workers that there are to be."""
        return range(self.config.workers)

    @property
    def missing(self) -> Sequence[int]:
        """Those that do not serve now."""
        here = {*self._serving, self._number}
        return [number for number in self.numbers if number not in here]

    def begin(self, facts: StartedFacts, duties: Duties) -> None:
        """Say that we serve, and do what is asked from now on."""
        self._doorway = Doorway(self._door, duties.take)
        self._doorway.open()
        self._spawn(self._obey(duties))
        self._line.say(Serving(facts))

    def leave(self) -> None:
        """Take no more connections than have come."""
        self._line.say(Leaving())
        self._doorway.shut()

    async def fail(self, reason: str) -> None:
        """Say why we cannot start."""
        self._line.say(Failed(reason))
        await self._line.close()

    async def pages(self) -> Mapping[int, Page]:
        """Return what the others count, without those that do not answer in time."""
        others = set(self._serving) - {self._number}
        if not others or len(self._questions) >= QUESTIONS_MAX:
            return {}
        self._asked += 1
        number, question = self._asked, _Question()
        self._questions[number] = question
        try:
            self._line.say(Ask(self._number, number))
            async with asyncio.timeout(ANSWER_SECONDS):
                # Who ends meanwhile is waited for no longer.
                while others & set(self._serving) - question.pages.keys():
                    await question.heard.wait()
                    question.heard.clear()
        except TimeoutError:
            pass
        finally:
            del self._questions[number]
        return question.pages

    async def _obey(self, duties: Duties) -> None:
        while (message := await self._line.hear()) is not None:
            self._hear(message, duties)
        end_at_once()

    def _hear(self, message: Message, duties: Duties) -> None:
        match message:
            case Drain():
                duties.drain()
            case Leave():
                duties.leave()
            case Reload(config):
                duties.reload(Config.model_validate_json(config))
            case Crew(serving):
                self._serving = serving
                for question in self._questions.values():
                    question.heard.set()
            case Ask():
                self._spawn(self._answer(message, duties))
            case Answer(_, number, worker, page):
                if asked := self._questions.get(number):
                    asked.pages[worker] = page
                    asked.heard.set()

    async def _answer(self, question: Ask, duties: Duties) -> None:
        page = await duties.page()
        self._line.say(Answer(question.asker, question.number, self._number, page))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def join(number: int, *, door: int, line: int) -> Member:
    """Return what a worker is told first, over the sockets that it was started with."""
    threading.Thread(target=_watch_over_supervisor, daemon=True).start()
    found = await open_line(socket.socket(fileno=line))
    given = await found.hear()
    assert isinstance(given, Assigned), "the supervisor says this first"
    return Member(number, found, door=socket.socket(fileno=door), given=given)


def end_at_once() -> None:
    """End as a kill would: what was promised is on disk."""
    os._exit(1)


def _watch_over_supervisor() -> None:
    """Wait until the supervisor is gone; also where the event loop stands still."""
    # Not by way of sys.stdin, whose lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    end_at_once()
