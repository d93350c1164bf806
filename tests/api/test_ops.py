"""How the program says how it is doing: health, metrics, and what it does at its limits."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.esme import Esme
from tests.harness import Response, Trunkline
from trunkline.api.server import CONCURRENT_REQUESTS_MAX
from trunkline.carriers.port import Deferred, InDoubt, Refused, Submission, SubmitResult, Taken
from trunkline.domain.errors import Refusal
from trunkline.flows import messages, reports
from trunkline.flows.pressure import ACCEPTING_MAX, WRITES_MAX, Pressure
from trunkline.ops.metrics import METRICS, OTHER, PROCESS_METRICS, SERIES_MAX, Kind, Metrics
from trunkline.ops.pages import Readers
from trunkline.smsc.server import SmscServer
from trunkline.store.callbacks import AttemptRow

# With those that wait, 5,000 callers at once.
WAVES_MAX, WAVE = 10, 1000
# What a request that was turned away may leave behind in memory, on the average.
KEPT_BYTES_MAX = 20


async def health(trunkline: Trunkline, path: str = "/health", method: str = "GET") -> Response:
    return await trunkline.request(method, path, auth=None)


async def states(trunkline: Trunkline) -> dict[str, str]:
    return {c["name"]: c["state"] for c in (await health(trunkline)).json["checks"]}


async def metrics(trunkline: Trunkline, **headers: str) -> Response:
    return await trunkline.request("GET", "/metrics", auth=None, headers=headers)


async def values(trunkline: Trunkline) -> dict[tuple[str, ...], float]:
    """Return what is counted: name and label values, sorted by label."""
    text = (await metrics(trunkline)).body.decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@asynccontextmanager
async def held(trunkline: Trunkline) -> AsyncIterator[asyncio.Event]:
    """Let no commit end before the event is set."""
    store, gate = trunkline.app.store, asyncio.Event()
    write = store.write

    async def wait(work: Any) -> Any:
        await gate.wait()
        return await write(work)

    store.write = wait  # type: ignore[method-assign]
    try:
        yield gate
    finally:
        gate.set()
        store.write = write  # type: ignore[method-assign]


async def test_a_program_that_works_is_ready(trunkline: Trunkline) -> None:
    """Every check has a name, a word and a time; nobody has to log in."""
    answer = await health(trunkline, "/health/ready")
    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert await states(trunkline) == dict.fromkeys(
        ("database", "schema", "disk", "draining"), "ok"
    )
    assert answer.json["degraded"] == []
    assert answer.json["checks"][0]["ms"] > 0
    assert (await health(trunkline, "/health/live")).json == {"status": "ok"}


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
async def test_health_answers_a_head_and_changes_for_nobody(
    trunkline: Trunkline, path: str
) -> None:
    """A probe may ask for the head alone; a POST is no probe."""
    assert (await health(trunkline, path, "HEAD")).status == 200
    assert (await health(trunkline, path, "POST")).status == 405


async def test_a_database_that_does_not_commit_is_not_ready(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes in time all the same, asking again piles nothing up, and it heals."""
    monkeypatch.setattr(trunkline.app.watch.health.writing, "wait_seconds", 0.05)
    monkeypatch.setattr(trunkline.app.watch.health.writing, "fresh_seconds", 0.0)
    async with held(trunkline) as gate:
        for _ in range(3):
            answer = await health(trunkline)
            assert (answer.status, answer.json["status"]) == (503, "unready")
            assert (await states(trunkline))["database"] == "no answer within 0.05 s"
        assert (await health(trunkline, "/health/live")).status == 200
        assert sum("Asking._run" in repr(task) for task in asyncio.all_tasks()) == 1
        gate.set()
    monkeypatch.undo()
    assert (await health(trunkline)).status == 200


async def test_a_database_that_is_locked_says_so(trunkline: Trunkline) -> None:
    """A write that fails has a word of its own."""

    async def fail(work: object) -> None:
        raise OSError("the disk is gone")

    trunkline.app.store.write = fail  # type: ignore[assignment]
    assert (await states(trunkline))["database"] == "OSError"


