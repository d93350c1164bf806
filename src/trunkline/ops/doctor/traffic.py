"""What goes on: carriers that are down, messages and webhooks that wait, hosts that fail."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import msgspec

from trunkline.ops.doctor.finding import Finding, doubtful, fine, wrong
from trunkline.ops.doctor.web import Reply
from trunkline.store.condition import PARKED_COUNTED_MAX, HostRecord
from trunkline.store.depths import Queue
from trunkline.store.nodes import NodeRow
from trunkline.webhooks.answer import BLOCKED

# A carrier within its rate has handed over by then what was due.
WAITING_MOST = timedelta(minutes=5)
WEBHOOK_WAITING_MOST = timedelta(minutes=5)
# Single failures are repeated and mean little.
FAILURES_LEAST = 5
FAILED_SHARE_MOST = 0.2
HOSTS_SHOWN_MAX = 5


class CarrierReport(msgspec.Struct, frozen=True):
    """What the running server says of one of its carriers."""

    name: str
    type: str
    state: str
    connections: int
    bound: int
    down_since: datetime | None = None
    binds: list[dict[str, object]] = []

    @property
    def last_error(self) -> str:
        """Why a connection failed last."""
        return next((str(bind["last_error"]) for bind in self.binds if bind.get("last_error")), "")


def parse_carriers(reply: Reply) -> list[CarrierReport]:
    """Return the carriers of an answer; none where it has none that can be read."""
    try:
        return msgspec.convert(reply.document.get("carriers"), list[CarrierReport])
    except msgspec.ValidationError:
        return []


def parse_carrier(reply: Reply) -> CarrierReport | None:
    """Return one carrier with its connections; None when the answer is none of one."""
    try:
        return msgspec.convert(reply.document, CarrierReport)
    except msgspec.ValidationError:
        return None


def carrier(report: CarrierReport, now: datetime) -> Finding:
    """Judge one carrier by what the server says of it."""
    check = f"carrier {report.name}"
    if report.state == "disabled":
        return fine(check, f"{report.type}, disabled")
    if report.down_since is not None:
        why = f": {report.last_error}" if report.last_error else ""
        return wrong(
            check,
            f"down since {report.down_since:%Y-%m-%d %H:%M:%S} UTC"
            f" ({_age(now - report.down_since)}){why}",
            advice=f"`trunkline carriers test {report.name}`, `trunkline carriers show"
            f" {report.name}`.",
        )
    if report.bound < report.connections:
        return doubtful(
            check,
            f"{report.bound} of {report.connections} connections are bound"
            + (f"; {report.last_error}" if report.last_error else ""),
            advice=f"`trunkline carriers show {report.name}`; may the account have that many?",
        )
    return fine(check, f"{report.type}, {report.state}, {report.bound} bound")


def queue(name: str, waiting: Queue, *, now: datetime, is_open: bool = True) -> Finding:
    """Judge how long messages wait for a carrier; for a closed one they wait in vain."""
    age = now - waiting.oldest_at
    found = f"{waiting.messages:,} wait, the oldest since {_age(age)}"
    if not is_open:
        return doubtful(
            f"queue of {name}",
            f"{found}; the carrier is disabled or gone, and no other route may take them",
            advice="`trunkline routes explain …`: add a route to another carrier, or enable it.",
        )
    if age > WAITING_MOST:
        return doubtful(
            f"queue of {name}",
            found,
            advice="Is the carrier down, or its rate too low for what is sent?",
        )
    return fine(f"queue of {name}", found)


def node(row: NodeRow, now: datetime, *, version: str) -> Finding:
    """Judge a node by what it last said of itself; *version* is ours."""
    check, silent = f"node {row.name}", now - row.seen_at
    if not row.is_alive(now):
        return doubtful(
            check,
            f"not heard of for {_age(silent)}",
            advice="It died or is cut off; what it had, others have. Look at its log.",
        )
    down = sorted(name for name, since in row.carriers.items() if since is not None)
    found = f"version {row.version}, {row.state}, heard of {_age(silent)} ago"
    if down:
        return doubtful(
            check,
            f"{found}; carriers that are down there: {', '.join(down[:HOSTS_SHOWN_MAX])}",
            advice="`trunkline carriers show …`, on that node.",
        )
    if row.version != version:
        return doubtful(
            check,
            f"{found}; this program is version {version}",
            advice="During a rolling upgrade this is as it should be; afterwards upgrade it too.",
        )
    return fine(check, found)


def parked_webhooks(parked: Mapping[str, int]) -> Finding:
    """Judge how many webhooks were given up."""
    count = sum(parked.values())
    if not count:
        return fine("parked webhooks", "none")
    more = " or more" if count >= PARKED_COUNTED_MAX else ""
    return doubtful(
        "parked webhooks",
        f"{count:,}{more}, for {_named(parked)}",
        advice="When their receiver works again: `trunkline webhooks replay --host …`.",
    )


def overdue_webhooks(due_since: datetime | None, now: datetime) -> Finding:
    """Judge how long webhooks wait that are due."""
    if due_since is None:
        return fine("due webhooks", "none waits")
    age = now - due_since
    if age > WEBHOOK_WAITING_MOST:
        return doubtful(
            "due webhooks",
            f"one has been due for {_age(age)}",
            advice="Is the server running? A slow receiver holds up its own webhooks only.",
        )
    return fine("due webhooks", f"the oldest has been due for {_age(age)}")


def failing_hosts(records: Mapping[str, HostRecord]) -> Iterator[Finding]:
    """Judge how the latest webhooks went, by host."""
    blocked = [each.host for each in records.values() if each.reason == BLOCKED.reason]
    failing = {
        each.host: each.failures
        for each in records.values()
        if each.failures >= FAILURES_LEAST
        and each.failures > FAILED_SHARE_MOST * each.attempts
        and each.host not in blocked
    }
    if failing:
        worst = max(failing, key=lambda host: failing[host])
        yield doubtful(
            "failing webhooks",
            f"in the last hour, by host: {_named(failing)}; {worst} last: {records[worst].reason}",
            advice="Ask who runs it; a webhook is tried again, and parked in the end.",
        )
    else:
        yield fine("failing webhooks", f"{len(records)} hosts in the last hour, none fails")
    if blocked:
        yield doubtful(
            "blocked webhooks",
            f"not allowed by the guard: {', '.join(sorted(blocked)[:HOSTS_SHOWN_MAX])}",
            advice="If webhooks shall reach it, list it in the setting webhook_allow.",
        )


def _named(counts: Mapping[str, int]) -> str:
    worst = sorted(counts, key=lambda host: -counts[host])
    more = len(worst) - HOSTS_SHOWN_MAX
    named = ", ".join(f"{host} ({counts[host]:,})" for host in worst[:HOSTS_SHOWN_MAX])
    return named + (f" and {more} more" if more > 0 else "")


def _age(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0)
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} seconds"
