"""Starts nodes quickly: one process has imported everything, and forks a node whenever it is told.

Importing takes ten times as long as all the rest of a start, and there are many kills.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import READY, START_SECONDS, environment, wait_until

ROOT = Path(__file__).parents[3]
MODULE = "tests.scenario.soak.wrapped"


@dataclass
class Born:
    """A node's process, which writes what it says into files."""

    nursery: "Nursery"
    process_id: int
    out: Path
    err: Path
    code: int | None = None

    def has_ended(self) -> bool:
        """Say whether it is gone; its number is nobody else's until this was asked."""
        if self.code is None:
            self.code = self.nursery.ask(ended=self.process_id)
        return self.code is not None

    def send(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if not self.has_ended():
            os.kill(self.process_id, number)

    def wait(self, seconds: float) -> bool:
        """Say whether it is gone in time."""
        with contextlib.suppress(AssertionError):
            return wait_until(self.has_ended, seconds)
        return False

    def wait_until_ready(self) -> None:
        """Return once it can be used; fail when it ends before."""
        wait_until(lambda: self._is_ready() or self.has_ended(), START_SECONDS, what=READY)
        assert self._is_ready(), f"exit code {self.code}\n{self.err.read_text()}"

    def close(self) -> None:
        """Leave nothing running."""
        self.send(signal.SIGKILL)
        self.wait(START_SECONDS)

    def _is_ready(self) -> bool:
        return READY in self.out.read_text()


class Nursery:
    """The process that forks nodes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            cwd=ROOT,
            env=environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._count = 0

    def bear(
        self, arguments: Sequence[str], directory: Path, *, notes: Path, env: Mapping[str, str]
    ) -> Born:
        """Start a node in a directory."""
        self._count += 1
        directory.mkdir(exist_ok=True)
        out, err = (directory / f"{self._count}.{name}" for name in ("out", "err"))
        given = {"arguments": arguments, "directory": directory, "notes": notes, "env": env}
        out.touch()
        process_id = self.ask(**given, out=out, err=err)
        return Born(self, process_id, out, err)

    def ask(self, **order: object) -> Any:
        """Return the answer to an order."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order, default=str) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Let it end, when all that it bore are gone."""
        self._process.communicate()
