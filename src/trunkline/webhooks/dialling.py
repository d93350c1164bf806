"""Opens connections: a name becomes addresses, an address a socket, a socket a connection.

Rules: the guard judges every address at the moment of connecting; every connection passes here.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Final

from trunkline.webhooks.answer import BLOCKED, Failure
from trunkline.webhooks.connection import Connection
from trunkline.webhooks.failures import (
    CONNECTING_TIME,
    NAME_INVALID,
    NAME_UNKNOWN,
    TIME_USED_UP,
    UNREACHABLE,
    judge_handshake,
)
from trunkline.webhooks.guard import Guard
from trunkline.webhooks.request import Origin
from trunkline.webhooks.resolver import Address, ThreadResolver

# RFC 8305 §5: what an address has before the next one is tried beside it.
HEAD_START_SECONDS: Final = 0.25


class Dialler:
    """Open connections to where the guard lets them go."""

    def __init__(self, guard: Guard, tls: ssl.SSLContext) -> None:
        self.guard = guard
        self._tls = tls
        self._resolver = ThreadResolver()

    async def dial(
        self,
        origin: Origin,
        make: Callable[[], Connection],
        *,
        connect_seconds: float,
        ends_at: float,
    ) -> Connection | Failure:
        """Return a connection of *make* to *origin*, its TLS handshake done, or why there is none.

        Everything together takes no longer than *connect_seconds*, nor than until *ends_at*.
        """
        late_at = asyncio.get_running_loop().time() + connect_seconds
        try:
            async with asyncio.timeout_at(min(late_at, ends_at)):
                return await self._dial(origin, make)
        except TimeoutError:
            return CONNECTING_TIME if late_at < ends_at else TIME_USED_UP

    async def _dial(self, origin: Origin, make: Callable[[], Connection]) -> Connection | Failure:
        host = origin.host.strip("[]")
        addresses = await self._addresses(host, origin.port)
        if isinstance(addresses, Failure):
            return addresses
        opened = await self._first_connected(addresses, host)
        if isinstance(opened, Failure):
            return opened
        is_secure = origin.scheme == "https"
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                make,
                sock=opened,
                ssl=self._tls if is_secure else None,
                # A certificate names no root, so the dot at the end goes.
                server_hostname=host.rstrip(".") if is_secure else None,
            )
        except OSError as error:
            return judge_handshake(error)
        return connection

    async def _addresses(self, host: str, port: int) -> Sequence[Address] | Failure:
        if (address := _literal(host, port)) is not None:
            return (address,)
        try:
            return await self._resolver.resolve(host, port) or NAME_UNKNOWN
        except OSError:
            return NAME_UNKNOWN
        except UnicodeError:
            return NAME_INVALID

    async def _first_connected(
        self, addresses: Sequence[Address], host: str
    ) -> socket.socket | Failure:
        """Return the first socket that connects; of several failures, one that may pass."""
        if len(addresses) == 1:
            return await self._connected(addresses[0], host)
        waiting = deque(_alternating(addresses))
        racing: set[asyncio.Task[socket.socket | Failure]] = set()
        failure = BLOCKED
        try:
            while waiting or racing:
                if waiting:
                    following = self._connected(waiting.popleft(), host)
                    racing.add(asyncio.create_task(following))
                done, _ = await asyncio.wait(
                    racing,
                    timeout=HEAD_START_SECONDS if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                racing -= done
                best = _best([task.result() for task in done])
                if isinstance(best, socket.socket):
                    return best
                failure = failure if best is BLOCKED else best
            return failure
        finally:
            for task in racing:
                task.cancel()
                task.add_done_callback(_close_late)

    async def _connected(self, address: Address, host: str) -> socket.socket | Failure:
        """Connect to one address, or refuse it."""
        if not self.guard.permits(address.text, host):
            return BLOCKED
        with ExitStack() as stack:
            try:
                opening = socket.socket(address.family, socket.SOCK_STREAM, address.protocol)
                stack.enter_context(opening)
                opening.setblocking(False)
                await asyncio.get_running_loop().sock_connect(opening, address.socket_address)
            except OSError:
                return UNREACHABLE
            stack.pop_all()
            return opening


def _literal(host: str, port: int) -> Address | None:
    """Return the address that *host* is itself, or None for a name."""
    try:
        parsed = ip_address(host)
    except ValueError:
        return None
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    return Address(family, socket.IPPROTO_TCP, (host, port))


def _alternating(addresses: Sequence[Address]) -> Iterable[Address]:
    """Return *addresses* with the families by turns, the first one's first (RFC 8305 §4)."""
    same = [a for a in addresses if a.family == addresses[0].family]
    other = [a for a in addresses if a.family != addresses[0].family]
    pairs = chain.from_iterable(zip_longest(same, other))
    return (address for address in pairs if address is not None)


def _best(results: Iterable[socket.socket | Failure]) -> socket.socket | Failure:
    """Return a socket, if there is one, and close the others; else what may yet pass."""
    best: socket.socket | Failure = BLOCKED
    for result in results:
        if isinstance(best, socket.socket):
            if isinstance(result, socket.socket):
                result.close()
        elif result is not BLOCKED:
            best = result
    return best


def _close_late(task: asyncio.Task[socket.socket | Failure]) -> None:
    """Close what another address has outrun."""
    if not task.cancelled() and isinstance(late := task.result(), socket.socket):
        late.close()
