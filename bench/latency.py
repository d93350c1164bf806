"""What Trunkline adds between a request and its callbacks, at half of its speed and at rest."""

import sys

from bench.end_to_end import measure_running, run_load, warm_up
from bench.ends import RECEIPT_SECONDS, Outcome, Run
from bench.figures import Row, medians, quantiles
from bench.gateways import Gateway
from bench.stage import Stage

# So few that each finds the system at rest.
IDLE_PER_SECOND = 5.0
# Long enough for background work (checkpoints, sweeps) to have its turn.
HALF_SECONDS_MIN = 5.0
HALF_FIRST = 1_000_000
IDLE_FIRST = 2_000_000


def measure(stage: Stage) -> dict[str, object]:
    """Measure a Trunkline of one process on each database, in turns."""
    names = stage.trunklines()
    starts = stage.contenders()
    rows: dict[str, list[Row]] = {name: [] for name in names}
    for number in range(stage.sizes.rounds):
        for name in names:
            with starts[name](stage.around(name)) as gateway:
                rows[name].append(measure_gateway(stage, gateway))
        print(f"latency: round {number + 1} of {stage.sizes.rounds} is done", file=sys.stderr)
    return {"contenders": {name: medians(each) for name, each in rows.items()}, "rounds": rows}


def measure_gateway(stage: Stage, gateway: Gateway) -> Row:
    """Return what is added at half of the greatest speed, which is found first, and at rest."""
    warm_up(stage, gateway)
    fastest, _ = measure_running(stage, gateway, count=stage.sizes.messages)
    rate = fastest["delivered_per_second"] / 2
    count = max(stage.sizes.messages, int(rate * HALF_SECONDS_MIN))
    half = run_load(stage, gateway, range(HALF_FIRST, HALF_FIRST + count), rate=rate)
    idle = _at_rest(stage, gateway)
    return {
        "fastest_per_second": fastest["delivered_per_second"],
        "half_per_second": round(rate),
        "half_delivered_per_second": round(half.delivered_per_second),
        **quantiles("half_accepted_ms", half.answer_seconds),
        **quantiles("half_added_ms", added(half.delivered_seconds)),
        **quantiles("half_added_with_request_ms", added(half.whole_seconds)),
        **quantiles("idle_accepted_ms", idle.answer_seconds),
        **quantiles("idle_added_ms", added(idle.delivered_seconds)),
    }


def _at_rest(stage: Stage, gateway: Gateway) -> Outcome:
    numbers = range(IDLE_FIRST, IDLE_FIRST + stage.sizes.singles)
    asked = Run(
        port=gateway.port,
        requests=[gateway.render(number) for number in numbers],
        first=numbers.start,
        rate=IDLE_PER_SECOND,
    )
    return stage.load.run(asked, accepted=gateway.accepted)


def added(seconds: list[float]) -> list[float]:
    """Return what of these waits the SMSC's own delay is not."""
    return [each - RECEIPT_SECONDS for each in seconds]
