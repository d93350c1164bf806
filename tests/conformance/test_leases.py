"""Leases as every store must keep them: one owner at a time, and writes that know it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from tests.databases import DATABASES
from trunkline.app import open_store
from trunkline.domain.account import Key
from trunkline.store.leases import (
    LEASE_SECONDS_MAX,
    LeaseLost,
    LeaseRow,
    TimedLease,
    all_leases,
    database_time,
    release_leases,
    renew_leases,
    take_leases,
)
from trunkline.store.nodes import (
    DEAD_SHOWN_FOR,
    NodeRow,
    all_nodes,
    forget_dead_nodes,
    put_news,
    put_node,
    read_tidings,
    read_version,
    remove_node,
)
from trunkline.store.records import KEYS, delete_record, insert_record, update_record
from trunkline.store.store import Database
from trunkline.store.tables import leases

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LEASE = timedelta(seconds=10)
SOON = 3.0  # Less than a statement waits for a lock.
A, B = "ND" + "a" * 32, "ND" + "b" * 32


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a started store."""
    store = open_store(tmp_path, **DATABASES.settings(tmp_path))
    yield store
    await store.close()


def take(*names: str, node: str, at: datetime = NOON) -> Callable[[Connection], list[LeaseRow]]:
    return lambda db: take_leases(db, names, node_sid=node, at=at, until=at + LEASE)


def lease_of(row: LeaseRow) -> TimedLease:
    return TimedLease(row.name, node_sid=row.node_sid, fence=row.fence, until=0.0, time=lambda: 0.0)


async def test_a_lease_is_one_nodes_until_it_runs_out(store: Database) -> None:
    """Nobody else gets it before its time; then anybody does, with a fence that is higher."""
    (first,) = await store.write(take("lane:acme/0", node=A))
    assert (first.node_sid, first.fence, first.expires_at) == (A, 1, NOON + LEASE)
    early = NOON + LEASE - timedelta(microseconds=1)
    assert await store.write(take("lane:acme/0", node=B, at=early)) == []
    (second,) = await store.write(take("lane:acme/0", node=B, at=NOON + LEASE))
    assert (second.node_sid, second.fence) == (B, 2)


async def test_what_is_renewed_does_not_run_out(store: Database) -> None:
    """One statement renews everything of a node, also what ran out and nobody took."""
    await store.write(take("one", "two", node=A))
    await store.write(take("three", node=B))
    later = NOON + 3 * LEASE
    await store.write(partial(renew_leases, node_sid=A, until=later))
    expiries = {row.name: row.expires_at for row in await store.read(all_leases)}
    assert expiries == {"one": later, "two": later, "three": NOON + LEASE}
    got = await store.write(take("one", "two", "three", node=B, at=NOON + 2 * LEASE))
    assert [row.name for row in got] == ["three"]


async def test_what_is_given_back_is_free_at_once(store: Database) -> None:
    """Some or all of it; the fence goes on counting."""
    await store.write(take("one", "two", node=A))
    await store.write(partial(release_leases, node_sid=A, names=["one"]))
    await store.write(partial(release_leases, node_sid=B))
    (row,) = await store.write(take("one", "two", node=B))
    assert (row.name, row.fence) == ("one", 2)
    await store.write(partial(release_leases, node_sid=A))
    assert [row.fence for row in await store.write(take("two", node=B))] == [2]


async def test_a_lease_from_a_future_is_free(store: Database) -> None:
    """A clock that was set back by an hour keeps nobody waiting for an hour."""
    await store.write(take("one", node=A, at=NOON + timedelta(hours=1)))
    near = timedelta(seconds=LEASE_SECONDS_MAX)
    assert await store.write(take("one", node=B, at=NOON + timedelta(hours=1) + LEASE - near)) == []
    assert len(await store.write(take("one", node=B))) == 1


async def test_whoever_lost_a_lease_writes_nothing_more(store: Database) -> None:
    """A work that holds the lease goes on with its own fence only, and is undone otherwise."""
    first = lease_of((await store.write(take("one", node=A)))[0])

    def work(db: Connection, *, lease: TimedLease) -> None:
        db.execute(update(leases).where(leases.c.name == "one").values(expires_at=NOON + 5 * LEASE))
        lease.hold(db)

    await store.write(partial(work, lease=first))
    second = lease_of((await store.write(take("one", node=B, at=NOON + 6 * LEASE)))[0])
    with pytest.raises(LeaseLost):
        await store.write(partial(work, lease=first))
    assert (await store.read(all_leases))[0].expires_at == NOON + 7 * LEASE
    await store.write(partial(work, lease=second))
    # The same node again is not the same tenancy again.
    third = lease_of((await store.write(take("one", node=A, at=NOON + 9 * LEASE)))[0])
    for lost in (first, second):
        with pytest.raises(LeaseLost):
            await store.write(partial(work, lease=lost))
    await store.write(partial(work, lease=third))


