"""Starts programs quickly: one process has imported everything, and forks others when told.

Importing takes ten times as long as all the rest of a start, and there are many starts.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
TICK_SECONDS = 0.01


class Child:
    """A process that a nursery forked, with what `subprocess.Popen` offers of one's own."""

    def __init__(self, nursery: "Nursery", arguments: Sequence[str], pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery
        self._arguments = arguments

    def poll(self) -> int | None:
        """Return how it ended, if it has; its number is nobody else's until this was asked."""
        with self._nursery.lock:
            if self.returncode is None:
                self.returncode = self._nursery.ask(ended=self.pid)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended, or raise `subprocess.TimeoutExpired`."""
        tick, waited = threading.Event(), 0.0
        while (code := self.poll()) is None:
            if timeout is not None and waited >= timeout:
                raise subprocess.TimeoutExpired(list(self._arguments), timeout)
            tick.wait(TICK_SECONDS)
            waited += TICK_SECONDS
        return code


class Nursery:
    """Has one program forked as often as it is wanted; *module* attends (`tests/forking.py`).

    Its process starts with the first order.
    """

    def __init__(self, module: str) -> None:
        self.lock = threading.RLock()
        self._module = module
        self._process: subprocess.Popen[str] | None = None

    def fork(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> Child:
        """Start the program as `subprocess.Popen` would, without a terminal."""
        with self.lock:
            pid = self.ask(
                arguments=list(arguments),
                cwd=str(cwd),
                env=dict(env),
                stdout=stdout.name,
                stderr=stderr.name,
            )
        return Child(self, arguments, pid)

    def ask(self, **order: object) -> Any:
        """Return the answer to an order; whoever asks has the lock."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for the tests, which then end it in order.
            )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Let it end, when all that it forked are gone."""
        if self._process is not None:
            self._process.communicate()
            self._process = None
