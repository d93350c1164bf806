"""What goes wrong around carriers: changes and losses amid work, many flows, long queues."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from tests.api.test_carriers import World
from tests.live import eventually
from trunkline.carriers.port import Deferred, InDoubt, LateTaken, Refused, Taken
from trunkline.config import LEASE_SECONDS_MAX
from trunkline.dispatch import lanes, schedule
from trunkline.dispatch.sweeper import Sweeper
from trunkline.domain.carrier import CarrierAccount, CarrierState
from trunkline.domain.message import Direction
from trunkline.flows import carriers, handover, routes
from trunkline.flows.lanes import outbox_row
from trunkline.flows.outbound import new_message
from trunkline.flows.statuses import announce
from trunkline.flows.switchboard import read_configuration
from trunkline.store.messages import insert_messages
from trunkline.store.outbox import Doubt, insert_outbox, load_any, mark_in_doubt
from trunkline.store.records import CARRIERS, insert_record, update_record
from trunkline.store.store import SqliteStore


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    # On PostgreSQL nobody renews leases but the test, which may take a slow machine long.
    world = World(tmp_path, lease_seconds=LEASE_SECONDS_MAX)
    yield world
    await world.close()


def lane_of(world: World, name: str) -> Any:
    return next(worker for worker in world.app.workers if worker.name == name)


def sweeper_of(world: World) -> Sweeper:
    return next(worker for worker in world.app.workers if isinstance(worker, Sweeper))


async def fill(world: World, senders: Sequence[str], *, each: int) -> None:
    """Let many messages wait that were accepted before."""
    platform = world.app.platform
    messages = [
        new_message(
            platform,
            world.account_sid,
            direction=Direction.OUTBOUND_API,
            sender=sender,
            recipient=f"+1555{n:07}",
            body="x",
        )
        for n in range(each)
        for sender in senders
    ]

    def work(db: Connection) -> None:
        insert_messages(db, messages)
        insert_outbox(db, [outbox_row(platform, message) for message in messages])

    await platform.store.write(work)
    announce(platform, messages)


async def without_the_simulated_route(world: World) -> None:
    for route in await routes.listed(world.app.platform):
        if route.carrier == "simulated":
            await routes.remove(world.app.platform, route.sid)


async def test_a_lane_without_room_is_left_alone(world: World) -> None:
    """A sender's rate would let its next text go; while the carrier is down nothing is tried."""
    one = await world.add("one", sender_rates="long_code=1")
    for n in range(3):
        await world.sent(to=f"+1555867{n:04}")
    one.down_since = world.clock.now()
    world.clock.advance(10)
    lane = lane_of(world, "one/0")
    assert await lane.step() == 0
    due = await lane.next_due()
    assert due is None or due > world.clock.now()


