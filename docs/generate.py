"""Writes every page, and every part of a page, that follows from the code.

`python docs/generate.py` writes them into this directory. A part of a page stands between
`<!-- begin NAME -->` and `<!-- end NAME -->`.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from runpy import run_path

from trunkline.api import reference as api_reference
from trunkline.carriers.smpp.rows import SETTINGS as SMPP_SETTINGS
from trunkline.carriers.twilio.settings import SETTINGS as TWILIO_SETTINGS
from trunkline.cli import reference as cli_reference
from trunkline.domain.carrier import COMMON_SETTINGS, Setting
from trunkline.domain.errors import ERRORS
from trunkline.domain.message import CALLED_BACK, FINAL, TRANSITIONS, Status
from trunkline.domain.text import split
from trunkline.ops.metrics import METRICS, PROCESS_METRICS
from trunkline.reloading import LIVE

DOCS = Path(__file__).parent

_ERRORS_HEAD = """\
# Errors

Every error that a request is answered with, or that a message ends with. The HTTP status is that of
an answer; codes that only ever stand on a message or in a trace have one as a formality. Words in
braces stand for values.

"""

_CARRIER_SETTINGS_HEAD = """\
# Carrier settings

What can be set of a carrier account, with `--set` of `trunkline carriers add` and
`trunkline carriers set`, with `Set` of the admin API, or in the console. An empty value means the
default. Secrets are sealed before they are stored, and are never shown again.

```sh
trunkline carriers set my-carrier window=50 messages_per_second=100  # connects anew
trunkline carriers set my-carrier messages_per_second=               # the default again
trunkline carriers set my-carrier tls=yes tls_ca=@ca.pem             # from a file
trunkline carriers set my-carrier password                           # asks for it
trunkline carriers types smpp                                        # this page, in a terminal
```

"""

_METRICS_HEAD = """\
# Metrics

What `GET /metrics` shows, as text for Prometheus or, to who prefers it, as OpenMetrics.
[Monitor](../how-to/monitor.md) says who may read it. No label names a person, a number or an
account.

Counters start from 0 with the process. Gauges of the queues and of webhooks that wait are the same
on all nodes of one database; everything else is of the node that is asked. Where a server has
several workers, every sample has the label `worker` as well, and whichever is asked shows all of
them. A histogram `x` is read as `x_bucket` with the label `le`, `x_sum` and `x_count`.

"""

CARRIER_TYPES: Mapping[str, tuple[str, tuple[Setting, ...]]] = {
    "Every carrier": ("What our own queue does, whatever the carrier.", COMMON_SETTINGS),
    "simulated": ("The phones of this program; there is nothing more to set.", ()),
    "smpp": ("An SMSC that is spoken to over SMPP.", SMPP_SETTINGS),
    "twilio": ("An account with an API like Twilio's.", TWILIO_SETTINGS),
}

# What the table of segments shows: a name, and how it is made.
_SAMPLES = (
    ("160 letters", "a" * 160),
    ("161 letters", "a" * 161),
    ("160 letters, one of them €", "a" * 159 + "€"),
    ("70 letters, one of them ş", "a" * 69 + "ş"),
    ("71 letters, one of them ş", "a" * 70 + "ş"),
    ("one family emoji", "👨‍👩‍👧‍👦"),
    ("60 letters and the family emoji", "a" * 60 + "👨‍👩‍👧‍👦"),
    ("1,600 letters", "a" * 1600),
)


def render_transitions() -> str:
    """Return the table of statuses: what becomes of each when something becomes known."""
    rows = [
        (
            f"`{status}`" + (", final" if status in FINAL else ""),
            "<br>".join(f"`{fact}` → `{after}`" for fact, after in TRANSITIONS[status].items())
            or "nothing changes it",
        )
        for status in Status
    ]
    return table(("Status", "What changes it"), rows)


def render_called_back() -> str:
    """Return the list of statuses that applications are told of."""
    return ", ".join(f"`{status}`" for status in Status if status in CALLED_BACK) + ".\n"


def render_segments() -> str:
    """Return what some texts cost, as the program itself counts it."""
    rows = []
    for name, text in _SAMPLES:
        parts = split(text)
        rows.append((name, parts.encoding.value, str(parts.units), str(len(parts.segments))))
    return table(("Text", "Alphabet", "Septets or units", "Segments"), rows)


def render_errors() -> str:
    """Return the page of errors."""
    rows = (
        (str(code), str(kind.status), kind.message.replace("!masked", "").replace("|", "\\|"))
        for code, kind in sorted(ERRORS.items())
    )
    return _ERRORS_HEAD + table(("Code", "HTTP", "Text"), rows)


def render_carrier_settings() -> str:
    """Return the page of what can be set of carriers."""
    sections = [_type_section(name, *row) for name, row in CARRIER_TYPES.items()]
    return _CARRIER_SETTINGS_HEAD + "\n".join(sections)


def _type_section(name: str, purpose: str, settings: Iterable[Setting]) -> str:
    title = f"`{name}`" if name.islower() else name
    return f"## {title}\n\n{purpose}\n" + "".join(map(_setting_section, settings))


def _setting_section(setting: Setting) -> str:
    default = f"`{setting.default}`" if setting.default else "empty"
    secret = "- Kept secret\n" if setting.is_secret else ""
    return (
        f"\n### `{setting.name}`\n\n{setting.meaning}\n\n"
        f"- Value: {setting.must}\n- Default: {default}\n{secret}"
    )


def render_live() -> str:
    """Return the settings that a running server takes over."""
    names = ", ".join(f"[`{name}`](../reference/settings.md#{name})" for name in sorted(LIVE))
    return f"Taken over at once: {names}. All others need a restart.\n"


def render_metrics() -> str:
    """Return the page of metrics."""
    ours = [
        (
            f"`{metric.full_name}`",
            metric.kind.value,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.meaning,
        )
        for metric in METRICS.values()
    ]
    process = [(f"`{name}`", meaning) for name, meaning in PROCESS_METRICS.items()]
    return (
        _METRICS_HEAD
        + table(("Name", "Kind", "Labels", "Meaning"), ours)
        + "\n## The process\n\n"
        + table(("Name", "Meaning"), process)
    )


def render_performance() -> str:
    """Return the page of what the benchmarks found last."""
    # Run as a program, this file finds no package beside it; that module needs none.
    report = run_path(str(DOCS.parent / "bench" / "report.py"))
    return str(report["render"]())


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


PAGES: Mapping[str, Callable[[], str]] = {
    "reference/errors.md": render_errors,
    "reference/carrier-settings.md": render_carrier_settings,
    "reference/metrics.md": render_metrics,
    "reference/performance.md": render_performance,
}
PARTS: Mapping[tuple[str, str], Callable[[], str]] = {
    ("how-to/monitor.md", "live"): render_live,
    ("concepts/statuses.md", "transitions"): render_transitions,
    ("concepts/statuses.md", "called-back"): render_called_back,
    ("concepts/segments-and-encoding.md", "segments"): render_segments,
}


def with_part(page: str, name: str, *, text: str) -> str:
    """Return *page* with *text* as its part of this name; raise ValueError where it has none."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"the page has no part {name}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def main() -> None:
    """Write everything."""
    cli_reference.main(str(DOCS / "reference"))
    api_reference.write(DOCS / "reference")
    for name, render in PAGES.items():
        (DOCS / name).write_text(render())
    for (page, part), render in PARTS.items():
        path = DOCS / page
        path.write_text(with_part(path.read_text(), part, text=render()))


if __name__ == "__main__":
    main()
