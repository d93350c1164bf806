"""Measures the whole way of a text over SMPP, and Kannel on the same way; prints one JSON document.

The way: HTTP request, submit_sm, receipt, status callbacks. `python -m bench.carriers --help` lists
the options; README.md explains the fields.
"""

import argparse
import contextlib
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from bench import gateways, machine, sink, smsc, tree
from bench.esme import round_trips_per_second
from bench.figures import Row, medians, quantiles
from bench.gateways import Gateway, Surroundings
from bench.load import Sent, send_all
from bench.sink import Tally
from bench.smsc import Seen

MESSAGES = 10_000
CONNECTIONS = 64
ROUNDS = 3
WINDOW = 50
LANES = (1, 4)
WARM_UP = 300
# With fewer texts the wait for the last receipts would be a good part of the time.
CEILING_FACTOR = 5
DELIVERED_SECONDS_MAX = 120
# Never a file system in memory (FHS: it survives a reboot), where a commit would cost nothing.
DIRECTORY = Path("/var/tmp")

Start = Callable[[Surroundings], contextlib.AbstractContextManager[Gateway]]


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is asked of each gateway."""

    messages: int
    connections: int
    rounds: int
    window: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A process at one end of the way, and the pipe to it."""

    control: Connection
    port: int


@dataclass(frozen=True, slots=True)
class Bench:
    """The processes at both ends of the way."""

    pool: Executor
    sink: Peer
    smsc: Peer
    settings: Settings

    def send(self, gateway: Gateway, numbers: range) -> Sent:
        """Send a message for each of *numbers*; fail if one of them is not accepted."""
        requests = [gateway.render(number) for number in numbers]
        connections = self.settings.connections
        sent = self.pool.submit(send_all, gateway.port, requests, connections=connections).result()
        if sent.statuses != {gateway.accepted: len(numbers)}:
            raise RuntimeError(f"not everything was accepted: {dict(sent.statuses)}")
        return sent

    def expect(self, numbers: range) -> None:
        """Let both ends begin to count."""
        self.sink.control.send(numbers)
        assert self.sink.control.recv() == numbers
        self.ask_smsc(smsc.RESET)

    def wait(self) -> Tally:
        """Return what the sink has counted once all is delivered or time is up."""
        if not self.sink.control.poll(DELIVERED_SECONDS_MAX):
            self.sink.control.send(sink.REPORT)
        tally: Tally = self.sink.control.recv()
        return tally

    def last_tally(self) -> Tally:
        """Return what the sink has counted when the gateway has ended."""
        self.sink.control.send(sink.REPORT)
        tally: Tally = self.sink.control.recv()
        return tally

    def ask_smsc(self, order: str) -> Seen:
        """Return what the SMSC has seen."""
        self.smsc.control.send(order)
        seen: Seen = self.smsc.control.recv()
        return seen


def measure_gateway(bench: Bench, start: Start, directory: Path) -> Row:
    """Return what one gateway does, from the request to the callback that says delivered."""
    count = bench.settings.messages
    around = Surroundings(
        smsc_port=bench.smsc.port,
        sink_port=bench.sink.port,
        window=bench.settings.window,
        directory=directory,
    )
    with start(around) as gateway:
        warm_up = range(count, count + WARM_UP)
        bench.expect(warm_up)
        bench.send(gateway, warm_up)
        bench.wait()
        bench.expect(range(count))
        cpu_before = tree.cpu_seconds(gateway.pids)
        with tree.watching(gateway.pids) as peak:
            sent = bench.send(gateway, range(count))
            tally = bench.wait()
        cpu_seconds = tree.cpu_seconds(gateway.pids) - cpu_before
        seen = bench.ask_smsc(smsc.REPORT)
    last = bench.last_tally()
    return {
        **_speed(sent, tally),
        "cpu_seconds_per_1000": round(cpu_seconds / count * 1000, 3),
        "peak_megabytes": round(peak.megabytes, 1),
        **_counts(sent, last, seen),
        "ends_cpu_seconds_per_1000": round(
            (sent.cpu_seconds + tally.cpu_seconds + seen.cpu_seconds) / count * 1000, 3
        ),
    }


def _speed(sent: Sent, tally: Tally) -> Row:
    delivered = tally.delivered_at
    seconds = max(delivered.values(), default=0.0) - min(sent.sent_at)
    waits = [at - sent.answered_at[number] for number, at in delivered.items()]
    return {
        "accepted_per_second": round(len(sent.sent_at) / sent.seconds),
        **quantiles("accepted_ms", sent.answer_seconds),
        "delivered_per_second": round(len(delivered) / seconds) if delivered else 0,
        **quantiles("delivered_ms", waits or [0.0]),
    }


