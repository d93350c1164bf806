"""Random traffic over carriers that answer at random, are changed at random, and random crashes."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.databases import DATABASES
from tests.harness import Trunkline
from trunkline.carriers.port import (
    Answered,
    BindState,
    Deferred,
    Handler,
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
from trunkline.flows import carriers, routes
from trunkline.runtime import BATCH_MAX
from trunkline.store.outbox import outbox_size

NAMES = ("one", "two", "three")
SENDERS = ("Bank", "Shop", "Taxi", "Club")
RECIPIENTS = tuple(f"+4477009001{n:02}" for n in range(5))
CALLBACK = "http://app.example/status"
ROUNDS = 40
# Later than any message is valid and anything is put off.
HOURS = 12
FINAL = {"delivered", "undelivered", "failed"}


@dataclass
class Network:
    """What the carriers know, which no crash of ours makes them forget."""

    random: Random
    is_calm: bool = False
    is_hanging: bool = False
    seen: list[tuple[str, Submission]] = field(default_factory=list)
    taken: dict[tuple[str, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    doubtful: set[str] = field(default_factory=set)
    late: list[tuple[str, LateTaken]] = field(default_factory=list)
    receipts: list[tuple[str, Receipt]] = field(default_factory=list)
    arrived: dict[tuple[str, int], set[bool]] = field(default_factory=lambda: defaultdict(set))
    count: int = 0

    def take(self, carrier: str, submission: Submission, *, at: datetime) -> str:
        """Be responsible for a segment; sooner or later there is a receipt, perhaps twice."""
        self.count += 1
        ref = f"{carrier}-{self.count}"
        key = (submission.message_sid, submission.segment_index)
        self.taken[key].append(carrier)
        delivered = self.random.random() < 0.9
        self.arrived[key].add(delivered)
        receipt = Receipt(
            carrier_ref=ref, delivered=delivered, error_code=None if delivered else 30005, at=at
        )
        times = self.random.choice((0, 1, 1, 1, 2))
        self.receipts += [(carrier, receipt)] * times
        return ref

    def answer(self, carrier: str, submission: Submission, *, at: datetime) -> SubmitResult:
        """Say anything that a carrier may say."""
        dice = self.random.random()
        if self.is_calm or dice < 0.6:
            return Taken(self.take(carrier, submission, at=at))
        if dice < 0.68:
            return Refused(30003, may_fail_over=self.random.random() < 0.7)
        if dice < 0.85:
            seconds = self.random.randrange(1, 40)
            return Deferred(seconds, may_fail_over=self.random.random() < 0.3)
        self.doubtful.add(submission.message_sid)
        if dice < 0.93:
            ref = self.take(carrier, submission, at=at)
            self.late.append((carrier, LateTaken(submission=submission, carrier_ref=ref)))
        return InDoubt("no answer")


class WildCarrier:
    """A carrier that is never the same."""

    def __init__(self, name: str, lanes: Sequence[int], program: "Program") -> None:
        self.name = name
        self.lanes = lanes
        self.down_since: datetime | None = None
        self.space = 50
        self._program = program

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
        network, results = self._program.network, list[SubmitResult]()
        for index, submission in enumerate(batch):
            if network.is_hanging and network.random.random() < 0.3:
                await asyncio.Event().wait()
            network.seen.append((self.name, submission))
            at = self._program.clock.now()
            results.append(network.answer(self.name, submission, at=at))
            if network.receipts and network.random.random() < 0.1:
                await self._program.bring_receipt()
            if answered and network.random.random() < 0.5:
                answered(index, results[-1])
        return results

    def binds(self) -> Sequence[BindState]:
        return ()

    def pdus(self) -> Sequence[PduSeen]:
        return ()

    async def probe(self) -> Probe:
        return Probe(True, "wild")


class Program(Trunkline):
    """One life of the program, between two crashes."""

    settings: Sequence[Setting] = ()
    sharing = Sharing.LANES
    is_called = False
    takes_media = True

    def __init__(self, directory: Path, network: Network, *, age: float) -> None:
        super().__init__(directory)
        self.network = network
        self.made: dict[str, WildCarrier] = {}
        self.clock.advance(age)
        connectors: Any = self.app.platform.switchboard.connectors
        connectors["wild"] = self

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
    ) -> WildCarrier:
        self.made[name] = WildCarrier(name, lanes, self)
        return self.made[name]

    async def bring_receipt(self) -> None:
        """Let any carrier bring any receipt that it owes."""
        place = self.network.random.randrange(len(self.network.receipts))
        carrier, receipt = self.network.receipts.pop(place)
        await handler(self.app.platform, carrier)([receipt])

    async def bring_late_answer(self) -> None:
        """Let an answer come that nobody waits for any more."""
        place = self.network.random.randrange(len(self.network.late))
        carrier, late = self.network.late.pop(place)
        await handler(self.app.platform, carrier)([late])

    async def crash(self) -> None:
        """End in the midst of work, with segments on their way."""
        self.network.is_hanging = True
        lanes = [worker for worker in self.app.workers if isinstance(worker, Lane)]
        for lane in lanes:
            await lane.step()
        tasks = [task for lane in lanes for task in lane._tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=0.01)
        tasks += [lane._recording for lane in lanes if lane._recording]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for abandon in self.app._abandon:
            await abandon()
        await self.app.store.close()
        self.network.is_hanging = False
        with DATABASES.connected(self.config.data_dir) as db:
            found = db.execute(text("SELECT message_sid FROM outbox WHERE in_doubt != 0"))
            self.network.doubtful.update(found.scalars())


class Story:
    """Everything that happens under one seed."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.random = Random(seed)
        self.directory = directory
        self.network = Network(self.random)
        self.program = Program(directory, self.network, age=0)
        self.accepted: dict[str, tuple[str, str]] = {}
        self.ended: dict[str, str] = {}
        self.called: dict[str, list[str]] = defaultdict(list)

    async def begin(self) -> None:
        """Let only wild carriers be there."""
        platform = self.program.app.platform
        await carriers.remove(platform, "simulated", forced=True)
        for order, name in enumerate(NAMES, start=1):
            await self._add(name, order=order)

    async def tell(self) -> None:
        """Let a round of things happen."""
        for _ in range(self.random.randrange(1, 9)):
            await self._send()
        for _ in range(self.random.randrange(4)):
            await self.random.choice((self._change, self._change_route, self._bring))()
        if self.random.random() < 0.5:
            await self.program.app.settle()
        if self.random.random() < 0.12:
            await self._crash()
        await self.program.run_for(self.random.choice((0, 1, 5, 30)))
        await self._note()

    async def end(self) -> None:
        """Let all carriers work as they should, until nothing is left to do."""
        self.network.is_calm = True
        program = self.program
        for name in NAMES:
            if name not in program.app.platform.switchboard.accounts:
                await self._add(name, order=9)
            await carriers.change(program.app.platform, name, state="enabled")
        await program.app.settle()
        for carrier in program.made.values():
            carrier.down_since, carrier.space = None, 50
        await program.run_for(HOURS * 3600)
        while self.network.receipts:
            await program.bring_receipt()
        await program.run_for(60)
        await self._note()

    async def _add(self, name: str, *, order: int) -> None:
        platform = self.program.app.platform
        await carriers.add(platform, name=name, carrier_type="wild", settings={})
        await routes.add(platform, routes.Wish(carrier=name, order=str(order)))

    async def _send(self) -> None:
        sender, recipient = self.random.choice(SENDERS), self.random.choice(RECIPIENTS)
        answer = await self.program.send(
            From=sender,
            to=recipient,
            body="x" * self.random.choice((10, 10, 200, 400)),
            StatusCallback=CALLBACK,
            ValidityPeriod=self.random.choice((20, 300, 36_000)),
        )
        if answer.status == 201:
            self.accepted[answer.json["sid"]] = (sender, recipient)
        else:
            assert answer.json["code"] == 21612, answer.body

    async def _change(self) -> None:
        """Let one thing be otherwise with a carrier."""
        name, platform = self.random.choice(NAMES), self.program.app.platform
        if name not in platform.switchboard.accounts:
            await self._add(name, order=self.random.randrange(1, 9))
            return
        carrier = self.program.made.get(name)
        match self.random.randrange(8):
            # Without any carrier a start would make the simulated one again.
            case 0 if len(platform.switchboard.accounts) > 1:
                await carriers.remove(platform, name, forced=True)
            case 1 | 2:
                state = self.random.choice(("enabled", "enabled", "draining", "disabled"))
                await carriers.change(platform, name, state=state)
            case 3:
                settings = {"lanes": self.random.choice(("1", "2", "3"))}
                await carriers.change(platform, name, settings=settings)
            case 4:
                settings = {"in_doubt": self.random.choice(("resubmit", "resubmit", "fail"))}
                await carriers.change(platform, name, settings=settings)
            case 5 | 6 if carrier:
                carrier.down_since = None if carrier.down_since else self.program.clock.now()
                platform.switchboard.elsewhere.ring()
            case 7 if carrier:
                carrier.space = self.random.choice((0, 1, 5, 50))

    async def _change_route(self) -> None:
        """Let another route be the first one."""
        platform = self.program.app.platform
        listed = await routes.listed(platform)
        if listed:
            order = str(self.random.randrange(1, 9))
            await routes.change(platform, self.random.choice(listed).sid, routes.Wish(order=order))

    async def _bring(self) -> None:
        if self.network.receipts:
            await self.program.bring_receipt()
        if self.network.late and self.random.random() < 0.5:
            await self.program.bring_late_answer()

    async def _crash(self) -> None:
        await self._note()
        await self.program.crash()
        await self._note_callbacks()
        age = (self.program.clock.now() - datetime.fromisoformat("2026-11-20T12:00:00Z")).seconds
        self.program = Program(self.directory, self.network, age=age)

    async def _note(self) -> None:
        """Note how messages ended; what ended once stays as it is."""
        await self._note_callbacks()
        for sid, status in (await self.program.app.store.read(statuses_of)).items():
            assert self.ended.get(sid, status) == status, sid
            if status in FINAL:
                self.ended[sid] = status

    async def _note_callbacks(self) -> None:
        for seen in self.program.receiver.seen:
            self.called[seen.form["MessageSid"]].append(seen.form["MessageStatus"])
        self.program.receiver.seen.clear()


