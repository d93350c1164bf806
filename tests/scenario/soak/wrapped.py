"""The `trunkline` command with commits that fail, or are the last thing that happens, when told.

It is run as a program of its own: `python wrapped.py NOTES up …`. NOTES is a file that gets the
port at which orders are taken, as JSON in datagrams, and then a line for each boundary at which
the process killed itself.
"""

import json
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

import psycopg
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from trunkline.cli import main
from trunkline.runtime import SystemClock
from trunkline.store.groups import Work
from trunkline.store.postgres import PostgresStore
from trunkline.store.store import SqliteStore

ORDER_BYTES_MAX = 4096  # An order has four short fields.
INSIDE, AFTER = "inside", "after"
WRITER = "store-writer"  # How the thread that commits is named.
# What the databases say when the disk is full, and when it cannot be written to.
REASONS = {
    "full": ("database or disk is full", psycopg.errors.DiskFull),
    "broken": ("disk I/O error", psycopg.errors.IoError),
}


@dataclass
class Orders:
    """What the process was told: an end at a boundary, a disk in trouble, another time."""

    notes: int
    offset: timedelta = timedelta(0)
    trouble: str = ""
    trouble_until: float = 0.0
    end_when: str = ""
    end_work: str = ""
    _commits: int = 0
    _due: str = ""
    _names: list[str] = field(default_factory=list)

    def take(self, order: dict[str, Any]) -> None:
        """Follow an order."""
        match order["do"]:
            case "clock":
                self.offset = timedelta(seconds=order["seconds"])
            case "disk":
                self.trouble_until = time.monotonic() + order["seconds"]
                self.trouble = order["trouble"]
            case "end":
                self._commits = order["commits"]
                self.end_work = order["work"]
                self.end_when = order["when"]

    def now(self) -> datetime:
        """Return the time as this machine has it."""
        return datetime.now(UTC) + self.offset

    def begin(self, works: Sequence[Work]) -> None:
        """Take notice of the works of the commit that comes, and of whether it is the last one."""
        self._names = sorted(name for work in works if self.end_work in (name := name_of(work)))
        self._due = ""
        if self.end_when and self._names:
            self._commits -= 1
            self._due = self.end_when if self._commits < 0 else ""

    def reach(self, when: str) -> None:
        """Leave a note and be gone, if it is time."""
        if self._due == when:
            os.write(self.notes, f"{when} {self._names[0]}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def complain(self, db: Connection) -> None:
        """Fail as a commit does for which the disk has no room."""
        if time.monotonic() < self.trouble_until:
            text, error = REASONS[self.trouble]
            is_file = db.dialect.name == "sqlite"
            raise OperationalError(
                "COMMIT", {}, sqlite3.OperationalError(text) if is_file else error(text)
            )


def name_of(work: Work) -> str:
    """Return where a work is written down: flows.outbound.accept, for example."""
    while isinstance(work, partial):
        work = work.func
    name = f"{work.__module__}.{work.__qualname__}".removeprefix("trunkline.")
    return name.partition(".<locals>")[0]


def wrap_sqlite(orders: Orders) -> None:
    """Let the orders be asked when a file's commit is about to be made, and when it was."""
    run, commit = SqliteStore._run, SqliteStore._commit

    def noted(self: SqliteStore, works: Sequence[Work]) -> list[Any]:
        orders.begin(works)
        return run(self, works)

    def asked(db: Connection) -> None:
        if db.dialect.name == "sqlite" and threading.current_thread().name.startswith(WRITER):
            orders.complain(db)
            orders.reach(INSIDE)

    def committed(self: SqliteStore, results: list[Any]) -> list[Any]:
        kept = commit(self, results)
        orders.reach(AFTER)
        return kept

    event.listen(Engine, "commit", asked)
    mock.patch.object(SqliteStore, "_run", noted).start()
    mock.patch.object(SqliteStore, "_commit", committed).start()


def wrap_postgres(orders: Orders) -> None:
    """Let the orders be asked by a last work of each commit, and when it was made."""
    commit = PostgresStore._commit

    def last(db: Connection) -> None:
        orders.complain(db)
        orders.reach(INSIDE)

    def committed(self: PostgresStore, works: Sequence[Work]) -> list[Any]:
        orders.begin(works)
        results = commit(self, [*works, last])
        orders.reach(AFTER)
        return results[:-1]

    mock.patch.object(PostgresStore, "_commit", committed).start()


def wrap_clock(orders: Orders) -> None:
    """Let the orders say what time it is."""

    def now(self: SystemClock) -> datetime:
        return orders.now()

    mock.patch.object(SystemClock, "now", now).start()


def listen(orders: Orders, door: socket.socket) -> None:
    """Follow orders for ever."""
    while True:
        orders.take(json.loads(door.recv(ORDER_BYTES_MAX)))


def run() -> None:
    """Wrap the stores and the clock, and be the command."""
    notes = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    orders = Orders(notes, timedelta(seconds=float(os.environ["SOAK_CLOCK_SECONDS"])))
    wrap_sqlite(orders)
    wrap_postgres(orders)
    wrap_clock(orders)
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.bind(("127.0.0.1", 0))
    os.write(notes, f"port {door.getsockname()[1]}\n".encode())
    threading.Thread(target=listen, args=(orders, door), daemon=True).start()
    main()


if __name__ == "__main__":
    run()
