"""The door for TLS: who comes counts from the first packet on, for handshakes cost the most."""

import asyncio
import os
import socket
import ssl

import structlog

from trunkline.smsc.connection import Connection, House

HANDSHAKE_SECONDS = 10.0
# As long as the event loop itself waits when the system has no room for connections.
NO_ROOM_SECONDS = 1.0

log = structlog.get_logger()


class Door:
    """Accepts connections of TLS clients, as many at once as the house has places for."""

    def __init__(self, house: House, tls: ssl.SSLContext) -> None:
        self._house = house
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._shaking: set[asyncio.Task[None]] = set()

    def open(self, server: asyncio.Server, *, backlog: int) -> None:
        """Listen at the addresses of a server that does not serve; raises OSError as it would."""
        for bound in server.sockets:
            # A server shows its sockets in disguise.
            listening = socket.socket(fileno=os.dup(bound.fileno()))
            self._sockets.append(listening)
            listening.setblocking(False)
            listening.listen(backlog)
            self._accepting.append(asyncio.create_task(self._accept(listening)))

    async def close(self) -> None:
        """Let nobody in any more."""
        tasks = [*self._accepting, *self._shaking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listening in self._sockets:
            listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop, house = asyncio.get_running_loop(), self._house
        while True:
            try:
                connected, _ = await loop.sock_accept(listening)
            except OSError as error:
                log.error("no SMPP connection can be accepted", reason=error.strerror)
                await asyncio.sleep(NO_ROOM_SECONDS)
                continue
            self.admit(Connection(house, is_stranger=True), connected)

    def admit(self, connection: Connection, connected: socket.socket) -> None:
        """Let a stranger shake hands, unless there are too many."""
        house = self._house
        try:
            host: str = connected.getpeername()[0]
        except OSError:
            host = ""  # Gone already.
        is_full = len(house.connected) + len(self._shaking) >= house.connections_max
        if not host or is_full or not house.binds.come(host):
            connected.close()
            connection.closed.set_result(None)
            return
        shaking = asyncio.create_task(self._shake(connection, connected, host=host))
        self._shaking.add(shaking)
        shaking.add_done_callback(self._shaking.discard)

    async def _shake(self, connection: Connection, connected: socket.socket, *, host: str) -> None:
        """Let one in whose handshake succeeds; it leaves the strangers by itself then."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                connected,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except (OSError, RuntimeError):
            # Its connection was never made, so nobody else counts it out.
            self._house.binds.go(host)
            connection.closed.set_result(None)
