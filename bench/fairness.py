"""What one customer's queue adds to the single messages of another, in the same lane."""

from collections.abc import Iterable

from bench import clones
from bench.end_to_end import WARM_UP_FIRST
from bench.ends import RECEIPT_SECONDS, Outcome, Run, running_smsc
from bench.figures import Row, quantiles
from bench.growth import QUEUED, QUEUED_SPAN, send_unsent
from bench.programs import free_ports
from bench.site import (
    Customer,
    Server,
    add_carrier,
    buy_senders,
    new_customer,
    running_trunkline,
    wait_for_binds,
)
from bench.stage import Stage

SINGLES_PER_SECOND = 10.0
ALONE_FIRST, BESIDE_FIRST = 1_000_000, 2_000_000
WARM_UP = 20
# Behind a queue that is not fair a single message waits long; it is to be counted, not lost.
PATIENCE_SECONDS = 60.0
# With the limit the queue waits for the carrier, without it for the processor.
RATES = {"limited": 200, "unlimited": 0}


def measure(stage: Stage) -> dict[str, object]:
    """Measure single messages without and beside the queue, on each database."""
    return {
        name: {kind: _measure(stage, name, per_second=rate) for kind, rate in RATES.items()}
        for name in stage.trunklines()
    }


def _measure(stage: Stage, name: str, *, per_second: int) -> Row:
    site = stage.new_site(name)
    (port,) = free_ports(1)
    with running_trunkline(site) as server:
        many, few = buy_senders(server, server.main), new_customer(server, senders=1)
        window = stage.sizes.window
        add_carrier(server, port, window=window, messages_per_second=per_second)
        with running_smsc(stage.smsc_program, port=port):
            wait_for_binds(server, 1)
            _send_singles(stage, server, few, first=WARM_UP_FIRST, count=WARM_UP)
            count = stage.sizes.singles
            alone = _send_singles(stage, server, few, first=ALONE_FIRST, count=count)
        send_unsent(stage, server, customer=many)
    queued = clones.copy_messages(site, total=stage.sizes.backlog, span=QUEUED_SPAN, status=QUEUED)
    with running_smsc(stage.smsc_program, port=port) as smsc, running_trunkline(site) as server:
        wait_for_binds(server, 1)
        smsc.ask("reset")
        beside = _send_singles(stage, server, few, first=BESIDE_FIRST, count=count)
        texts = smsc.ask("report")["texts"]
    return {"queued": queued, "submitted_meanwhile": texts - count} | _compare(alone, beside)


def _send_singles(
    stage: Stage, server: Server, customer: Customer, *, first: int, count: int
) -> Outcome:
    callback = f"http://127.0.0.1:{stage.load.port}/status"
    requests = [
        server.request(customer, number, callback=f"{callback}?n={number}")
        for number in range(first, first + count)
    ]
    asked = Run(
        port=server.port,
        requests=requests,
        first=first,
        # One that is answered late is not to make the next one late.
        connections=stage.sizes.connections,
        rate=SINGLES_PER_SECOND,
        patience=PATIENCE_SECONDS,
    )
    return stage.load.run(asked)


def _compare(alone: Outcome, beside: Outcome) -> Row:
    rows = [
        quantiles("sent_ms", _waits(outcome, outcome.reported_sent_at))
        | quantiles("ms", _waits(outcome, outcome.reported_delivered_at, known=RECEIPT_SECONDS))
        for outcome in (alone, beside)
    ]
    return {
        **{f"alone_{name}": value for name, value in rows[0].items()},
        **{f"beside_{name}": value for name, value in rows[1].items()},
        **{f"added_{name}": round(rows[1][name] - rows[0][name], 2) for name in rows[0]},
        **quantiles("beside_accepted_ms", beside.answer_seconds),
        "not_delivered": len(beside.sent_at) - beside.counts["delivered"],
    }


def _waits(outcome: Outcome, reported_at: Iterable[float], *, known: float = 0.0) -> list[float]:
    """Return how long each report took from its request, without a *known* part of it.

    One that never came took at least as long as it was waited for.
    """
    pairs = zip(outcome.sent_at, reported_at, strict=True)
    return [at - sent_at - known if at else PATIENCE_SECONDS for sent_at, at in pairs]
