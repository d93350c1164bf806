"""The `trunkline` command with commits that fail, or are the last thing that happens, when told.

It is run as a program of its own, which forks a node for each order that it reads. A node writes
into a file of notes: the port at which it takes orders, as JSON in datagrams; the name of each work
that it commits, once; how many commits its disk refused; and at which boundary it killed itself.
"""

import contextlib
import ctypes
import errno
import json
import os
import platform
import resource
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

import trunkline.app
import trunkline.cli.up  # noqa: F401 - so that nodes need not import it, nor all it needs.
from tests.forking import attend
from tests.scenario.soak.mistakes import MISTAKES
from trunkline.cli import main
from trunkline.domain import sending
from trunkline.runtime import SystemClock
from trunkline.store.groups import Work
from trunkline.store.postgres import PostgresStore
from trunkline.store.store import SqliteStore

ORDER_BYTES_MAX = 4096  # An order has four short fields.
INSIDE, AFTER = "inside", "after"
FULL, BROKEN, UNSYNCED = "full", "broken", "unsynced"
WRITER = "store-writer"  # How the thread that commits is named.
# What PostgreSQL says when its disk is full, and when it cannot be written to.
SQLSTATES = {FULL: "53100", BROKEN: "58030"}
TICK_SECONDS = 0.05


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
    _refused: int = 0
    _names: list[str] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)

    def take(self, order: dict[str, Any]) -> None:
        """Follow an order."""
        match order.get("do"):
            case "clock":
                self.offset = timedelta(seconds=order["seconds"])
            case "disk":
                self.trouble_until = time.monotonic() + order["seconds"]
                self.trouble = order["trouble"]
                if self.trouble == FULL:
                    limit_files(order["limit_bytes"])
                elif self.trouble == UNSYNCED:
                    refuse_to_sync()
            case "end":
                self._commits = order["commits"]
                self.end_work = order["work"]
                self.end_when = order["when"]

    def now(self) -> datetime:
        """Return the time as this machine has it."""
        return datetime.now(UTC) + self.offset

    def note(self, text: str) -> None:
        """Tell whoever gives the orders; not while the disk takes nothing."""
        with contextlib.suppress(OSError):
            os.write(self.notes, f"{text}\n".encode())

    def tick(self) -> None:
        """Let a trouble end when it is time."""
        if self.trouble and time.monotonic() >= self.trouble_until:
            limit_files(resource.RLIM_INFINITY)
            self.note(f"refused {self._refused} {self.trouble}")
            self.trouble, self._refused = "", 0

    def begin(self, works: Sequence[Work]) -> None:
        """Take notice of the works of the commit that comes, and of whether it is the last one."""
        names = {name_of(work) for work in works}
        for name in sorted(names - self._known):
            self._known.add(name)
            self.note(f"saw {name}")
        self._names = sorted(name for name in names if self.end_work in ("", name))
        self._due = ""
        if self.end_when and self._names:
            self._commits -= 1
            self._due = self.end_when if self._commits < 0 else ""

    def reach(self, when: str) -> None:
        """Leave a note and be gone, if it is time."""
        if self._due == when:
            limit_files(resource.RLIM_INFINITY)
            self.note(f"{when} {self._names[0]}")
            os.kill(os.getpid(), signal.SIGKILL)

    def complain(self, db: Connection) -> None:
        """Fail as a commit does that cannot be written."""
        if not self.trouble:
            return
        if db.dialect.name != "sqlite":
            self._refused += 1
            state = SQLSTATES[self.trouble]
            db.exec_driver_sql(f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{state}'; END $$")
        elif self.trouble == BROKEN:
            # So does SQLite itself, when it cannot write.
            db.exec_driver_sql("ROLLBACK")
            raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    def refused(self) -> None:
        """Count a commit that failed."""
        self._refused += bool(self.trouble)


def limit_files(size: int) -> None:
    """Let the kernel refuse all writes beyond a size of any file, as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("start", ctypes.POINTER(_Instruction)))


# The numbers of fsync, fdatasync and seccomp.
_CALLS = {"x86_64": (74, 75, 317), "aarch64": (82, 83, 277)}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVILEGES, _FILTER, _ALL_THREADS = 38, 1, 1


def refuse_to_sync() -> None:
    """Let the kernel fail all that this process syncs, until it ends (seccomp(2))."""
    fsync, fdatasync, seccomp = _CALLS[platform.machine()]
    steps = (_Instruction * 5)(
        _Instruction(_LOAD, 0, 0, 0),
        _Instruction(_EQUAL, 2, 0, fsync),
        _Instruction(_EQUAL, 1, 0, fdatasync),
        _Instruction(_RETURN, 0, 0, _ALLOW),
        _Instruction(_RETURN, 0, 0, _FAIL | errno.EIO),
    )
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    failed = libc.syscall(seccomp, _FILTER, _ALL_THREADS, ctypes.byref(_Program(5, steps)))
    assert not failed, os.strerror(ctypes.get_errno())


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
        try:
            kept = commit(self, results)
        except OperationalError:
            orders.refused()
            raise
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


def shorten_schedules() -> None:
    """Let messages be scheduled for a moment ahead, so that they leave before a soak is over."""
    mock.patch.object(sending, "SCHEDULED_AHEAD_MIN", timedelta(seconds=1)).start()


def listen(orders: Orders, door: socket.socket) -> None:
    """Follow orders for ever."""
    door.settimeout(TICK_SECONDS)
    while True:
        with contextlib.suppress(TimeoutError):
            orders.take(json.loads(door.recv(ORDER_BYTES_MAX)))
        orders.tick()


def run() -> None:
    """Wrap the stores and the clock, and be the command."""
    notes = os.open(os.environ["SOAK_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    orders = Orders(notes, timedelta(seconds=float(os.environ["SOAK_CLOCK_SECONDS"])))
    orders.take(json.loads(os.environ["SOAK_ORDER"]))
    wrap_sqlite(orders)
    wrap_postgres(orders)
    wrap_clock(orders)
    shorten_schedules()
    if mistake := os.environ.get("SOAK_MISTAKE"):
        MISTAKES[mistake]()
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.bind(("127.0.0.1", 0))
    os.write(notes, f"port {door.getsockname()[1]}\n".encode())
    threading.Thread(target=listen, args=(orders, door), daemon=True).start()
    main()


if __name__ == "__main__":
    attend()
    run()
