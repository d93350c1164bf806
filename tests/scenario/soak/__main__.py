"""`make soak`: an hour or a minute of everything that can go wrong; exit code 1 for any breach."""

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.scenario.soak.mistakes import MISTAKES
from tests.scenario.soak.story import Story

BREACHES_SHOWN_MAX = 50


def main() -> int:
    """Soak, say what was found, and keep what is needed to look into it."""
    given = parsed()
    seed = random.randrange(2**32) if given.seed is None else given.seed
    is_shared = given.database == "postgresql"
    nodes = given.nodes if is_shared else 1
    print(f"seed {seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="trunkline-soak-"))
    story = Story(
        directory / "site",
        seed,
        nodes=nodes,
        is_shared=is_shared,
        mistake=given.mistake,
        say=said,
    )
    try:
        story.begin()
        story.rage(seconds=given.seconds)
        said("traffic and faults are over")
        story.calm()
        found = story.balance()
        if found:
            story.site.save()
    finally:
        story.close()
    print(json.dumps({**story.counts(), "seconds": given.seconds}, indent=2))
    if not found:
        shutil.rmtree(directory)
        print("The books are balanced.")
        return 0
    print(f"{len(found)} breaches, seed {seed}:", *found[:BREACHES_SHOWN_MAX], sep="\n")
    (directory / "breaches").write_text("\n".join(found))
    print(f"The data is in {directory}; again: make soak ARGS='{options(given, seed)}'")
    return 1


def parsed() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--nodes", type=int, default=3, help="on PostgreSQL")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mistake", choices=MISTAKES, default="", help="to be planted, and found")
    return parser.parse_args()


def options(given: argparse.Namespace, seed: int) -> str:
    """Return what asks for the same again."""
    return (
        f"--seconds {given.seconds:g} --database {given.database}"
        f" --nodes {given.nodes} --seed {seed}"
    )


def said(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
