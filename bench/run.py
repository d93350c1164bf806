"""Measures Trunkline beside the ceiling of its HTTP server; prints one JSON document.

`python -m bench.run --help` lists the options; README.md explains the fields.
"""

import argparse
import base64
import contextlib
import json
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlencode

from bench import machine
from bench.figures import Row, medians, quantiles
from bench.load import Sent, send_all
from bench.servers import DELAY_SECONDS, Server, running_ceiling, running_trunkline
from bench.sink import REPORT, STOP, Tally, serve

MESSAGES = 3000
CONNECTIONS = 64
ROUNDS = 3
WARM_UP = 300
# The ceiling is some ten times faster; fewer requests would be over before they can be timed.
CEILING_FACTOR = 3
DELIVERED_SECONDS_MAX = 120
# Never a file system in memory (FHS: it survives a reboot), where a commit would cost nothing.
DIRECTORY = Path("/var/tmp")


@dataclass(frozen=True, slots=True)
class Bench:
    """The processes that load and receive, and how much is asked of them."""

    pool: Executor
    sink: Connection
    sink_port: int
    messages: int
    connections: int

    def send(self, server: Server, numbers: range) -> Sent:
        """Post a message for each of *numbers*; fail if one of them is not accepted."""
        requests = render_requests(server, numbers, sink_port=self.sink_port)
        sent = self.pool.submit(
            send_all, server.port, requests, connections=self.connections
        ).result()
        if sent.statuses != {"201": len(numbers)}:
            raise RuntimeError(f"not everything was accepted: {dict(sent.statuses)}")
        return sent

    def expect(self, numbers: range) -> None:
        """Let the sink begin to count."""
        self.sink.send(numbers)
        assert self.sink.recv() == numbers

    def tally(self) -> Tally:
        """Return what the sink has counted, once everything is delivered or time is up."""
        if not self.sink.poll(DELIVERED_SECONDS_MAX):
            self.sink.send(REPORT)
        tally: Tally = self.sink.recv()
        return tally


def render_requests(server: Server, numbers: range, *, sink_port: int) -> list[bytes]:
    """Return requests for texts to many handsets, each with a callback URL of its own."""
    pair = base64.b64encode(f"{server.account_sid}:{server.auth_token}".encode()).decode()
    head = (
        f"POST /2010-04-01/Accounts/{server.account_sid}/Messages.json HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\nAuthorization: Basic {pair}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
    )
    requests = []
    for number in numbers:
        form = {
            "To": f"+1202555{number % 10_000:04}",
            "From": server.sender,
            "Body": f"Your code is {number:06}. It is good for ten minutes.",
            "StatusCallback": f"http://127.0.0.1:{sink_port}/status?n={number}",
        }
        body = urlencode(form)
        requests.append(f"{head}{len(body)}\r\n\r\n{body}".encode())
    return requests


def measure_ceiling(bench: Bench) -> Row:
    """Return what the bare HTTP server does."""
    with running_ceiling() as server:
        bench.send(server, range(WARM_UP))
        sent = bench.send(server, range(bench.messages * CEILING_FACTOR))
    return {"answered_per_second": round(len(sent.sent_at) / sent.seconds)} | quantiles(
        "answer_ms", sent.answer_seconds
    )


def measure_trunkline(bench: Bench, data_dir: Path) -> Row:
    """Return what Trunkline does, from the request to the callback that says delivered."""
    numbers = range(bench.messages)
    warm_up = range(bench.messages, bench.messages + WARM_UP)
    with running_trunkline(data_dir) as server:
        bench.expect(warm_up)
        bench.send(server, warm_up)
        bench.tally()
        cpu_before = server.cpu_seconds()
        bench.expect(numbers)
        sent = bench.send(server, numbers)
        tally = bench.tally()
        cpu_seconds = server.cpu_seconds() - cpu_before
        peak_megabytes = server.peak_megabytes()
    return _row(sent, tally) | {
        "cpu_seconds_per_1000": round(cpu_seconds / bench.messages * 1000, 3),
        "peak_megabytes": round(peak_megabytes, 1),
        "other_cpu_seconds_per_1000": round(
            (sent.cpu_seconds + tally.cpu_seconds) / bench.messages * 1000, 3
        ),
    }


def _row(sent: Sent, tally: Tally) -> Row:
    count = len(sent.sent_at)
    delivered = tally.delivered_at
    seconds = max(delivered.values(), default=0.0) - min(sent.sent_at)
    waits = [at - sent.answered_at[number] for number, at in delivered.items()]
    return {
        "accepted_per_second": round(count / sent.seconds),
        **quantiles("accepted_ms", sent.answer_seconds),
        "delivered_per_second": round(len(delivered) / seconds) if delivered else 0,
        **quantiles("delivered_ms", waits or [0.0]),
        "delivered": len(delivered),
        "callbacks": tally.statuses.total(),
        "callbacks_repeated": tally.repeated,
        "callbacks_unknown": tally.unknown,
    }


def measure(bench: Bench, directory: Path, *, rounds: int) -> dict[str, object]:
    """Measure both in turns, so that what else the machine does meets both alike."""
    ceilings: list[Row] = []
    products: list[Row] = []
    for number in range(rounds):
        ceilings.append(measure_ceiling(bench))
        products.append(measure_trunkline(bench, directory / f"round-{number}"))
        print(f"round {number + 1} of {rounds} is done", file=sys.stderr)
    ratios = [
        product["accepted_per_second"] / ceiling["answered_per_second"]
        for ceiling, product in zip(ceilings, products, strict=True)
    ]
    return {
        "ceiling": medians(ceilings),
        "trunkline": medians(products),
        "ratio_to_ceiling": round(statistics.median(ratios), 3),
        "rounds": {"ceiling": ceilings, "trunkline": products},
    }


@contextlib.contextmanager
def bench_of(messages: int, connections: int) -> Iterator[Bench]:
    """Yield a bench with its processes; they end with it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    sink = context.Process(target=serve, args=(theirs,), daemon=True)
    sink.start()
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield Bench(pool, ours, ours.recv(), messages, connections)
        ours.send(STOP)
        sink.join()


def main() -> None:
    """Measure as the options say."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES, help="in each round")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the data lie")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="trunkline-bench-") as data:
        directory = Path(data).resolve()
        settings = {
            "messages": options.messages,
            "connections": options.connections,
            "rounds": options.rounds,
            "delivery_delay_seconds": DELAY_SECONDS,
        }
        found = machine.facts(directory)
        with bench_of(options.messages, options.connections) as bench:
            results = measure(bench, directory, rounds=options.rounds)
    print(json.dumps({"machine": found, "settings": settings, **results}, indent=2))


if __name__ == "__main__":
    main()
