"""The line between the supervisor and one worker, and what is said on it.

Rule: both ends are of one version, for one starts the other.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Sequence

import msgspec

from trunkline.datadir import StartedFacts
from trunkline.ops.gathering import Page

# Metrics with all the series that they may have come to 3 MB.
FRAME_BYTES_MAX = 16_777_216
_LENGTH = struct.Struct("!I")


class Assigned(msgspec.Struct, tag=True, frozen=True):
    """To a worker, first of all: the settings as JSON, and the ports that are listened on."""

    config: str
    ports: Sequence[int]


class Reload(msgspec.Struct, tag=True, frozen=True):
    """To a worker: the settings as they are wanted now, as JSON."""

    config: str


class Drain(msgspec.Struct, tag=True, frozen=True):
    """To a worker: tell who asks that we leave, and go on as before."""


class Leave(msgspec.Struct, tag=True, frozen=True):
    """To a worker: finish what is under way, and end."""


class Crew(msgspec.Struct, tag=True, frozen=True):
    """To a worker: who serves now."""

    serving: Sequence[int]


class Ask(msgspec.Struct, tag=True, frozen=True):
    """From a worker, and on to the others: what do you count? *number* is that of the question."""

    asker: int
    number: int


class Answer(msgspec.Struct, tag=True, frozen=True):
    """From a worker, and on to the one who asked."""

    asker: int
    number: int
    worker: int
    page: Page


class Serving(msgspec.Struct, tag=True, frozen=True):
    """From a worker: give me connections."""

    facts: StartedFacts


class Failed(msgspec.Struct, tag=True, frozen=True):
    """From a worker, last of all: why it cannot start."""

    reason: str


class Leaving(msgspec.Struct, tag=True, frozen=True):
    """From a worker: give me no more connections."""


Message = Assigned | Reload | Drain | Leave | Crew | Ask | Answer | Serving | Failed | Leaving
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Line:
    """One end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def waiting(self) -> int:
        """How many bytes the other end has not read yet."""
        return self._writer.transport.get_write_buffer_size()

    def say(self, message: Message) -> None:
        """Send a message; one that is gone hears nothing any more."""
        if not self._writer.is_closing():
            frame = _ENCODER.encode(message)
            self._writer.write(_LENGTH.pack(len(frame)) + frame)

    async def hear(self) -> Message | None:
        """Return the next message; None when the other end is gone."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            assert length <= FRAME_BYTES_MAX, "both ends are ours"
            return _DECODER.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None

    async def close(self) -> None:
        """Let go, once everything that was said has been read."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def open_line(end: socket.socket) -> Line:
    """Return the line that has one end in a socket."""
    return Line(*await asyncio.open_connection(sock=end))
