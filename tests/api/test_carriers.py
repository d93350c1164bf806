"""Messages on their way to carriers: routes, failover, doubt, receipts in every order, rates."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, text

from tests.databases import DATABASES
from tests.harness import Trunkline
from trunkline.carriers.port import (
    Answered,
    BindState,
    Deferred,
    Handler,
    Incoming,
    InDoubt,
    LateTaken,
    MaySend,
    PduSeen,
    Probe,
    Receipt,
    Refused,
    Sharing,
    Submission,
    SubmitResult,
    Taken,
)
from trunkline.dispatch.lanes import Lane, handler
from trunkline.domain.carrier import Setting
from trunkline.flows import carriers, handover, routes
from trunkline.flows.receipts import CLOCKS_APART_MICROS_MAX
from trunkline.runtime import BATCH_MAX, Chance
from trunkline.store.outbox import outbox_size
from trunkline.store.schema import MIGRATIONS
from trunkline.store.strays import RECEIPT, Stray, insert_strays, page_strays

Answer = Callable[[Submission], SubmitResult]
PHONE = "+15558675310"


class ScriptedCarrier:
    """A carrier that answers what the test says and notes what it is given."""

    def __init__(self, name: str, lanes: Sequence[int], changed: Callable[[], None]) -> None:
        self.name = name
        self.lanes = lanes
        self.down_since: datetime | None = None
        self.answer: Answer = lambda s: Taken(f"{s.message_sid[-8:]}-{s.segment_index}")
        self.seen: list[Submission] = []
        self.batches: list[list[Submission]] = []
        self.space = 100
        self.changed = changed
        self.gate: asyncio.Event | None = None
        self.held: set[str] = set()
        self.freed = asyncio.Event()

    def release(self) -> None:
        """Answer what was held."""
        self.freed.set()

    async def run(self, handle: Handler) -> None:
        await asyncio.Event().wait()

    def take_lane(self, lane: int) -> None:
        self.lanes = (*self.lanes, lane)

    async def leave_lane(self, lane: int) -> None:
        self.lanes = tuple(each for each in self.lanes if each != lane)

    def room(self, lane: int) -> int:
        return 0 if self.down_since else self.space

    def capacity(self, lane: int) -> int:
        return BATCH_MAX

    async def submit(
        self, lane: int, batch: Sequence[Submission], *, answered: Answered | None = None
    ) -> Sequence[SubmitResult]:
        self.seen += batch
        self.batches.append(list(batch))
        if self.gate is not None:
            await self.gate.wait()
        if not self.held:
            return [self.answer(submission) for submission in batch]
        results: list[SubmitResult] = []
        for index, submission in enumerate(batch):
            if submission.text in self.held:
                await self.freed.wait()
            results.append(self.answer(submission))
            if answered:
                answered(index, results[-1])
        return results

    def binds(self) -> Sequence[BindState]:
        return ()

    def pdus(self) -> Sequence[PduSeen]:
        return ()

    async def probe(self) -> Probe:
        return Probe(True, "scripted")


class ScriptedConnector:
    """Opens scripted carriers; *made* has the newest of each name."""

    settings: Sequence[Setting] = ()
    sharing = Sharing.LANES
    is_called = False
    takes_media = True

    def __init__(self) -> None:
        self.made: dict[str, ScriptedCarrier] = {}
        self.opened = 0
        self.answer: Answer | None = None  # What each says from its first moment on.

    def check(self, settings: Mapping[str, str]) -> None:
        """Take everything."""

    def open(
        self,
        name: str,
        settings: Mapping[str, str],
        *,
        lanes: Sequence[int],
        changed: Callable[[], None],
        may_send: MaySend,
    ) -> ScriptedCarrier:
        self.opened += 1
        self.made[name] = ScriptedCarrier(name, lanes, changed)
        self.made[name].answer = self.answer or self.made[name].answer
        return self.made[name]


class World(Trunkline):
    """A Trunkline with carriers of the test's own."""

    def __init__(self, directory: Path, **settings: object) -> None:
        super().__init__(directory, **settings)
        self.connector = ScriptedConnector()
        connectors: Any = self.app.platform.switchboard.connectors
        connectors["scripted"] = self.connector

    async def add(self, name: str, *, order: int = 100, **settings: str) -> ScriptedCarrier:
        """Add a carrier with a route to it for everything."""
        platform = self.app.platform
        await carriers.add(platform, name=name, carrier_type="scripted", settings=settings)
        await routes.add(platform, routes.Wish(carrier=name, order=str(order)))
        await self.app.settle()
        return self.connector.made[name]

    async def told(self, carrier: str, *happenings: Receipt | LateTaken | Incoming) -> None:
        """Let a carrier bring something."""
        workers = [w for w in self.app.workers if isinstance(w, Lane)]
        lanes = {w.index: w for w in workers if w.name == f"{carrier}/{w.index}"}
        await handler(self.app.platform, carrier, lanes=lanes)(happenings)
        await self.app.settle()

    async def sent(self, **form: object) -> str:
        """Send a message and let what is due happen; return its SID."""
        answer = await self.send(**form)  # type: ignore[arg-type]
        assert answer.status == 201, answer.body
        await self.app.settle()
        return str(answer.json["sid"])

    async def status(self, sid: str) -> tuple[str, int | None]:
        """Return the status and the error code of a message."""
        message = await self.message(sid)
        return message["status"], message["error_code"]

    async def until_sent(self, sids: Sequence[str]) -> None:
        """Let what is under way go on until messages are sent."""
        with self.app.platform.feed.subscribe() as news:
            async with asyncio.timeout(5):
                while {(await self.status(sid))[0] for sid in sids} != {"sent"}:
                    await news.get()

    async def waiting(self) -> int:
        """Return how many messages wait for a carrier."""
        return await self.app.store.read(outbox_size)

    def receipt(self, ref: str, *, delivered: bool | None = True, **more: Any) -> Receipt:
        """Return a receipt."""
        error_code = None if delivered is not False else 30005
        values = {"error_code": error_code, "at": self.clock.now(), **more}
        return Receipt(carrier_ref=ref, delivered=delivered, **values)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.close()


