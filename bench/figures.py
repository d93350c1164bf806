"""What is made of measurements: quantiles of one run, medians of several."""

import statistics
from collections.abc import Sequence

Row = dict[str, float]


def quantiles(name: str, seconds: Sequence[float]) -> Row:
    """Return the median and the 99th percentile in milliseconds."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {
        f"{name}_p50": round(ordered[round(last * 0.5)] * 1000, 2),
        f"{name}_p99": round(ordered[round(last * 0.99)] * 1000, 2),
    }


def medians(rows: Sequence[Row]) -> Row:
    """Return the median of every field."""
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
