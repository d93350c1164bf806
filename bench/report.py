"""Makes the page of figures from the results of a run; it reads nothing but their JSON.

Only the standard library is imported here: the documentation is written where the rest may not be
installed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAST = Path(__file__).parent / "results" / "last.json"
# Above this somebody else used the machine while it was measured.
LOAD_AVERAGE_MAX = 0.5
OTHERS_CPU_MAX = 0.1
# Fewer are over before anything is warm.
MESSAGES_MIN = 10_000

Results = Mapping[str, Any]

_HEAD = """\
# Performance

`make bench ARGS="--full --save"` measures what stands here, on one machine, with contenders that
take turns; [how to read it](../concepts/performance.md). Compare figures of one scenario with each
other, never with those of another machine.
"""

_GOALS_HEAD = """\
## Goals

Of one process on SQLite, where nothing else is said.

"""

_NAMES = {
    "trunkline": "Trunkline, one process, SQLite",
    "trunkline_postgresql": "Trunkline, one process, PostgreSQL",
    "trunkline_workers": "Trunkline, a process for each core, PostgreSQL",
    "kannel": "Kannel, spool",
    "jasmin": "Jasmin",
    "probe": "the probe",
    "asgi": "bare ASGI",
    "starlette": "bare Starlette",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is to be reached: where the figure is, its limit, and whether more of it is better."""

    text: str
    path: str
    limit: float
    more_is_better: bool = False
    unit: str = ""

    def found(self, results: Results) -> float | None:
        """Return the figure; None where it was not measured."""
        node: Any = results
        for name in self.path.split("/"):
            node = node.get(name) if isinstance(node, Mapping) else None
        return float(node) if isinstance(node, int | float) else None

    def is_met(self, value: float) -> bool:
        """Tell whether a figure reaches the goal."""
        return value >= self.limit if self.more_is_better else value <= self.limit

    def judge(self, value: float) -> str:
        """Say whether it is met, else by how much it is missed."""
        if self.is_met(value):
            return "met"
        part = value / self.limit if self.limit else 0.0
        return (
            f"missed: {part:.0%} of it" if self.more_is_better else f"missed: {part:.1f} times it"
        )


def _more(text: str, path: str, limit: float) -> Goal:
    return Goal(text=text, path=path, limit=limit, more_is_better=True, unit=" times")


def _ms(text: str, path: str, limit: float) -> Goal:
    return Goal(text=text, path=path, limit=limit, unit=" ms")


_RATIOS = "end_to_end/results/ratios"
_SQLITE = "results/contenders/trunkline"
GOALS = (
    _more("end to end, as many as Kannel", f"{_RATIOS}/trunkline_to_kannel", 3),
    _more("end to end, as many as Jasmin", f"{_RATIOS}/trunkline_to_jasmin", 20),
    _more("end to end, as many as the probe, one process", f"{_RATIOS}/trunkline_to_probe", 0.6),
    _more(
        "end to end, as many as the probe, all cores", f"{_RATIOS}/trunkline_workers_to_probe", 1
    ),
    Goal(
        text="processor time for a text, beside Kannel's",
        path=f"{_RATIOS}/trunkline_cpu_to_kannel",
        limit=0.5,
        unit=" times",
    ),
    _more(
        "accepting, as many as bare Starlette", "accept/results/ratios/trunkline_to_starlette", 0.4
    ),
    _ms("added at half load, p50", f"latency/{_SQLITE}/half_added_ms_p50", 10),
    _ms("added at half load, p99", f"latency/{_SQLITE}/half_added_ms_p99", 50),
    _ms("to the 201 at rest, p50", f"latency/{_SQLITE}/idle_accepted_ms_p50", 5),
    _more(
        "speed with many stored, of an empty store's", "growth/results/trunkline/speed_ratio", 0.8
    ),
    Goal(
        text="p99 to the 201 with many stored, of an empty store's",
        path="growth/results/trunkline/p99_ratio",
        limit=1.5,
        unit=" times",
    ),
    _ms(
        "first page of the slowest list, p99",
        "growth/results/trunkline/slowest/API/page_ms_p99",
        20,
    ),
    Goal(
        text="memory with many queued",
        path="queued/results/trunkline/waiting_megabytes",
        limit=200,
        unit=" MB",
    ),
    Goal(
        text="from starting with many queued to the first that leaves",
        path="queued/results/trunkline/first_leaves_seconds",
        limit=5,
        unit=" s",
    ),
    _ms(
        "added to another's single text by a queue, p50",
        "fairness/results/trunkline/unlimited/added_ms_p50",
        100,
    ),
    _ms(
        "added to another's single text by a queue, p99",
        "fairness/results/trunkline/unlimited/added_ms_p99",
        100,
    ),
)