def downgrade(db: Connection, revision: str) -> None:
    """Bring a database back to an older schema."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = db
    command.downgrade(config, revision)


def ref_of(sid: str, segment: int = 0) -> str:
    return f"{sid[-8:]}-{segment}"


async def test_a_route_decides_which_carrier_gets_a_message(world: World) -> None:
    """The route with the smaller order takes it; without that route the simulated network does."""
    one = await world.add("one")
    sid = await world.sent()
    assert [s.message_sid for s in one.seen] == [sid]
    assert await world.status(sid) == ("sent", None)
    listed = await routes.listed(world.app.platform)
    for route in listed:
        if route.carrier == "one":
            await routes.remove(world.app.platform, route.sid)
    await world.sent(body="to the simulated phone")
    assert len(one.seen) == 1


async def test_without_a_route_a_message_is_refused(world: World) -> None:
    """21612, and nothing is stored."""
    for route in await routes.listed(world.app.platform):
        await routes.remove(world.app.platform, route.sid)
    answer = await world.send()
    assert (answer.status, answer.json["code"]) == (400, 21612)
    listed = await world.request("GET", f"{world.base}/Messages.json")
    assert listed.json["messages"] == []


async def test_every_segment_must_be_delivered(world: World) -> None:
    """Delivered is said once the last of three receipts came, in whatever order, also twice."""
    await world.add("one")
    sid = await world.sent(body="x" * 400)
    for segment in (2, 0, 2):
        await world.told("one", world.receipt(ref_of(sid, segment)))
        assert await world.status(sid) == ("sent", None)
    await world.told("one", world.receipt(ref_of(sid, 1)))
    assert await world.status(sid) == ("delivered", None)


async def test_one_undelivered_segment_is_an_undelivered_message(world: World) -> None:
    """The other receipts change nothing afterwards."""
    await world.add("one")
    sid = await world.sent(body="x" * 400)
    await world.told("one", world.receipt(ref_of(sid, 1), delivered=False))
    await world.told("one", world.receipt(ref_of(sid, 0)), world.receipt(ref_of(sid, 2)))
    assert await world.status(sid) == ("undelivered", 30005)


async def test_an_intermediate_receipt_ends_nothing(world: World) -> None:
    """It is in the trace, and the final one that follows still counts."""
    await world.add("one")
    sid = await world.sent()
    await world.told("one", world.receipt(ref_of(sid), delivered=None, detail={"stat": "ENROUTE"}))
    assert await world.status(sid) == ("sent", None)
    await world.told("one", world.receipt(ref_of(sid)))
    assert await world.status(sid) == ("delivered", None)
    trace = [e["detail"] for e in await world.events(sid) if e["kind"] == "receipt"]
    assert [d["delivered"] for d in trace] == [None, True]
    assert trace[0]["stat"] == "ENROUTE"


async def test_a_receipt_may_come_before_the_answer(world: World) -> None:
    """It is kept, and counts as soon as the answer names its reference, in any of its forms."""
    one = await world.add("one")
    one.gate = asyncio.Event()
    one.answer = lambda s: Taken("255")
    sid = str((await world.send()).json["sid"])
    lane = next(w for w in world.app.workers if w.name == "one/0")
    assert await lane.step()
    await handler(world.app.platform, "one")([world.receipt("ff", aliases=("255",))])
    assert await world.status(sid) == ("sending", None)
    one.gate.set()
    await world.app.settle()
    assert await world.status(sid) == ("delivered", None)
    assert await world.app.store.read(lambda db: page_strays(db, limit=10)) == []


@pytest.mark.postgresql
async def test_a_receipt_before_the_answer_may_seem_older_than_its_message(world: World) -> None:
    """Where the node that it came to has a clock that is a minute behind."""
    one = await world.add("one")
    one.gate = asyncio.Event()
    one.answer = lambda s: Taken("1")
    sid = str((await world.send()).json["sid"])
    lane = next(w for w in world.app.workers if w.name == "one/0")
    assert await lane.step()
    stray = Stray(
        sid=Chance(1).sid("SY", world.clock.now() - timedelta(minutes=1)),
        carrier="one",
        kind=RECEIPT,
        refs=("1",),
        at=world.clock.now(),
        doc={"delivered": True, "error_code": None, "detail": {}},
    )
    await world.app.store.write(lambda db: insert_strays(db, [stray]))
    one.gate.set()
    await world.app.settle()
    assert await world.status(sid) == ("delivered", None)


async def test_a_receipt_that_matches_nothing_is_kept_and_shown(world: World) -> None:
    """Also when another carrier knows the reference; each is shown once."""
    await world.add("one")
    sid = await world.sent()
    await world.told("two", world.receipt(ref_of(sid), aliases=("other",)))
    assert await world.status(sid) == ("sent", None)
    (stray,) = await world.app.store.read(lambda db: page_strays(db, limit=10))
    assert (stray.carrier, stray.kind, stray.doc["delivered"]) == ("two", "receipt", True)


async def test_a_reference_that_is_used_again_means_the_newer_message(world: World) -> None:
    """An SMSC that was restarted begins to count anew."""
    one = await world.add("one")
    one.answer = lambda s: Taken("1")
    old, new = await world.sent(), await world.sent(to="+15558675311")
    await world.told("one", world.receipt("1"))
    assert (await world.status(old))[0] == "sent"
    assert (await world.status(new))[0] == "delivered"


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_receipt_that_comes_before_a_name_is_recorded_anew(
    world: World, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    """The name was another message's, whose receipt may have come: it means the newer one."""
    one = await world.add("one")
    one.answer = lambda s: Taken("1")
    old = await world.sent()
    if is_known:
        await world.told("one", world.receipt("1"))
    before = await world.status(old)
    record = handover.submitted

    async def late(*given: Any, **named: Any) -> Any:
        await handler(world.app.platform, "one")([world.receipt("1", delivered=False)])
        return await record(*given, **named)

    monkeypatch.setattr(handover, "submitted", late)
    new = await world.sent(to="+15558675311")
    assert (await world.status(old), await world.status(new)) == (before, ("undelivered", 30005))
    monkeypatch.setattr(handover, "submitted", record)
    await world.told("one", world.receipt("1", delivered=False))
    assert await world.app.store.read(lambda db: page_strays(db, limit=10)) == []


