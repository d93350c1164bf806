"""How connections get from the supervisor, who accepts them, to the workers, who serve them.

Rule: the supervisor holds a connection as well until its worker says that it has it, which it says
before it reads from it. So who is killed takes only those along that he was serving.
"""

import asyncio
import socket
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

# Connections on their way to one worker: enough to keep it busy for a turn of its loop. What a
# worker that stands still holds up is no more than that.
HELD_MAX = 16
# Notes of a worker that are read at once; each is a byte.
NOTES_BYTES = 4096
# A worker says this when it has a connection; when one is closed it says by which way that came.
TAKEN = 255

Held = tuple[int, socket.socket]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection for a worker, by which way it came, and who is called when it is closed."""

    way: int
    connection: socket.socket
    on_lost: Callable[[], None]


class Door:
    """The supervisor's end: connections for one worker, and how many it has of each way in."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._held: deque[Held] = deque()
        self.open: Counter[int] = Counter()
        self.is_over = False  # The worker will say nothing any more.

    @property
    def has_room(self) -> bool:
        """Whether another connection may be on its way."""
        return len(self._held) < HELD_MAX

    @property
    def oldest(self) -> Held | None:
        """The connection that has been on its way for the longest time."""
        return self._held[0] if self._held else None

    def fileno(self) -> int:
        """Return what can be waited for."""
        return self._end.fileno()

    def hand(self, way: int, connection: socket.socket) -> bool:
        """Pass a connection on; False where that is not possible, and it is still the caller's."""
        try:
            socket.send_fds(self._end, [bytes([way])], [connection.fileno()])
        except OSError:
            return False
        self._held.append((way, connection))
        self.open[way] += 1
        return True

    def hear(self) -> bool:
        """Take notice of what the worker says; tell whether it said anything."""
        try:
            notes = self._end.recv(NOTES_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            notes = b""
        for note in notes:
            if note == TAKEN:
                self._held.popleft()[1].close()
            else:
                self.open[note] -= 1
        self.is_over = not notes
        return bool(notes)

    def close(self) -> list[Held]:
        """Close it once the worker is gone; return what it had not taken."""
        while self.hear():
            pass
        self._end.close()
        return list(self._held)


class Doorway:
    """A worker's end; *take* serves a connection."""

    def __init__(self, end: socket.socket, take: Callable[[Arrival], None]) -> None:
        end.setblocking(False)
        self._end = end
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._arrived: list[Held] = []
        self._notes = bytearray()

    def open(self) -> None:
        """Take connections from now on."""
        self._loop.add_reader(self._end.fileno(), self._receive)

    def shut(self) -> None:
        """Take what is there, and nothing that comes after it."""
        while self._receive():
            pass
        self._loop.remove_reader(self._end.fileno())

    def _receive(self) -> bool:
        """Take a connection; tell whether there was one."""
        try:
            octets, files, _, _ = socket.recv_fds(self._end, 1, 1)
        except BlockingIOError:
            return False
        except OSError:
            octets, files = b"", []
        if not octets or not files:
            # The supervisor is gone, and so are we in a moment.
            self._loop.remove_reader(self._end.fileno())
            return False
        self._arrived.append((octets[0], socket.socket(fileno=files[0])))
        self._notes.append(TAKEN)
        self._write()
        return True

    def _closed(self, way: int) -> None:
        if not self._notes:
            self._loop.call_soon(self._write)
        self._notes.append(way)

    def _write(self) -> None:
        """Say what is to be said, then serve what came."""
        try:
            while self._notes:
                del self._notes[: self._end.send(self._notes)]
        except BlockingIOError:
            self._loop.add_writer(self._end.fileno(), self._write)
            return
        except OSError:
            return  # The supervisor is gone, and so are we in a moment.
        self._loop.remove_writer(self._end.fileno())
        arrived, self._arrived = self._arrived, []
        for way, connection in arrived:
            connection.setblocking(False)
            self._take(Arrival(way, connection, partial(self._closed, way)))
