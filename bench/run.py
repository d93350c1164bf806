"""Measures Trunkline beside its peers, a scenario at a time; prints one JSON document.

`python -m bench.run --help` lists the options; README.md explains the fields.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path

from bench import accept, commit, end_to_end, fairness, growth, latency, machine
from bench.stage import CONTENDERS, FULL, QUICK, QUICK_CONTENDERS, Sizes, Stage, running_stage

# Never a file system in memory (FHS: it survives a reboot), where a commit would cost nothing.
DIRECTORY = Path("/var/tmp")
LAST = Path(__file__).parent / "results" / "last.json"

SCENARIOS: Mapping[str, Callable[[Stage], dict[str, object]]] = {
    "end_to_end": end_to_end.measure,
    "accept": accept.measure,
    "latency": latency.measure,
    "growth": growth.measure_stored,
    "queued": growth.measure_queued,
    "fairness": fairness.measure,
    "commit": commit.measure,
}


def measure(stage: Stage, name: str) -> dict[str, object]:
    """Return what a scenario found, with the machine as it was when it began."""
    facts = machine.facts(stage.directory)
    began = time.monotonic()
    results = SCENARIOS[name](stage)
    seconds = round(time.monotonic() - began)
    print(f"{name}: {seconds} s", file=sys.stderr)
    settings = asdict(stage.sizes)
    return {"machine": facts, "settings": settings, "seconds": seconds, "results": results}


def save(found: Mapping[str, object], path: Path) -> None:
    """Put results into a file; what it has of other scenarios stays there."""
    kept: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    kept.update(found)
    ordered = {name: kept[name] for name in SCENARIOS if name in kept}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(ordered, indent=1) + "\n")


def sizes_of(options: argparse.Namespace) -> Sizes:
    """Return how much is asked: what the options say, else what is quick or full."""
    given = {f.name: getattr(options, f.name) for f in fields(Sizes)}
    asked = {name: value for name, value in given.items() if value is not None}
    return replace(FULL if options.full else QUICK, **asked)


def parser() -> argparse.ArgumentParser:
    """Return the reader of the options."""
    made = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    made.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    made.add_argument("--full", action="store_true", help="an hour, for figures to be compared")
    made.add_argument("--save", action="store_true", help=f"into {LAST.parent.name}/{LAST.name}")
    made.add_argument("--directory", type=Path, default=DIRECTORY, help="where the data lie")
    chosen = f"{', '.join(QUICK_CONTENDERS)}; all with --full"
    made.add_argument("--contenders", nargs="+", choices=CONTENDERS, help=chosen)
    for field in fields(Sizes):
        shown = f"{getattr(QUICK, field.name):,}; {getattr(FULL, field.name):,} with --full"
        made.add_argument(f"--{field.name.replace('_', '-')}", type=int, help=shown)
    return made


def main() -> None:
    """Measure as the options say."""
    reader = parser()
    options = reader.parse_args()
    names = options.scenarios or list(SCENARIOS)
    if unknown := set(names) - set(SCENARIOS):
        reader.error(f"no such scenario: {', '.join(sorted(unknown))}")
    wanted = options.contenders or (CONTENDERS if options.full else QUICK_CONTENDERS)
    found: dict[str, object] = {}
    # What was started is to end with us, however we end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="trunkline-bench-") as data:
        directory = Path(data).resolve()
        with running_stage(directory, sizes_of(options), wanted=wanted) as stage:
            for name in names:
                found[name] = measure(stage, name)
                if options.save:
                    save(found, LAST)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
