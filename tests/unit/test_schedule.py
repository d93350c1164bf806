"""Whose turn is next: priorities, accounts, senders, rates, and the order within a pair."""

from collections import Counter, deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from trunkline.dispatch.rate import BURST_SECONDS
from trunkline.dispatch.schedule import (
    AHEAD_SECONDS,
    FLOW_ROWS_MAX,
    FLOW_ROWS_MIN,
    READ_MAX,
    ROWS_MAX,
    Schedule,
)
from trunkline.domain.carrier import SenderType
from trunkline.store.outbox import OutboxRow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=4)
# More than there is, so that a schedule gives out whatever may go.
ALL = 1_000_000
NUMBERS = count(1)
SENDERS = ("+14155550100", "+14155550101", "+14155550102")


def row(
    account: str = "AC1",
    sender: str = SENDERS[0],
    *,
    recipient: str | None = None,
    urgency: int = 3,
    segments: int = 1,
    expires_at: datetime = LATER,
) -> OutboxRow:
    """Return a row that is younger than those before; each has a recipient of its own."""
    number = next(NUMBERS)
    return OutboxRow(
        lane="simulated/0",
        message_sid=f"SM{number:032x}",
        account_sid=account,
        flow=f"{urgency}{account}{sender[-5:]}"[:9],
        sender=sender,
        recipient=recipient or f"+1212{number:07d}",
        segments=segments,
        due_at=NOON,
        expires_at=expires_at,
    )


def rows(size: int, account: str = "AC1", *, sender: str = SENDERS[0]) -> list[OutboxRow]:
    """Return so many rows of one sender, each to somebody else."""
    return [row(account, sender) for _ in range(size)]


def filled(queued: Iterable[OutboxRow], *, rate: float | None = None) -> Schedule:
    """Return a schedule in which rows wait; the rate is that of long codes."""
    schedule = Schedule({} if rate is None else {SenderType.LONG_CODE: rate})
    schedule.add(queued)
    return schedule


def flows(found: Iterable[OutboxRow]) -> list[str]:
    """Return whose rows were given out."""
    return [each.account_sid for each in found]


def test_urgent_rows_come_first() -> None:
    """However many others wait."""
    urgent = row(urgency=0)
    schedule = filled([*rows(20), row(urgency=2), urgent])
    assert schedule.take(0.0, segments=1) == [urgent]
    assert schedule.take(0.0, segments=1)[0].flow[0] == "2"


def test_accounts_take_turns() -> None:
    """One with many rows does not come before one with few."""
    schedule = filled([*rows(4, "AC1"), *rows(2, "AC2"), *rows(1, "AC3")])
    found = schedule.take(0.0, segments=ALL)
    assert flows(found) == ["AC1", "AC2", "AC3", "AC1", "AC2", "AC1", "AC1"]


def test_senders_of_an_account_take_turns() -> None:
    """They share what the account gets."""
    schedule = filled([*rows(3), *rows(1, sender=SENDERS[1]), *rows(2, "AC2")])
    found = schedule.take(0.0, segments=5)
    assert [(each.account_sid, each.sender[-1]) for each in found] == [
        *(("AC1", "0"), ("AC2", "0"), ("AC1", "1"), ("AC2", "0"), ("AC1", "0"))
    ]


def test_turns_go_on_where_they_ended() -> None:
    """Small bites are as fair as large ones."""
    schedule = filled([*rows(3, "AC1"), *rows(3, "AC2")])
    found = [flows(schedule.take(0.0, segments=1))[0] for _ in range(4)]
    assert found == ["AC1", "AC2", "AC1", "AC2"]


def test_a_sender_sends_its_oldest_row_first() -> None:
    """Also when that one came into memory last."""
    first, second, third = rows(3)
    schedule = filled([second, third])
    assert schedule.add([first]) == 1
    assert schedule.take(0.0, segments=ALL) == [first, second, third]


def test_a_row_that_is_due_later_goes_later() -> None:
    """What was postponed lost its place."""
    first, second = rows(2)
    postponed = replace(first, due_at=NOON + timedelta(seconds=9))
    assert filled([postponed, second]).take(0.0, segments=ALL) == [second, postponed]


