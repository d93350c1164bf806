"""What nodes tell each other by way of the database: that there is work, that settings changed.

Rule: nothing is lost with a tiding that is missed; whoever waits for one looks by himself as well,
only later.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from trunkline.flows.platform import Platform
from trunkline.flows.tenure import LANES
from trunkline.runtime import Bell, uptime
from trunkline.store.nodes import Tidings, put_news, read_tidings

# So often others' tidings are read: a row each, which are in the server's memory.
POLL_SECONDS = 0.05
# With nobody else there; somebody who comes is noticed by this.
POLL_ALONE_SECONDS = 1.0
# A tiding is read by all others within some polls, then it goes.
NEWS_SECONDS = 3.0
NEWS_MAX = 500  # Topics at a time, some 10 kB; with more everything is looked at.
EVERYTHING = "*"
LEASES = "leases"


class Echo:
    """Whether a bell was rung here, and not by tidings."""

    def __init__(self, bell: Bell, ring: Callable[[], None]) -> None:
        self._heard = Bell()
        self._ring = ring
        bell.also(self._heard)

    def take(self) -> bool:
        """Tell whether it was rung since the last time."""
        return self._heard.take()

    def ring(self) -> None:
        """Ring it for somebody else, who need not hear of it again."""
        was_heard = self._heard.take()
        self._ring()
        self._heard.take()
        if was_heard:
            self._heard.ring()


class Exchange:
    """Tells other nodes what was stirred here, and stirs what they tell of."""

    def __init__(
        self, platform: Platform, node_sid: str, *, time: Callable[[], float] = uptime
    ) -> None:
        bells = platform.bells
        self._platform = platform
        self._node_sid = node_sid
        self._time = time
        self._echoes = {
            "webhooks": Echo(platform.webhooks.bell, platform.webhooks.ring),
            "deliveries": Echo(bells.deliveries, bells.deliveries.ring),
            "media": Echo(bells.media, bells.media.ring),
            "network": Echo(bells.network, bells.network.ring),
        }
        self.has_others = False  # Whether anybody lives who could hear us.
        self._number = 0
        self._news: dict[str, tuple[int, float]] = {}
        self._heard: dict[str, int] = {}
        self._version = -1
        self._look_at = float("-inf")
        self._has_leases_news = False

    def take_leases_news(self) -> bool:
        """Tell whether since the last time somebody came, went or gave leases back."""
        has_news, self._has_leases_news = self._has_leases_news, False
        return has_news

    async def step(self) -> int:
        """Exchange tidings, if it is time; return how many were new."""
        if self._time() < self._look_at:
            return 0
        has_others = self.has_others
        self._look_at = self._time() + (POLL_SECONDS if has_others else POLL_ALONE_SECONDS)
        tidings = await self._swap(self._stirred() if has_others else set())
        heard = self._hear(tidings)
        if tidings.version != self._version:
            self._platform.directory.forget()
            await self._platform.switchboard.refresh()
            self._version = tidings.version
        return heard

    async def _swap(self, topics: set[str]) -> Tidings:
        if not topics:
            return await self._platform.store.read(lambda db: read_tidings(db, self._node_sid))
        news = self._tell(topics)

        def work(db: Connection) -> Tidings:
            put_news(db, self._node_sid, news)
            return read_tidings(db, self._node_sid)

        return await self._platform.store.write(work)

    def _stirred(self) -> set[str]:
        stirred, self._platform.tenure.stirred = self._platform.tenure.stirred, set()
        return stirred | {topic for topic, echo in self._echoes.items() if echo.take()}

    def _tell(self, topics: set[str]) -> Sequence[tuple[int, str]]:
        """Return what others may not have read yet, with *topics* as the newest."""
        now = self._time()
        self._number += 1
        recent = {t: each for t, each in self._news.items() if now - each[1] < NEWS_SECONDS}
        recent |= dict.fromkeys(topics, (self._number, now))
        if len(recent) > NEWS_MAX:
            recent = {EVERYTHING: (self._number, now)}
        self._news = recent
        return [(number, topic) for topic, (number, _) in recent.items()]

    def _hear(self, tidings: Tidings) -> int:
        topics: set[str] = set()
        heard: dict[str, int] = {}
        for sid, news in tidings.news.items():
            last = self._heard.get(sid, 0)
            topics |= {topic for number, topic in news if number > last}
            heard[sid] = max((number for number, _ in news), default=last)
        if heard.keys() != self._heard.keys() or LEASES in topics:
            self._has_leases_news = True
        self._heard = heard
        for topic in topics:
            self._stir(topic)
        return len(topics)

    def _stir(self, topic: str) -> None:
        switchboard = self._platform.switchboard
        if topic.startswith(LANES):
            switchboard.wake(topic.removeprefix(LANES))
        elif topic in self._echoes:
            self._echoes[topic].ring()
        elif topic == EVERYTHING:
            switchboard.wake_all()
            for echo in self._echoes.values():
                echo.ring()
