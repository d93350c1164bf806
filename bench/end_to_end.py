"""The whole way of a text: request, submit_sm, receipt, the callbacks `sent` and `delivered`."""

import sys

from bench import tree
from bench.ends import Outcome, Run
from bench.figures import Row, medians, ratio
from bench.gateways import Gateway
from bench.stage import JASMIN, KANNEL, ON_CORES, ON_SQLITE, PROBE, Stage, Start

# Numbers of the messages that are not counted; far from those that are.
WARM_UP_FIRST = 5_000_000
# Who takes minutes for what others do in seconds gets a part of it.
SLOWER = {JASMIN: 20}


def measure(stage: Stage) -> dict[str, object]:
    """Measure all contenders in turns, so that what else the machine does meets all alike."""
    starts = stage.contenders()
    rows: dict[str, list[Row]] = {name: [] for name in starts}
    for number in range(stage.sizes.rounds):
        for name, start in starts.items():
            rows[name].append(measure_gateway(stage, name, start=start))
        print(f"end_to_end: round {number + 1} of {stage.sizes.rounds} is done", file=sys.stderr)
    found = {name: medians(each) for name, each in rows.items()}
    return {
        "contenders": found,
        "missing": stage.missing(),
        "ratios": ratios(found),
        "rounds": rows,
    }


def ratios(found: dict[str, Row]) -> Row:
    """Return how many times as fast Trunkline is as its peers, and what it costs beside them."""
    pairs = [
        (ours, other)
        for ours in (ON_SQLITE, ON_CORES)
        for other in (KANNEL, JASMIN, PROBE)
        if ours in found and other in found
    ]
    speeds = {
        f"{ours}_to_{other}": ratio(
            found[ours]["delivered_per_second"], found[other]["delivered_per_second"]
        )
        for ours, other in pairs
    }
    costs = {
        f"{ours}_cpu_to_{other}": ratio(
            found[ours]["cpu_seconds_per_1000"], found[other]["cpu_seconds_per_1000"]
        )
        for ours, other in pairs
    }
    return speeds | costs


def measure_gateway(stage: Stage, name: str, *, start: Start) -> Row:
    """Return what one fresh gateway does."""
    with start(stage.around(name)) as gateway:
        warm_up(stage, gateway)
        count = stage.sizes.messages // SLOWER.get(name, 1)
        row, outcome = measure_running(stage, gateway, count=count)
    # What came until the gateway had ended.
    return row | lost(outcome, stage.load.counts())


def warm_up(stage: Stage, gateway: Gateway) -> None:
    """Let a gateway load what it needs, and its connections be made."""
    run_load(stage, gateway, range(WARM_UP_FIRST, WARM_UP_FIRST + stage.sizes.warm_up))


def run_load(stage: Stage, gateway: Gateway, numbers: range, *, rate: float = 0.0) -> Outcome:
    """Send these messages and wait for what is reported of them."""
    asked = Run(
        port=gateway.port,
        requests=[gateway.render(number) for number in numbers],
        first=numbers.start,
        connections=stage.sizes.connections,
        rate=rate,
    )
    return stage.load.run(asked, accepted=gateway.accepted)


def measure_running(
    stage: Stage, gateway: Gateway, *, count: int, first: int = 0, rate: float = 0.0
) -> tuple[Row, Outcome]:
    """Return what a gateway that is warm does, and when."""
    stage.smsc.ask("reset")
    works_before, commits_before = gateway.groups()
    before = [tree.cpu_seconds(gateway.pids), tree.cpu_seconds(stage.end_pids)]
    machine_before = tree.machine_seconds()
    with tree.watching(gateway.pids) as peak:
        outcome = run_load(stage, gateway, range(first, first + count), rate=rate)
    machine = tree.machine_seconds() - machine_before
    cpu, ends_cpu = (
        tree.cpu_seconds(pids) - seconds
        for pids, seconds in zip((gateway.pids, stage.end_pids), before, strict=True)
    )
    works, commits = gateway.groups()
    seen = stage.smsc.ask("report")
    row = outcome.speed() | {
        "cpu_seconds_per_1000": round(cpu / count * 1000, 3),
        "ends_cpu_seconds_per_1000": round(ends_cpu / count * 1000, 3),
        "others_cpu_part": round(max(0.0, 1 - (cpu + ends_cpu) / machine) if machine else 0.0, 2),
        "peak_megabytes": round(peak.megabytes, 1),
        "works_per_commit": ratio(works - works_before, commits - commits_before),
        "not_submitted": count - (seen["texts"] - seen["repeated"]),
        "submitted_repeatedly": seen["repeated"],
        "receipts_refused": seen["receipts_refused"],
    }
    return row, outcome


def lost(outcome: Outcome, last: dict[str, float]) -> Row:
    """Return what was lost, and what came more than once or in the wrong order."""
    count = len(outcome.sent_at)
    return {
        "not_reported_sent": count - last["sent"],
        "not_reported_delivered": count - last["delivered"],
        "connected_again": last["reconnected"],
        "callbacks_repeated": last["repeated"],
        "callbacks_unsigned": last["unsigned"],
        "callbacks_out_of_order": last["early"],
        "callbacks_unknown": last["unknown"] + last["other"],
    }
