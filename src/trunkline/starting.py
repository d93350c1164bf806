"""What a start takes hold of first: the data directory and the addresses, or why it cannot."""

import contextlib
import errno
import fcntl
import socket
from collections.abc import Iterator
from pathlib import Path

from trunkline.config import Config
from trunkline.datadir import CREDENTIALS_FILE, Credentials, StartedFacts, write_credentials
from trunkline.serving import BACKLOG

# Of SMPP clients, which bind once and stay.
SMPP_BACKLOG = 100


class StartupError(Exception):
    """The server cannot start; the text says why and what to do."""


@contextlib.contextmanager
def owned(data_dir: Path) -> Iterator[int]:
    """Hold the data directory, or raise StartupError: SQLite's file is one process's.

    It is held until the file that is yielded is closed everywhere, by those who inherited it, too.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data_dir / "lock").open("w")
    except OSError as error:
        raise StartupError(
            f"The data directory {data_dir} cannot be written: {error.strerror};"
            " choose another with --data-dir."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartupError(
                f"Another Trunkline uses the data directory {data_dir};"
                " stop it, or choose another with --data-dir."
            ) from error
        yield lock.fileno()


@contextlib.contextmanager
def listening(config: Config) -> Iterator[list[socket.socket]]:
    """Hold the address to listen on, or raise StartupError."""
    try:
        sock = listen(config.host, config.port, backlog=BACKLOG)
    except OSError as error:
        reason = (
            "is in use"
            if error.errno == errno.EADDRINUSE
            else f"cannot be listened on ({error.strerror})"
        )
        raise StartupError(
            f"Port {config.port} on {config.host} {reason};"
            " stop what uses it, or choose another with --port."
        ) from error
    with sock:
        yield [sock]


@contextlib.contextmanager
def smpp_listening(config: Config) -> Iterator[list[socket.socket]]:
    """Hold the addresses that SMPP clients bind to, or raise StartupError."""
    ports = [port for port in (config.smpp_port, config.smpp_tls_port) if port is not None]
    with contextlib.ExitStack() as held:
        try:
            yield [
                held.enter_context(listen(config.host, port, backlog=SMPP_BACKLOG))
                for port in ports
            ]
        except OSError as error:
            raise smpp_trouble(error) from error


def smpp_trouble(error: OSError) -> StartupError:
    """Return what is said where the SMPP server cannot listen."""
    return StartupError(
        f"The SMPP server cannot listen: {error.strerror};"
        " choose other ports with --smpp-port and --smpp-tls-port."
    )


def listen(host: str, port: int, *, backlog: int) -> socket.socket:
    """Return a socket that listens on the first of a host's addresses; raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=backlog)


def leave_credentials(data_dir: Path, facts: StartedFacts) -> None:
    """Leave what clients need in the data directory, or raise StartupError."""
    try:
        write_credentials(data_dir, credentials_of(facts))
    except OSError as error:
        raise StartupError(
            f"{data_dir / CREDENTIALS_FILE} cannot be written: {error.strerror}."
        ) from error


def credentials_of(facts: StartedFacts) -> Credentials:
    """Return what clients need of what whoever started the server is told."""
    return Credentials(
        account_sid=facts.account_sid,
        auth_token=facts.auth_token,
        base_url=facts.base_url,
        local_url=facts.local_url,
        phone_number=facts.phone_number,
    )