async def test_missing_migrations_are_not_ready(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database of an older version is not served; one of a newer version is."""
    known = trunkline.app.watch.health.known
    monkeypatch.setattr(trunkline.app.watch.health, "known", ["9999", *known])
    assert (await states(trunkline))["schema"] == "migrations are missing"
    assert (await health(trunkline)).status == 503
    monkeypatch.setattr(trunkline.app.watch.health, "known", known[1:])
    assert (await states(trunkline))["schema"] == "ok"


async def test_a_program_that_leaves_is_not_ready_but_alive(trunkline: Trunkline) -> None:
    """A load balancer sends new requests elsewhere; those that come are answered."""
    trunkline.app.watch.health.is_draining = True
    assert (await health(trunkline)).status == 503
    assert (await health(trunkline, "/health/live")).status == 200
    assert (await trunkline.send()).status == 201


async def test_a_full_disk_is_not_ready_and_takes_nothing_new(
    trunkline: Trunkline, smsc: SmscServer, esme: Esme
) -> None:
    """What was accepted goes on, down to its webhooks; new messages are put off on every way."""
    sid = (await trunkline.send(StatusCallback="http://app/status")).json["sid"]
    trunkline.app.watch.health.disk_free_min = 2**60
    trunkline.app.platform.pressure.is_disk_low = trunkline.app.watch.health.is_disk_low
    assert (await states(trunkline))["disk"] == "low"
    refused = await trunkline.send()
    assert (refused.status, refused.json["code"]) == (503, 20503)
    assert int(refused.headers["retry-after"]) >= 1
    await trunkline.run_for(5)
    assert (await trunkline.message(sid))["status"] == "delivered"
    assert trunkline.receiver.statuses(sid) == ["sent", "delivered"]


async def test_a_carrier_that_is_down_degrades_and_no_more(trunkline: Trunkline) -> None:
    """Readiness is about this program."""
    (carrier,) = trunkline.app.platform.switchboard.accounts
    trunkline.app.platform.switchboard.broken.add(carrier)
    answer = await health(trunkline)
    assert (answer.status, answer.json["degraded"]) == (200, ["carriers down: 1 of 1"])
    assert (await values(trunkline))["trunkline_carrier_up", carrier] == 0


async def test_what_is_counted_on_the_way_of_a_message(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From acceptance over hand-over and receipt to both callbacks."""
    await trunkline.send(StatusCallback="http://app/status")
    await trunkline.send(To="nobody")
    await trunkline.configure_number(SmsUrl="http://app/sms")
    monkeypatch.setattr(trunkline.app.watch.gauges.depths, "fresh_seconds", 0.0)
    before = await values(trunkline)
    assert before["trunkline_queue_messages", "simulated"] == 1
    assert before["trunkline_queue_oldest_seconds", "simulated"] == 0
    await trunkline.run_for(5)
    said = {"To": trunkline.number, "Body": "Hi"}
    told = await trunkline.request("POST", "/trunkline/v1/phones/+15558675310/texts", said)
    assert told.status == 201
    await trunkline.run_for(5)
    after = await values(trunkline)
    assert {name: after[name] for name in COUNTED} == COUNTED
    assert after["trunkline_commit_works_count",] == after["trunkline_commit_seconds_count",] > 3
    assert ("trunkline_queue_messages", "simulated") not in after
    assert after["trunkline_ready",] == after["trunkline_carrier_up", "simulated"] == 1
    assert after["trunkline_lane_room", "simulated", "0"] > 0
    route = "/2010-04-01/Accounts/{AccountSid}/Messages"
    for status in ("2xx", "4xx"):
        assert after["trunkline_http_request_seconds_count", "POST", route, status] == 1


COUNTED = {
    ("trunkline_messages_accepted_total",): 1,
    ("trunkline_messages_refused_total", "21211"): 1,
    ("trunkline_api_refusals_total", "21211"): 1,
    ("trunkline_segments_submitted_total", "simulated", "taken"): 1,
    ("trunkline_receipts_total", "simulated", "delivered"): 1,
    ("trunkline_inbound_messages_total", "simulated"): 1,
    ("trunkline_webhook_attempts_total", "ok"): 3,
    ("trunkline_webhook_seconds_count",): 3,
    ("trunkline_webhooks_waiting",): 0,
    ("trunkline_webhooks_parked",): 0,
}


async def test_every_metric_is_declared_and_shown(
    trunkline: Trunkline, smsc: SmscServer, esme: Esme
) -> None:
    """What a scrape of a program with some traffic shows is what the table declares."""
    await trunkline.send(StatusCallback="http://app/status")
    await trunkline.run_for(5)
    text = (await metrics(trunkline)).body.decode()
    found = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert found == {metric.full_name for metric in METRICS.values()} | set(PROCESS_METRICS)


async def test_no_metric_names_a_number_or_an_account(trunkline: Trunkline) -> None:
    """Labels are carriers, outcomes, codes, routes: never who wrote to whom."""
    await trunkline.send(StatusCallback="http://app/status")
    await trunkline.request("GET", f"{trunkline.base}/Messages/SM{'0' * 32}.json")
    await trunkline.request("GET", "/no/such/path/+15558675310")
    await trunkline.run_for(5)
    text = (await metrics(trunkline)).body.decode()
    secrets = (trunkline.account_sid, trunkline.number, "+15558675310", "Hello", "no/such")
    assert [secret for secret in secrets if secret in text] == []


async def test_metrics_speak_openmetrics_to_who_prefers_it(trunkline: Trunkline) -> None:
    """The format follows from Accept."""
    plain = await metrics(trunkline)
    assert plain.headers["content-type"].startswith("text/plain")
    modern = await metrics(trunkline, accept="application/openmetrics-text; version=1.0.0")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"x-forwarded-for": "198.51.100.7"}, 403),
        ({"host": "trunkline.example.com"}, 403),
        ({"host": "[::1]:8800"}, 200),
        ({"host": "localhost"}, 200),
        *(({"host": name}, 403) for name in ("[::1", "127.0.0.1:8800:1", "")),
        ({"authorization": "Bearer " + "t" * 16, "x-forwarded-for": "198.51.100.7"}, 200),
        ({"authorization": "Bearer wrong"}, 403),
    ],
)
async def test_metrics_are_for_this_machine_and_the_token(
    trunkline: Trunkline, headers: dict[str, str], status: int
) -> None:
    """A proxy on this machine is not this machine; a wrong token is worse than none."""
    trunkline.app.watch.readers = Readers("t" * 16)
    answer = await metrics(trunkline, **headers)
    assert answer.status == status
    assert (b"metrics_token" in answer.body) == (status == 403)