@pytest.mark.postgresql
async def test_a_take_over_waits_for_the_work_that_holds_the_lease(store: Database) -> None:
    """An owner's write and a take-over never interleave; renewing waits for nobody."""
    held = lease_of((await store.write(take("one", node=A)))[0])
    with store.engine.connect() as working, working.begin() as transaction:
        held.hold(working)
        later = NOON + 2 * LEASE
        assert await store.write(take("one", node=B, at=later)) == []
        await store.write(partial(renew_leases, node_sid=A, until=NOON + LEASE))
        transaction.commit()
    assert len(await store.write(take("one", node=B, at=later))) == 1


@pytest.mark.postgresql
async def test_what_another_is_about_to_take_is_passed_over(store: Database) -> None:
    """Nobody waits for him: what he waits for may be ours, and then neither would go on."""
    await store.write(take("one", "two", node=A))
    later = NOON + 2 * LEASE
    with store.engine.connect() as taking, taking.begin() as transaction:
        assert len(take("one", node=B, at=later)(taking)) == 1
        (got,) = await asyncio.wait_for(store.write(take("one", "two", node=A, at=later)), SOON)
        assert got.name == "two"
        transaction.commit()


@pytest.mark.postgresql
async def test_leases_go_by_the_databases_clock(store: Database) -> None:
    """What our own clock says makes no difference."""
    there = await store.read(partial(database_time, now=NOON))
    assert abs(there - datetime.now(UTC)) < timedelta(seconds=5)


async def test_time_alone_ends_what_a_node_may_do() -> None:
    """A lease that nobody could renew is over, however long its owner stood still."""
    time = [100.0]
    lease = TimedLease("one", node_sid=A, fence=1, until=109.0, time=lambda: time[0])
    assert lease.is_valid()
    time[0] = 108.9
    lease.renew(105.0)
    assert lease.is_valid()
    time[0] = 109.0
    assert not lease.is_valid()
    lease.renew(120.0)
    assert lease.is_valid()
    lease.end()
    assert not lease.is_valid()


def node(sid: str, *, at: datetime = NOON) -> NodeRow:
    return NodeRow(
        sid=sid, name="here:8800", version="1", started_at=at, seen_at=at, lease_seconds=10
    )


async def test_a_node_says_that_it_lives_and_what_it_stirred(store: Database) -> None:
    """News stays while it says so again; a node that goes gives everything back."""
    await store.write(partial(put_node, node=node(A)))
    await store.write(partial(put_news, node_sid=A, news=[(1, "lane:acme/0")]))
    await store.write(take("one", node=A))
    later = NOON + timedelta(seconds=9)
    await store.write(partial(put_node, node=node(A, at=later)))
    (row,) = await store.read(all_nodes)
    assert (row.started_at, row.seen_at, row.news) == (NOON, later, [(1, "lane:acme/0")])
    assert row.is_alive(later)
    assert not row.is_alive(later + LEASE)
    assert (await store.read(partial(read_tidings, node_sid=B))).news == {A: [(1, "lane:acme/0")]}
    assert (await store.read(partial(read_tidings, node_sid=A))).news == {}
    await store.write(partial(remove_node, node_sid=A))
    assert await store.read(all_nodes) == []
    assert len(await store.write(take("one", node=B))) == 1


async def test_a_node_that_died_is_forgotten_after_a_while(store: Database) -> None:
    """Until then people can see that it was there."""
    await store.write(partial(put_node, node=node(A)))
    await store.write(partial(forget_dead_nodes, at=NOON + DEAD_SHOWN_FOR))
    assert len(await store.read(all_nodes)) == 1
    await store.write(partial(forget_dead_nodes, at=NOON + DEAD_SHOWN_FOR + LEASE))
    assert await store.read(all_nodes) == []


async def test_every_change_of_what_nodes_remember_is_counted(store: Database) -> None:
    """In the commit that makes it, so that nobody reads the count before the change."""
    key = Key(
        sid="SK" + "1" * 32,
        account_sid="AC" + "1" * 32,
        friendly_name="",
        secret_digest="",
        created_at=NOON,
        updated_at=NOON,
    )
    seen = [await store.read(read_version)]
    for change in (insert_record, update_record):
        await store.write(partial(change, kind=KEYS, value=key))
        seen.append(await store.read(read_version))
    await store.write(partial(delete_record, kind=KEYS, sid=key.sid))
    assert [*seen, await store.read(read_version)] == [0, 1, 2, 3]
