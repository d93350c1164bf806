"""Asks the upstream account what became of messages and what came in, page by page.

Rules: nothing is asked while nothing is open; what is told twice is the flows' to ignore; a page is
done once the flow has it on disk.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta

from trunkline.carriers.port import Handler, Happening, Incoming, Receipt
from trunkline.carriers.twilio.callbacks import MEDIA_MAX, SEGMENTS_MAX, segment_refs
from trunkline.carriers.twilio.health import Counts
from trunkline.carriers.twilio.ledger import Ledger
from trunkline.carriers.twilio.line import Line
from trunkline.carriers.twilio.settings import TwilioSettings
from trunkline.carriers.twilio.wire import UpstreamMedia, UpstreamMessage, failure_code
from trunkline.domain.text import count_segments, encoding_of
from trunkline.runtime import Clock

# Carriers report for up to three days; what is open then stays open.
LOOKBACK = timedelta(days=3)
# Most messages end within minutes, so most rounds look at those alone.
LOOKBACK_SHORT = timedelta(minutes=15)
LOOKBACK_LONG = timedelta(hours=6)
LONG_EVERY, FULL_EVERY = 10, 60
# Lists are ordered by times that differ a little from when a message was made.
MARGIN = timedelta(minutes=5)
# 20,000 messages a round; an account with more of them has status callbacks.
PAGES_MAX = 100
OPEN_MAX = 100_000
TOLD_MAX = 50_000

INBOUND = "inbound"
RECEIVED = "received"


class Watch:
    """What is open with one upstream account, and the rounds that ask for it."""

    def __init__(
        self, name: str, line: Line, *, settings: TwilioSettings, ledger: Ledger, clock: Clock
    ) -> None:
        self._name = name
        self._line = line
        self._is_polling_inbound = settings.inbound == "poll"
        self._ledger = ledger
        self._clock = clock
        self._open: OrderedDict[str, datetime] = OrderedDict()
        self._told: OrderedDict[str, None] = OrderedDict()
        self._oldest: datetime | None = None
        self._inbound_since = clock.now() - timedelta(hours=settings.inbound_hours)
        self._rounds = 0

    def opened(self, sid: str) -> None:
        """Note a message that was taken."""
        self._open[sid] = self._clock.now()
        while len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)

    def closed(self, sid: str) -> None:
        """Note a message whose end is known."""
        self._open.pop(sid, None)

    async def step(self, handle: Handler) -> None:
        """Do one round: ask for what is open, and bring what there is to tell."""
        now = self._clock.now()
        is_full = self._rounds % FULL_EVERY == 0
        if is_full:
            since = now - LOOKBACK
            self._oldest = await self._ledger.oldest_open(self._name, since=since)
        since_when = self._since(now)
        if since_when is None:
            self._rounds += 1
            return
        if await self._read_since(since_when, handle):
            self._rounds += 1
            self._inbound_since = max(self._inbound_since, now - MARGIN)

    def _since(self, now: datetime) -> datetime | None:
        """Return how far back this round looks; None when there is nothing to look for."""
        while self._open and next(iter(self._open.values())) < now - LOOKBACK:
            self._open.popitem(last=False)
        times = [*([self._oldest] if self._oldest else []), *list(self._open.values())[:1]]
        depth = LOOKBACK_SHORT
        if self._rounds % FULL_EVERY == 0:
            depth = LOOKBACK
        elif self._rounds % LONG_EVERY == 0:
            depth = LOOKBACK_LONG
        sinces = [max(min(times), now - depth)] if times else []
        if self._is_polling_inbound:
            sinces.append(self._inbound_since)
        return min(sinces, default=None)

    async def _read_since(self, since: datetime, handle: Handler) -> bool:
        """Read pages until one reaches back far enough; False when one could not be seen."""
        async for page in self._line.pages((), pages_max=PAGES_MAX):
            if page is None:
                return False
            if not await self._tell(page.messages, handle):
                return False
            there = since + self._line.skew - MARGIN
            if any(m.created_at is not None and m.created_at < there for m in page.messages):
                break
        return True

    async def _tell(self, messages: Sequence[UpstreamMessage], handle: Handler) -> bool:
        """Bring what a page says that was not told before; False when media could not be seen."""
        news = [m for m in messages if m.sid not in self._told]
        ended = [m for m in news if m.delivered is not None and m.direction != INBOUND]
        told = await self._receipts(ended)
        happenings: list[Happening] = [*told]
        texts = [m for m in news if self._is_text(m)]
        for text in texts:
            incoming = await self._incoming(text)
            if incoming is None:
                return False
            happenings.append(incoming)
        if happenings:
            await handle(happenings)
        counts = self._line.health.counts
        note_told(counts, happenings, at=self._clock.now())
        # One that is not known is somebody else's, or its answer is not on disk yet.
        for sid in (*(receipt.carrier_ref for receipt in told), *(text.sid for text in texts)):
            self._open.pop(sid, None)
            self._told[sid] = None
        while len(self._told) > TOLD_MAX:
            self._told.popitem(last=False)
        return True

    async def _receipts(self, ended: Sequence[UpstreamMessage]) -> list[Receipt]:
        """Return the receipts of our messages among *ended*, one for each segment."""
        candidates = {m.sid: segment_refs(m.sid, segments_at_most(m)) for m in ended}
        refs = [ref for own in candidates.values() for ref in own]
        known = await self._ledger.known(self._name, refs) if refs else set()
        return [
            receipt
            for message in ended
            for receipt in receipts(
                [ref for ref in candidates[message.sid] if ref in known],
                status=message.status,
                delivered=message.delivered,
                error_code=message.error_code,
                at=self._clock.now(),
            )
        ]

    def _is_text(self, message: UpstreamMessage) -> bool:
        since = self._inbound_since + self._line.skew - MARGIN
        return (
            self._is_polling_inbound
            and message.direction == INBOUND
            and message.status == RECEIVED
            and message.created_at is not None
            and message.created_at >= since
        )

    async def _incoming(self, message: UpstreamMessage) -> Incoming | None:
        media: tuple[str, ...] = ()
        if message.media:
            path = f"{self._line.client.account_path}/Messages/{message.sid}/Media.json"
            found = await self._line.look(path, UpstreamMedia)
            if found is None:
                return None
            paths = (medium.uri.removesuffix(".json") for medium in found.media_list)
            urls = (self._line.client.absolute(path) for path in paths)
            media = tuple(url for url in urls if url is not None)[:MEDIA_MAX]
        body = message.body or ""
        return Incoming(
            ref=message.sid,
            sender=message.sender or "",
            recipient=message.to or "",
            body=body,
            encoding=encoding_of(body).value,
            num_segments=message.segments or 1,
            media=media,
            at=(message.created_at or self._clock.now()) - self._line.skew,
        )


def receipts(
    refs: Sequence[str],
    *,
    status: str,
    delivered: bool | None,
    error_code: int | str | None,
    at: datetime,
) -> list[Receipt]:
    """Return what a status of a message says of its segments."""
    code = failure_code(error_code) if delivered is False else None
    detail = {"status": status}
    return [
        Receipt(carrier_ref=ref, delivered=delivered, error_code=code, at=at, detail=detail)
        for ref in refs
    ]


def note_told(counts: Counts, happenings: Sequence[Happening], *, at: datetime) -> None:
    """Count what was brought to the flows."""
    for happening in happenings:
        if isinstance(happening, Receipt):
            counts.receipts += 1
            counts.last_receipt_at = at
        else:
            counts.texts += 1


def segments_at_most(message: UpstreamMessage) -> int:
    """Return how many segments a message of ours can have had, whatever was made of it there.

    A body that was redacted or rewritten there counts otherwise than it did here.
    """
    body = message.body or ""
    if not body:
        return SEGMENTS_MAX
    return min(max(message.segments, count_segments(body), len(body) // 67 + 1), SEGMENTS_MAX)