async def test_metrics_may_be_open_to_all(trunkline: Trunkline) -> None:
    """Whoever says so has a network that keeps strangers away."""
    trunkline.app.watch.readers = Readers(is_open=True)
    assert (await metrics(trunkline, host="example.com")).status == 200


async def test_a_silent_database_hides_the_queues_alone(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics of a program in trouble are those that are needed most."""
    gauges = trunkline.app.watch.gauges
    monkeypatch.setattr(gauges.depths, "wait_seconds", 0.05)
    monkeypatch.setattr(trunkline.app.watch.health.version, "wait_seconds", 0.05)
    await trunkline.send()
    never = asyncio.get_running_loop().create_future()

    async def read(query: object) -> object:
        return await never

    monkeypatch.setattr(trunkline.app.store, "read", read)
    found = await values(trunkline)
    assert found["trunkline_messages_accepted_total",] == 1
    assert ("trunkline_queue_messages", "simulated") not in found


def test_series_have_a_limit() -> None:
    """Labels that nobody foresaw fill up one series, not the memory."""
    meter = Metrics()
    for number in range(SERIES_MAX + 100):
        meter.count("receipts", carrier=f"c{number}", outcome="delivered")
    (family,) = (f for f in meter.families(()) if f.name == "trunkline_receipts")
    assert len(family.samples) == SERIES_MAX + 1
    assert family.samples[-1].labels == {"carrier": OTHER, "outcome": OTHER}
    assert family.samples[-1].value == 100


def test_labels_that_are_not_declared_are_a_mistake() -> None:
    """Whoever counts learns at once that a name is wrong."""
    with pytest.raises(AssertionError, match="labels of receipts"):
        Metrics().count("receipts", number="+15558675310")
    with pytest.raises(KeyError):
        Metrics().count("receipt")


def test_every_metric_says_what_it_is() -> None:
    """A sentence each; what is measured has bounds, in order."""
    for metric in METRICS.values():
        assert metric.meaning.endswith("."), metric.name
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM), metric.name
        assert list(metric.buckets) == sorted(metric.buckets), metric.name


@pytest.mark.parametrize(
    ("error_code", "http_status", "reason", "outcome"),
    [
        (None, 204, "", "ok"),
        (11200, 404, "the answer's status is 404", "http_4xx"),
        (11200, 503, "the answer's status is 503", "http_5xx"),
        (11200, 304, "the answer's status is 304", "http_3xx"),
        (11205, None, "no connection could be made", "connect"),
        (11205, None, "connecting took too long", "timeout"),
        (11203, None, "the total time is used up", "timeout"),
        (11210, None, "the host name is not known", "connect"),
        (11220, None, "the TLS handshake failed", "tls"),
        (11236, None, "the certificate has expired", "tls"),
        (11205, None, "the address is not one that webhooks may reach", "blocked"),
        (11206, None, "the answer is not HTTP", "invalid"),
    ],
)
def test_what_came_of_a_webhook_in_one_word(
    error_code: int | None, http_status: int | None, reason: str, outcome: str
) -> None:
    """Every failure that the client knows has its word."""
    attempt = AttemptRow(
        **dict.fromkeys(("sid", "callback_sid", "account_sid", "message_sid", "kind"), ""),
        **dict.fromkeys(("url", "method", "label", "head"), ""),
        at=None,  # type: ignore[arg-type]
        duration_ms=1,
        http_status=http_status,
        error_code=error_code,
        reason=reason,
    )
    assert reports.outcome_of(attempt) == outcome


async def test_every_answer_of_a_carrier_is_counted(trunkline: Trunkline) -> None:
    """By segment, whatever became of the message."""
    platform = trunkline.app.platform
    sid = (await trunkline.send()).json["sid"]
    message = await messages.find(platform, trunkline.account_sid, sid)
    assert message is not None
    segment = Submission(
        account_sid="",
        message_sid=sid,
        segment_index=0,
        segment_count=1,
        sender="",
        recipient="",
        text="",
        encoding="",
    )
    answers: list[SubmitResult] = [Taken("1"), Taken("2"), Refused(30008), Deferred(1), InDoubt()]
    reports.handed_over(platform, "acme", [(message, [(segment, each) for each in answers])])
    found = await values(trunkline)
    outcomes = {"taken": 2, "refused": 1, "deferred": 1, "in_doubt": 1}
    for outcome, count in outcomes.items():
        assert found["trunkline_segments_submitted_total", "acme", outcome] == count


@pytest.mark.sqlite  # On PostgreSQL its driver's own memory comes and goes meanwhile.
async def test_a_slow_database_is_no_reason_to_grow(trunkline: Trunkline) -> None:
    """Far more callers at once than there is room for: those that are turned away know at once,
    and nothing of them stays; the others are answered when the database is."""
    room = CONCURRENT_REQUESTS_MAX
    async with held(trunkline) as gate:
        waiting = [asyncio.create_task(trunkline.send()) for _ in range(room)]
        sizes = [await _turned_away(trunkline, WAVE)]
        while len(sizes) < WAVES_MAX and sizes[-1] >= WAVE * KEPT_BYTES_MAX:
            sizes.append(await _turned_away(trunkline, WAVE))
        assert not any(task.done() for task in waiting)
        assert trunkline.app.platform.accepting.waiting < min(room, ACCEPTING_MAX)
        gate.set()
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {201}
    platform = trunkline.app.platform
    assert (platform.accepting.waiting, platform.store.waiting) == (0, 0)
    # What is kept of each wave would be kept of all of them; what is made once, or by others, goes.
    assert sizes[-1] < WAVE * KEPT_BYTES_MAX, sizes
    assert (await trunkline.send()).status == 201


async def _turned_away(trunkline: Trunkline, count: int) -> int:
    """Send so many more, see all of them refused, and return how much memory is in use then."""
    tracemalloc.start()
    answers = await asyncio.gather(*(trunkline.send() for _ in range(count)))
    assert {(a.status, a.headers["retry-after"], a.json["code"]) for a in answers} == {
        (429, "1", 20429)
    }
    del answers
    await asyncio.sleep(0)  # The loop lets go of what has just ended.
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size


async def test_who_would_wait_behind_too_many_is_turned_away(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the requests under way are few: others keep the writer busy."""
    monkeypatch.setattr(type(trunkline.app.store), "waiting", WRITES_MAX)
    refused = await trunkline.send()
    assert (refused.status, refused.json["code"]) == (429, 20429)
    assert int(refused.headers["retry-after"]) >= 1
    assert (await values(trunkline))["trunkline_messages_refused_total", "20429"] == 1


@pytest.mark.parametrize(("accepting", "writing"), [(ACCEPTING_MAX, 0), (0, WRITES_MAX)])
def test_pressure_has_two_limits(accepting: int, writing: int) -> None:
    """Messages in front of their commit, and works in front of the writer."""
    Pressure().check(accepting=ACCEPTING_MAX - 1, writing=WRITES_MAX - 1)
    with pytest.raises(Refusal, match="20429"):
        Pressure().check(accepting=accepting, writing=writing)
