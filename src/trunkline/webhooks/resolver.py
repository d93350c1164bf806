"""Looks host names up on threads of its own: a name server that never answers costs nobody else.

The event loop's own look-ups share a few threads, of which two dead names take all there are.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Sequence
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

# One for each connection that may be under way; one that nobody answers ends after some 20 s.
LOOKUPS_MAX: Final = 256

_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
Outcome = Sequence[ResolveResult] | OSError | UnicodeError


class ThreadResolver(AbstractResolver):
    """Look up each name on a thread that nobody waits for when the program ends."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(LOOKUPS_MAX)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host*; raises OSError where there are none."""
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Outcome] = loop.create_future()

        def settle(outcome: Outcome) -> None:
            # Only now: a caller who gave up does not end the thread.
            self._places.release()
            if not found.done():
                found.set_result(outcome)

        def run() -> None:
            outcome = _look_up(host, port, family=family)
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody asks any more.
                loop.call_soon_threadsafe(settle, outcome)

        threading.Thread(target=run, name="look-up", daemon=True).start()
        outcome = await found
        if isinstance(outcome, OSError | UnicodeError):
            raise outcome
        return list(outcome)

    async def close(self) -> None:
        """Leave the threads that still look up: they end by themselves."""


def _look_up(host: str, port: int, *, family: socket.AddressFamily) -> Outcome:
    try:
        entries = socket.getaddrinfo(
            host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except (OSError, UnicodeError) as error:
        return error
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=int(address[1]),
            family=kind,
            proto=protocol,
            flags=_NUMERIC,
        )
        for kind, _, protocol, _, address in entries
    ]
