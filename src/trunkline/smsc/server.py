"""The SMPP server: listens, keeps an eye on who is bound, and takes leave in good order."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from trunkline.flows.customers import in_force, keep_simulator, may_stay
from trunkline.flows.deliveries import sweep
from trunkline.flows.platform import Platform
from trunkline.smsc.binds import Binds
from trunkline.smsc.connection import Connection, House
from trunkline.smsc.courier import Courier
from trunkline.smsc.desk import Desk
from trunkline.smsc.door import Door

# Carriers' SMSCs grant a customer some binds; each takes a socket and up to a few MB when busy.
CONNECTIONS_MAX = 1000
BACKLOG = 100
# How soon a change of a credential is noticed by who is bound with it.
LOOK_SECONDS = 1.0
SWEEP_SECONDS = 60.0
# A text of which nothing came for so long is nobody's who lives: whoever has it whole accepts it.
LEFT_SECONDS = 60.0
# For who is bound to answer our unbind; a server that ends should not take long.
LEAVE_SECONDS = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Listen:
    """A port to listen on; 0 is a free one. With *tls*, everything on it is encrypted."""

    port: int
    tls: ssl.SSLContext | None = None


class SmscServer:
    """Serves SMPP on no port, one or several; what is owed is kept in any case.

    *simulator_password* lets anybody on this machine bind to the simulated network; None: nobody.
    With *is_handed* somebody else listens, and hands connections to `take`.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        host: str,
        listens: Sequence[Listen],
        simulator_password: str | None = None,
        connections_max: int = CONNECTIONS_MAX,
        is_handed: bool = False,
    ) -> None:
        self._platform = platform
        self._host = host
        self._listens = listens
        self._is_handed = is_handed
        self._simulator_password = simulator_password
        self._binds = Binds()
        self._courier = Courier(platform, self._binds)
        self._desk = Desk(platform)
        self._house = House(
            platform=platform,
            binds=self._binds,
            desk=self._desk,
            courier=self._courier,
            connected=set(),
            connections_max=connections_max,
        )
        self._servers: list[asyncio.Server] = []
        self._doors: dict[Listen, Door] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ports(self) -> list[int]:
        """The ports that are listened on, in the order in which they were asked for."""
        if self._is_handed:
            return [listen.port for listen in self._listens]
        return [int(server.sockets[0].getsockname()[1]) for server in self._servers]

    @property
    def bound(self) -> int:
        """How many clients are bound."""
        return sum(1 for _ in self._binds)

    @property
    def port(self) -> int:
        """The first of them."""
        return self.ports[0]

    @property
    def addresses(self) -> tuple[str, ...]:
        """What clients connect to, with a word on TLS where it is meant; none before the start."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return tuple(
            f"{host}:{port}" + (" (TLS)" if listen.tls else "")
            for port, listen in zip(self.ports, self._listens, strict=False)
        )

    async def start(self) -> None:
        """Listen; raises OSError for an address that cannot be listened on."""
        if self._listens:
            await keep_simulator(self._platform, self._simulator_password)
        loop = asyncio.get_running_loop()
        for credential in (await in_force(self._platform)).values():
            await self._desk.resume(credential, now=loop.time())
        for listen in self._listens:
            if listen.tls is not None:
                self._doors[listen] = Door(self._house, listen.tls)
            if not self._is_handed:
                await self._listen(listen)
        self._tasks = [
            asyncio.create_task(self._courier.run()),
            asyncio.create_task(self._look_after()),
        ]

    async def take(
        self, connected: socket.socket, on_lost: Callable[[], None], *, listen: int
    ) -> None:
        """Serve a connection that somebody else accepted at one of the ports; call back at its end.

        *listen* is the place of the port among those that were asked for.
        """
        asked = self._listens[listen]
        connection = Connection(self._house, is_stranger=asked.tls is not None)
        connection.closed.add_done_callback(lambda _: on_lost())
        if asked.tls is not None:
            self._doors[asked].admit(connection, connected)
            return
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: connection, connected)
        except OSError:
            # The client is gone already.
            connected.close()
            connection.closed.set_result(None)

    async def _listen(self, listen: Listen) -> None:
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._house),
            self._host,
            listen.port,
            backlog=BACKLOG,
            start_serving=listen.tls is None,
        )
        self._servers.append(server)
        if listen.tls is not None:
            self._doors[listen].open(server, backlog=BACKLOG)

    async def stop(self) -> None:
        """Listen no more and unbind who is bound; what is not done is on disk."""
        for server in self._servers:
            server.close()
        for door in self._doors.values():
            await door.close()
        leaving = [connection.closed for connection in self._house.connected]
        for connection in list(self._house.connected):
            connection.dismiss()
        if leaving:
            await asyncio.wait(leaving, timeout=LEAVE_SECONDS)
        for connection in list(self._house.connected):
            connection.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._servers, self._doors, self._tasks = [], {}, []

    async def _look_after(self) -> None:
        """See to what changes by itself or elsewhere, until cancelled."""
        loop = asyncio.get_running_loop()
        next_sweep = loop.time()
        while True:
            is_sweep = loop.time() >= next_sweep
            next_sweep = loop.time() + SWEEP_SECONDS if is_sweep else next_sweep
            looking = self._look(loop.time(), with_sweep=is_sweep)
            (trouble,) = await asyncio.gather(looking, return_exceptions=True)
            if isinstance(trouble, Exception):
                log.error("the SMPP server cannot look after its customers", exc_info=trouble)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, now: float, *, with_sweep: bool) -> None:
        if with_sweep and (swept := await sweep(self._platform)):
            log.warning("deliveries that nobody took were given up", count=swept)
        if not self._listens:
            return
        # Who binds while we read may know newer settings than what we read.
        bound = list(self._binds)
        credentials = await in_force(self._platform)
        for peer in bound:
            credential = credentials.get(peer.credential.system_id)
            if credential and may_stay(peer.credential, credential, host=peer.host):
                peer.credential = credential
            else:
                peer.dismiss()
        if with_sweep and not self._platform.tenure.is_alone:
            # A node that died may have left texts that are not whole.
            for each in credentials.values():
                await self._desk.resume(each, now=now, seconds=LEFT_SECONDS)
        await self._desk.assembly.expire(now)
