"""A throw-away PostgreSQL server, and databases on it that are copies of a template."""

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psycopg
from psycopg import sql

from tests.ports import free_port

DEBIAN = Path("/usr/lib/postgresql")  # Its programs are on nobody's PATH.
EMPTY = "template0"  # What every cluster has.
ADMIN, OWNER = "postgres", "trunkline"  # Trunkline needs no more than to own its database.
# Each test makes some four hundred files and removes them again: on some file systems that takes
# the processor ten times as long as in memory.
MEMORY, MEMORY_BYTES_MIN = Path("/dev/shm"), 2_000_000_000
START_SECONDS = 30.0  # A start takes a tenth of a second on an idle machine.
STARTS_MAX = 5  # Between finding a free port and taking it somebody else may take it.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "autovacuum": "off",  # A test lives for a second, and its database with it.
    "max_connections": "100",
    "shared_buffers": "32MB",
}
# The machine stays up while tests run, so what the kernel has is as good as on the disk.
CARELESS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "128MB",  # It is in memory.
}


class Cluster:
    """A server with a directory and a port of its own; it lives until `close`, or until we end.

    A *durable* one writes as servers in earnest do, to the disk. Make it on the main thread: it is
    ended when the thread that started it ends without a word.
    """

    def __init__(self, *, durable: bool = False) -> None:
        where = None if durable else roomy_memory()
        self.directory = Path(tempfile.mkdtemp(prefix="trunkline-pg-", dir=where))
        self.settings = SETTINGS if durable else SETTINGS | CARELESS
        self.port = 0
        self._user = another_user(self.directory)
        self._run(
            *("initdb", "--pgdata=data", f"--username={ADMIN}", "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C"),
        )
        self.start()
        self._admin.execute(f"CREATE ROLE {OWNER} LOGIN")

    def start(self) -> None:
        """Start it; after `stop` and `kill` again, on the same port."""
        for _ in range(STARTS_MAX):
            port = self.port or free_port()
            if self._listens(port):
                self.port = port
                return
        raise AssertionError((self.directory / "log").read_text())

    def stop(self) -> None:
        """Stop it as an administrator does who does not wait for clients."""
        self._end("fast")

    def kill(self) -> None:
        """End all its processes at once; the next start recovers."""
        self._end("immediate")

    def close(self) -> None:
        """Leave nothing of it, whether or not it runs."""
        if self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory)

    def url(self, database: str) -> str:
        """Return where a database is, as the setting has it."""
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, *, template: str = EMPTY) -> None:
        """Make a database: empty, or a copy of one that nobody is connected to."""
        names = map(sql.Identifier, (database, OWNER, template))
        # Copying the files takes 25 ms, half as long as through the log.
        command = "CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy"
        self._admin.execute(sql.SQL(command).format(*names))

    def drop(self, database: str) -> None:
        """Remove a database, whoever is still connected to it."""
        name = sql.Identifier(database)
        self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def _listens(self, port: int) -> bool:
        """Start it on a port; tell whether it could take that one."""
        given = {**self.settings, "port": port, "unix_socket_directories": self.directory}
        options = [f"--{name}={value}" for name, value in given.items()]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._user, str(programs() / "postgres"), "-D", "data", *options],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then end it in order.
            )
        over, tick = time.monotonic() + START_SECONDS, threading.Event()
        while self._process.poll() is None and time.monotonic() < over:
            try:
                # By way of its directory: on the port somebody else may answer.
                self._admin = psycopg.connect(
                    host=str(self.directory), port=port, user=ADMIN, dbname=ADMIN, autocommit=True
                )
            except psycopg.OperationalError:
                tick.wait(0.01)
            else:
                return True
        return False

    def _end(self, mode: str) -> None:
        self._admin.close()
        self._run("pg_ctl", "stop", "--pgdata=data", f"--mode={mode}", "--no-wait")
        self._process.wait(START_SECONDS)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._user, str(programs() / program), *arguments],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
        )


def roomy_memory() -> Path | None:
    """Return where files are kept in memory; None where there is little, or no such place."""
    is_roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN
    return MEMORY if is_roomy and os.access(MEMORY, os.W_OK) else None


def programs() -> Path:
    """Return where the newest PostgreSQL of this machine has its programs."""
    versions = [path for path in DEBIAN.glob("*/bin") if path.parent.name.isdecimal()]
    if versions:
        return max(versions, key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    assert found, "The tests need PostgreSQL's server and its programs."
    return Path(found).parent


def another_user(directory: Path) -> list[str]:
    """Return what a command begins with so that it ends with us, and does not run as root.

    The programs refuse root, who becomes the user whom the package made.
    """
    if shutil.which("setpriv") is None:  # Elsewhere than on Linux.
        return []
    command = ["setpriv", "--pdeathsig=QUIT"]
    if os.geteuid() != 0:
        return command
    known = pwd.getpwnam("postgres")
    os.chown(directory, known.pw_uid, known.pw_gid)
    return [*command, f"--reuid={known.pw_uid}", f"--regid={known.pw_gid}", "--clear-groups"]