async def test_the_newer_of_two_snapshots_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was read before a change and comes after it does not undo it."""
    await world.add("one")
    platform = world.app.platform
    read, gate, has_read = platform.store.read, asyncio.Event(), asyncio.Event()

    async def slow(query: Any) -> Any:
        found = await read(query)
        if query is read_configuration and not has_read.is_set():
            has_read.set()
            await gate.wait()
        return found

    monkeypatch.setattr(platform.store, "read", slow)
    before = asyncio.create_task(platform.switchboard.refresh())
    await has_read.wait()
    await carriers.change(platform, "one", state="disabled")
    gate.set()
    await before
    assert platform.switchboard.accounts["one"].state is CarrierState.DISABLED


async def test_a_carrier_that_cannot_be_opened_holds_nothing_up(world: World) -> None:
    """Of a type that there is not here: the others are opened, and get what it would have got."""
    platform, now = world.app.platform, world.clock.now()
    strange = CarrierAccount(
        sid=platform.chance.sid("CX", now),
        account_sid=world.account_sid,
        name="strange",
        type="pigeon",
        created_at=now,
        updated_at=now,
    )
    await platform.store.write(lambda db: insert_record(db, CARRIERS, strange))
    await routes.add(platform, routes.Wish(carrier="strange", order="1"))
    await platform.switchboard.refresh()
    waiting = str((await world.send(body="accepted before anybody tried")).json["sid"])
    one = await world.add("one")
    sid = await world.sent(to="+15558675311")
    assert [s.message_sid for s in one.seen] == [waiting, sid]
    known = replace_type(strange, "scripted")
    await platform.store.write(lambda db: update_record(db, CARRIERS, known))
    await platform.switchboard.refresh()
    await world.app.settle()
    again = await world.sent(to="+15558675312")
    assert [s.message_sid for s in world.connector.made["strange"].seen] == [again]


def replace_type(account: CarrierAccount, carrier_type: str) -> CarrierAccount:
    values = {name: getattr(account, name) for name in account.__slots__}
    return CarrierAccount(**values | {"type": carrier_type, "settings": {"lanes": "2"}})


async def test_late_answers_may_name_one_reference_twice(world: World) -> None:
    """The newer message has it then; neither is submitted again, nor is anything raised."""
    one = await world.add("one")
    one.answer = lambda s: InDoubt("no answer")
    sids = [await world.sent(), await world.sent(to="+15558675311")]
    late = [LateTaken(submission=submission, carrier_ref="1") for submission in one.seen]
    await world.told("one", *late)
    await world.run_for(60)
    assert [await world.status(sid) for sid in sids] == [("sent", None)] * 2
    assert len(one.seen) == 2


async def test_a_late_answer_lets_what_is_behind_it_go(world: World) -> None:
    """The next text to the same recipient need not wait until the first would be tried again."""
    one = await world.add("one")
    one.answer = lambda s: InDoubt("no answer")
    first, second = await world.sent(body="first"), await world.sent(body="second")
    assert [s.message_sid for s in one.seen] == [first]
    one.answer = lambda s: Taken("2")
    await world.told("one", LateTaken(submission=one.seen[0], carrier_ref="late"))
    assert [s.message_sid for s in one.seen] == [first, second]
    assert [await world.status(sid) for sid in (first, second)] == [("sent", None)] * 2


async def test_an_answer_to_a_part_lets_nothing_go(world: World) -> None:
    """The rest is tried when it is due, and what is behind it stays there."""
    one = await world.add("one")
    one.answer = lambda s: InDoubt("no answer")
    first, _ = await world.sent(body="x" * 200), await world.sent(body="second")
    await world.told("one", LateTaken(submission=one.seen[0], carrier_ref="late"))
    assert {s.message_sid for s in one.seen} == {first}


async def test_an_answer_that_comes_after_the_carrier_was_left_moves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message went elsewhere meanwhile, and stays there."""
    monkeypatch.setattr(lanes, "CLOSE_SECONDS", 0.01)
    three = await world.add("three", order=300)
    two = await world.add("two", order=200)
    one = await world.add("one")
    one.gate = asyncio.Event()
    one.answer = lambda s: Refused(30003, may_fail_over=True)
    two.space = 0
    sid = str((await world.send()).json["sid"])
    lane = lane_of(world, "one/0")
    assert await lane.step()
    await carriers.change(world.app.platform, "one", state="disabled")
    await world.app.settle()
    await carriers.change(world.app.platform, "two", state="draining")
    one.gate.set()
    await lane.settle()
    two.space = 100
    await world.app.settle()
    assert [s.message_sid for s in (*two.seen, *three.seen)] == [sid]
    assert await world.waiting() == 0


async def test_a_message_whose_segments_are_all_refused_takes_another_route(world: World) -> None:
    """Refused twice is as good as once; some refused and some put off as well."""
    two = await world.add("two", order=200)
    one = await world.add("one")
    one.answer = lambda s: Refused(30003, may_fail_over=True)
    first = await world.sent(body="x" * 300)
    one.answer = lambda s: Refused(30003, may_fail_over=True) if s.segment_index else Deferred(9)
    second = await world.sent(to="+15558675311", body="x" * 300)
    assert [s.message_sid for s in two.seen] == [first, first, second, second]
    assert await world.waiting() == 0


async def test_what_waits_goes_to_a_carrier_as_soon_as_one_is_back(world: World) -> None:
    """Both were down, and nothing waited for the one that comes back."""
    await without_the_simulated_route(world)
    two = await world.add("two", order=200)
    one = await world.add("one")
    one.down_since = two.down_since = world.clock.now()
    sids = [await world.sent(to=f"+1555867{n:04}") for n in range(3)]
    await world.run_for(100)
    assert await world.waiting() == 3
    two.down_since = None
    two.changed()
    await world.app.settle()
    assert [s.message_sid for s in two.seen] == sids


