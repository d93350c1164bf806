"""Trunkline as it is installed: nodes as real processes, their database, and ways to hurt them."""

import base64
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals
from typing import Any

from tests.nursery import Nursery
from tests.ports import free_ports
from tests.postgres import Cluster, programs
from tests.processes import READY, Process, ask
from tests.scenario.soak.ledger import Ledger
from tests.scenario.soak.stored import Reading
from tests.scenario.soak.surroundings import Gate, Surroundings

LEASE_SECONDS = 2
STARTS_MAX = 30  # A start fails while the database is away; a second each is more than it takes.
STOP_SECONDS = 15.0
CHECK_SECONDS = 120.0
RETRIES = ",".join(["0.3", "0.5", "1", "2", *["4"] * 16])
KEY = base64.b64encode(bytes(range(32))).decode()
DATABASE = "soak"
WRAPPED = "tests.scenario.soak.wrapped"


@dataclass
class Node:
    """One `trunkline up` that can be started again at the same place."""

    directory: Path
    settings: dict[str, object]
    port: int
    smpp_port: int
    nursery: Nursery
    mistake: str = ""
    process: Process | None = None
    clock_seconds: float = 0.0
    is_up: bool = False
    kills: int = 0
    _control: int = 0
    _notes_read: int = 0

    @property
    def base_url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> Path:
        """Its data directory."""
        return self.directory / "data"

    def start(self, **order: object) -> None:
        """Start it, with an order for the first time; again and again while its database is away.

        One that killed itself on the way is started again, too.
        """
        for _ in range(STARTS_MAX):
            self.process = self._begin(order)
            with contextlib.suppress(AssertionError):
                self.process.wait_for(READY)
                self.is_up = True
                return
            self._bury()
            order = {}
        raise AssertionError(self.process.stderr if self.process else "")

    def order(self, **order: object) -> None:
        """Tell the process something; one that is about to end may not hear it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(json.dumps(order).encode(), ("127.0.0.1", self._port_of_orders()))

    def has_ended(self) -> bool:
        """Say whether the process is gone."""
        return self.process is None or self.process.popen.poll() is not None

    def end(self, number: Signals = SIGKILL, *, seconds: float = STOP_SECONDS) -> bool:
        """Send a signal that ends it; say whether it was gone in time."""
        assert self.process is not None
        self.is_up = False
        try:
            self.process.end(number, seconds=seconds)
        except subprocess.TimeoutExpired:
            return False
        finally:
            self._bury()
        return True

    def halt(self) -> None:
        """Stop it between two instructions."""
        assert self.process is not None
        self.process.popen.send_signal(SIGSTOP)

    def go_on(self) -> None:
        """Let it go on as if nothing had been."""
        assert self.process is not None
        self.process.popen.send_signal(SIGCONT)

    def news(self) -> list[str]:
        """Return what it noted since this was asked last, but for where it takes orders."""
        lines = [line for line in self._notes() if not line.startswith("port ")]
        found, self._notes_read = lines[self._notes_read :], len(lines)
        return found

    def log_bytes(self) -> int:
        """Return how long the database's log is, where there is a file."""
        path = self.data_dir / "trunkline.db-wal"
        return path.stat().st_size if path.exists() else 0

    def close(self) -> None:
        """Leave nothing running."""
        if self.process is not None:
            self.process.close()

    def _bury(self) -> None:
        """See it gone, and count it if that was no end of its own."""
        assert self.process is not None
        self.process.close()
        self.kills += self.process.popen.returncode == -SIGKILL

    def _begin(self, order: Mapping[str, object]) -> Process:
        given = {"port": self.port, "smpp_port": self.smpp_port, "data_dir": self.data_dir}
        options = [f"--{n.replace('_', '-')}={v}" for n, v in {**given, **self.settings}.items()]
        env = {
            "SOAK_CLOCK_SECONDS": str(self.clock_seconds),
            "SOAK_ORDER": json.dumps(order),
            "SOAK_MISTAKE": self.mistake,
            "SOAK_NOTES": str(self._notes_path),
        }
        return Process(["up", *options], self.directory / "said", env=env, nursery=self.nursery)

    @property
    def _notes_path(self) -> Path:
        return self.directory / "notes"

    def _notes(self) -> Sequence[str]:
        return self._notes_path.read_text().splitlines() if self._notes_path.exists() else []

    def _port_of_orders(self) -> int:
        ports = [line for line in self._notes() if line.startswith("port ")]
        return int(ports[-1].split()[1])


