"""A way to a server that can be cut, at the very moment when something is said."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from enum import Enum, auto

RECEIVE_BYTES = 65_536


class Cut(Enum):
    """What becomes of something that a client says."""

    NOT_AT_ALL = auto()
    BEFORE_IT_ARRIVES = auto()
    BEFORE_IT_IS_ANSWERED = auto()


class Way:
    """Carries what is said between clients and a server on this machine.

    *judge* looks at everything that clients say. While the way is closed nobody is let in, and
    those who were in are thrown out.
    """

    def __init__(self, port: int) -> None:
        self.judge: Callable[[bytes], Cut] = lambda said: Cut.NOT_AT_ALL
        self._target = port
        self._open = True
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        threading.Thread(target=self._admit, daemon=True).start()

    def shut(self) -> None:
        """Let nobody in who is not in."""
        self._open = False

    def close(self) -> None:
        """Let nobody through."""
        self.shut()
        for pair in self._pairs:
            _hang_up(*pair)

    def reopen(self) -> None:
        """Let people through again."""
        self._open = True

    def end(self) -> None:
        """Be gone for good."""
        self.close()
        _hang_up(self._door)
        for end in (self._door, *(end for pair in self._pairs for end in pair)):
            end.close()

    def _admit(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        server = socket.socket()
        self._pairs.append((client, server))
        if not self._open or server.connect_ex(("127.0.0.1", self._target)):
            _hang_up(client)
            return
        for pump in (self._to_server, self._to_client):
            threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        for said in _heard(client):
            cut = self.judge(said)
            if cut is Cut.BEFORE_IT_IS_ANSWERED:
                # The server's answer must find nobody; that it came is how one knows it was done.
                _hang_up(client)
            if cut is Cut.BEFORE_IT_ARRIVES:
                break
            with contextlib.suppress(OSError):
                server.sendall(said)
            if cut is Cut.BEFORE_IT_IS_ANSWERED:
                return
        _hang_up(client, server)

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        for said in _heard(server):
            with contextlib.suppress(OSError):
                client.sendall(said)
        _hang_up(client, server)


def _heard(end: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while said := end.recv(RECEIVE_BYTES):
            yield said


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
