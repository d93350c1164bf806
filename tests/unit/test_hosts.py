"""Turns and windows: what may be started next, host by host."""

from trunkline.dispatch.hosts import (
    WAITING_MAX,
    WAITING_PER_PLACE,
    WINDOW_MAX,
    WINDOW_START,
    Hosts,
    Pace,
)
from trunkline.store.hosts import host_of


def filled(**rows: int) -> Hosts[int]:
    """Return hosts with so many rows waiting."""
    hosts: Hosts[int] = Hosts()
    for host, count in rows.items():
        for row in range(count):
            assert hosts.add(host, row)
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
        hosts.add("a", row)
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
    assert not hosts.add("a", 99)
    assert hosts.supplied() == {"a"}
    assert hosts.add("b", 2)


def test_all_hosts_together_have_a_limit() -> None:
    """Any number of hosts cannot fill the memory."""
    hosts: Hosts[int] = Hosts()
    assert sum(hosts.add(f"host{n}", n) for n in range(WAITING_MAX + 5)) == WAITING_MAX


def test_a_host_without_work_is_forgotten() -> None:
    """Its window begins anew."""
    hosts = filled(a=1)
    assert hosts.take() == ("a", 0)
    hosts.done("a", Pace.SILENT)
    assert hosts.take() is None
    for row in range(10):
        hosts.add("a", row)
    assert len(taken(hosts)) == WINDOW_START


def test_the_host_of_a_url() -> None:
    """User-info, path and case play no part; what is no URL has no host."""
    assert host_of("https://me:secret@App.Example.com:8443/x?y#z") == "app.example.com:8443"
    assert host_of("http://a@b@c?x") == "c"
    assert host_of("http://[::1]:80") == "[::1]:80"
    assert host_of("javascript:alert(1)") == ""


def test_quick_hosts_leave_room_for_others() -> None:
    """However many rows they have, half of the memory is for hosts that are not known yet."""
    hosts = filled(a=2, b=2, c=2, d=2)
    for _ in range(4 * WINDOW_MAX):
        job = hosts.take()
        assert job
        hosts.done(job[0], Pace.QUICK)
        hosts.add(job[0], 0)
    added = sum(hosts.add(name, row) for name in "abcd" for row in range(WAITING_MAX))
    assert WAITING_MAX // 2 < added < WAITING_MAX * 3 // 4
    assert hosts.add("new", 0)