async def test_a_deferred_message_goes_again_no_sooner_than_the_carrier_said(
    world: World,
) -> None:
    """And the next message to the same recipient does not overtake it."""
    one = await world.add("one")
    one.answer = lambda s: Deferred(30, "queue full")
    first = await world.sent(body="first")
    second = await world.sent(body="second")
    other = await world.sent(to="+15558675311", body="other")
    assert [s.text for s in one.seen] == ["first", "other"]
    one.answer = lambda s: Taken(s.text)
    await world.run_for(29)
    assert [s.text for s in one.seen] == ["first", "other"]
    await world.run_for(2)
    assert sorted(s.text for s in one.seen) == ["first", "first", "other", "other", "second"]
    texts = [s.text for s in one.seen if s.recipient == PHONE]
    assert texts == ["first", "first", "second"]
    for sid in (first, second, other):
        assert await world.status(sid) == ("sent", None)


async def test_a_refusal_fails_the_message_with_its_code(world: World) -> None:
    """No other carrier is asked when the refusal is not of that kind."""
    two = await world.add("two", order=200)
    one = await world.add("one")
    one.answer = lambda s: Refused(30007, "filtered")
    sid = await world.sent()
    assert await world.status(sid) == ("failed", 30007)
    assert two.seen == []


@pytest.mark.parametrize(
    "answer",
    [Refused(30003, may_fail_over=True), Deferred(60, may_fail_over=True)],
    ids=["refused", "throttled"],
)
async def test_another_carrier_is_tried_where_the_answer_allows(
    world: World, answer: SubmitResult
) -> None:
    """The trace says so; when all have been asked the last word counts."""
    two = await world.add("two", order=200)
    one = await world.add("one")
    one.answer = lambda s: answer
    sid = await world.sent()
    assert [s.message_sid for s in two.seen] == [sid]
    assert await world.status(sid) == ("sent", None)
    await world.told("two", world.receipt(ref_of(sid)))
    assert await world.status(sid) == ("delivered", None)
    (moved,) = [e["detail"] for e in await world.events(sid) if e["kind"] == "rerouted"]
    assert (moved["from"], moved["to"]) == ("one/0", "two/0")
    assert await world.waiting() == 0


