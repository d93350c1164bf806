"""Every metric: declared in one table, counted by whoever knows, kept until somebody asks.

Rules: no label names a person, a number or an account; only the event loop's thread counts.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

PREFIX = "trunkline_"
# Time series of one metric; 200 carriers with 4 outcomes have 800. Past it all others are one.
SERIES_MAX = 2000
OTHER = "other"
# The label that every sample has where several workers are one server.
WORKER = "worker"

Labels = tuple[tuple[str, str], ...]
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Kind(StrEnum):
    """What a metric does."""

    COUNTER = "counter"  # Grows from the start of the program on.
    GAUGE = "gauge"  # Is looked up when it is asked for.
    HISTOGRAM = "histogram"  # Counts values by size.


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric under the short name that our own code uses."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """The name under which it is read."""
        return PREFIX + self.name + ("_total" if self.kind is Kind.COUNTER else "")


# A commit takes as long as the disk needs for an fsync: 0.1 ms to 50 ms, more in trouble.
_COMMIT_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_WORKS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
_HTTP_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_WEBHOOK_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
_LOOP_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("messages_accepted", _C, "Outbound messages that were accepted and are on disk."),
        Metric(
            "messages_refused",
            _C,
            "Outbound messages that were refused, by the error code of the answer.",
            ("code",),
        ),
        Metric(
            "segments_submitted",
            _C,
            "Segments that were handed to a carrier, by its answer: taken, refused, deferred, or"
            " in_doubt when none came.",
            ("carrier", "outcome"),
        ),
        Metric(
            "receipts",
            _C,
            "Receipts of carriers: delivered, undelivered, or intermediate.",
            ("carrier", "outcome"),
        ),
        Metric(
            "inbound_messages",
            _C,
            "Texts and MMS that a carrier brought to a number of ours.",
            ("carrier",),
        ),
        Metric(
            "webhook_attempts",
            _C,
            "Webhook requests by what came of them: ok, http_3xx, http_4xx, http_5xx, timeout,"
            " connect, tls, blocked, or invalid for an answer or an address that makes no sense.",
            ("outcome",),
        ),
        Metric("webhook_seconds", _H, "How long webhook requests took.", buckets=_WEBHOOK_SECONDS),
        Metric(
            "http_request_seconds",
            _H,
            "How long HTTP requests took until their answer began, by the template of their path"
            " and the class of the status.",
            ("route", "method", "status"),
            _HTTP_SECONDS,
        ),
        Metric(
            "api_refusals",
            _C,
            "Requests to the API that were answered with an error, by its code.",
            ("code",),
        ),
        Metric(
            "alerts_left_out",
            _C,
            "Alerts that were not stored, because their account had its share of the minute.",
        ),
        Metric(
            "commit_seconds",
            _H,
            "How long group commits took, from their first statement to the disk.",
            buckets=_COMMIT_SECONDS,
        ),
        Metric("commit_works", _H, "How many works one commit held.", buckets=_WORKS),
        Metric(
            "loop_delay_seconds",
            _H,
            "How late the event loop ran what was due; measured four times a second.",
            buckets=_LOOP_SECONDS,
        ),
        Metric(
            "queue_messages",
            _G,
            "Messages that wait for a carrier; counted up to 1,000,000 in all.",
            ("carrier",),
        ),
        Metric(
            "queue_oldest_seconds",
            _G,
            "The age of the oldest message that waits for a carrier.",
            ("carrier",),
        ),
        Metric("carrier_up", _G, "1 while a carrier can be submitted to, else 0.", ("carrier",)),
        Metric(
            "carrier_binds",
            _G,
            "A carrier's connections here, by their state: connecting, bound, waiting or closed.",
            ("carrier", "phase"),
        ),
        Metric(
            "lane_bound",
            _G,
            "1 while a lane has a connection that is bound, else 0.",
            ("carrier", "lane"),
        ),
        Metric(
            "lane_window_used",
            _G,
            "Submissions of a lane that wait for their answer.",
            ("carrier", "lane"),
        ),
        Metric(
            "lane_window_max",
            _G,
            "How many of them there may be; 0 where there is no such limit.",
            ("carrier", "lane"),
        ),
        Metric(
            "lane_room",
            _G,
            "Segments that are welcome on a lane now: 0 while it is down, full or slowed.",
            ("carrier", "lane"),
        ),
        Metric("webhooks_waiting", _G, "Webhooks to be made; counted up to 1,000,000."),
        Metric(
            "webhooks_parked",
            _G,
            "Webhooks whose attempts are used up; counted up to 1,000,000.",
        ),
        Metric(
            "webhooks_late_seconds", _G, "How long the webhook that is due longest has been due."
        ),
        Metric("smpp_customer_binds", _G, "SMPP clients that are bound here."),
        Metric("http_requests_running", _G, "Requests to the API that are being answered."),
        Metric("accepting_waiting", _G, "Messages that wait for the commit that accepts them."),
        Metric("store_waiting", _G, "Works that wait for the database's writer."),
        Metric("disk_free_bytes", _G, "Free space of the data directory's disk."),
        Metric("ready", _G, "1 while /health/ready answers 200, else 0."),
        Metric("build_info", _G, "Always 1.", ("version", "python")),
        Metric("node_info", _G, "Always 1; which node this is.", ("node", "database")),
        Metric(
            "worker_up",
            _G,
            "Of several workers: 1 for one whose metrics are here, 0 for one that did not answer.",
            (WORKER,),
        ),
    )
}

# What prometheus-client finds out about the process by itself.
PROCESS_METRICS: Mapping[str, str] = {
    "process_cpu_seconds_total": "Processor time of the program.",
    "process_max_fds": "How many files and sockets it may have open.",
    "process_open_fds": "How many it has.",
    "process_resident_memory_bytes": "Memory it holds.",
    "process_start_time_seconds": "When it started, in seconds since 1970.",
    "process_virtual_memory_bytes": "Memory it has asked for.",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a gauge at this moment."""

    name: str
    value: float
    labels: Labels = ()


