"""Turns and windows: what may be started next, host by host."""

from collections import Counter

import pytest

from trunkline.dispatch.hosts import (
    WAITING_MAX,
    WAITING_PER_PLACE,
    WINDOW_MAX,
    WINDOW_START,
    Hosts,
    Pace,
)
from trunkline.store.hosts import Turn, host_of


def turn(host: str, account: str = "AC1") -> Turn:
    """Return an account at a host."""
    return Turn(host, account)


def filled(**rows: int) -> Hosts[int]:
    """Return hosts with so many rows waiting."""
    hosts: Hosts[int] = Hosts()
    for host, count in rows.items():
        for row in range(count):
            assert hosts.add(turn(host), row)
    return hosts


def taken(hosts: Hosts[int]) -> list[str]:
    """Take whatever may be started."""
    found = []
    while job := hosts.take():
        found.append(job[0])
    return found


def test_hosts_take_turns() -> None:
    """One with many rows does not come before one with few."""
    assert taken(filled(a=3, b=2, c=1)) == ["a", "b", "c", "a", "b", "a"]


def test_a_host_begins_with_a_few() -> None:
    """The others wait until one of them ends."""
    hosts = filled(a=10)
    assert len(taken(hosts)) == WINDOW_START
    hosts.done("a", Pace.SLOW)
    assert len(taken(hosts)) == 1


def test_answers_widen_a_window_up_to_its_limit() -> None:
    """A quick host soon has as many as any host may have."""
    hosts = filled(a=WAITING_PER_PLACE * WINDOW_START**2)
    for row in range(200):
        assert hosts.take()
        hosts.done("a", Pace.QUICK)
        hosts.add(turn("a"), row)
    assert len(taken(hosts)) == WINDOW_MAX


def test_silence_narrows_a_window_to_one() -> None:
    """A dead host keeps one place, so that it is found alive again."""
    hosts = filled(a=20)
    for _ in range(WINDOW_START):
        assert hosts.take()
    for _ in range(WINDOW_START):
        hosts.done("a", Pace.SILENT)
    assert taken(hosts) == ["a"]


def test_a_host_of_which_enough_wait_takes_no_more() -> None:
    """What is beyond its room stays on disk, and others are taken in all the same."""
    hosts = filled(a=WAITING_PER_PLACE * WINDOW_START**2, b=1)
    assert not hosts.add(turn("a"), 99)
    assert hosts.supplied() == {turn("a")}
    assert hosts.add(turn("b"), 2)


def test_all_hosts_together_have_a_limit() -> None:
    """Any number of hosts cannot fill the memory."""
    hosts: Hosts[int] = Hosts()
    assert sum(hosts.add(turn(f"host{n}"), n) for n in range(WAITING_MAX + 5)) == WAITING_MAX


@pytest.mark.parametrize(
    ("pace", "window"), [(Pace.QUICK, WINDOW_START + 1), (Pace.SILENT, WINDOW_START // 2)]
)
def test_the_window_of_a_host_without_work_is_kept(pace: Pace, window: int) -> None:
    """What comes in crowds does not begin anew with each."""
    hosts = filled(a=1)
    assert hosts.take() == ("a", 0)
    hosts.done("a", pace)
    assert hosts.take() is None
    for row in range(10):
        hosts.add(turn("a"), row)
    assert len(taken(hosts)) == window


def test_the_windows_of_hosts_without_work_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was busy last is remembered; who is forgotten begins anew."""
    monkeypatch.setattr("trunkline.dispatch.hosts.REMEMBERED_MAX", 1)
    hosts = filled(a=1, b=1)
    for name in taken(hosts):
        hosts.done(name, Pace.SILENT)
    for name in "ab":
        for row in range(10):
            hosts.add(turn(name), row)
    assert Counter(taken(hosts)) == {"a": WINDOW_START, "b": WINDOW_START // 2}


def test_the_host_of_a_url() -> None:
    """User-info, path and case play no part; what is no URL has no host."""
    assert host_of("https://me:secret@App.Example.com:8443/x?y#z") == "app.example.com:8443"
    assert host_of("http://a@b@c?x") == "c"
    assert host_of("http://[::1]:80") == "[::1]:80"
    assert host_of("javascript:alert(1)") == ""


def quick(*names: str) -> Hosts[int]:
    """Return hosts that have answered so often that each has as many requests as any may."""
    hosts = filled(**dict.fromkeys(names, 2))
    for _ in range(len(names) * WINDOW_MAX):
        job = hosts.take()
        assert job
        hosts.done(job[0], Pace.QUICK)
        hosts.add(turn(job[0]), 0)
    return hosts


def test_quick_hosts_leave_room_for_others() -> None:
    """However many rows they have, one that comes later finds as much room as any of them."""
    hosts = quick("a", "b", "c", "d")
    added = sum(hosts.add(turn(name), row) for name in "abcd" for row in range(WAITING_MAX))
    assert WAITING_MAX // 2 < added < WAITING_MAX * 9 // 10
    assert hosts.add(turn("new"), 0)


def test_at_one_host_accounts_take_turns() -> None:
    """A single row of one comes right after the next of another's many."""
    hosts = filled(a=20)
    assert hosts.take() == ("a", 0)
    assert hosts.add(turn("a", "AC2"), 99)
    assert [hosts.take() for _ in range(3)] == [("a", 1), ("a", 99), ("a", 2)]


def test_accounts_share_the_window_of_their_host() -> None:
    """A host that takes long gets no more requests because several accounts use it."""
    hosts = filled(a=10)
    for row in range(10):
        assert hosts.add(turn("a", "AC2"), row)
    assert len(taken(hosts)) == WINDOW_START


def test_what_one_account_has_fills_no_room_of_another_at_its_host() -> None:
    """It stays on disk beyond its own room; the other's is as large."""
    hosts = quick("a")
    mine = sum(hosts.add(turn("a"), row) for row in range(WAITING_MAX))
    assert not hosts.add(turn("a"), 0)
    assert (hosts.is_supplied(turn("a")), hosts.is_supplied(turn("a", "AC2"))) == (True, False)
    others = sum(hosts.add(turn("a", "AC2"), row) for row in range(WAITING_MAX))
    assert others > mine // 4


def test_accounts_of_one_host_leave_room_for_other_hosts() -> None:
    """However many accounts have something for a host that is dead."""
    hosts: Hosts[int] = Hosts()
    added = sum(hosts.add(turn("dead", f"AC{n}"), n) for n in range(2 * WAITING_MAX))
    assert added <= WAITING_MAX // 2
    assert hosts.add(turn("live"), 0)
