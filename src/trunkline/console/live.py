"""The stream of what changes: tells a page what to look at again."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Literal

from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from trunkline.api.auth import authenticate
from trunkline.carriers.port import BindState, PduSeen
from trunkline.console.visit import Visit
from trunkline.domain.account import AccountStatus
from trunkline.domain.carrier import CarrierAccount
from trunkline.flows.switchboard import Switchboard
from trunkline.runtime import News

SUBSCRIBERS_MAX = 100  # Each costs a connection and wakes up with every change.
SUBSCRIBERS_OF_ONE_MAX = 20  # Of an account that is not the main one,
SUBSCRIBERS_OF_OTHERS_MAX = 80  # and of all these: the rest is the operator's.
NEWS_MAX = 50  # A page shows fewer things than that; beyond it looks at everything again.
GATHER_SECONDS = 0.1  # A burst becomes one event, which costs the page one request.
HEARTBEAT_SECONDS = 15.0  # Proxies close a stream that is silent for a minute, some for 30 s.
# What passes between a carrier and us rings no bell: for a page that shows it, we look so often.
LOOK_SECONDS = 0.5
ALL_CARRIERS = "*"
OF_MAIN_ACCOUNT = ("handset", "carrier")  # Topics of things that belong to no other account.

_HEARTBEAT = ": here\n\n"
_RELOAD = "event: reload\ndata:\n\n"
Queue = asyncio.Queue[News | None]
# What a page shows of a carrier, as far as it changes by itself.
Sight = tuple[CarrierAccount | None, tuple[BindState, ...], tuple[PduSeen, ...]]


class Live:
    """Serves the stream to the pages that are open, until `close`."""

    def __init__(self) -> None:
        self._open = Counter[str]()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every stream: the program stops, and would wait for them."""
        self._closing.set()

    @contextlib.contextmanager
    def listener(self, visit: Visit) -> Iterator[None]:
        """Count one more listener meanwhile."""
        account_sid = visit.account.sid
        self._open[account_sid] += 1
        try:
            yield
        finally:
            self._open[account_sid] -= 1
            self._open += Counter()  # Forget whoever has none.

    def _has_room(self, visit: Visit) -> bool:
        everybody = self._open.total()
        if visit.sees_phones:
            return everybody < SUBSCRIBERS_MAX
        others = everybody - self._open[visit.platform.rules.main_account_sid]
        own = self._open[visit.account.sid]
        is_fair = own < SUBSCRIBERS_OF_ONE_MAX and others < SUBSCRIBERS_OF_OTHERS_MAX
        return is_fair and everybody < SUBSCRIBERS_MAX

    async def stream(self, visit: Visit) -> Response:
        """Answer with the stream, or refuse when too many listen or the program stops."""
        if self._closing.is_set() or not self._has_room(visit):
            return PlainTextResponse("Too many pages listen.", status_code=503)
        return _Stream(self, visit, self._events(visit))

    async def _events(self, visit: Visit) -> AsyncIterator[str]:
        closing = asyncio.create_task(self._closing.wait())
        try:
            with visit.platform.feed.subscribe() as queue, _watching(visit, queue):
                yield _HEARTBEAT
                while not closing.done() and await _may_stay(visit):
                    yield await _next_event(visit, queue, closing=closing)
        finally:
            closing.cancel()


class _Stream(StreamingResponse):
    """An answer that is counted, from its very begin, as long as somebody listens to it."""

    def __init__(self, live: Live, visit: Visit, events: AsyncIterator[str]) -> None:
        super().__init__(
            events,
            media_type="text/event-stream",
            # Some proxies hold an answer back until it ends, unless they are told not to.
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._live, self._visit = live, visit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the listener or the program leaves."""
        with self._live.listener(self._visit):
            await super().__call__(scope, receive, send)


async def _may_stay(visit: Visit) -> bool:
    """Tell whether credentials are still good; who needed none to come in may stay."""
    authorization = visit.request.headers.get("authorization")
    if authorization is None:
        return True
    actor = await authenticate(visit.platform, authorization)
    return actor is not None and actor.account.status is AccountStatus.ACTIVE


@contextlib.contextmanager
def _watching(visit: Visit, queue: Queue) -> Iterator[None]:
    """Meanwhile put news of the carriers that the page asks about into its queue."""
    wanted = visit.request.query_params.get("carriers", "")
    if not (wanted and visit.sees_phones):
        yield
        return
    watch = asyncio.create_task(_watch(visit, queue, wanted=wanted))
    try:
        yield
    finally:
        watch.cancel()


async def _watch(visit: Visit, queue: Queue, *, wanted: str) -> None:
    switchboard = visit.platform.switchboard
    before = look(switchboard, wanted)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = look(switchboard, wanted)
        for name in before.keys() | now.keys():
            # A page that reads this slowly will look at everything again.
            if before.get(name) != now.get(name) and queue.qsize() < NEWS_MAX:
                queue.put_nowait(News("carrier", "", name))
        before = now


def look(switchboard: Switchboard, wanted: str) -> Mapping[str, Sight]:
    """Return what there is to see of a carrier, or of all."""
    names = switchboard.accounts.keys() if wanted == ALL_CARRIERS else {wanted}
    seen: dict[str, Sight] = {}
    for name in names:
        carrier = switchboard.live.get(name)
        binds, pdus = ((), ()) if carrier is None else (carrier.binds(), carrier.pdus()[-1:])
        seen[name] = (switchboard.accounts.get(name), tuple(binds), tuple(pdus))
    return seen


async def _next_event(visit: Visit, queue: Queue, *, closing: asyncio.Task[Literal[True]]) -> str:
    """Return what to send next: what changed since, or a heartbeat when nothing did."""
    first = asyncio.ensure_future(queue.get())
    try:
        await asyncio.wait(
            (first, closing), timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if not first.done():
            return _HEARTBEAT
    finally:
        first.cancel()
    await asyncio.wait((closing,), timeout=GATHER_SECONDS)
    gathered = [first.result()]
    while not queue.empty():
        gathered.append(queue.get_nowait())
    return render_news(visit, gathered)


def render_news(visit: Visit, gathered: list[News | None]) -> str:
    """Return the event for news, without those that are not for this account to know."""
    ours = {
        (news.topic, news.sid)
        for news in gathered
        if news is not None
        and (
            news.account_sid == visit.account.sid
            or (news.topic in OF_MAIN_ACCOUNT and visit.sees_phones)
        )
    }
    if None in gathered or len(ours) > NEWS_MAX:
        return _RELOAD
    return f"event: news\ndata: {json.dumps(sorted(ours))}\n\n" if ours else _HEARTBEAT