def statuses_of(db: Connection) -> dict[str, str]:
    """Return the status of every message."""
    found = db.execute(text("SELECT sid, status FROM messages"))
    return {row.sid: row.status for row in found}


# Each takes a server ten times as long as a file.
OF_FILES = [pytest.param(seed, marks=pytest.mark.sqlite) for seed in (1, 2)]


@pytest.mark.parametrize("seed", [0, *OF_FILES])
async def test_the_books_balance(tmp_path: Path, seed: int) -> None:
    """Whatever happens, every message ends, by one carrier, in its order, and as it is told."""
    story = Story(tmp_path / "data", seed)
    print(f"seed {seed}")
    await story.begin()
    for _ in range(ROUNDS):
        await story.tell()
    await story.end()
    assert len(story.accepted) > ROUNDS
    assert await story.program.app.store.read(outbox_size) == 0
    await check_ends(story)
    check_callbacks(story)
    check_takers(story)
    await check_order(story)
    await story.program.close()


async def check_ends(story: Story) -> None:
    """Nothing is on its way for ever; what is delivered was taken and arrived, all of it."""
    for sid in story.accepted:
        message = await story.program.message(sid)
        assert message["status"] in FINAL | {"sent"}, sid
        segments = range(int(message["num_segments"]))
        if message["status"] in ("sent", "delivered"):
            assert all(story.network.taken[sid, segment] for segment in segments), sid
        if message["status"] == "delivered":
            assert all(True in story.network.arrived[sid, segment] for segment in segments), sid


def check_callbacks(story: Story) -> None:
    """`sent` comes before the end, the end is one, and nothing follows it."""
    for sid in story.accepted:
        told = list(dict.fromkeys(story.called[sid]))
        final = [status for status in told if status in FINAL]
        assert final == ([story.ended[sid]] if sid in story.ended else [])
        assert told in ([*final], ["sent", *final]), (sid, told)


def check_takers(story: Story) -> None:
    """Each segment is taken once, of one message by one carrier, where there was no doubt."""
    network = story.network
    takers: dict[str, set[str]] = defaultdict(set)
    for (sid, _), names in network.taken.items():
        takers[sid].update(names)
        assert sid in network.doubtful or len(names) <= 1, (sid, names)
    assert {sid for sid, names in takers.items() if len(names) > 1} <= network.doubtful


async def check_order(story: Story) -> None:
    """A pair's messages that took no other route are first submitted in the order of their SIDs."""
    first: dict[str, str] = {}
    for name, submission in story.network.seen:
        first.setdefault(submission.message_sid, name)
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for sid, name in first.items():
        if "rerouted" not in {event["kind"] for event in await story.program.events(sid)}:
            groups[*story.accepted[sid], name].append(sid)
    for sids in groups.values():
        assert sids == sorted(sids)
