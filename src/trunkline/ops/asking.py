"""A question to something slow: asked one at a time, not too often, and never waited for long."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """The last answer that came, with what is to be said of the question that was asked last."""

    value: T | None
    trouble: str = ""  # Why there is no answer now; then the value is an old one, if any.
    seconds: float = 0.0


class Asking(Generic[T]):
    """Remembers an answer for a while; everybody who asks meanwhile gets the same."""

    def __init__(
        self, ask: Callable[[], Awaitable[T]], *, fresh_seconds: float, wait_seconds: float
    ) -> None:
        self._ask = ask
        self.fresh_seconds = fresh_seconds
        self.wait_seconds = wait_seconds
        self._reply: Reply[T] = Reply(None, "nothing was asked yet")
        self._asked_at = -1e9
        self._task: asyncio.Task[None] | None = None

    async def reply(self) -> Reply[T]:
        """Return an answer that is fresh, or say that there is none within the time."""
        now = asyncio.get_running_loop().time()
        task = self._task
        if task is None or task.done():
            if now - self._asked_at < self.fresh_seconds:
                return self._reply
            self._asked_at = now
            task = self._task = asyncio.create_task(self._run())
        left = self._asked_at + self.wait_seconds - now
        # Who goes away takes nobody's answer along: the task is not cancelled.
        await asyncio.wait([task], timeout=max(0.0, left))
        if not task.done():
            trouble = f"no answer within {self.wait_seconds:g} s"
            return Reply(self._reply.value, trouble, self.wait_seconds)
        return self._reply

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        (outcome,) = await asyncio.gather(self._ask(), return_exceptions=True)
        seconds = loop.time() - started
        if isinstance(outcome, BaseException):
            self._reply = Reply(self._reply.value, type(outcome).__name__, seconds)
        else:
            self._reply = Reply(outcome, seconds=seconds)
        self._asked_at = loop.time()