async def test_a_message_of_which_a_segment_was_taken_stays_with_its_carrier(
    world: World,
) -> None:
    """Only the segments that were not taken are submitted again."""
    two = await world.add("two", order=200)
    one = await world.add("one")
    one.answer = lambda s: Taken("a") if not s.segment_index else Deferred(5, may_fail_over=True)
    sid = await world.sent(body="x" * 200)
    one.answer = lambda s: Taken("b")
    await world.run_for(6)
    assert [s.segment_index for s in one.seen] == [0, 1, 1]
    assert two.seen == []
    assert await world.status(sid) == ("sent", None)


async def test_a_carrier_that_is_down_for_too_long_is_passed_over(world: World) -> None:
    """What waited moves after failover_seconds; what comes later does not even try."""
    two = await world.add("two", order=200)
    one = await world.add("one", failover_seconds="30")
    one.down_since = world.clock.now()
    sid = await world.sent()
    await world.run_for(29)
    assert two.seen == []
    await world.run_for(2)
    assert [s.message_sid for s in two.seen] == [sid]
    later = await world.sent(to="+15558675311")
    assert [s.message_sid for s in two.seen] == [sid, later]
    one.down_since = None
    one.changed()
    again = await world.sent(to="+15558675312")
    assert [s.message_sid for s in one.seen] == [again]


async def test_a_message_expires_while_its_only_carrier_is_down(world: World) -> None:
    """30036 at the end of its validity, not when the carrier comes back."""
    one = await world.add("one")
    for route in await routes.listed(world.app.platform):
        if route.carrier == "simulated":
            await routes.remove(world.app.platform, route.sid)
    one.down_since = world.clock.now()
    sid = await world.sent(ValidityPeriod=90)
    await world.run_for(89)
    assert await world.status(sid) == ("queued", None)
    await world.run_for(2)
    assert await world.status(sid) == ("failed", 30036)
    assert await world.waiting() == 0


async def test_disabling_a_carrier_strands_nothing(world: World) -> None:
    """What waits for it takes the next route; enabled again it gets what is new."""
    two = await world.add("two", order=200)
    one = await world.add("one")
    one.space = 0
    sids = [await world.sent(to=f"+1555867{n:04}") for n in range(20)]
    assert await world.waiting() == 20
    await carriers.change(world.app.platform, "one", state="disabled")
    await world.app.settle()
    assert [s.message_sid for s in two.seen] == sids
    await carriers.change(world.app.platform, "one", state="enabled")
    await world.app.settle()
    sid = await world.sent()
    assert [s.message_sid for s in world.connector.made["one"].seen] == [sid]