def test_at_least_one_row_goes() -> None:
    """A text with more segments than there is room for is not stuck."""
    schedule = filled([row(segments=5), row(segments=2)])
    assert [each.segments for each in schedule.take(0.0, segments=0)] == [5]
    assert [each.segments for each in schedule.take(0.0, segments=1)] == [2]


def test_known_rows_are_passed_over() -> None:
    """Waiting or under way, a row is there once."""
    queued = rows(3)
    schedule = filled(queued)
    schedule.take(0.0, segments=1)
    assert schedule.add(queued) == 0
    assert schedule.known() == {queued[0].flow: 3}


def test_a_pair_has_one_row_under_way() -> None:
    """The others wait for it, whatever their priority; other pairs of the sender do not."""
    first = row(recipient="+12125550100")
    second = row(recipient="+12125550100", urgency=0)
    other = row()
    schedule = filled([first])
    assert schedule.take(0.0, segments=ALL) == [first]
    schedule.add([second, other])
    assert schedule.take(0.0, segments=ALL) == [other]
    schedule.done(first)
    assert schedule.take(0.0, segments=ALL) == [second]


def test_a_row_finds_its_old_place_among_many() -> None:
    """It comes before those of its pair that wait, however full its flow is."""
    queued = [row(recipient="+12125550100") for _ in range(20)]
    schedule = filled(queued, rate=0.1)
    assert schedule.take(0.0, segments=1) == queued[:1]
    schedule.add(queued)
    schedule.done(queued[0])
    assert schedule.add(queued[:1]) == 1
    assert schedule.take(1000.0, segments=ALL) == queued[:1]


def test_a_row_that_is_done_is_forgotten() -> None:
    """It comes back by being added, as what is postponed does."""
    queued = row()
    schedule = filled([queued])
    assert schedule.take(0.0, segments=ALL) == [queued]
    schedule.done(queued)
    assert schedule.known() == {}
    assert schedule.add([queued]) == 1
    assert schedule.take(0.0, segments=ALL) == [queued]


def test_a_waiting_row_can_be_done() -> None:
    """What moves to another lane waits here no more; twice changes nothing."""
    first, second, third = (row(recipient="+12125550100") for _ in range(3))
    schedule = filled([first, second, third])
    assert schedule.take(0.0, segments=ALL) == [first]
    schedule.done(second)
    schedule.done(second)
    schedule.done(first)
    assert schedule.take(0.0, segments=ALL) == [third]
    assert schedule.known() == {third.flow: 1}


def test_a_sender_keeps_to_its_rate() -> None:
    """One segment a second; others are not held up by it."""
    slow, free = rows(3), row(sender="MYSHOP")
    schedule = filled([*slow, free], rate=1.0)
    assert schedule.take(100.0, segments=ALL) == [slow[0], free]
    assert schedule.next_at(100.0) == 101.0
    assert schedule.take(100.9, segments=ALL) == []
    assert schedule.take(101.0, segments=ALL) == [slow[1]]
    assert schedule.next_at(101.0) == 102.0
    assert schedule.take(102.0, segments=ALL) == [slow[2]]
    assert schedule.next_at(102.0) is None


def test_an_urgent_row_is_the_first_when_its_sender_may_go() -> None:
    """Small texts do not keep a long urgent one from ever finding a full bucket."""
    long = row(urgency=0, segments=8)
    schedule = filled([row(segments=9)], rate=10.0)
    schedule.take(0.0, segments=ALL)
    schedule.add([long, *rows(5)])
    assert schedule.take(0.1, segments=ALL) == []
    assert schedule.next_at(0.1) == pytest.approx(0.7)
    assert schedule.take(0.69, segments=1) == []
    assert schedule.take(0.71, segments=1) == [long]


def test_a_rate_is_that_of_the_sender_for_all_accounts() -> None:
    """A carrier sees the sender alone; who shares it takes turns."""
    schedule = filled([*rows(2, "AC1"), *rows(2, "AC2")], rate=1.0)
    found = [flows(schedule.take(float(second), segments=ALL)) for second in range(4)]
    assert found == [["AC1"], ["AC2"], ["AC1"], ["AC2"]]