def render(path: Path = LAST) -> str:
    """Return the page."""
    results: Results = json.loads(path.read_text())
    sections = ["".join(f"\n**{warning}**\n" for warning in _warnings(results)), _goals(results)]
    sections += [
        _section(title, results[name], tables=tables)
        for name, (title, tables) in SECTIONS.items()
        if name in results
    ]
    return _HEAD + "\n".join(sections)


def _goals(results: Results) -> str:
    rows = []
    for goal in GOALS:
        value = goal.found(results)
        sign = "at least" if goal.more_is_better else "at most"
        shown = "not measured" if value is None else f"{_number(value)}{goal.unit}"
        is_quick = value is not None and _is_quick(results[goal.path.split("/")[0]])
        said = "" if value is None else "not judged" if is_quick else goal.judge(value)
        rows.append((goal.text, f"{sign} {_number(goal.limit)}{goal.unit}", shown, said))
    return _GOALS_HEAD + _table(("", "Goal", "Measured", ""), rows)


def _section(title: str, found: Results, *, tables: Callable[[Results], Iterator[str]]) -> str:
    return f"## {title}\n\n{_conditions(found)}\n" + "\n".join(tables(found["results"]))


def _conditions(found: Results) -> str:
    machine, settings = found["machine"], found["settings"]
    versions = [
        f"Python {machine['python']}",
        f"SQLite {machine['sqlite']}",
        f"PostgreSQL {machine['postgresql']}",
        f"Kannel {machine['kannel']}",
    ]
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gigabytes']} GB, Linux"
        f" {machine['kernel']}, {machine['file_system']}, a flush of 32 kB in"
        f" {machine['fsync_ms']} ms; {', '.join(versions)}.\n"
        f"Version {machine['commit']}, {machine['measured_at']}; {settings['messages']:,} messages,"
        f" medians of {settings['rounds']}, {settings['connections']} connections, window"
        f" {settings['window']}.\n"
    )


def _warnings(results: Results) -> Iterator[str]:
    if quick := [name for name, found in results.items() if _is_quick(found)]:
        yield (
            "Of a quick run, which shows that all works and whose figures are not to be compared:"
            f" {_titles(quick, results)}."
        )
    if shared := [name for name, found in results.items() if _was_shared(found)]:
        yield f"While others used the machine: {_titles(shared, results)}."


def _titles(names: Sequence[str], results: Results) -> str:
    titles = ", ".join(SECTIONS[name][0].lower() for name in names)
    return "everything" if len(names) == len(results) else titles


def _is_quick(found: Results) -> bool:
    messages: int = found["settings"]["messages"]
    return messages < MESSAGES_MIN


def _was_shared(found: Results) -> bool:
    contenders = found["results"].get("contenders", {}).values()
    others = max((row.get("others_cpu_part", 0.0) for row in contenders), default=0.0)
    load_average: float = found["machine"]["load_average"]
    return load_average > LOAD_AVERAGE_MAX or others > OTHERS_CPU_MAX


def _end_to_end(results: Results) -> Iterator[str]:
    columns = {
        "delivered_per_second": "delivered a second",
        "accepted_per_second": "accepted a second",
        "accepted_ms_p50": "to the 201, p50 ms",
        "accepted_ms_p99": "p99 ms",
        "cpu_seconds_per_1000": "processor s for 1,000",
        "peak_megabytes": "MB (PSS)",
        "works_per_commit": "works in a commit",
    }
    yield _rows_table(results["contenders"], columns)
    columns = {
        "not_submitted": "not submitted",
        "submitted_repeatedly": "submitted twice",
        "not_reported_sent": "`sent` missing",
        "not_reported_delivered": "`delivered` missing",
        "callbacks_repeated": "repeated",
        "callbacks_out_of_order": "out of order",
        "callbacks_unsigned": "unsigned",
    }
    yield _rows_table(results["contenders"], columns)
    yield from (f"Not measured: {_name(n)}, {why}.\n" for n, why in results["missing"].items())


