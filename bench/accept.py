"""Accepting alone: nothing leaves, nobody is called back; beside servers without a store."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial

from bench import ceiling, tree
from bench.ends import Run
from bench.figures import Row, medians, quantiles, ratio
from bench.programs import free_ports, running_program
from bench.site import Customer, Server, add_carrier, buy_senders, running_trunkline
from bench.stage import Stage

# The ceilings are many times faster; fewer requests would be over before they can be timed.
CEILING_FACTOR = 4
CEILING_SENDER = "+14155550100"

Start = Callable[[], contextlib.AbstractContextManager[tuple[Server, Customer]]]


def measure(stage: Stage) -> dict[str, object]:
    """Measure Trunkline and both ceilings in turns."""
    starts: dict[str, Start] = {name: partial(running_ceiling, name) for name in ceiling.CEILINGS}
    for name in stage.trunklines():
        starts[name] = partial(running_deaf, stage, name)
    rows: dict[str, list[Row]] = {name: [] for name in starts}
    for number in range(stage.sizes.rounds):
        for name, start in starts.items():
            factor = CEILING_FACTOR if name in ceiling.CEILINGS else 1
            with start() as (server, customer):
                rows[name].append(_measure(stage, server, customer=customer, factor=factor))
        print(f"accept: round {number + 1} of {stage.sizes.rounds} is done", file=sys.stderr)
    found = {name: medians(each) for name, each in rows.items()}
    return {"contenders": found, "ratios": _ratios(found), "rounds": rows}


def _ratios(found: dict[str, Row]) -> Row:
    speeds = {name: row["accepted_per_second"] for name, row in found.items()}
    return {
        f"{name}_to_{under}": ratio(speeds[name], speeds[under])
        for name in speeds
        for under in ceiling.CEILINGS
        if name not in ceiling.CEILINGS
    }


def _measure(stage: Stage, server: Server, *, customer: Customer, factor: int) -> Row:
    count = stage.sizes.messages * factor
    numbers = range(count + stage.sizes.warm_up)
    requests = [server.request(customer, number) for number in numbers]
    connections = stage.sizes.connections
    warm_up = Run(port=server.port, requests=requests[count:], connections=connections, patience=0)
    stage.load.run(warm_up)
    before = tree.cpu_seconds([server.pid])
    asked = Run(port=server.port, requests=requests[:count], connections=connections, patience=0)
    outcome = stage.load.run(asked)
    cpu = tree.cpu_seconds([server.pid]) - before
    return {
        "accepted_per_second": round(outcome.accepted_per_second),
        **quantiles("accepted_ms", outcome.answer_seconds),
        "cpu_seconds_per_1000": round(cpu / count * 1000, 3),
    }


@contextlib.contextmanager
def running_ceiling(name: str) -> Iterator[tuple[Server, Customer]]:
    """Yield a server that stores nothing."""
    with running_program([sys.executable, "-m", "bench.ceiling", name]) as process:
        assert process.stdout is not None
        customer = Customer(
            account_sid=ceiling.ACCOUNT_SID,
            auth_token=ceiling.AUTH_TOKEN,
            senders=[CEILING_SENDER],
        )
        port = int(process.stdout.readline())
        yield Server(pid=process.pid, port=port, main=customer, started_at=0.0), customer


@contextlib.contextmanager
def running_deaf(stage: Stage, name: str) -> Iterator[tuple[Server, Customer]]:
    """Yield a Trunkline whose carrier is down: what it accepts it keeps."""
    with running_trunkline(stage.new_site(name)) as server:
        customer = buy_senders(server, server.main)
        (nobody,) = free_ports(1)
        add_carrier(server, nobody)
        yield server, customer
