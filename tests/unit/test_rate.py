"""Token buckets: what a sender may take, and when again."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dispatch.rate import BURST_SECONDS, Buckets


def test_a_full_bucket_gives_at_once() -> None:
    """Who has not sent for long waits for nothing, however much it is."""
    assert Buckets().ready_at("+14155550100", 30.0) == -inf


def test_a_sender_goes_once_a_second() -> None:
    """At one segment a second the second one waits a second for the first."""
    buckets = Buckets()
    buckets.spend("a", 1.0, now=10.0)
    assert buckets.ready_at("a", 1.0) == 11.0
    assert buckets.ready_at("b", 1.0) == -inf


def test_a_second_worth_goes_at_once() -> None:
    """At four a second, four leave together and the fifth waits for its quarter."""
    buckets = Buckets()
    for _ in range(4):
        assert buckets.ready_at("a", 0.25) <= 10.0
        buckets.spend("a", 0.25, now=10.0)
    assert buckets.ready_at("a", 0.25) == 10.25


def test_a_long_message_leaves_a_debt() -> None:
    """Three segments at one a second go from a full bucket; the next waits for all three."""
    buckets = Buckets()
    buckets.spend("a", 3.0, now=10.0)
    assert buckets.ready_at("a", 1.0) == 13.0
    assert buckets.ready_at("a", 3.0) == 13.0


def test_full_buckets_are_forgotten() -> None:
    """Memory is kept of those alone who sent lately."""
    buckets = Buckets()
    for number in range(50):
        buckets.spend(f"old {number}", 1.0, now=0.0)
    buckets.spend("old 7", 5.0, now=0.5)
    buckets.spend("new", 1.0, now=2.0)
    assert len(buckets) == 2
    assert buckets.ready_at("old 7", 1.0) == 6.0


def test_there_are_so_many_buckets_and_no_more() -> None:
    """The one that is nearest to full goes first."""
    buckets = Buckets(3)
    for sender, seconds in (("a", 4.0), ("b", 2.0), ("c", 3.0), ("d", 9.0)):
        buckets.spend(sender, seconds, now=0.0)
    assert len(buckets) == 3
    assert buckets.ready_at("b", 1.0) == -inf
    assert [buckets.ready_at(sender, 1.0) for sender in "acd"] == [4.0, 3.0, 9.0]


@pytest.mark.parametrize("rate", [0.1, 1.0, 3.0, 100.0])
@given(wishes=st.lists(st.tuples(st.integers(1, 10), st.floats(0, 5)), max_size=40))
def test_a_rate_is_never_exceeded(rate: float, wishes: list[tuple[int, float]]) -> None:
    """Over any stretch a sender gets its rate and one burst: a second's worth or one message."""
    buckets, now = Buckets(), 100.0
    sent: list[tuple[float, int]] = []
    for segments, pause in wishes:
        cost = segments / rate
        now = max(now + pause, buckets.ready_at("a", cost))
        buckets.spend("a", cost, now=now)
        sent.append((now, segments))
    burst = max(rate * BURST_SECONDS, *(segments for _, segments in sent), 0)
    for first, (begin, _) in enumerate(sent):
        total = 0
        for end, segments in sent[first:]:
            total += segments
            assert total <= rate * (end - begin) + burst + 1e-6
