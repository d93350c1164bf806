"""The HTTP server: uvicorn with the limits that it lacks, against callers who mean no good.

A caller may be slow, endless or silent; it costs one connection, for a limited time and memory.
"""

import asyncio
import contextlib
import resource
from collections.abc import Callable, Iterator
from socket import socket

import uvicorn
from httptools import HttpParserUpgrade, HttpRequestParser
from starlette.types import ASGIApp
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75
SHUTDOWN_SECONDS = 3  # A request that takes longer is cut; what it was answered for is on disk.
REQUEST_SECONDS = 60.0  # For a whole request to arrive; the largest that is read has 64 kB.
HEAD_BYTES_MAX = 65_536  # Browsers' cookies come to 8 kB, and other servers allow no more.
HEADERS_MAX = 200  # Trailers count as well.
REQUEST_BYTES_MAX = 10_485_760  # What is too much is read past, so that its caller hears so.
# A caller who keeps his connection sends again within this, is answered, and told to close it.
LINGER_SECONDS = 0.5
PIPELINE_MAX = 16  # Requests sent before the answer to the one before; no client of today does.
FILES_WANTED = 65_536
FILES_KEPT = 512  # For webhooks (256), look-ups, media and the database.
CONNECTIONS_MAX = 10_000  # About 60 kB each while they are idle.


class Parser(HttpRequestParser):
    """Reads requests, and past their offers to go on in another protocol (RFC 9110 §7.8).

    Java's own client offers HTTP/2 with its first request, and its body follows all the same.
    """

    def __init__(self, protocol: "Protocol") -> None:
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # As uvicorn does.
        self._protocol = protocol

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        """Read on; a request that ends in an offer is read again without it."""
        try:
            super().feed_data(data)
        except HttpParserUpgrade as offer:
            if not self._protocol.is_offer:
                raise
            self.feed_data(self._protocol.head_without_offer() + data[offer.args[0] :])


class Protocol(HttpToolsProtocol):
    """One connection of a caller; *on_lost* is called when it is closed."""

    is_offer = False

    on_lost: Callable[[], None] | None = None
    connections_max = CONNECTIONS_MAX
    request_seconds = REQUEST_SECONDS
    linger_seconds = LINGER_SECONDS
    _deadline: asyncio.TimerHandle | None = None
    _in_head = False
    _has_answered = False
    _is_leaving = False
    _size = 0
    _chunk = 0
    _unread = 0
    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        self.parser = Parser(self)
        if len(self.connections) > self.connections_max:
            transport.abort()
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._expect_no_more()
        super().connection_lost(exc)
        # uvicorn tells the request that came last, which may only wait for this one's answer.
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()
        if self.on_lost is not None:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        """Read on, within limits."""
        self._chunk = len(data)
        self._size += self._chunk
        super().data_received(data)
        limit = HEAD_BYTES_MAX if self._in_head else REQUEST_BYTES_MAX
        if self._deadline is not None and self._size > limit:
            self._refuse()

    def on_message_begin(self) -> None:
        """Begin to count."""
        if len(self.pipeline) >= PIPELINE_MAX:
            raise OverflowError("too many requests at once")
        super().on_message_begin()
        self._in_head, self._size = True, self._chunk
        self._expect()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header or a trailer."""
        if len(self.headers) >= HEADERS_MAX:
            raise OverflowError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        # RFC 9112 §3.2: a proxy may have gone by the one, and we would go by the other.
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("more than one Host")
        self.is_offer = self.parser.should_upgrade() and any(
            name == b"upgrade" for name, _ in self.headers
        )
        if self.is_offer:
            return
        self._in_head, self._has_answered = False, True
        super().on_headers_complete()
        if self._is_leaving:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Note that the whole request is here."""
        if self.is_offer:
            return
        self._expect_no_more()
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def head_without_offer(self) -> bytes:
        """Return the head of the request that was read last, as if it offered nothing."""
        version = self.parser.get_http_version().encode()
        first = b" ".join((self.parser.get_method(), self.url, b"HTTP/" + version))
        kept = [b": ".join(header) for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([first, *kept, b"", b""])

    def shutdown(self) -> None:
        """Answer what comes within a moment, then close; what is under way is answered anyhow.

        An idle connection that is closed at once may meet a request on its way to us, which would
        never be answered.
        """
        self._is_leaving = True
        if self._is_idle:
            self.loop.call_later(self.linger_seconds, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; a caller who still reads an answer is waited for."""
        unread = self.transport.get_write_buffer_size()
        if unread and unread != self._unread:
            self._unread = unread
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            self.transport.abort()

    @property
    def _is_idle(self) -> bool:
        # None before the first request, whatever uvicorn's annotation says.
        return bool(getattr(self.cycle, "response_complete", True))

    def _close_if_idle(self) -> None:
        # A request that has begun to arrive is waited for, as long as the server waits at all.
        if self._is_idle and not self._in_head:
            self.transport.close()

    def _expect(self) -> None:
        self._expect_no_more()
        # Not close(), which would wait for the caller to read what was written to him.
        self._deadline = self.loop.call_later(self.request_seconds, self.transport.abort)

    def _expect_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self) -> None:
        # An answer under way would be broken by another one.
        if self._in_head and not self._has_answered:
            self.send_400_response("The head of the request is too large.")
        else:
            self.transport.abort()


class Server(uvicorn.Server):
    """An HTTP server whose signals are the composition root's, and that says when it answers."""

    on_started: Callable[[], None]

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Begin to listen, then say so."""
        await super().startup(sockets=sockets)
        self.on_started()

    async def take(self, connection: socket, on_lost: Callable[[], None]) -> None:
        """Serve a connection that somebody else accepted; call back when it is closed."""

        def make() -> Protocol:
            protocol = Protocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            protocol.on_lost = on_lost
            return protocol

        try:
            await asyncio.get_running_loop().connect_accepted_socket(make, connection)
        except OSError:
            # The caller is gone already.
            connection.close()
            on_lost()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise them again and end the process halfway."""
        yield

    def leave(self) -> None:
        """Stop accepting and finish what is under way; the second time at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def server_for(asgi: ASGIApp) -> Server:
    """Return a server for *asgi*; as many connections as this process may have open files."""
    Protocol.connections_max = min(CONNECTIONS_MAX, raise_file_limit() - FILES_KEPT)
    return Server(
        uvicorn.Config(
            asgi,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )


def raise_file_limit() -> int:
    """Return how many files may be open, after asking for as many as are wanted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return FILES_WANTED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