async def test_a_draining_carrier_sends_what_it_has_and_gets_nothing_new(world: World) -> None:
    """And it is not connected anew for that."""
    two = await world.add("two", order=200)
    one = await world.add("one")
    one.space = 0
    old = await world.sent()
    await carriers.change(world.app.platform, "one", state="draining")
    new = await world.sent(to="+15558675311")
    one.space = 100
    one.changed()
    await world.app.settle()
    assert [s.message_sid for s in one.seen] == [old]
    assert [s.message_sid for s in two.seen] == [new]
    assert world.connector.opened == 2


async def test_a_change_of_lanes_moves_what_waits(world: World) -> None:
    """Messages of many senders wait in one of four lanes, then there is but one."""
    one = await world.add("one", lanes="4")
    one.space = 0
    for n in range(12):
        sid = f"Brand{n:02}"
        await world.sent(From=sid, To=f"+4477009001{n:02}")
    await carriers.change(world.app.platform, "one", settings={"lanes": "1"})
    await world.app.settle()
    assert len(world.connector.made["one"].seen) == 12
    assert await world.waiting() == 0


async def test_what_is_in_doubt_is_submitted_again_or_fails_as_the_setting_says(
    world: World,
) -> None:
    """Resubmitted it says that it is a repeat; failed it has 30008."""
    one = await world.add("one")
    one.answer = lambda s: InDoubt("no answer")
    sid = await world.sent()
    assert await world.status(sid) == ("sending", None)
    one.answer = lambda s: Taken("again")
    await world.run_for(6)
    assert [(s.message_sid, s.is_repeat) for s in one.seen] == [(sid, False), (sid, True)]
    assert await world.status(sid) == ("sent", None)
    await carriers.change(world.app.platform, "one", settings={"in_doubt": "fail"})
    await world.app.settle()
    one = world.connector.made["one"]
    one.answer = lambda s: InDoubt("no answer")
    sid = await world.sent(to="+15558675311")
    assert await world.status(sid) == ("failed", 30008)
    assert len(one.seen) == 1


async def test_a_late_answer_spares_the_repeat(world: World) -> None:
    """It came before the message was submitted again: once is enough."""
    one = await world.add("one")
    one.answer = lambda s: InDoubt("no answer")
    sid = await world.sent()
    await world.told("one", LateTaken(submission=one.seen[0], carrier_ref="late"))
    assert await world.status(sid) == ("sent", None)
    await world.run_for(60)
    assert len(one.seen) == 1
    await world.told("one", world.receipt("late"))
    assert await world.status(sid) == ("delivered", None)


async def test_one_account_does_not_hold_up_another(world: World) -> None:
    """Of a campaign of 300 only a little leaves before another sender's code."""
    one = await world.add("one")
    one.space = 0
    for n in range(300):
        await world.send(to=f"+1555867{n:04}", body="campaign")
    await world.send(to=PHONE, body="code", From="Bank", To="+447700900100")
    one.space = 10
    await world.app.settle()
    texts = [s.text for s in one.seen]
    assert texts.index("code") < 20
    assert texts.count("campaign") == 300


async def test_a_sender_keeps_to_its_rate_and_its_queue_to_ten_hours(world: World) -> None:
    """One segment a second; what would take longer than ten hours is refused (21611)."""
    one = await world.add("one", sender_rates="long_code=1")
    start = world.clock.now()
    times: list[timedelta] = []

    def note(submission: Submission) -> SubmitResult:
        times.append(world.clock.now() - start)
        return Taken(submission.message_sid)

    one.answer = note
    for n in range(5):
        await world.sent(to=f"+1555867{n:04}")
    await world.run_for(10)
    seconds = [t.total_seconds() for t in times]
    assert len(seconds) == 5
    assert all(b - a >= 0.999 for a, b in pairwise(seconds))
    await carriers.change(world.app.platform, "one", settings={"sender_rates": "long_code=0.001"})
    await world.app.settle()
    world.connector.made["one"].space = 0
    codes = [(await world.send(to=f"+1555868{n:04}")).status for n in range(37)]
    assert codes == [201] * 36 + [400]
    answer = await world.send(to="+15558689999")
    assert answer.json["code"] == 21611