@dataclass
class Site:
    """All nodes, the database that they share, and what is known of them."""

    directory: Path
    surroundings: Surroundings
    ledger: Ledger
    nodes: list[Node] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    cluster: Cluster | None = None
    mistake: str = ""
    nursery: Nursery = field(default_factory=partial(Nursery, WRAPPED))
    began: float = field(default_factory=time.monotonic)

    def set_up(self, count: int, *, is_shared: bool) -> None:
        """Start so many nodes, on one PostgreSQL database if it is shared; else one on a file."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if is_shared:
            self.cluster = Cluster(durable=True)
            self.cluster.create(DATABASE)
        ports = free_ports(2 * count)
        for place in range(count):
            settings = {
                "webhook_retry_seconds": RETRIES,
                "delivery_delay_seconds": 0.2,
                "log_level": "warning",
                **(self._shared() if is_shared else {}),
            }
            directory = self.directory / f"node{place}"
            directory.mkdir()
            port, smpp_port = ports[2 * place : 2 * place + 2]
            node = Node(directory, settings, port, smpp_port, self.nursery, self.mistake)
            self.nodes.append(node)
            self.nodes[-1].start()
        left = json.loads((self.nodes[0].data_dir / "credentials.json").read_text())
        self.account_sid: str = left["account_sid"]
        self.auth_token: str = left["auth_token"]
        self.number: str = left["phone_number"]

    @property
    def auth(self) -> tuple[str, str]:
        """The main account's credentials."""
        return self.account_sid, self.auth_token

    @property
    def reading(self) -> Reading:
        """What reads the database."""
        if self.cluster is not None:
            return Reading(url=self.cluster.url(DATABASE))
        return Reading(file=self.nodes[0].data_dir / "trunkline.db")

    def post(self, path: str, **form: object) -> Any:
        """Ask the first node for something that is to be made."""
        return self.post_as(self.auth, path, form)

    def post_as(self, auth: tuple[str, str], path: str, form: Mapping[str, object]) -> Any:
        """Ask the first node for something that is to be made for an account."""
        answer = ask("POST", self.nodes[0].base_url + path, form, auth=auth)
        assert answer.status in (200, 201), answer.body
        return answer.json

    def get(self, path: str, auth: tuple[str, str]) -> Any:
        """Ask the first node for something that is there."""
        answer = ask("GET", self.nodes[0].base_url + path, auth=auth)
        assert answer.status == 200, answer.body
        return answer.json

    def disturb(self) -> None:
        """Note that from now on nodes may have forgotten what they had in hand."""
        self.ledger.disturbed.append(time.monotonic() - self.began)

    def any_up(self, chance: Random) -> Node | None:
        """Return a node that runs, as far as is known."""
        up = [node for node in self.nodes if node.is_up]
        return chance.choice(up) if up else None

    def check(self) -> list[str]:
        """Return what `trunkline db check` finds; nodes may run."""
        node = self.nodes[0]
        options = [f"--data-dir={node.data_dir}", "--json"]
        if self.cluster is not None:
            options.append(f"--database={self.cluster.url(DATABASE)}")
        command = [sys.executable, "-m", "trunkline", "db", "check", *options]
        done = subprocess.run(command, capture_output=True, timeout=CHECK_SECONDS, check=False)
        if not done.stdout:
            return [done.stderr.decode()]
        return [json.dumps(fault) for fault in json.loads(done.stdout)["faults"]]

    def save(self) -> None:
        """Keep what a shared database has as a file beside the nodes; a file is there anyway."""
        if self.cluster is not None:
            command = [str(programs() / "pg_dump"), f"--dbname={self.cluster.url(DATABASE)}"]
            with (self.directory / "dump.sql").open("wb") as out:
                subprocess.run(command, stdout=out, timeout=CHECK_SECONDS, check=True)

    def stop(self) -> None:
        """Stop all nodes in order."""
        for node in self.nodes:
            node.end(SIGTERM)

    def close(self) -> None:
        """Leave nothing running."""
        for node in self.nodes:
            node.close()
        self.nursery.close()
        if self.cluster is not None:
            self.cluster.close()

    def _shared(self) -> dict[str, object]:
        assert self.cluster is not None
        gate = Gate()
        self.surroundings.call(gate.open(self.cluster.port))
        self.gates.append(gate)
        url = self.cluster.url(DATABASE).replace(f":{self.cluster.port}/", f":{gate.port}/")
        return {"database": url, "secret_key": KEY, "lease_seconds": LEASE_SECONDS}
