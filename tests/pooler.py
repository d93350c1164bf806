"""A PgBouncer in front of a server: every transaction may be on another of its connections."""

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from configparser import ConfigParser
from pathlib import Path

from tests.ports import free_port
from tests.postgres import ADMIN, OWNER, another_user

START_SECONDS = 10.0
SHIPPED = Path(__file__).parents[1] / "deploy" / "pgbouncer" / "pgbouncer.ini"
# Ours differ in this; so few connections let every transaction be on another.
OURS = {
    "unix_socket_dir": "",
    "auth_type": "trust",
    "auth_file": "users",
    "default_pool_size": "3",
    "logfile": "log",
}


class Pooler:
    """A pooler with a directory and a port of its own; it lives until `close`, or until we end."""

    def __init__(self, server: int) -> None:
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="trunkline-pooler-"))
        user = another_user(self._directory)
        settings = self._directory / "settings.ini"
        with settings.open("w") as file:
            _settings(server, self.port).write(file)
        (self._directory / "users").write_text("".join(f'"{u}" ""\n' for u in (ADMIN, OWNER)))
        for path in (settings, self._directory / "users"):
            path.chmod(0o644)
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
        assert program, "The tests need PgBouncer."
        self._process = subprocess.Popen(
            [*user, program, "--quiet", settings.name],
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait()

    def url(self, database: str) -> str:
        """Return where a database is, by way of the pooler."""
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        """Leave nothing of it."""
        self._process.terminate()
        self._process.wait(START_SECONDS)
        shutil.rmtree(self._directory)

    def _wait(self) -> None:
        over, tick = time.monotonic() + START_SECONDS, threading.Event()
        while time.monotonic() < over and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            tick.wait(0.01)
        raise AssertionError((self._directory / "log").read_text())


def _settings(server: int, port: int) -> ConfigParser:
    """Return the settings that we recommend, for a server and a port of the tests."""
    found = ConfigParser(interpolation=None, comment_prefixes=(";",))
    found.read(SHIPPED)
    found["databases"] = {"*": f"host=127.0.0.1 port={server}"}
    found["pgbouncer"].update(OURS, listen_port=str(port))
    return found