async def test_a_text_to_a_number_that_nobody_has_is_kept(world: World) -> None:
    """Once, however often the carrier brings it."""
    incoming = Incoming(
        ref="mo-1",
        sender=PHONE,
        recipient="+15005550999",
        body="anybody there?",
        encoding="GSM-7",
        num_segments=1,
        media=(),
        at=world.clock.now(),
    )
    await world.told("one", incoming)
    await world.told("one", incoming)
    (stray,) = await world.app.store.read(lambda db: page_strays(db, kind="text", limit=10))
    assert stray.doc["body"] == "anybody there?"


async def test_a_route_may_say_the_price_and_the_priority(world: World) -> None:
    """The price is per segment; the priority reaches the carrier."""
    platform = world.app.platform
    await carriers.add(platform, name="one", carrier_type="scripted", settings={})
    wish = routes.Wish(carrier="one", prefix="+1555", price="0.02", priority="2")
    await routes.add(platform, wish)
    await world.app.settle()
    sid = await world.sent(body="x" * 200)
    assert (await world.message(sid))["price"] == "-0.04000"
    assert {s.priority for s in world.connector.made["one"].seen} == {2}


async def test_what_was_answered_is_not_asked_again_when_it_could_not_be_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk between the carrier's answer and our commit: the answer waits in memory."""
    one = await world.add("one")
    sid = str((await world.send()).json["sid"])
    store = world.app.store
    write, broken = store.write, [True]

    async def failing(work: Any) -> Any:
        if broken and one.seen:
            raise OSError("disk full")
        return await write(work)

    monkeypatch.setattr(store, "write", failing)
    lane = next(w for w in world.app.workers if w.name == "one/0")
    assert await lane.step()
    await lane.settle()  # type: ignore[attr-defined]
    with pytest.raises(ExceptionGroup):
        await lane.step()
    broken.clear()
    await world.app.settle()
    assert len(one.seen) == 1
    assert await world.status(sid) == ("sent", None)


async def test_two_simulated_carriers_share_the_phones(world: World) -> None:
    """A message by the second one is delivered, and its receipt is no stray."""
    platform = world.app.platform
    await carriers.add(platform, name="second", carrier_type="simulated", settings={})
    await routes.add(platform, routes.Wish(carrier="second"))
    sid = await world.sent()
    await world.run_for(5)
    assert await world.status(sid) == ("delivered", None)
    assert await world.app.store.read(lambda db: page_strays(db, limit=10)) == []


async def test_a_channel_goes_where_a_route_names_it(world: World) -> None:
    """Whole, however long; from a number of the account, and back to that number."""
    one = await world.add("one")
    ours, theirs = f"whatsapp:{world.number}", f"whatsapp:{PHONE}"
    form = {"to": theirs, "From": ours, "body": "x" * 400}
    answer = await world.send(**form)
    assert (answer.status, answer.json["code"]) == (400, 63007)
    answer = await world.send(to=theirs, From="whatsapp:+15005550999")
    assert (answer.status, answer.json["code"]) == (400, 63007)
    await routes.add(world.app.platform, routes.Wish(carrier="one", channel="whatsapp"))
    sid = await world.sent(**form)
    assert [(s.text, s.segment_count) for s in one.seen] == [("x" * 400, 1)]
    assert (await world.message(sid))["num_segments"] == "1"
    incoming = Incoming(
        ref="wa-1",
        sender=theirs,
        recipient=ours,
        body="hello",
        encoding="UCS-2",
        num_segments=1,
        media=(),
        at=world.clock.now(),
    )
    await world.told("one", incoming)
    listed = await world.request("GET", f"{world.base}/Messages.json", {"From": theirs})
    assert [m["body"] for m in listed.json["messages"]] == ["hello"]


