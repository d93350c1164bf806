"""What passes between two SMPP peers, recorded by a relay and read by Wireshark's dissector."""

import contextlib
import socket
import struct
import subprocess
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.processes import environment

TSHARK_SECONDS = 60
SMPP_PORT = 2775
CLIENT_PORTS = 40000
CHUNK = 1400  # What fits into a packet of an Ethernet.

BELOW_SMPP = {"geninfo", "frame", "raw", "ip", "tcp"}
PREFERENCES = ("-T", "pdml", "-o", "smpp.decode_sms_over_smpp:GSM 7-bit")

# libpcap's file format: magic number, version, time zone, accuracy, longest packet, link type; raw
# IPv4 packets are link type 228.
_FILE = struct.Struct("<IHHiIII")
_PACKET = struct.Struct("<IIII")
_IPV4 = struct.Struct(">BBHHHBBH4s4s")
_TCP = struct.Struct(">HHIIBBHHH")
_LINKTYPE_IPV4 = 228
_PUSH_ACK = 0x18
_LOOPBACK = bytes((127, 0, 0, 1))


class Chunk(NamedTuple):
    """Octets that passed in one direction of a connection."""

    connection: int
    is_from_client: bool
    octets: bytes


@dataclass
class Relay:
    """A port that leads to another one; everything that passes is recorded in order."""

    target: int
    chunks: list[Chunk] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._pumps: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        """Cut all connections."""
        cut(self._listening)
        self._accepting.join()
        for each in self._sockets:
            cut(each)
        for pump in self._pumps:
            pump.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # It is closed.
            for connection in count():
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                self._sockets += (client, server)
                self._pump(client, server, connection=connection, is_from_client=True)
                self._pump(server, client, connection=connection, is_from_client=False)

    def _pump(
        self, source: socket.socket, sink: socket.socket, *, connection: int, is_from_client: bool
    ) -> None:
        def pump() -> None:
            with contextlib.suppress(OSError):  # One of them is closed.
                while octets := source.recv(CHUNK):
                    self.chunks.append(Chunk(connection, is_from_client, octets))
                    sink.sendall(octets)
                sink.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=pump)
        self._pumps.append(thread)
        thread.start()


def cut(connection: socket.socket) -> None:
    """Close a socket so that whoever waits for it wakes up."""
    with contextlib.suppress(OSError):  # The peer has gone already.
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextlib.contextmanager
def relaying(target: int) -> Iterator[Relay]:
    """Yield a relay to a port of this machine."""
    relay = Relay(target)
    try:
        yield relay
    finally:
        relay.close()


def write_pcap(path: Path, chunks: Sequence[Chunk]) -> None:
    """Write what passed as a capture of TCP connections to SMPP_PORT."""
    sent = {(chunk.connection, side): 1 for chunk in chunks for side in (True, False)}
    packets = [_FILE.pack(0xA1B2C3D4, 2, 4, 0, 0, 0xFFFF, _LINKTYPE_IPV4)]
    for at, (connection, is_from_client, octets) in enumerate(chunks):
        client_port = CLIENT_PORTS + connection
        ports = (client_port, SMPP_PORT) if is_from_client else (SMPP_PORT, client_port)
        place = (sent[connection, is_from_client], sent[connection, not is_from_client])
        tcp = _TCP.pack(*ports, *place, _TCP.size // 4 << 4, _PUSH_ACK, 0xFFFF, 0, 0)
        size = _IPV4.size + len(tcp) + len(octets)
        ip = _IPV4.pack(0x45, 0, size, at, 0, 64, socket.IPPROTO_TCP, 0, _LOOPBACK, _LOOPBACK)
        packets += (_PACKET.pack(at, 0, size, size), ip, tcp, octets)
        sent[connection, is_from_client] += len(octets)
    path.write_bytes(b"".join(packets))


@dataclass(frozen=True)
class Dissected:
    """What Wireshark says about one PDU: the values of each field, and what it found wrong."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def one(self, name: str) -> str:
        """Return the value of a field that is there once."""
        (value,) = self.fields[name]
        return value

    def add(self, tree: ET.Element) -> None:
        """Take the fields of a protocol, however deep, and the dissector's own remarks."""
        for element in tree.iter("field"):
            name, told = element.get("name", ""), element.get("showname", "")
            value = element.get("show") or told
            self.fields.setdefault(name, []).append(value)
            if name.startswith("_ws."):
                self.complaints.append(told or value)


def dissect(path: Path) -> list[Dissected]:
    """Return every SMPP PDU of a capture as Wireshark reads it.

    What is inside a PDU is a protocol of its own that follows it; malformed packets are one too.
    """
    ran = subprocess.run(
        ["tshark", "-n", "-r", path, "-d", f"tcp.port=={SMPP_PORT},smpp", *PREFERENCES],
        env=environment({}),
        capture_output=True,
        timeout=TSHARK_SECONDS,
        check=True,
    )
    found: list[Dissected] = []
    for protocol in ET.fromstring(paired(ran.stdout)).iter("proto"):
        name = protocol.get("name", "")
        if name == "smpp":
            found.append(Dissected())
        if name not in BELOW_SMPP:
            found[-1].add(protocol)
            found[-1].complaints.extend([name] * name.startswith("_ws."))
    return found


def paired(octets: bytes) -> str:
    """Return UTF-8 as text; Wireshark takes the halves of a surrogate pair for two characters."""
    halves = octets.decode("utf-8", "surrogatepass")
    return halves.encode("utf-16", "surrogatepass").decode("utf-16")