@dataclass(slots=True)
class _Sizes:
    """How many values were of which size."""

    counts: list[int]
    total: float = 0.0


@dataclass(slots=True)
class _Series:
    """What was counted under one name."""

    metric: Metric
    counts: dict[Labels, int] = field(default_factory=dict)
    sizes: dict[Labels, _Sizes] = field(default_factory=dict)

    def place(self, labels: Labels, known: int) -> Labels:
        """Return under which labels a new series is kept; past the limit it is no new one."""
        given, names = dict(labels), self.metric.labels
        assert given.keys() == set(names), f"the labels of {self.metric.name} are {names}"
        is_full = known >= SERIES_MAX
        return tuple((name, OTHER if is_full else given[name]) for name in names)


class Metrics:
    """A Meter that remembers; how it reads is `families`."""

    def __init__(self) -> None:
        self._series = {m.name: _Series(m) for m in METRICS.values() if m.kind is not Kind.GAUGE}

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a counter; nothing is added where nothing happened."""
        if not amount:
            return
        series, key = self._series[name], tuple(labels.items())
        if key not in series.counts:
            key = series.place(key, len(series.counts))
        series.counts[key] = series.counts.get(key, 0) + amount

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Note one value of a distribution."""
        series, key = self._series[name], tuple(labels.items())
        sizes = series.sizes.get(key)
        if sizes is None:
            sizes = self._new_sizes(series, key)
        sizes.counts[bisect_left(series.metric.buckets, value)] += 1
        sizes.total += value

    def families(self, readings: Iterable[Reading]) -> Iterator[Family]:
        """Yield everything in the words of Prometheus, with *readings* for the gauges."""
        gauges: dict[str, list[Reading]] = {}
        for reading in readings:
            gauges.setdefault(reading.name, []).append(reading)
        for metric in METRICS.values():
            if metric.kind is Kind.COUNTER:
                yield _counter(self._series[metric.name])
            elif metric.kind is Kind.HISTOGRAM:
                yield _histogram(self._series[metric.name])
            else:
                yield _gauge(metric, gauges.get(metric.name, ()))

    @staticmethod
    def _new_sizes(series: _Series, key: Labels) -> _Sizes:
        place = series.place(key, len(series.sizes))
        if place not in series.sizes:
            series.sizes[place] = _Sizes([0] * (len(series.metric.buckets) + 1))
        return series.sizes[place]


class Showing(Collector):
    """The metrics with the gauges as they are now, for a registry of Prometheus."""

    def __init__(self, metrics: Metrics, readings: Iterable[Reading]) -> None:
        self._metrics = metrics
        self._readings = tuple(readings)

    def collect(self) -> Iterator[Family]:
        """Yield everything."""
        return self._metrics.families(self._readings)


def _counter(series: _Series) -> CounterMetricFamily:
    metric = series.metric
    family = CounterMetricFamily(PREFIX + metric.name, metric.meaning, labels=metric.labels)
    # A counter without labels is there from the beginning, so that its growth is seen.
    for labels, value in (series.counts or ({} if metric.labels else {(): 0})).items():
        family.add_metric(_values(metric, labels), value)
    return family


def _gauge(metric: Metric, readings: Iterable[Reading]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric.full_name, metric.meaning, labels=metric.labels)
    for reading in readings:
        family.add_metric(_values(metric, reading.labels), reading.value)
    return family


def _histogram(series: _Series) -> HistogramMetricFamily:
    metric = series.metric
    family = HistogramMetricFamily(metric.full_name, metric.meaning, labels=metric.labels)
    bounds = [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]
    for labels, sizes in series.sizes.items():
        running, rows = 0, []
        for bound, count in zip(bounds, sizes.counts, strict=True):
            running += count
            rows.append((bound, float(running)))
        family.add_metric(_values(metric, labels), rows, sizes.total)
    return family


def _values(metric: Metric, labels: Labels) -> list[str]:
    """Return the values of labels in the order in which they are declared."""
    given = dict(labels)
    return [given[name] for name in metric.labels]
