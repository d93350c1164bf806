"""The loop on which everything outside of Trunkline lives, and gates that can be shut."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from trunkline.runtime import SystemClock

T = TypeVar("T")

CALL_SECONDS = 30.0
READ_BYTES = 65_536
TURN_SECONDS = 0.05


async def pause(seconds: float) -> None:
    """Let some of the machine's time pass: what is soaked lives by that."""
    await SystemClock().sleep(seconds)


class Surroundings:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._tasks: list[asyncio.Task[None]] = []
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what *work* returns there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(CALL_SECONDS)

    def keep(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let *work* go on there until the end."""

        async def begin() -> None:
            self._tasks.append(asyncio.create_task(work()))

        self.call(begin())

    def require_sound(self) -> None:
        """Raise what something there ended with by itself."""
        for task in self._tasks:
            if task.done() and (trouble := task.exception()) is not None:
                raise trouble

    def close(self) -> None:
        """End everything there."""
        try:
            self.call(self._end())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(CALL_SECONDS)
            self.loop.close()

    async def _end(self) -> None:
        others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await pause(TURN_SECONDS)  # Connections that were dropped are closed a turn later.


class Gate:
    """A way to a port of this machine that can be shut, or stopped up without a word.

    These are called from any thread.
    """

    def __init__(self) -> None:
        self.port = 0
        self.is_shut = False
        self._target = 0
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self, target: int) -> "Gate":
        """Let clients through to *target* from now on."""
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._admit, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def close(self) -> None:
        """Let nobody come any more."""
        if self._server is not None:
            self._server.close()

    def shut(self) -> None:
        """Throw everybody out and let nobody in."""
        self.is_shut = True
        self._loop.call_soon_threadsafe(self._throw_out)

    def stop_up(self) -> None:
        """Let nothing through; connections stay, as where a cable is pulled."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def mend(self) -> None:
        """Let everything through, what was held up, too."""
        self.is_shut = False
        self._loop.call_soon_threadsafe(self._flows.set)

    def _throw_out(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if not self.is_shut:
                await self._join(reader, writer)
        except OSError:
            pass  # What is behind the gate is not there; the client sees that its end is closed.
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            pumps = [self._carry(reader, far_writer), self._carry(far_reader, writer)]
            tasks = [asyncio.create_task(pump) for pump in pumps]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            far_writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(READ_BYTES):
                await self._flows.wait()
                writer.write(octets)
                await writer.drain()