async def test_many_flows_take_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one look finds and more than memory holds; all of them send alike."""
    monkeypatch.setattr(lanes, "FLOWS_MAX", 50)
    monkeypatch.setattr(schedule, "ROWS_MAX", 1000)
    one = await world.add("one")
    one.space = 0
    await fill(world, [f"Brand{n:03}" for n in range(200)], each=20)
    lane = lane_of(world, "one/0")
    one.space = 25
    while len(one.seen) < 1600:
        assert await lane.step()
        await lane.settle()
    sent = Counter(s.sender for s in one.seen)
    assert len(sent) == 200
    assert min(sent.values()) >= 4
    assert max(sent.values()) <= 16


async def test_with_more_lanes_pairs_keep_their_order_and_senders_their_lane(
    world: World,
) -> None:
    """What waits is put where what comes later goes, before anything leaves."""
    one = await world.add("one")
    one.space = 0
    senders = [f"Brand{n:02}" for n in range(12)]
    await fill(world, senders, each=20)
    await carriers.change(world.app.platform, "one", settings={"lanes": "4"})
    await fill(world, senders, each=20)
    await world.app.settle()
    seen = world.connector.made["one"].seen
    assert len(seen) == 480
    for sender in senders:
        mine = [s.message_sid for s in seen if s.sender == sender]
        assert mine == sorted(mine)
    rows = await world.app.store.read(lanes_of_senders)
    assert rows == []


def lanes_of_senders(db: Connection) -> list[Any]:
    return list(db.execute(text("SELECT lane, sender FROM outbox")))


async def test_what_was_disabled_while_it_was_closed_is_not_opened_again(world: World) -> None:
    """Its settings were changed, and before it had taken leave it was switched off."""
    one = await world.add("one")
    one.gate = asyncio.Event()
    await world.send()
    assert await lane_of(world, "one/0").step()
    await carriers.change(world.app.platform, "one", settings={"failover_seconds": "7"})
    step = asyncio.create_task(world.app.carriers.step())
    await carriers.change(world.app.platform, "one", state="disabled")
    assert not step.done()
    one.gate.set()
    await step
    await world.app.settle()
    assert world.connector.opened == 1


async def test_answers_that_could_not_be_recorded_are_recorded_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full when the carrier answered, and is not any more when we stop."""
    world = World(tmp_path)
    one = await world.add("one")
    sid = str((await world.send()).json["sid"])
    store = world.app.store
    write, broken = store.write, [True]

    async def failing(work: Any) -> Any:
        if broken and one.seen:
            raise OSError("disk full")
        return await write(work)

    monkeypatch.setattr(store, "write", failing)
    lane = lane_of(world, "one/0")
    assert await lane.step()
    await lane.settle()
    broken.clear()
    await world.close()
    again = World(tmp_path)
    await again.app.settle()
    assert await again.status(sid) == ("sent", None)
    assert again.connector.made["one"].seen == []
    await again.close()


@pytest.mark.sqlite  # The plans are in its words, and on its scale.
async def test_no_question_reads_the_whole_queue(world: World) -> None:
    """Whatever happens to messages that wait, an index finds them."""
    store = world.app.store
    assert isinstance(store, SqliteStore)
    asked = plans_of(store.engine), plans_of(store._reading)
    two = await world.add("two", order=200)
    one = await world.add("one")
    one.answer = lambda s: InDoubt("no answer")
    doubtful = await world.sent(body="x" * 200)
    await world.told("one", LateTaken(submission=one.seen[0], carrier_ref="late"))
    one.answer = lambda s: Deferred(5)
    await world.sent(to="+15558675311", ValidityPeriod=60)
    one.down_since = world.clock.now()
    await world.run_for(100)
    await carriers.change(world.app.platform, "one", state="disabled")
    await world.run_for(100)
    assert two.seen
    assert doubtful
    plans = {plan for statements in asked for plan in statements}
    assert plans
    scans = {
        plan for plan in plans if plan[1].startswith("SCAN outbox") and " USING " not in plan[1]
    }
    assert scans == set()


def plans_of(engine: Engine) -> set[tuple[str, str]]:
    """Return a set that gets every statement with each step of its plan."""
    found: set[tuple[str, str]] = set()

    @event.listens_for(engine, "before_cursor_execute")
    def explain(_: Any, cursor: Any, statement: str, given: Any, *rest: Any) -> None:
        if "outbox" not in statement or statement.startswith(("EXPLAIN", "INSERT")):
            return
        one = given[0] if isinstance(given, list) else given
        plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", one)
        found.update((statement, row[-1]) for row in plan)

    return found


