"""A PostgreSQL server for one run, with its defaults: every commit is flushed to the disk."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import psycopg

from bench.programs import As, find_program, free_ports, running_program, wait_until

# Where Debian and Red Hat keep the programs of each version.
FOLDERS = [*sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin"))), "/usr/pgsql/bin"]
# The server refuses to run as root; its packages make this user.
USER = "postgres"
ROLE = "postgres"

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server that runs."""

    pid: int
    port: int

    def new_database(self) -> str:
        """Make an empty database; return its URL."""
        name = f"bench_{next(_numbers)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as db:
            # Compared byte by byte, as Trunkline's keys are.
            db.execute(
                f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'".encode()
            )
        return self._url(name)

    def is_ready(self) -> bool:
        """Tell whether the server takes connections."""
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    def _url(self, database: str) -> str:
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{database}"


def find_server() -> str | None:
    """Return where the server's program is, the newest of several; None without one."""
    found = (find_program("postgres", folder) for folder in reversed(FOLDERS))
    return next((path for path in found if path), None) or find_program("postgres")


@contextlib.contextmanager
def running_cluster(directory: Path) -> Iterator[Cluster]:
    """Yield a server whose data lie in a new directory."""
    server = find_server()
    assert server, "PostgreSQL is not installed"
    who = As(user=USER) if os.geteuid() == 0 else As()
    directory.mkdir()
    if who.user:
        shutil.chown(directory, who.user, who.user)
    initdb = str(Path(server).with_name("initdb"))
    subprocess.run(
        [initdb, "-D", str(directory), "-U", ROLE, "--auth=trust", "--locale=C", "-E", "UTF8"],
        stdout=subprocess.DEVNULL,
        check=True,
        user=who.user,
        group=who.user,
        cwd="/",
    )
    (port,) = free_ports(1)
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "log_min_messages": "panic",
    }
    options = [f"-c{name}={value}" for name, value in settings.items()]
    command = [server, "-D", str(directory), *options]
    with running_program(command, output=subprocess.DEVNULL, who=who) as process:
        cluster = Cluster(process.pid, port)
        wait_until(partial(cluster.is_ready), "PostgreSQL takes connections")
        yield cluster
