"""Looks host names up on threads of its own: a name server that never answers costs nobody else.

The event loop's own look-ups share a few threads, of which two dead names take all there are.
"""

import asyncio
import contextlib
import socket
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# One for each connection that may be under way; one that nobody answers ends after some 20 s.
LOOKUPS_MAX: Final = 256
# Long enough that a busy host is not looked up for every connection, short enough that a move
# to another address is noticed before a webhook's first retry.
ANSWER_SECONDS: Final = 10
# Names in a table, about 1 kB each.
ANSWERS_MAX: Final = 1024
# Of one name; large providers answer with up to eight of each kind.
ADDRESSES_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket may connect to, as getaddrinfo() says it."""

    family: int
    protocol: int
    socket_address: tuple[str | int | bytes, ...]

    @property
    def text(self) -> str:
        """The address alone, as the guard judges it."""
        return str(self.socket_address[0])


Outcome = Sequence[Address] | OSError | UnicodeError
Key = tuple[str, int]


class ThreadResolver:
    """Look up each name on a thread that nobody waits for when the program ends.

    Callers who ask for a name that is being looked up share the answer, which is kept for a while.
    """

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(LOOKUPS_MAX)
        self._under_way: dict[Key, asyncio.Future[Outcome]] = {}
        self._answers: OrderedDict[Key, tuple[float, Sequence[Address]]] = OrderedDict()

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses of *host*; raises OSError or UnicodeError where there are none."""
        key = host, port
        if (known := self._known(key)) is not None:
            return known
        if key not in self._under_way:
            await self._places.acquire()
            if key in self._under_way:  # Somebody else began meanwhile.
                self._places.release()
            else:
                self._begin(key)
        # A caller who gives up does not end what others wait for.
        outcome = await asyncio.shield(self._under_way[key])
        if isinstance(outcome, OSError | UnicodeError):
            raise outcome
        return outcome

    def _known(self, key: Key) -> Sequence[Address] | None:
        """Return what is still valid; of several addresses another one comes first each time."""
        until, addresses = self._answers.get(key, (0.0, ()))
        if until <= asyncio.get_running_loop().time():
            return None
        turned = (*addresses[1:], *addresses[:1])
        self._answers[key] = until, turned
        return turned

    def _begin(self, key: Key) -> None:
        loop = asyncio.get_running_loop()
        found = self._under_way[key] = loop.create_future()

        def settle(outcome: Outcome) -> None:
            # Only now: a caller who gave up does not end the thread.
            self._places.release()
            del self._under_way[key]
            if not isinstance(outcome, OSError | UnicodeError):
                self._keep(key, outcome)
            if not found.done():
                found.set_result(outcome)

        def run() -> None:
            outcome = _look_up(*key)
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody asks any more.
                loop.call_soon_threadsafe(settle, outcome)

        threading.Thread(target=run, name="look-up", daemon=True).start()

    def _keep(self, key: Key, addresses: Sequence[Address]) -> None:
        until = asyncio.get_running_loop().time() + ANSWER_SECONDS
        self._answers[key] = until, addresses
        self._answers.move_to_end(key)
        if len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)


def _look_up(host: str, port: int) -> Outcome:
    try:
        entries = socket.getaddrinfo(
            host, port, socket.AF_UNSPEC, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except (OSError, UnicodeError) as error:
        return error
    return [Address(family, protocol, address) for family, _, protocol, _, address in entries][
        :ADDRESSES_MAX
    ]
