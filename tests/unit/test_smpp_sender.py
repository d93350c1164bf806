"""How much a connection wants to have waiting, on a clock and a link that the test holds."""

import asyncio
from typing import Any, cast

import pytest

from tests.smpp_carrier import numbered
from trunkline.carriers.smpp import sender
from trunkline.carriers.smpp.link import Link
from trunkline.carriers.smpp.outgoing import Packer
from trunkline.carriers.smpp.sender import Sender, Tries
from trunkline.carriers.smpp.settings import parse
from trunkline.runtime import SystemClock

RATE = 100


class OpenLink:
    """A connection that takes whatever is sent."""

    is_bound = True
    room = 1000

    def __init__(self) -> None:
        self.sent = 0

    def request(self, pdu: object) -> int:
        """Count it."""
        self.sent += 1
        return self.sent


class Rig:
    """A sender at a rate, whose time moves when the test says so."""

    def __init__(self) -> None:
        self.now, self.told, self._answered = 0.0, 0, 0
        self.link = OpenLink()
        settings = {"host": "a", "system_id": "b", "window": "200"}
        parsed = parse({**settings, "messages_per_second": str(RATE)})
        self.sender = Sender(
            parsed,
            packer=Packer(parsed),
            tries=Tries(),
            desk=cast(Any, None),
            clock=SystemClock(),
            changed=self._count,
            may_send=lambda: True,
        )
        self._batches: list[asyncio.Task[Any]] = []

    def _count(self) -> None:
        self.told += 1

    async def fetch(self, *, seconds: float = 0.0) -> int:
        """Submit as much as there is room for, as a lane with a long queue does in its time."""
        fetched = 0
        while room := self.sender.room():
            self.pass_time(seconds)
            self._batches.append(asyncio.create_task(self.sender.submit(numbered(room))))
            await asyncio.sleep(0)
            fetched += room
        return fetched

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in steps of a millisecond."""
        for _ in range(round(seconds * 1000)):
            self.now += 0.001
            self.sender.pump()
            self._answer()

    def _answer(self) -> None:
        """End what was sent, whatever it means."""
        for number in range(self._answered, self.link.sent):
            self.sender.doubt(number + 1, "unheard")
        self._answered = self.link.sent

    def until_told(self) -> None:
        """Let time pass until the sender asks for more."""
        before = self.told
        for _ in range(10_000):
            self.pass_time(0.001)
            if self.told > before:
                return
        raise AssertionError("the sender asks for nothing")

    async def refill(self, times: int, *, seconds: float) -> int:
        """Be so long in fetching what is next, some times; return what was waiting before."""
        for _ in range(times):
            self.until_told()
            await self.fetch(seconds=seconds)
        return self.sender.room()

    async def close(self) -> None:
        for batch in self._batches:
            batch.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = Rig()
    monkeypatch.setattr(Sender, "_now", lambda _: rig.now)
    return rig


async def test_at_a_rate_little_waits_ahead_of_who_comes_later(rig: Rig) -> None:
    """Some hundredths of a second's worth, where more is fetched quickly."""
    rig.sender.attach(cast(Link, rig.link))
    assert await rig.fetch() == RATE * sender.AHEAD_SECONDS
    rig.until_told()
    assert rig.sender.room() <= RATE * sender.AHEAD_SECONDS


async def test_where_fetching_takes_long_more_waits_and_the_rate_is_kept(rig: Rig) -> None:
    """A lane whose disk is slow has the carrier's rate all the same, once that was seen."""
    rig.sender.attach(cast(Link, rig.link))
    await rig.fetch()
    await rig.refill(8, seconds=0.2)
    sent, began = rig.link.sent, rig.now
    await rig.refill(8, seconds=0.2)
    assert (rig.link.sent - sent) / (rig.now - began) == pytest.approx(RATE, rel=0.02)
    await rig.close()


async def test_where_fetching_is_quick_again_less_waits(rig: Rig) -> None:
    """What was learned from a slow moment is forgotten within seconds."""
    rig.sender.attach(cast(Link, rig.link))
    await rig.fetch()
    await rig.refill(8, seconds=0.2)
    rig.until_told()
    assert rig.sender.room() > 2 * RATE * sender.AHEAD_SECONDS
    await rig.fetch(seconds=0.005)
    await rig.refill(8, seconds=0.005)
    rig.until_told()
    assert rig.sender.room() <= RATE * sender.AHEAD_SECONDS
    await rig.close()


async def test_who_sends_now_and_then_makes_nothing_wait(rig: Rig) -> None:
    """Time without texts is no slow fetching."""
    rig.sender.attach(cast(Link, rig.link))
    await rig.fetch()
    rig.until_told()
    rig.pass_time(sender.QUEUE_SECONDS + 1)
    await rig.fetch()
    rig.until_told()
    assert rig.sender.room() <= RATE * sender.AHEAD_SECONDS
    await rig.close()