async def test_a_single_text_is_taken_in_beside_a_long_queue(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its flow nothing older waits on disk: it leaves with the next batch, and nobody looks."""
    monkeypatch.setattr(schedule, "FLOW_ROWS_MAX", 40)
    one = await world.add("one")
    one.space = 0
    await fill(world, ["Crowd"], each=200)
    lane = lane_of(world, "one/0")
    one.space = 10
    assert await lane.step()
    await lane.settle()
    looks: list[str] = []

    def note(db: Connection, lane: str, **_: object) -> list[str]:
        looks.append(lane)
        return []

    monkeypatch.setattr(lanes, "flows_of", note)
    sid = str((await world.send()).json["sid"])
    assert await lane.step()
    await lane.settle()
    assert sid in {s.message_sid for s in one.seen[-10:]}
    while await lane.step():
        await lane.settle()
    assert (len(one.seen), looks) == (201, [])
    mine = [s.recipient for s in one.seen if s.sender == "Crowd"]
    assert mine == sorted(mine)


async def test_what_comes_while_a_lane_reads_on_keeps_its_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its flow has older texts on disk; what was read before it came is not all there is."""
    monkeypatch.setattr(schedule, "FLOW_ROWS_MAX", 20)
    one = await world.add("one")
    one.space = 0
    sender = str(world.number)
    await fill(world, [sender], each=35)
    lane, store = lane_of(world, "one/0"), world.app.platform.store
    one.space = 12
    assert await lane.step()
    await lane.settle()
    read, has_read, may_go_on = store.read, asyncio.Event(), asyncio.Event()

    async def late(query: Any) -> Any:
        found = await read(query)
        has_read.set()
        await may_go_on.wait()
        return found

    monkeypatch.setattr(store, "read", late)
    one.space = 5
    assert await lane.step()
    await has_read.wait()
    monkeypatch.setattr(store, "read", read)
    sid = str((await world.send()).json["sid"])
    one.space = 1
    assert await lane.step()
    may_go_on.set()
    while await lane.step():
        await lane.settle()
    assert (len(one.seen), one.seen[-1].message_sid) == (36, sid)


async def test_a_crowd_is_claimed_by_and_by(world: World) -> None:
    """A commit holds no more than takes moments: who comes meanwhile waits for it."""
    one = await world.add("one")
    one.space = 0
    await fill(world, ["Crowd"], each=3 * lanes.CLAIM_MAX)
    one.space = 10 * lanes.CLAIM_MAX
    lane = lane_of(world, "one/0")
    claimed = []
    for _ in range(4):
        claimed.append(await lane.step())
        await lane.settle()
    assert claimed == [*[lanes.CLAIM_MAX] * 3, 0]


async def test_nothing_is_claimed_while_answers_wait_for_the_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was claimed meanwhile would wait there too, and whoever else sends would wait for it."""
    one = await world.add("one")
    one.space = 0
    await fill(world, ["Crowd"], each=3 * lanes.UNRECORDED_MAX)
    one.space = 10 * lanes.UNRECORDED_MAX
    lane = lane_of(world, "one/0")
    record, is_asked, may_record = handover.submitted, asyncio.Event(), asyncio.Event()

    async def late(*given: Any, **named: Any) -> Any:
        is_asked.set()
        await may_record.wait()
        return await record(*given, **named)

    monkeypatch.setattr(handover, "submitted", late)
    while len(one.seen) < lanes.UNRECORDED_MAX:
        assert await lane.step()
        await is_asked.wait()
    assert (await lane.step(), await lane.next_due()) == (0, None)
    may_record.set()
    await lane.settle()
    while await lane.step():
        await lane.settle()
    assert len(one.seen) == 3 * lanes.UNRECORDED_MAX


async def test_what_an_earlier_lane_awaited_is_given_up_while_texts_leave(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash leaves it behind; what this lane claims while it looks for that is its own."""
    one = await world.add("one")
    one.space = 0
    await fill(world, ["Crowd"], each=3)
    platform, store = world.app.platform, world.app.platform.store

    def of_a_crash(db: Connection) -> None:
        mark_in_doubt(db, load_any(db, "one/0", limit=3))

    async def doubts() -> list[Doubt]:
        rows = await store.read(lambda db: load_any(db, "one/0", limit=9))
        return [row.in_doubt for row in rows]

    async def are_given_up() -> bool:
        return await doubts() == [Doubt.UNDER_WAY, Doubt.WAITING, Doubt.WAITING]

    await store.write(of_a_crash)
    read, is_read, may_go_on = store.read, asyncio.Event(), asyncio.Event()

    async def late(query: Any) -> Any:
        found = await read(query)
        if query.__qualname__.startswith("Lane._give_up_answers"):
            is_read.set()
            await may_go_on.wait()
        return found

    monkeypatch.setattr(store, "read", late)
    lane = lanes.Lane(platform, one, 0, lease=lane_of(world, "one/0").lease)
    one.space, one.gate = 1, asyncio.Event()
    assert await lane.step()
    await is_read.wait()
    may_go_on.set()
    await eventually(are_given_up, what="two of three are given up")
    one.gate.set()
    await lane.settle()
    assert await doubts() == [Doubt.WAITING, Doubt.WAITING]
