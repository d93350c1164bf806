"""Both ends of the way: the load, which also takes the callbacks, and the SMSC.

They are programs in C, so that on a small machine nearly all of the processor is left to what is
measured: a message costs them some 15 µs together, where the same in Python costs 150.
"""

import contextlib
import json
import struct
import subprocess
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Row, quantiles
from bench.programs import find_program, running_program

NATIVE = Path(__file__).parent / "native"
RECEIPT_SECONDS = 0.1
# A message whose callbacks have not come when nothing has come for so long is lost.
PATIENCE_SECONDS = 10.0
_ITEM = struct.calcsize("d")


def build(name: str, directory: Path) -> Path:
    """Return a program of ours, compiled into a directory."""
    compiler = find_program("cc") or find_program("gcc")
    if compiler is None:
        raise SystemExit("The benchmarks' load and SMSC are in C: install gcc and run them again.")
    program = directory / name
    source = NATIVE / f"{name}.c"
    subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program


@dataclass(frozen=True, slots=True)
class End:
    """A process at one end of the way; it answers a line with a line."""

    process: subprocess.Popen[str]
    port: int

    def ask(self, order: str) -> dict[str, float]:
        """Return the answer to an order."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("an end of the way has gone; what it said stands above")
        answer: dict[str, float] = json.loads(line)
        return answer


@contextlib.contextmanager
def running_end(command: Sequence[str]) -> Iterator[End]:
    """Yield one of our programs, which says its port first."""
    with running_program(command) as process:
        assert process.stdout is not None
        yield End(process, int(process.stdout.readline()))


@contextlib.contextmanager
def running_smsc(program: Path, *, port: int = 0) -> Iterator[End]:
    """Yield an SMSC."""
    with running_end([str(program), str(port), str(RECEIPT_SECONDS)]) as end:
        yield end


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is sent: with rate 0 a request as soon as a connection is free, else so many a second.

    The first request is of message number *first*. With patience 0 callbacks are not waited for.
    """

    port: int
    requests: Sequence[bytes]
    first: int = 0
    connections: int = 1
    rate: float = 0.0
    patience: float = PATIENCE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the requests, in order: times of the monotonic clock, 0 for never."""

    sent_at: "array[float]"
    answered_at: "array[float]"
    reported_sent_at: "array[float]"
    reported_delivered_at: "array[float]"
    statuses: "array[float]"
    counts: dict[str, float]

    @property
    def answer_seconds(self) -> list[float]:
        """How long each answer took."""
        return [b - a for a, b in zip(self.sent_at, self.answered_at, strict=True) if b]

    @property
    def delivered_seconds(self) -> list[float]:
        """How long it took from each answer to the callback that says delivered."""
        pairs = zip(self.answered_at, self.reported_delivered_at, strict=True)
        return [b - a for a, b in pairs if b]

    @property
    def whole_seconds(self) -> list[float]:
        """How long it took from each request to that callback."""
        pairs = zip(self.sent_at, self.reported_delivered_at, strict=True)
        return [b - a for a, b in pairs if b]

    @property
    def accepted_per_second(self) -> float:
        """From the first request to the last answer."""
        return len(self.sent_at) / (max(self.answered_at) - min(self.sent_at))

    @property
    def delivered_per_second(self) -> float:
        """From the first request to the last callback that says delivered."""
        last = max(self.reported_delivered_at)
        return self.counts["delivered"] / (last - min(self.sent_at)) if last else 0.0

    def speed(self) -> Row:
        """Return how fast it went."""
        return {
            "accepted_per_second": round(self.accepted_per_second),
            **quantiles("accepted_ms", self.answer_seconds),
            "delivered_per_second": round(self.delivered_per_second),
            **quantiles("delivered_ms", self.delivered_seconds),
        }


class Load:
    """The end that sends requests and takes callbacks."""

    def __init__(self, end: End, directory: Path) -> None:
        self.port = end.port
        self.pid = end.process.pid
        self._end = end
        self._requests = directory / "requests"
        self._times = directory / "times"

    def run(self, asked: Run, *, accepted: int = 201) -> Outcome:
        """Send the requests; raise RuntimeError unless all are answered with *accepted*."""
        with self._requests.open("wb") as file:
            for request in asked.requests:
                file.write(struct.pack("<I", len(request)))
                file.write(request)
        counts = self._end.ask(
            f"run {asked.port} {asked.connections} {asked.rate} {asked.first} {asked.patience}"
            f" {self._requests} {self._times}"
        )
        outcome = self._read(len(asked.requests), counts)
        if set(outcome.statuses) != {float(accepted)}:
            found = {status: outcome.statuses.count(status) for status in set(outcome.statuses)}
            raise RuntimeError(f"not everything was accepted; answers by status: {found}")
        return outcome

    def counts(self) -> dict[str, float]:
        """Return what came so far for the last run: when the gateway has ended, the rest too."""
        return self._end.ask("report")

    def _read(self, count: int, counts: dict[str, float]) -> Outcome:
        arrays = []
        with self._times.open("rb") as file:
            for _ in range(5):
                each = array("d")
                each.frombytes(file.read(count * _ITEM))
                arrays.append(each)
        return Outcome(
            sent_at=arrays[0],
            answered_at=arrays[1],
            reported_sent_at=arrays[2],
            reported_delivered_at=arrays[3],
            statuses=arrays[4],
            counts=counts,
        )
