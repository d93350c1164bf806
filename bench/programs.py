"""Programs as processes: started, waited for, and ended."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

READY_SECONDS = 30
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class As:
    """Under which user a program runs, where not under ours, and what it finds set."""

    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


US = As()


def find_program(name: str, *folders: str) -> str | None:
    """Return the path of a program; Debian keeps daemons where not everybody's PATH leads."""
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin", *folders))
    return shutil.which(name, path=path)


@contextlib.contextmanager
def running_program(
    command: Sequence[str], *, output: int = subprocess.PIPE, who: As = US
) -> Iterator[subprocess.Popen[str]]:
    """Yield a program that runs; at the end it is told to stop, and ended if it does not."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("TRUNKLINE_")}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=output,
        text=True,
        env=own | who.environment,
        user=who.user,
        group=who.user,
        extra_groups=[] if who.user else None,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Return once it is so; raise when it takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain: {what}")
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, for programs that cannot choose one themselves."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def first_line(command: Sequence[str]) -> str | None:
    """Return the first line that a program prints, or None where it is not there."""
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    lines = (found.stdout + found.stderr).splitlines()
    return lines[0].strip() if lines else None