async def test_what_waited_in_an_older_version_goes_on(tmp_path: Path) -> None:
    """A database without carriers gets the simulated one, and its queue is emptied."""
    world = World(tmp_path)
    await world.app.settle()
    answer = await world.send(body="from before")
    sid = answer.json["sid"]
    await world.app.store.close()
    with DATABASES.connected(tmp_path) as db:
        db.execute(text("DELETE FROM records WHERE kind IN ('carrier', 'route')"))
        db.execute(text("UPDATE messages SET status = 'queued'"))
        row = {"sid": sid, "account": world.account_sid}
        lane = text(
            "INSERT INTO outbox (lane, message_sid, account_sid, flow, sender, recipient,"
            " segments, tried, due_at, expires_at, in_doubt, attempts, position) SELECT"
            " 'simulated/0', :sid, :account, '300000000', sender, recipient, 1, '', 0,"
            " created_at + 36000000000, 0, 0, position FROM messages WHERE true"
            " ON CONFLICT DO NOTHING"
        )
        db.execute(lane, row)
        downgrade(db, "0001")

    again = World(tmp_path)
    await again.run_for(5)
    assert await again.status(sid) == ("delivered", None)
    await again.close()


async def test_what_is_answered_does_not_wait_for_what_is_not(world: World) -> None:
    """Its neighbour in the batch has `sent`, and so have the many that came after it."""
    one = await world.add("one")
    one.held, one.space = {"slow"}, 0
    slow = str((await world.send(body="slow")).json["sid"])
    sids = [str((await world.send(to=f"+1555867{n:04}", body="x")).json["sid"]) for n in range(20)]
    one.space = 1
    lane = next(w for w in world.app.workers if w.name == "one/0")
    while await lane.step():
        pass
    await world.until_sent(sids)
    assert await world.status(slow) == ("sending", None)
    one.release()
    await world.app.settle()
    assert await world.status(slow) == ("sent", None)


async def test_a_message_in_doubt_expires_while_its_carrier_is_down(world: World) -> None:
    """What may have left ends in time, too; what is under way does not end by the clock."""
    one = await world.add("one")
    one.answer = lambda s: InDoubt("no answer")
    sid = await world.sent(ValidityPeriod=90)
    one.down_since = world.clock.now()
    await world.run_for(80)
    assert await world.status(sid) == ("sending", None)
    await world.run_for(20)
    assert await world.status(sid) == ("failed", 30036)


async def test_what_is_in_doubt_stays_in_doubt_when_it_is_put_off(world: World) -> None:
    """The first attempt may have arrived, so no other carrier gets it."""
    two = await world.add("two", order=200)
    one = await world.add("one")
    one.answer = lambda s: InDoubt("no answer")
    sid = await world.sent()
    one.answer = lambda s: Deferred(5, may_fail_over=True)
    await world.run_for(6)
    one.answer = lambda s: Taken("at last")
    await world.run_for(6)
    assert [s.is_repeat for s in one.seen] == [False, True, True]
    assert two.seen == []
    assert await world.status(sid) == ("sent", None)


async def test_what_was_for_a_real_carrier_never_ends_in_the_simulated_network(
    world: World,
) -> None:
    """Its phones would say that it was delivered: it waits for its carrier, or for another one."""
    one = await world.add("one", failover_seconds="30")
    one.answer = lambda s: Refused(30003, may_fail_over=True)
    assert await world.status(await world.sent()) == ("failed", 30003)
    one.down_since = world.clock.now()
    waiting = await world.sent(to="+15558675311")
    await world.run_for(120)
    later = await world.sent(to="+15558675312")
    await carriers.change(world.app.platform, "one", state="disabled")
    await world.run_for(120)
    for sid in (waiting, later):
        assert await world.status(sid) == ("queued", None)
    two = await world.add("two", order=200)
    assert [s.message_sid for s in two.seen] == [waiting, later]


async def test_a_receipt_that_is_older_than_its_message_stays_a_stray(world: World) -> None:
    """The carrier counts anew: what it said of an earlier message is shown, and decides nothing."""
    one = await world.add("one")
    await world.told("one", world.receipt("1", delivered=False))
    # Between nodes less than this says nothing: their clocks may be as far apart.
    await world.run_for(CLOCKS_APART_MICROS_MAX / 1_000_000 + 1)
    one.answer = lambda s: Taken("1")
    sid = await world.sent()
    assert await world.status(sid) == ("sent", None)
    (stray,) = await world.app.store.read(lambda db: page_strays(db, limit=10))
    assert (stray.refs, stray.doc["delivered"]) == (("1",), False)
    await world.told("one", world.receipt("1"))
    assert await world.status(sid) == ("delivered", None)
