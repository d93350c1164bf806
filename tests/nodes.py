"""Several Trunklines as real processes on one PostgreSQL database, and what can be between them."""

import base64
import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any
from urllib.parse import urlsplit

from tests.databases import DATABASES
from tests.processes import Server, ask, wait_until

LEASE_SECONDS = 2
SECONDS = 20.0
KEY = base64.b64encode(bytes(range(32))).decode()
CHUNK = 65_536


class Proxy:
    """Stands between a node and its database; cut, it lets nothing through and says nothing."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = threading.Event()
        self._open.set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[socket.socket] = []
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let nothing through; connections stay as they are, as where a cable is pulled."""
        self._open.clear()

    def mend(self) -> None:
        """Let everything through again, what was held up, too."""
        self._open.set()

    def close(self) -> None:
        """End all connections."""
        self._open.set()
        self._server.close()
        for end in self._pairs:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._pairs += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while octets := source.recv(CHUNK):
                self._open.wait()
                sink.sendall(octets)
            sink.shutdown(socket.SHUT_WR)


@dataclass
class Nodes:
    """Nodes on one database; `servers` are those that run, by their places."""

    directory: Path
    settings: dict[str, object] = field(default_factory=dict)
    servers: dict[int, Server] = field(default_factory=dict)
    proxies: dict[int, Proxy] = field(default_factory=dict)

    def start(self, place: int, *, through_proxy: bool = False) -> Server:
        """Start a node."""
        url = DATABASES.settings(self.directory / "shared")["database"]
        if through_proxy:
            parts = urlsplit(url)
            proxy = self.proxies[place] = Proxy(int(parts.port or 0))
            url = url.replace(f":{parts.port}/", f":{proxy.port}/")
        given = {
            "database": url,
            "secret_key": KEY,
            "lease_seconds": LEASE_SECONDS,
            "delivery_delay_seconds": 0.1,
            **self.settings,
        }
        server = Server(self.directory / f"node{place}" / "data", **given)
        self.servers[place] = server
        return server

    def stand_still(self, place: int) -> None:
        """Stop a node between two instructions."""
        self.servers[place].process.popen.send_signal(SIGSTOP)

    def go_on(self, place: int) -> None:
        """Let a node go on as if nothing had been."""
        self.servers[place].process.popen.send_signal(SIGCONT)

    def kill(self, place: int) -> None:
        """End a node without a word."""
        server = self.servers.pop(place)
        server.process.popen.kill()
        server.process.popen.wait()

    def shown(self, place: int) -> dict[str, Any]:
        """Return what a node tells of all of them."""
        server = self.servers[place]
        answer = ask("GET", f"{server.base_url}/trunkline/v1/nodes", auth=server.auth)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json
        return found

    def lanes(self, *, asked: int) -> dict[str, list[str]]:
        """Return which lanes each node has that is not silent, by its name."""
        return {
            node["name"]: [
                lease["name"] for lease in node["leases"] if lease["name"].startswith("lane:")
            ]
            for node in self.shown(asked)["nodes"]
            if node["state"] != "silent"
        }

    def name(self, place: int) -> str:
        """Return what the others call a node."""
        return f"{socket.gethostname()}:{urlsplit(self.servers[place].base_url).port}"

    def spread(self, counts: Sequence[int], *, asked: int, seconds: float = SECONDS) -> None:
        """Wait until the lanes are spread so, the smallest number first."""
        wanted = list(counts)
        wait_until(
            lambda: sorted(map(len, self.lanes(asked=asked).values())) == wanted,
            seconds,
            what=f"lanes spread {wanted}",
        )

    def close(self) -> None:
        """Leave nothing running."""
        for server in self.servers.values():
            with contextlib.suppress(ProcessLookupError):
                server.process.popen.send_signal(SIGCONT)
            server.process.close()
        for proxy in self.proxies.values():
            proxy.close()


@contextlib.contextmanager
def running_nodes(directory: Path, count: int, **settings: object) -> Iterator[Nodes]:
    """Yield nodes that run."""
    nodes = Nodes(directory, settings)
    try:
        for place in range(count):
            nodes.start(place)
        yield nodes
    finally:
        nodes.close()


def ports_of(process_id: int) -> set[int]:
    """Return from which local ports a process has its connections."""
    inodes = set()
    for link in Path(f"/proc/{process_id}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(link)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [row.split() for row in rows]
    return {int(row[1].rpartition(":")[2], 16) for row in fields if row[9] in inodes}
