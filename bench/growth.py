"""What becomes of speed with many messages stored, and of memory and starting with many queued."""

import contextlib
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

from bench import clones, lists, tree
from bench.end_to_end import lost, measure_running, run_load, warm_up
from bench.ends import Run, running_smsc
from bench.figures import Row, medians, ratio
from bench.gateways import Gateway, Surroundings, gateway_of
from bench.programs import free_ports, wait_until
from bench.site import (
    Customer,
    Server,
    Site,
    add_carrier,
    buy_senders,
    running_trunkline,
    wait_for_binds,
)
from bench.stage import Stage

# Those that go their way and are copied; more of them make the copies less alike.
TEMPLATES = 500
TEMPLATES_FIRST = 7_000_000
STORED_SPAN = timedelta(days=30)
# Within the validity of a message, so that none expires.
QUEUED_SPAN = timedelta(minutes=30)
QUEUED = "queued"
# What is read at the start has been read, and what it took given back.
QUIET_SECONDS = 5.0


@contextlib.contextmanager
def running_site(
    stage: Stage, site: Site, *, customer: Customer | None = None
) -> Iterator[tuple[Gateway, Server, Customer]]:
    """Yield a Trunkline on a site's data; without a customer it is new and gets one."""
    with running_trunkline(site) as server:
        if customer is None:
            customer = buy_senders(server, server.main)
            add_carrier(server, stage.smsc.port, window=stage.sizes.window)
        wait_for_binds(server, 1)
        around = Surroundings(
            smsc_port=stage.smsc.port,
            callback_port=stage.load.port,
            window=stage.sizes.window,
            directory=site.directory,
            database_pids=stage.database_pids if site.database else (),
        )
        yield gateway_of(server, customer, around), server, customer


def measure_stored(stage: Stage) -> dict[str, object]:
    """Compare a Trunkline with many messages to an empty one, in turns, on each database."""
    return {name: _measure_stored(stage, name) for name in stage.trunklines()}


def _measure_stored(stage: Stage, name: str) -> dict[str, object]:
    full = stage.new_site(name)
    with running_site(stage, full) as (gateway, _, customer):
        run_load(stage, gateway, range(TEMPLATES_FIRST, TEMPLATES_FIRST + TEMPLATES))
    began = time.monotonic()
    stored = clones.copy_messages(full, total=stage.sizes.stored, span=STORED_SPAN)
    seconds = time.monotonic() - began
    print(f"stored: {stored} messages on {name} in {seconds:.0f} s", file=sys.stderr)
    empty_rows, full_rows = [], []
    empty_pages: dict[str, Row] = {}
    full_pages: dict[str, Row] = {}
    for number in range(stage.sizes.rounds):
        row, empty_pages = _measure_site(stage, stage.new_site(name), customer=None)
        empty_rows.append(row)
        row, full_pages = _measure_site(stage, full, customer=customer)
        full_rows.append(row)
        print(f"stored: round {number + 1} of {stage.sizes.rounds} is done", file=sys.stderr)
    empty, many = medians(empty_rows), medians(full_rows)
    return {
        "stored": stored,
        "copied_seconds": round(seconds, 1),
        "empty": empty,
        "full": many,
        "speed_ratio": ratio(many["delivered_per_second"], empty["delivered_per_second"]),
        "p99_ratio": ratio(many["accepted_ms_p99"], empty["accepted_ms_p99"]),
        "slowest": {kind: lists.slowest(full_pages, kind) for kind in lists.KINDS},
        "empty_pages": empty_pages,
        "full_pages": full_pages,
    }


def _measure_site(
    stage: Stage, site: Site, *, customer: Customer | None
) -> tuple[Row, dict[str, Row]]:
    with running_site(stage, site, customer=customer) as (gateway, server, known):
        warm_up(stage, gateway)
        row, outcome = measure_running(stage, gateway, count=stage.sizes.messages)
        pages = lists.measure(server, known, pages=stage.sizes.pages)
    return row | lost(outcome, stage.load.counts()), pages


def measure_queued(stage: Stage) -> dict[str, object]:
    """Queue many messages while the carrier is down, and start with them; on each database."""
    return {name: _measure_queued(stage, name) for name in stage.trunklines()}


def _measure_queued(stage: Stage, name: str) -> Row:
    site = stage.new_site(name)
    (port,) = free_ports(1)
    queued = queue_messages(stage, site, port=port, total=stage.sizes.queued)
    with running_trunkline(site) as server:
        time.sleep(QUIET_SECONDS)
        waiting_megabytes = tree.memory_megabytes([server.pid])
    with (
        running_smsc(stage.smsc_program, port=port) as smsc,
        running_trunkline(site) as server,
        tree.watching([server.pid]) as peak,
    ):
        wait_until(lambda: smsc.ask("report")["texts"] > 0, "the first text leaves")
        first = smsc.ask("report")["first_at"] - server.started_at
        time.sleep(QUIET_SECONDS)
        texts = smsc.ask("report")["texts"]
    return {
        "queued": queued,
        "waiting_megabytes": round(waiting_megabytes, 1),
        "sending_megabytes": round(peak.megabytes, 1),
        "first_leaves_seconds": round(first, 2),
        "submitted_per_second": round(texts / QUIET_SECONDS),
    }


def queue_messages(stage: Stage, site: Site, *, port: int, total: int) -> int:
    """Make a new site with messages queued for an SMSC at a port where nobody listens yet."""
    with running_trunkline(site) as server:
        customer = buy_senders(server, server.main)
        add_carrier(server, port, window=stage.sizes.window)
        send_unsent(stage, server, customer=customer)
    return clones.copy_messages(site, total=total, span=QUEUED_SPAN, status=QUEUED)


def send_unsent(stage: Stage, server: Server, *, customer: Customer) -> None:
    """Have messages accepted that cannot leave."""
    numbers = range(TEMPLATES_FIRST, TEMPLATES_FIRST + TEMPLATES)
    callback = f"http://127.0.0.1:{stage.load.port}/status"
    requests = [server.request(customer, n, callback=f"{callback}?n={n}") for n in numbers]
    asked = Run(
        port=server.port,
        requests=requests,
        first=numbers.start,
        connections=stage.sizes.connections,
        patience=0,
    )
    stage.load.run(asked)
