"""The simulated phone network over a real store, on a manual clock."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trunkline.carriers.port import (
    Deferred,
    Handler,
    Happening,
    Incoming,
    Receipt,
    Refused,
    Submission,
    SubmitResult,
    Taken,
)
from trunkline.carriers.simulated import IDLE_SECONDS_MAX, SimulatedCarrier
from trunkline.domain.errors import Refusal
from trunkline.domain.handset import Step
from trunkline.domain.text import split
from trunkline.network.behaviours import NetworkSettings
from trunkline.network.delivery import REASSEMBLY_SECONDS, RETRY_SECONDS
from trunkline.network.network import FREE_PREFIX, Network
from trunkline.runtime import Bell, Chance, Feed, ManualClock, News
from trunkline.store.handsets import HandsetMemory
from trunkline.store.schema import upgrade
from trunkline.store.store import SqliteStore

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
PHONE = "+14155550123"
OURS = "+15005550006"
SOON = 2.0  # Longer than the usual delay with its jitter.


class CountingBell(Bell):
    """A bell that knows how often it was rung."""

    def __init__(self) -> None:
        super().__init__()
        self.rings = 0

    def ring(self) -> None:
        self.rings += 1
        super().ring()


@dataclass
class World:
    """A network on a store that a restart keeps."""

    store: SqliteStore
    odds: dict[str, float] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    chance: Chance = field(default_factory=lambda: Chance(1))
    feed: Feed = field(default_factory=Feed)
    heard: list[Happening] = field(default_factory=list)
    bell: CountingBell = field(init=False)
    network: Network = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin with nothing but what is on disk."""
        self.bell = CountingBell()
        self.network = Network(
            HandsetMemory(self.store),
            clock=self.clock,
            chance=self.chance,
            settings=NetworkSettings(seed=5, odds=self.odds),
            feed=self.feed,
            bell=self.bell,
        )

    async def handle(self, happenings: Sequence[Happening]) -> None:
        self.heard.extend(happenings)

    async def pass_time(self, seconds: float = SOON, *, handle: Handler | None = None) -> None:
        """Let *seconds* pass and everything happen that is due then."""
        self.clock.advance(seconds)
        while await self.network.step(handle or self.handle):
            pass

    async def bodies(self, number: str = PHONE) -> list[str]:
        return [text.body for text in await self.network.texts(number)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = SqliteStore(tmp_path / "network.db")
    upgrade(store.engine)
    store.start()
    yield World(store)
    await store.close()


def submissions(body: str, *, to: str = PHONE, message_sid: str = "SM1") -> list[Submission]:
    parts = split(body)
    return [
        Submission(
            account_sid="AC1",
            message_sid=message_sid,
            segment_index=index,
            segment_count=len(parts.segments),
            sender=OURS,
            recipient=to,
            text=text,
            encoding=parts.encoding,
        )
        for index, text in enumerate(parts.segments)
    ]


def refs(results: Sequence[SubmitResult]) -> list[str]:
    return [result.carrier_ref for result in results if isinstance(result, Taken)]


def receipt_refs(heard: Sequence[Happening]) -> list[str]:
    return [h.carrier_ref for h in heard if isinstance(h, Receipt)]


async def test_a_text_arrives_and_every_segment_has_its_receipt(world: World) -> None:
    """What the phone shows is put together from segments, before the receipt is known."""
    body = "0123456789" * 40
    seen: list[list[str]] = []

    async def look(happenings: Sequence[Happening]) -> None:
        seen.append(await world.bodies())
        world.heard.extend(happenings)

    results = await world.network.submit(submissions(body))
    assert len(set(refs(results))) == 3
    assert await world.bodies() == []
    await world.pass_time(handle=look)
    assert seen == [[body]]
    assert receipt_refs(world.heard) == refs(results)
    assert all(isinstance(h, Receipt) and h.delivered for h in world.heard)
    [text] = await world.network.inbox(PHONE)
    assert (text.peer, text.encoding, len(text.segments)) == (OURS, "GSM-7", 3)
    assert (text.step, text.ticks, text.arrived_at) == (Step.ARRIVED, 2, world.clock.now())


async def test_nothing_happens_before_its_time(world: World) -> None:
    """The worker is told when to look again."""
    await world.network.submit(submissions("hello"))
    due = await world.network.next_due()
    assert due is not None
    assert due > NOON
    assert await world.network.step(world.handle) == 0
    await world.pass_time((due - NOON).total_seconds())
    assert await world.bodies() == ["hello"]
    assert await world.network.next_due() is None


async def test_segments_in_several_batches_make_one_text(world: World) -> None:
    """The order of submission does not matter either."""
    body = "Grüße 😀 " * 20
    parts = submissions(body)
    found = [ref for part in reversed(parts) for ref in refs(await world.network.submit([part]))]
    await world.pass_time()
    assert await world.bodies() == [body]
    assert sorted(receipt_refs(world.heard)) == sorted(found)


async def test_a_batch_holds_many_messages(world: World) -> None:
    """Answers come in the order of the batch, also when segments of messages are mixed."""
    one, two = submissions("a" * 200, message_sid="SM1"), submissions("b" * 200, message_sid="SM2")
    batch = [one[0], two[0], two[1], one[1]]
    results = await world.network.submit(batch)
    assert refs(results) == [refs(await world.network.submit([s]))[0] for s in batch]
    await world.pass_time()
    assert await world.bodies() == ["a" * 200, "b" * 200]
    handset = await world.network.handset(PHONE)
    assert handset is not None
    assert handset.texts == 2
    assert await world.network.submit([]) == []


async def test_the_same_submission_again_is_the_same_text(world: World) -> None:
    """Also after a restart, and after the text arrived: then the receipt comes again."""
    first = await world.network.submit(submissions("hello"))
    world.start()
    assert await world.network.submit(submissions("hello")) == first
    await world.pass_time()
    assert receipt_refs(world.heard) == refs(first)
    assert await world.network.submit(submissions("hello")) == first
    await world.pass_time(0)
    assert receipt_refs(world.heard) == refs(first) * 2
    assert await world.bodies() == ["hello"]


async def test_a_receipt_asked_for_while_the_first_is_handed_over_is_not_lost(world: World) -> None:
    """The first may have come too early for its receiver to know the segment."""
    first = await world.network.submit(submissions("hello"))

    async def submit_again(happenings: Sequence[Happening]) -> None:
        if not world.heard:
            world.clock.advance(1)
            await world.network.submit(submissions("hello"))
        world.heard.extend(happenings)

    await world.pass_time(handle=submit_again)
    assert receipt_refs(world.heard) == refs(first) * 2


@pytest.mark.parametrize("is_outgoing", [False, True])
async def test_news_that_are_not_taken_come_again(world: World, is_outgoing: bool) -> None:
    """Neither an error nor a restart loses a receipt or a text; nothing arrives twice."""
    if is_outgoing:
        await world.network.send_from(PHONE, OURS, body="hello")
    else:
        await world.network.submit(submissions("hello"))

    async def fail(_: Sequence[Happening]) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await world.pass_time(handle=fail)
    assert await world.bodies() == ["hello"]
    world.start()
    await world.pass_time(0)
    assert world.heard == []
    await world.pass_time(RETRY_SECONDS)
    assert len(world.heard) == 1
    assert await world.bodies() == ["hello"]
    assert await world.network.next_due() is None


async def test_one_text_that_is_never_taken_does_not_hold_up_the_others(world: World) -> None:
    """After a failure texts are handed over one at a time."""
    for number in range(3):
        await world.network.send_from(PHONE, OURS, body=f"text {number}")
    poison = (await world.network.texts(PHONE))[0].sid

    async def refuse_poison(happenings: Sequence[Happening]) -> None:
        if any(isinstance(h, Incoming) and h.ref == poison for h in happenings):
            raise ConnectionError
        world.heard.extend(happenings)

    for seconds in (0, RETRY_SECONDS):
        with pytest.raises(ConnectionError):
            await world.pass_time(seconds, handle=refuse_poison)
    await world.pass_time(0, handle=refuse_poison)
    assert [h.body for h in world.heard if isinstance(h, Incoming)] == ["text 1", "text 2"]
    assert await world.network.next_due() is not None


@pytest.mark.parametrize(("recipient", "code"), [("+15555530003", 30003), ("+15555530034", 30034)])
async def test_a_magic_recipient_is_not_reached(world: World, recipient: str, code: int) -> None:
    """The receipt carries the code, and the phone shows nothing."""
    await world.network.submit(submissions("hello", to=recipient))
    await world.pass_time()
    said = [(h.delivered, h.error_code) for h in world.heard if isinstance(h, Receipt)]
    assert said == [(False, code)]
    assert await world.bodies(recipient) == []


async def test_refusals_and_congestion_are_remembered(world: World) -> None:
    """A restart does not change the mind of the carrier, nor let it count anew."""
    refuse, congested = "+15555500004", "+15555500003"
    answers: list[SubmitResult] = []
    for _ in range(4):
        refused = await world.network.submit(submissions("no", to=refuse, message_sid="SM1"))
        assert refused == [Refused(30008)]
        answers += await world.network.submit(submissions("late", to=congested, message_sid="SM2"))
        world.start()
    assert [type(answer) for answer in answers] == [Deferred, Deferred, Deferred, Taken]
    await world.pass_time()
    assert await world.bodies(congested) == ["late"]
    assert await world.bodies(refuse) == []
    assert receipt_refs(world.heard) == refs(answers)


async def test_no_receipt_leaves_the_text_on_the_phone(world: World) -> None:
    """It arrives, and nobody hears of it."""
    await world.network.set_behaviour(PHONE, "no_receipt")
    await world.network.submit(submissions("hello"))
    await world.pass_time()
    assert await world.bodies() == ["hello"]
    assert world.heard == []
    assert await world.network.next_due() is None


async def test_a_phones_setting_can_be_taken_away(world: World) -> None:
    """It holds for texts that are submitted while it is set."""
    await world.network.set_behaviour(PHONE, "off")
    await world.network.submit(submissions("one", message_sid="SM1"))
    handset = await world.network.set_behaviour(PHONE, "")
    assert (handset.behaviour, handset.texts) == ("", 1)
    await world.network.submit(submissions("two", message_sid="SM2"))
    await world.pass_time()
    assert await world.bodies() == ["two"]
    with pytest.raises(Refusal, match="20422"):
        await world.network.set_behaviour(PHONE, "explode")


async def test_the_odds_do_not_depend_on_scheduling(world: World) -> None:
    """One batch or many: the n-th text of a phone meets the same fate."""
    world.odds = {"off": 0.5}
    world.start()
    numbers = [f"+1415555{n:04}" for n in range(20)]
    batch = [
        submission
        for n in range(3)
        for to in numbers
        for submission in submissions(f"{n}", to=to, message_sid=f"SM{n}{to}")
    ]
    await world.network.submit(batch)
    await world.pass_time()
    together = [await world.bodies(number) for number in numbers]
    for number in numbers:
        await world.network.remove_handset(number)
    for number in reversed(numbers):
        for submission in (s for s in batch if s.recipient == number):
            await world.network.submit([submission])
    await world.pass_time()
    assert [await world.bodies(number) for number in numbers] == together
    assert 20 < sum(len(bodies) for bodies in together) < 40


async def test_a_lost_segment_fails_the_text(world: World) -> None:
    """The segment that came has a receipt, so that the message ends."""
    await world.network.submit(submissions("a" * 200)[:1])
    await world.pass_time()
    assert world.heard == []
    await world.pass_time(REASSEMBLY_SECONDS)
    said = [(h.delivered, h.error_code) for h in world.heard if isinstance(h, Receipt)]
    assert said == [(False, 30008)]
    assert await world.bodies() == []


async def test_a_phone_speaks(world: World) -> None:
    """Its text is segmented, and reaches us with what a webhook must say."""
    text = await world.network.send_from("(415) 555-0123", OURS, body="😀" * 40)
    assert (text.handset, text.step, text.ticks) == (PHONE, Step.ON_ITS_WAY, 1)
    await world.pass_time(0)
    assert world.heard == [
        Incoming(
            ref=text.sid,
            sender=PHONE,
            recipient=OURS,
            body="😀" * 40,
            encoding="UCS-2",
            num_segments=2,
            media=(),
            at=NOON,
        )
    ]
    [shown] = await world.network.texts(PHONE)
    assert (shown.step, shown.ticks) == (Step.ARRIVED, 2)
    assert await world.network.inbox(PHONE) == []


async def test_a_phone_sends_pictures(world: World) -> None:
    """An MMS is one segment, however long its text."""
    await world.network.send_from(PHONE, "12345", body="b" * 500, media=("https://a.example/b",))
    await world.pass_time(0)
    [heard] = world.heard
    assert isinstance(heard, Incoming)
    assert (heard.num_segments, heard.media) == (1, ("https://a.example/b",))


@pytest.mark.parametrize(
    ("handset", "to", "body", "media", "code"),
    [
        ("nonsense", OURS, "a", 0, 21212),
        ("12345", OURS, "a", 0, 21212),
        (PHONE, "nonsense", "a", 0, 21211),
        (PHONE, "whatsapp:+14155550123", "a", 0, 21211),
        (PHONE, OURS, "", 0, 21619),
        (PHONE, OURS, "a" * 1601, 0, 21617),
        (PHONE, OURS, "a", 11, 21623),
    ],
)
async def test_a_phone_cannot_send_nonsense(
    world: World, *, handset: str, to: str, body: str, media: int, code: int
) -> None:
    """Refused with the code that the same mistake has in the API; nothing is left behind."""
    with pytest.raises(Refusal) as refusal:
        await world.network.send_from(handset, to, body=body, media=("https://a.example",) * media)
    assert refusal.value.code == code
    assert await world.network.handsets() == []


async def test_both_ways_stand_in_the_order_of_time(world: World) -> None:
    """A late text stands where it arrived, not where it was sent; pages go back by SID."""
    slow = submissions("slow", message_sid="SM1")
    await world.network.set_behaviour(PHONE, "slow")
    await world.network.submit(slow)
    await world.network.set_behaviour(PHONE, "")
    for number in range(3):
        await world.network.send_from(PHONE, OURS, body=f"{number}")
        await world.pass_time()
    await world.pass_time(60)
    assert await world.bodies() == ["0", "1", "2", "slow"]
    last = await world.network.texts(PHONE, limit=2)
    assert [text.body for text in last] == ["1", "2"]
    before = await world.network.texts(PHONE, before=last[0].sid)
    assert [text.body for text in before] == ["0", "slow"]
    assert [text.body for text in await world.network.inbox(PHONE)] == ["slow"]


async def test_other_senders_are_peers_too(world: World) -> None:
    """An alphanumeric sender or a short code can be read on the phone like a number."""
    for sender in ("ACME Corp", "12345"):
        [part] = submissions("hello", message_sid=f"SM{sender}")
        await world.network.submit([replace(part, sender=sender)])
    await world.pass_time()
    assert [text.peer for text in await world.network.texts(PHONE)] == ["ACME Corp", "12345"]


async def test_phones_can_be_added_named_and_listed(world: World) -> None:
    """One click makes a phone with a number that nobody has; the liveliest stands first."""
    first = await world.network.add_handset(name=" Ada ")
    second = await world.network.add_handset()
    assert (first.number, first.name) == (FREE_PREFIX + "0000", "Ada")
    assert second.number == FREE_PREFIX + "0001"
    renamed = await world.network.add_handset(first.number, "Grace")
    assert await world.network.handset(first.number) == renamed
    world.clock.advance(1)
    await world.network.submit(submissions("hello"))
    assert (await world.network.handsets())[0].number == PHONE
    assert len(await world.network.handsets(limit=2)) == 2
    with pytest.raises(Refusal, match="20002"):
        await world.network.add_handset(PHONE, "n" * 65)
    with pytest.raises(Refusal, match="21211"):
        await world.network.add_handset("nobody")


async def test_texts_on_their_way_to_a_removed_phone_find_nobody(world: World) -> None:
    """The phone and what it showed are gone; its senders still get their receipts."""
    await world.network.submit(submissions("one", message_sid="SM1"))
    await world.pass_time()
    await world.network.submit(submissions("two", message_sid="SM2"))
    world.heard.clear()
    assert await world.network.remove_handset(PHONE)
    assert not await world.network.remove_handset(PHONE)
    assert await world.network.handset(PHONE) is None
    assert await world.bodies() == []
    await world.pass_time()
    said = [(h.delivered, h.error_code) for h in world.heard if isinstance(h, Receipt)]
    assert said == [(False, 30005)]


async def test_a_watching_page_is_told(world: World) -> None:
    """News say which phone changed, once for each thing that it shows anew."""
    with world.feed.subscribe() as news:
        await world.network.submit(submissions("hello"))
        assert news.empty()
        await world.pass_time()
        await world.network.send_from(PHONE, OURS, body="yes")
        await world.pass_time(0)
        told = [news.get_nowait() for _ in range(news.qsize())]
    assert told == [News("handset", "", PHONE)] * 3


async def test_the_bell_rings_for_what_is_due_earlier_than_expected(world: World) -> None:
    """A worker that waits for the right moment is left alone."""
    await world.network.set_behaviour(PHONE, "slow")
    assert await world.network.next_due() is None
    await world.network.submit(submissions("slow", message_sid="SM1"))
    assert world.bell.rings == 1
    await world.network.next_due()
    await world.network.submit(submissions("soon", to="+14155550199", message_sid="SM2"))
    assert world.bell.rings == 2
    await world.network.next_due()
    await world.network.submit(submissions("slow again", message_sid="SM3"))
    assert world.bell.rings == 2
    await world.network.send_from(PHONE, OURS, body="now")
    assert world.bell.rings == 3


async def test_the_connector_works_when_it_should(world: World) -> None:
    """It wakes for what is new and for what falls due, and does nothing in between."""
    carrier = SimulatedCarrier(
        "simulated",
        world.network,
        lanes=[0],
        may_send=lambda _: True,
        clock=world.clock,
        bell=world.bell,
    )
    came = asyncio.Event()

    async def handle(happenings: Sequence[Happening]) -> None:
        world.heard.extend(happenings)
        came.set()

    running = asyncio.create_task(carrier.run(handle))
    try:
        await world.network.send_from(PHONE, OURS, body="now")
        await asyncio.wait_for(came.wait(), 5)
        came.clear()
        await carrier.submit(0, submissions("soon"))
        while not came.is_set():
            world.clock.advance(0.1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(came.wait(), 0.02)
        assert [type(h) for h in world.heard] == [Incoming, Receipt]
        assert (world.clock.now() - NOON).total_seconds() < IDLE_SECONDS_MAX
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert carrier.name == "simulated"
    assert running.cancelled()


async def test_own_numbers_are_asked_for_once_a_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many texts arrive in it; only those to own numbers come in."""
    asked = []

    async def own(_: HandsetMemory, numbers: Collection[str]) -> Collection[str]:
        asked.append(set(numbers))
        return {PHONE}.intersection(numbers)

    monkeypatch.setattr(HandsetMemory, "own", own)
    others = [f"+1555867{n:04}" for n in range(20)]
    for n, number in enumerate([PHONE, *others]):
        await world.network.submit(submissions("x", to=number, message_sid=f"SM{n}"))
    await world.pass_time()
    assert asked == [{PHONE, *others}]
    assert [each.recipient for each in world.heard if isinstance(each, Incoming)] == [PHONE]
