"""Measures how fast texts are split into segments: `python -m bench.segments` prints JSON."""

import json
import timeit

from trunkline.domain.text import split

TEXTS = {
    "one segment of GSM-7": "Your code is 123456. It is good for ten minutes.",
    "ten segments of GSM-7": "0123456789" * 153,
    "one segment of UCS-2": "Код 123456 действителен десять минут.",
    "eleven segments of UCS-2 with clusters": "Grüß dich 👨‍👩‍👧‍👦! " * 31,
}
ROUNDS = 5


def microseconds(text: str) -> float:
    """Return the least time a split took, of a few rounds; noise only ever adds."""
    timer = timeit.Timer(lambda: split(text))
    count, _ = timer.autorange()
    return min(timer.repeat(ROUNDS, count)) / count * 1_000_000


def main() -> None:
    """Measure every text."""
    rows = {
        name: {"segments": len(split(text).segments), "microseconds": round(microseconds(text), 2)}
        for name, text in TEXTS.items()
    }
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
