"""What is made of measurements: quantiles of one run, medians of several."""

import statistics
from collections.abc import Sequence

Row = dict[str, float]


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which a part of all values lies; 0 where there are none."""
    ordered = sorted(values)
    return ordered[round((len(ordered) - 1) * part)] if ordered else 0.0


def quantiles(name: str, seconds: Sequence[float]) -> Row:
    """Return the median and the 99th percentile in milliseconds."""
    return {
        f"{name}_p50": round(quantile(seconds, 0.5) * 1000, 2),
        f"{name}_p99": round(quantile(seconds, 0.99) * 1000, 2),
    }


def medians(rows: Sequence[Row]) -> Row:
    """Return the median of every field."""
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


def ratio(above: float, below: float) -> float:
    """Return how many times as much one is as the other; 0 where there is nothing to compare."""
    return round(above / below, 3) if below else 0.0