def _counts(sent: Sent, last: Tally, seen: Seen) -> Row:
    """Return what was lost, and what came more than once."""
    count = len(sent.sent_at)
    return {
        "submitted_per_second": round(seen.texts / (seen.last_at - seen.first_at)),
        "not_submitted": count - (seen.texts - seen.repeated),
        "submitted_repeatedly": seen.repeated,
        "receipts_refused": seen.receipts_refused,
        "not_reported_sent": count - last.statuses["sent"],
        "not_reported_delivered": count - len(last.delivered_at),
        "callbacks_repeated": last.repeated,
        "callbacks_unsigned": last.unsigned,
        "callbacks_unknown": last.unknown,
    }


def measure_smsc(bench: Bench) -> Row:
    """Return what the SMSC does with the least of clients."""
    bench.ask_smsc(smsc.RESET)
    count = bench.settings.messages * CEILING_FACTOR
    speed = bench.pool.submit(
        round_trips_per_second, bench.smsc.port, count, bench.settings.window
    ).result()
    seen = bench.ask_smsc(smsc.REPORT)
    return {
        "round_trips_per_second": round(speed),
        "cpu_seconds_per_1000": round(seen.cpu_seconds / count * 1000, 3),
    }


def measure(bench: Bench, directory: Path, lanes: list[int]) -> dict[str, object]:
    """Measure all in turns, so that what else the machine does meets all alike."""
    missing = gateways.missing_programs()
    starts: dict[str, Start] = {
        f"trunkline_lanes_{count}": partial(gateways.trunkline, lanes=count) for count in lanes
    }
    if not missing:
        starts["kannel"] = gateways.kannel
    rows: dict[str, list[Row]] = {"smsc": [], **{name: [] for name in starts}}
    for number in range(bench.settings.rounds):
        rows["smsc"].append(measure_smsc(bench))
        for name, start in starts.items():
            rows[name].append(measure_gateway(bench, start, directory / f"{name}-{number}"))
        print(f"round {number + 1} of {bench.settings.rounds} is done", file=sys.stderr)
    found: dict[str, object] = {name: medians(each) for name, each in rows.items()}
    if missing:
        found |= {"kannel": None, "no_kannel": f"not installed: {', '.join(missing)}"}
    return found | {"rounds": rows}


@contextlib.contextmanager
def running_bench(settings: Settings) -> Iterator[Bench]:
    """Yield a bench with its processes; they end with it."""
    context = multiprocessing.get_context("spawn")
    with (
        running_peer(context, sink.serve, stop=sink.STOP) as sink_peer,
        running_peer(context, smsc.serve, stop=smsc.STOP) as smsc_peer,
        ProcessPoolExecutor(1, mp_context=context) as pool,
    ):
        yield Bench(pool, sink_peer, smsc_peer, settings)


@contextlib.contextmanager
def running_peer(
    context: multiprocessing.context.SpawnContext,
    serve: Callable[[Connection], None],
    *,
    stop: str,
) -> Iterator[Peer]:
    """Yield what serves in a process of its own."""
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    # Held by the process alone, so that its end ends what waits for it.
    theirs.close()
    yield Peer(ours, ours.recv())
    ours.send(stop)
    process.join()


def main() -> None:
    """Measure as the options say."""
    parser = argparse.ArgumentParser(prog="python -m bench.carriers", description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES, help="in each round")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="HTTP connections")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--window", type=int, default=WINDOW, help="of each SMPP connection")
    parser.add_argument("--lanes", type=int, nargs="+", default=LANES, help="SMPP connections")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the data lie")
    options = parser.parse_args()
    settings = Settings(options.messages, options.connections, options.rounds, options.window)
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="trunkline-bench-") as data:
        directory = Path(data).resolve()
        found = machine.facts(directory)
        with running_bench(settings) as bench:
            results = measure(bench, directory, options.lanes)
    asked = {
        "messages": settings.messages,
        "connections": settings.connections,
        "rounds": settings.rounds,
        "window": settings.window,
        "receipt_seconds": smsc.RECEIPT_SECONDS,
        "senders": gateways.SENDERS,
    }
    print(json.dumps({"machine": found, "settings": asked, **results}, indent=2))


if __name__ == "__main__":
    main()
