"""How fast a connection submits, on a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.carriers.smpp.pace import (
    BURST_SECONDS,
    PAUSE_SECONDS,
    SLOWEST_PER_SECOND,
    Pace,
)


def rate_of(pace: Pace, now: float) -> float:
    """Return the rate of a pace that has one."""
    rate = pace.per_second(now)
    assert rate is not None
    return rate


def sent_in(pace: Pace, seconds: float, *, start: float = 0.0) -> int:
    """Send as much as the pace allows and return how much that was."""
    now, count = start, 0
    while True:
        wait = pace.wait(now)
        if wait > 0:
            now += wait
        if now - start >= seconds:
            return count
        if pace.wait(now) <= 0:
            pace.spend(now)
            count += 1


def test_without_a_limit_nothing_waits():
    pace = Pace(0, now=0)
    assert pace.per_second(0) is None
    for _ in range(1000):
        assert pace.wait(0) == 0
        pace.spend(0)


@given(rate=st.floats(0.1, 5000), start=st.floats(0, 1e5))
def test_the_rate_is_never_exceeded(rate, start):
    """Beyond what was missed by a late timer, no second has more than the rate."""
    pace = Pace(rate, now=start)
    seconds = min(10.0, 200 / rate)
    count = sent_in(pace, seconds, start=start)
    assert count <= rate * (seconds + BURST_SECONDS) + 2
    assert count >= rate * seconds * 0.9 - 2


def test_throttling_halves_once_for_one_haste_and_grows_back():
    """Answers to what was already under way punish no second time."""
    pace = Pace(100, now=0)
    assert pace.slow_down(0)
    assert not pace.slow_down(0.5)
    assert pace.is_paused(0.5)
    assert pace.wait(0) == PAUSE_SECONDS
    now = PAUSE_SECONDS
    assert not pace.is_paused(now)
    assert pace.per_second(now) == pytest.approx(50)
    grown = [rate_of(pace, now + seconds) for seconds in (1, 5, 10)]
    assert grown == sorted(grown)
    assert 50 < grown[0] < 53
    assert pace.per_second(now + 60) == 100


def test_throttled_again_and_again_it_stays_above_the_floor():
    pace = Pace(100, now=0)
    for n in range(20):
        pace.slow_down(n * PAUSE_SECONDS)
    assert SLOWEST_PER_SECOND <= rate_of(pace, 20 * PAUSE_SECONDS) < 2


def test_a_connection_without_limit_is_slowed_from_what_it_sent_and_freed_again():
    pace = Pace(0, now=0)
    for n in range(200):
        pace.spend(n * 0.005)
    pace.slow_down(1.0)
    slowed = pace.per_second(1.0 + PAUSE_SECONDS)
    assert slowed == pytest.approx(100, rel=0.1)
    assert pace.per_second(100) is None
    pace.slow_down(200)
    assert pace.per_second(200 + PAUSE_SECONDS) is not None