def _accept(results: Results) -> Iterator[str]:
    columns = {
        "accepted_per_second": "accepted a second",
        "accepted_ms_p50": "p50 ms",
        "accepted_ms_p99": "p99 ms",
        "cpu_seconds_per_1000": "processor s for 1,000",
    }
    yield _rows_table(results["contenders"], columns)


def _latency(results: Results) -> Iterator[str]:
    columns = {
        "half_per_second": "half of the greatest, a second",
        "half_accepted_ms_p50": "to the 201, p50 ms",
        "half_accepted_ms_p99": "p99 ms",
        "half_added_ms_p50": "added until `delivered`, p50 ms",
        "half_added_ms_p99": "p99 ms",
        "idle_accepted_ms_p50": "at rest to the 201, p50 ms",
        "idle_accepted_ms_p99": "p99 ms",
        "idle_added_ms_p50": "at rest until `delivered`, p50 ms",
    }
    yield _rows_table(results["contenders"], columns)


def _growth(results: Results) -> Iterator[str]:
    columns = {
        "delivered_per_second": "delivered a second",
        "accepted_ms_p50": "to the 201, p50 ms",
        "accepted_ms_p99": "p99 ms",
        "cpu_seconds_per_1000": "processor s for 1,000",
        "peak_megabytes": "MB (PSS)",
    }
    for name, found in results.items():
        rows = {
            f"{_name(name)}, empty": found["empty"],
            f"{_name(name)}, {found['stored']:,} stored": found["full"],
        }
        yield _rows_table(rows, columns)
    pages = [
        (
            _name(name),
            f"{found['stored']:,}",
            slowest["filter"],
            _number(slowest["page_ms_p50"]),
            _number(slowest["page_ms_p99"]),
        )
        for name, found in results.items()
        for slowest in found["slowest"].values()
    ]
    head = ("", "stored", "the slowest filter's first page", "p50 ms", "p99 ms")
    yield _table(head, pages)


def _queued(results: Results) -> Iterator[str]:
    columns = {
        "queued": "queued",
        "waiting_megabytes": "MB (PSS) while the carrier is down",
        "first_leaves_seconds": "s from the start to the first that leaves",
        "submitted_per_second": "submitted a second then",
        "sending_megabytes": "MB (PSS) then",
    }
    yield _rows_table(results, columns)


def _fairness(results: Results) -> Iterator[str]:
    rows = {
        f"{_name(name)}, {kind}": row
        for name, kinds in results.items()
        for kind, row in kinds.items()
    }
    columns = {
        "queued": "queued by another",
        "submitted_meanwhile": "of them submitted meanwhile",
        "alone_ms_p50": "alone, p50 ms",
        "alone_ms_p99": "p99 ms",
        "beside_ms_p50": "beside the queue, p50 ms",
        "beside_ms_p99": "p99 ms",
        "beside_sent_ms_p50": "until `sent`, p50 ms",
        "not_delivered": "not delivered",
    }
    yield _rows_table(rows, columns)


def _commit(results: Results) -> Iterator[str]:
    columns = {
        "messages_per_second": "messages a second",
        "cpu_us_per_message": "processor µs for one",
        "work_ms_p50": "to the disk, p50 ms",
        "work_ms_p99": "p99 ms",
        "works_per_commit_p50": "works in a commit, p50",
        "works_per_commit_max": "most",
    }
    for name, rows in results.items():
        yield _rows_table({f"{_name(name)}: {kind}": row for kind, row in rows.items()}, columns)


SECTIONS: Mapping[str, tuple[str, Callable[[Results], Iterator[str]]]] = {
    "end_to_end": ("The whole way", _end_to_end),
    "accept": ("Accepting alone", _accept),
    "latency": ("What is added", _latency),
    "growth": ("With many messages stored", _growth),
    "queued": ("With many messages queued", _queued),
    "fairness": ("A single text beside another customer's queue", _fairness),
    "commit": ("The store alone", _commit),
}


def _name(name: str) -> str:
    return _NAMES.get(name, name)


def _rows_table(rows: Mapping[str, Results], columns: Mapping[str, str]) -> str:
    lines = [
        (_name(name), *(_cell(row, column) for column in columns)) for name, row in rows.items()
    ]
    return _table(("", *columns.values()), lines)


def _cell(row: Results, column: str) -> str:
    # Of gateways that do not tell it is no zero.
    return "" if column == "works_per_commit" and not row[column] else _number(row[column])


def _number(value: float) -> str:
    if value and abs(value) < 10:
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
