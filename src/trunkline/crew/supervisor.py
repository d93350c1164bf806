"""The supervisor: starts the workers, hands them their connections, and starts again who dies.

Rule: a worker lives no longer than the supervisor, whose end of the worker's standard input tells.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import structlog

from trunkline.config import Config
from trunkline.crew.doors import Door, Held
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
from trunkline.leaving import Departure
from trunkline.ops.logs import configure_log
from trunkline.reloading import compare
from trunkline.serving import raise_file_limit
from trunkline.starting import (
    StartupError,
    leave_credentials,
    listening,
    owned,
    smpp_listening,
)

PROGRAM = "trunkline.cli.worker"
# Before a worker that died is started again; the last holds on. One that cannot start for want of
# a database is asked for twice a minute.
RESTART_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
# Whoever served for so long begins with the first of them.
STABLE_SECONDS = 60.0
# Connections that are accepted in one turn, so that other things have theirs.
ACCEPTS_MAX = 64
# Where the system has no room for connections.
NO_ROOM_SECONDS = 1.0
LOOK_SECONDS = 1.0
# A worker that took no connection for so many looks has lost its leases long ago; counted in looks,
# for a machine that slept does not look.
HANGING_LOOKS = 30
# A worker that reads nothing of the line while such an amount waits for it hangs as well.
UNREAD_BYTES_MAX = 33_554_432

log = structlog.get_logger()


def supervise(
    config: Config,
    announce: Callable[[StartedFacts], None],
    *,
    reread: Callable[[], Config] | None = None,
) -> None:
    """Run the workers that the settings ask for until told to stop, as one server.

    Raises StartupError when they cannot start. *reread* returns the settings as they are now, or
    raises ValueError; SIGHUP asks for it.
    """
    configure_log(config.log_level, is_json=config.log_format == "json")
    os.umask(0o077)
    raise_file_limit()  # For the workers, who inherit it.

    def is_ready(facts: StartedFacts) -> None:
        leave_credentials(config.data_dir, facts)
        announce(facts)

    with (
        owned(config.data_dir) as lock,
        listening(config) as http,
        smpp_listening(config) as smpp,
    ):
        asyncio.run(Supervisor(config, [*http, *smpp], lock, is_ready, reread).run())


class State(Enum):
    """What a worker is about."""

    STARTING = 1
    SERVING = 2
    LEAVING = 3


@dataclass
class _Worker:
    """One worker that runs."""

    number: int
    process: asyncio.subprocess.Process
    line: Line
    door: Door
    state: State = State.STARTING
    given: Config | None = None
    facts: StartedFacts | None = None
    reason: str = ""
    turn: int = 0  # When it was last given a connection.
    waits_for: Held | None = None
    looks: int = 0

    @property
    def is_welcoming(self) -> bool:
        """Whether it takes another connection."""
        return self.state is State.SERVING and self.door.has_room


@dataclass
class Supervisor:
    """Runs the workers that the settings ask for, behind sockets that listen.

    *lock* is the file that workers inherit with the data directory; *is_ready* is called once all
    of them serve; *reread* returns the settings as they are now.
    """

    config: Config
    listeners: Sequence[socket.socket]
    lock: int
    is_ready: Callable[[StartedFacts], None]
    reread: Callable[[], Config] | None = None
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _homeless: list[Held] = field(default_factory=list)  # At most HELD_MAX of each that died.
    _ports: Sequence[int] = ()
    _turn: int = 0
    _is_accepting: bool = False
    _has_begun: bool = False
    _trouble: str = ""
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Return once told to end and all has ended; raise StartupError when it cannot start."""
        self._obey_signals()
        for listener in self.listeners:
            listener.setblocking(False)
        self._ports = [int(listener.getsockname()[1]) for listener in self.listeners]
        tending: list[asyncio.Task[None]] = []
        looking = asyncio.create_task(self._look())
        try:
            for number in range(self.config.workers):
                tending.append(asyncio.create_task(self._tend(number)))
                tending[-1].add_done_callback(lambda _: self._end())
            await self._until_serving(self.config.workers)
            if not self._ending.is_set():
                self._begin()
            await self._ending.wait()
        finally:
            self._end()
            await asyncio.gather(*tending)
            looking.cancel()
            for _, connection in self._homeless:
                connection.close()
        if self._trouble:
            raise StartupError(self._trouble)

    async def _until_serving(self, count: int) -> None:
        while not self._ending.is_set() and len(self._serving) < count:
            await self._change.wait()
            self._change.clear()

    def _begin(self) -> None:
        facts = self._workers[0].facts
        assert facts is not None, "who serves has said so"
        self._has_begun = True
        self.is_ready(replace(facts, is_first_start=self._is_first_start))
        self._resume()

    @property
    def _is_first_start(self) -> bool:
        return any(w.facts is not None and w.facts.is_first_start for w in self._workers.values())

    @property
    def _serving(self) -> list[_Worker]:
        return [w for w in self._workers.values() if w.state is State.SERVING]

    # Workers, from their start to their end.

    async def _tend(self, number: int) -> None:
        """Keep a worker running until the end."""
        loop, failures = asyncio.get_running_loop(), 0
        while not self._ending.is_set():
            began = loop.time()
            ended, is_well = await self._run(number)
            if self._ending.is_set():
                return
            if not self._has_begun:
                self._trouble = self._trouble or ended
                self._end()
                return
            failures = 0 if loop.time() - began > STABLE_SECONDS else failures + 1
            seconds = RESTART_SECONDS[min(failures, len(RESTART_SECONDS) - 1)]
            log.log(
                logging.INFO if is_well else logging.ERROR,
                "a worker ended and is started again",
                worker=number,
                reason=ended,
                after_seconds=seconds,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), seconds)

    async def _run(self, number: int) -> tuple[str, bool]:
        """Run a worker once; return how it ended, and whether that was in good order."""
        try:
            async with self._running(number) as worker:
                while (message := await worker.line.hear()) is not None:
                    self._hear(worker, message)
                code = await worker.process.wait()
        except OSError as error:
            return f"A worker cannot be started: {error.strerror}.", False
        if code == 0 and self._has_begun and not worker.reason:
            return "A worker ended in good order, as one does that is told to.", True
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return worker.reason or f"A worker ended {how}; what it said stands above.", False

    @contextlib.asynccontextmanager
    async def _running(self, number: int) -> AsyncIterator[_Worker]:
        worker = self._workers[number] = await self._started(number)
        loop = asyncio.get_running_loop()
        loop.add_reader(worker.door.fileno(), self._hear_door, worker)
        try:
            if number and not self._has_begun:
                # The first one makes what only one can make, and says once what is wrong.
                await self._until_serving(1)
            if self._ending.is_set():
                _kill(worker)
            worker.given = self.config
            worker.line.say(Assigned(self.config.model_dump_json(), self._ports))
            yield worker
        finally:
            del self._workers[number]
            loop.remove_reader(worker.door.fileno())
            self._homeless += worker.door.close()
            await worker.line.close()
            self._tell()
            self._resume()

    async def _started(self, number: int) -> _Worker:
        door, theirs = socket.socketpair()
        line, far_end = socket.socketpair()
        # As we were started ourselves: programs of the current directory are none of ours.
        flags = [] if {"", str(Path.cwd())} & set(sys.path) else ["-P"]
        arguments = [str(number), str(theirs.fileno()), str(far_end.fileno())]
        with theirs, far_end:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *flags, "-m", PROGRAM, *arguments),
                # Its end is the end of the worker.
                stdin=subprocess.PIPE,
                pass_fds=(theirs.fileno(), far_end.fileno(), self.lock),
                # What a terminal says is said to us alone.
                start_new_session=True,
            )
        return _Worker(number, process, await open_line(line), Door(door))

    def _hear(self, worker: _Worker, message: Message) -> None:
        match message:
            case Serving(facts):
                worker.facts = facts
                self._becomes(worker, State.SERVING)
                if worker.given != self.config:
                    # They were read again while it started.
                    worker.line.say(Reload(self.config.model_dump_json()))
                self._resume()
            case Leaving():
                self._becomes(worker, State.LEAVING)
            case Failed(reason):
                worker.reason = reason
            case Ask(_, number):
                for other in self._serving:
                    if other is not worker:
                        other.line.say(Ask(worker.number, number))
            case Answer(asker=asker):
                if asker in self._workers:
                    self._workers[asker].line.say(message)

    def _becomes(self, worker: _Worker, state: State) -> None:
        worker.state = state
        self._tell()

    def _tell(self) -> None:
        """Tell everybody who serves."""
        self._change.set()
        serving = self._serving
        for worker in serving:
            worker.line.say(Crew([each.number for each in serving]))

    async def _look(self) -> None:
        """End who hangs, so that somebody else takes its place, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for worker in self._workers.values():
                is_same = worker.waits_for is not None and worker.waits_for is worker.door.oldest
                worker.looks = worker.looks + 1 if is_same else 0
                worker.waits_for = worker.door.oldest
                if worker.looks >= HANGING_LOOKS or worker.line.waiting > UNREAD_BYTES_MAX:
                    worker.reason = "A worker took no connection and was killed."
                    _kill(worker)

    # Connections, from the socket to a worker.

    def _resume(self) -> None:
        """Accept again, if there is somebody to serve."""
        homeless, self._homeless = self._homeless, []
        for way, connection in homeless:
            self._place(way, connection)
        if self._has_begun and not self._is_accepting and not self._homeless:
            self._is_accepting = not self._ending.is_set()
            for way, listener in enumerate(self.listeners):
                if self._is_accepting:
                    loop = asyncio.get_running_loop()
                    loop.add_reader(listener.fileno(), self._accept, way)

    def _pause(self) -> None:
        """Let connections wait where no worker can lose them."""
        if self._is_accepting:
            self._is_accepting = False
            for listener in self.listeners:
                asyncio.get_running_loop().remove_reader(listener.fileno())

    def _accept(self, way: int) -> None:
        for _ in range(ACCEPTS_MAX):
            if not any(worker.is_welcoming for worker in self._serving):
                self._pause()
                return
            try:
                connection, _ = self.listeners[way].accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.error("no connection can be accepted", reason=error.strerror)
                self._pause()
                asyncio.get_running_loop().call_later(NO_ROOM_SECONDS, self._resume)
                return
            self._place(way, connection)

    def _place(self, way: int, connection: socket.socket) -> None:
        """Give a connection to the worker that has fewest of its kind; of equal ones in turn."""
        welcoming = [worker for worker in self._serving if worker.is_welcoming]
        for worker in sorted(welcoming, key=lambda w: (w.door.open[way], w.turn)):
            if worker.door.hand(way, connection):
                self._turn += 1
                worker.turn = self._turn
                return
        self._homeless.append((way, connection))
        self._pause()

    def _hear_door(self, worker: _Worker) -> None:
        worker.door.hear()
        if worker.door.is_over:
            asyncio.get_running_loop().remove_reader(worker.door.fileno())
        self._resume()

    # Signals.

    def _obey_signals(self) -> None:
        loop = asyncio.get_running_loop()
        departure = Departure(announce=self._drain, close=self._end)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: departure.begin(self._drain_seconds))
        # The end of a terminal is the end of what was started in it.
        if self.reread is not None and not sys.stdin.isatty():
            loop.add_signal_handler(signal.SIGHUP, self._reload, self.reread)

    @property
    def _drain_seconds(self) -> float:
        return self.config.drain_seconds if self._has_begun else 0.0

    def _drain(self) -> None:
        for worker in self._serving:
            worker.line.say(Drain())

    def _end(self) -> None:
        """Accept what has come, then nothing more, and let the workers finish; may be repeated."""
        if self._ending.is_set():
            return
        if self._is_accepting:
            for way in range(len(self.listeners)):
                self._accept(way)
        self._pause()
        self._ending.set()
        self._change.set()
        for listener in self.listeners:
            listener.close()
        for worker in self._workers.values():
            if worker.state is State.STARTING:
                _kill(worker)
            else:
                worker.line.say(Leave())

    def _reload(self, reread: Callable[[], Config]) -> None:
        """Let the workers take over what can be of the settings; an error changes nothing."""
        try:
            wanted = reread()
        except ValueError as error:
            log.error("settings are not reloaded", reason=str(error))
            return
        self.config = compare(self.config, wanted).config
        configure_log(self.config.log_level, is_json=self.config.log_format == "json")
        for worker in self._serving:
            worker.line.say(Reload(wanted.model_dump_json()))


def _kill(worker: _Worker) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.process.pid, signal.SIGKILL)
