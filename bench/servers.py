"""The servers that are measured, as processes, and what the kernel says of them (Linux only)."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import ceiling

DELAY_SECONDS = 0.1
STOP_SECONDS = 30
READY = "Press Ctrl-C to stop."
_TICKS = os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM = 11, 12  # proc(5): utime and stime, counted from behind the command's name.


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server under load."""

    pid: int
    port: int
    account_sid: str
    auth_token: str
    sender: str

    def cpu_seconds(self) -> float:
        """Return the processor time of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS

    def peak_megabytes(self) -> float:
        """Return the most memory it has had resident."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024


@contextlib.contextmanager
def running_ceiling() -> Iterator[Server]:
    """Yield the ceiling."""
    with running_program([sys.executable, "-m", "bench.ceiling"]) as process:
        assert process.stdout is not None
        yield Server(
            pid=process.pid,
            port=int(process.stdout.readline()),
            account_sid=ceiling.ACCOUNT_SID,
            auth_token=ceiling.AUTH_TOKEN,
            sender="+14155550100",
        )


@contextlib.contextmanager
def running_trunkline(data_dir: Path) -> Iterator[Server]:
    """Yield a Trunkline with a fresh data directory and a quick simulated network."""
    settings = {
        "data-dir": data_dir,
        "port": 0,
        "log-level": "warning",
        "delivery-delay-seconds": DELAY_SECONDS,
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    with running_program([sys.executable, "-m", "trunkline", "up", *options]) as process:
        assert process.stdout is not None
        if not any(READY in line for line in process.stdout):
            raise RuntimeError("trunkline did not start; what it said stands above")
        left = json.loads((data_dir / "credentials.json").read_text())
        yield Server(
            pid=process.pid,
            port=int(left["base_url"].rpartition(":")[2]),
            account_sid=left["account_sid"],
            auth_token=left["auth_token"],
            sender=left["phone_number"],
        )


@contextlib.contextmanager
def running_program(
    command: Sequence[str], *, output: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """Yield a program that runs; at the end it is told to stop, and ended if it does not."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("TRUNKLINE_")}
    with subprocess.Popen(command, stdout=output, text=True, env=own) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