def test_nothing_waits_for_time_when_its_rows_are_gone() -> None:
    """A rest without rows wakes nobody, and the rate is remembered all the same."""
    first, second, third = rows(3)
    schedule = filled([first, second], rate=1.0)
    schedule.take(0.0, segments=ALL)
    assert schedule.next_at(0.0) == 1.0
    schedule.done(second)
    assert schedule.next_at(0.0) is None
    schedule.clear()
    assert schedule.known() == {}
    schedule.add([third])
    assert schedule.take(0.5, segments=ALL) == []
    assert schedule.next_at(0.5) == 1.0


def test_a_sender_with_a_rate_needs_few_rows() -> None:
    """The others stay on disk, and half of what there is room for is enough."""
    quick, slow = Schedule({SenderType.LONG_CODE: 10.0}), Schedule({SenderType.LONG_CODE: 0.1})
    queued = rows(100)
    assert [quick.add(queued), slow.add(queued)] == [10 * AHEAD_SECONDS, FLOW_ROWS_MIN]
    assert quick.limits([queued[0].flow]) == slow.limits([queued[0].flow]) == {}
    for each in queued[: FLOW_ROWS_MIN // 2 + 1]:
        slow.done(each)
    assert set(slow.limits([queued[0].flow])) == {queued[0].flow}
    assert slow.add(queued[FLOW_ROWS_MIN:]) == FLOW_ROWS_MIN // 2 + 1


def test_what_is_read_fits_into_memory() -> None:
    """Flows share the room; of a known one what is here is read again, for it is still stored."""
    schedule = filled([])
    assert schedule.limits(["3a"]) == {"3a": FLOW_ROWS_MAX}
    many = [f"3{number}" for number in range(ROWS_MAX // 5)]
    limits = schedule.limits(many)
    assert (len(limits), set(limits.values())) == (READ_MAX, {1})
    assert set(schedule.limits(many[: READ_MAX // 5]).values()) == {5}
    queued = rows(FLOW_ROWS_MAX // 4)
    schedule.add(queued)
    schedule.take(0.0, segments=10)
    assert schedule.limits([queued[0].flow]) == {queued[0].flow: FLOW_ROWS_MAX + 10}
    schedule.add(rows(FLOW_ROWS_MAX))
    assert schedule.limits([queued[0].flow]) == {}


def test_nothing_is_read_when_memory_is_full() -> None:
    """Until something is done."""
    schedule = filled(row(f"AC{number}") for number in range(ROWS_MAX))
    assert schedule.limits(["3a"]) == {}
    for each in schedule.take(0.0, segments=2):
        schedule.done(each)
    assert schedule.limits(["3a", "3b"]) == {"3a": 1, "3b": 1}


def test_memory_has_room_for_every_flow() -> None:
    """A greedy flow takes no more than it leaves to others, so that late ones come in."""
    greedy = [rows(FLOW_ROWS_MAX, f"AC{number}") for number in range(10, 22)]
    schedule = filled(each for part in greedy for each in part)
    assert sum(schedule.known().values()) < ROWS_MAX
    assert max(schedule.known().values()) == FLOW_ROWS_MAX
    assert schedule.add(rows(2, "AC1")) == 2


def test_memory_has_an_end() -> None:
    """Even of many flows no more than so many rows wait."""
    schedule = filled(row(f"AC{number}") for number in range(ROWS_MAX + 100))
    assert sum(schedule.known().values()) == ROWS_MAX
    assert schedule.add([row("AC99999")]) == 0
    taken = schedule.take(0.0, segments=1)
    assert schedule.add([row("AC99999")]) == 0
    schedule.done(taken[0])
    assert schedule.add([row("AC99999")]) == 1


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8), bite=st.integers(1, 7))
@settings(max_examples=80)
def test_an_account_is_served_within_a_round(sizes: list[int], bite: int) -> None:
    """Between two rows of one account no other account has more than one."""
    schedule = filled(each for n, size in enumerate(sizes) for each in rows(size, f"AC{n}"))
    order: list[str] = []
    while taken := schedule.take(0.0, segments=bite):
        order += flows(taken)
    assert len(order) == sum(sizes)
    left = Counter(order)
    rounds = deque(order)
    while rounds:
        active = [account for account, number in left.items() if number]
        served = [rounds.popleft() for _ in active]
        assert sorted(served) == sorted(active)
        left.subtract(served)


class Life:
    """Random traffic through a schedule, and what must hold of it at any time."""

    def __init__(self, chance: Random, *, rate: float | None) -> None:
        self.chance = chance
        self.schedule = filled([], rate=rate)
        self.waiting: list[OutboxRow] = []
        self.under_way: list[OutboxRow] = []
        self.sent: list[tuple[float, OutboxRow]] = []
        self.now = 0.0

    def add(self) -> None:
        """Queue some rows to few recipients, so that pairs meet."""
        new = [
            row(
                self.chance.choice(("AC1", "AC2")),
                self.chance.choice(SENDERS),
                recipient=f"+1212555010{self.chance.randrange(4)}",
                urgency=self.chance.choice((0, 3)),
                segments=self.chance.choice((1, 1, 1, 4)),
            )
            for _ in range(self.chance.randrange(8))
        ]
        self.waiting += new
        self.schedule.add(self.waiting)

    def take(self) -> None:
        """Take a bite; it holds what waits, and nothing whose pair is under way."""
        taken = self.schedule.take(self.now, segments=self.chance.choice((1, 3, ALL)))
        for each in taken:
            self.waiting.remove(each)
            self.under_way.append(each)
            older = [w for w in self.waiting if pair(w) == pair(each) and w.flow == each.flow]
            assert all(w.message_sid > each.message_sid for w in older)
            self.sent.append((self.now, each))
        pairs = [pair(each) for each in self.under_way]
        assert len(pairs) == len(set(pairs))

    def end(self) -> None:
        """Finish what was under way, or try it again in its old place."""
        self.chance.shuffle(self.under_way)
        for _ in range(self.chance.randrange(len(self.under_way) + 1)):
            ended = self.under_way.pop()
            self.schedule.done(ended)
            if self.chance.random() < 0.3:
                self.waiting.append(ended)
                self.waiting.sort(key=lambda each: each.message_sid)
                assert self.schedule.add([ended]) == 1

    def withdraw(self) -> None:
        """Forget some that wait, and read what there is again."""
        for each in self.waiting:
            if self.chance.random() < 0.1:
                self.schedule.done(each)
        self.schedule.add(self.waiting)

    def wait(self) -> None:
        """Let time pass, now and then to when a sender may go again."""
        wake = self.schedule.next_at(self.now)
        if wake is None or self.chance.random() < 0.5:
            self.now += self.chance.random()
        else:
            self.now = wake

    def finish(self) -> None:
        """Go on until nothing waits; each round something must happen."""
        while self.waiting:
            before = len(self.waiting), self.now
            self.schedule.add(self.waiting)
            for each in self.under_way:
                self.schedule.done(each)
            self.under_way.clear()
            self.take()
            self.now = self.schedule.next_at(self.now) or self.now
            assert (len(self.waiting), self.now) != before
        for each in self.under_way:
            self.schedule.done(each)
        assert self.schedule.known() == {}


def pair(each: OutboxRow) -> tuple[str, str, str]:
    return (each.account_sid, each.sender, each.recipient)


@pytest.mark.parametrize("rate", [None, 0.5, 2.0, 30.0])
@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=80)
def test_traffic_keeps_its_order_and_its_rates(rate: float | None, seed: int) -> None:
    """One row of a pair at a time, oldest first, nothing lost, and no sender beyond its rate."""
    life = Life(Random(seed), rate=rate)
    steps = (life.add, life.take, life.end, life.wait, life.withdraw)
    for _ in range(40):
        life.chance.choice(steps)()
    life.finish()
    for sender in SENDERS if rate else ():
        mine = [(at, each.segments) for at, each in life.sent if each.sender == sender]
        assert_within_rate(mine, rate=rate or 0.0)


def assert_within_rate(sent: list[tuple[float, int]], *, rate: float) -> None:
    """Hold that over any stretch no more left than the rate and one burst."""
    burst = max([rate * BURST_SECONDS, *(segments for _, segments in sent)])
    for first, (begin, _) in enumerate(sent):
        total = 0
        for end, segments in sent[first:]:
            total += segments
            assert total <= rate * (end - begin) + burst + 1e-6
