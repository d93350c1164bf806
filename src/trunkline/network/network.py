"""The simulated phone network: takes segments, brings them to handsets, and lets handsets speak.

Rules: what was taken, and what arrived, is on disk before anybody hears of it; news that could not
be handed over come again.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

from trunkline.carriers.port import Handler, Incoming, Receipt, Submission, SubmitResult
from trunkline.domain.address import AddressKind, parse_recipient
from trunkline.domain.errors import Refusal
from trunkline.domain.handset import NAME_MAX, Handset, HandsetText, Parcel, Step
from trunkline.domain.message import MEDIA_MAX
from trunkline.domain.text import BODY_MAX, Segmentation, body_length, encoding_of, split
from trunkline.network.behaviours import NetworkSettings, find_behaviour
from trunkline.network.delivery import (
    claim,
    finish,
    incoming,
    judge,
    passed_on,
    receipts,
    submit_result,
)
from trunkline.network.memory import Memory
from trunkline.runtime import Bell, Chance, Clock, Feed, News

STEP_MAX = 500  # Rows of one commit; beyond a few hundred a longer commit gains little.
TEXTS_MAX = 1000  # A page of a conversation; older texts are asked for with `before`.
HANDSETS_MAX = 1000  # More are no list to read.
TEXT_PREFIX = "HT"

# Exchange codes never begin with 0 (NANPA), so these numbers can be nobody's.
FREE_PREFIX = "+1555010"
FREE_NUMBERS = 10_000


class Network:
    """The phones and the way to them; one carrier stands before it."""

    def __init__(
        self,
        memory: Memory,
        *,
        clock: Clock,
        chance: Chance,
        settings: NetworkSettings,
        feed: Feed,
        bell: Bell,
    ) -> None:
        self._memory = memory
        self._clock = clock
        self._chance = chance
        self._judge = partial(judge, settings=settings)
        self._feed = feed
        self._bell = bell
        self._stepping = asyncio.Lock()
        # What the worker waits for; None while it looks, so that news always wake it then.
        self._expected: datetime | None = None

    async def submit(self, batch: Sequence[Submission]) -> Sequence[SubmitResult]:
        """Take segments for handsets; on disk when this returns, in the order of *batch*.

        The same segment again is the same segment: same answer, no second text.
        """
        parcels = self._parcels(batch)
        if not parcels:
            return []
        texts = await self._memory.take(list(parcels.values()), self._judge)
        self._announce(texts)
        by_message = dict(zip(parcels, texts, strict=True))
        return [submit_result(by_message[s.message_sid], s.segment_index) for s in batch]

    async def step(self, handle: Handler) -> int:
        """Let happen what is due and hand over the news; return how many texts moved.

        When *handle* raises, the texts are due again a little later, then one at a time, so that
        one that cannot be handed over does not hold up the rest.
        """
        async with self._stepping:
            now = self._clock.now()
            batch = _fresh_or_first(await self._memory.due(now, limit=STEP_MAX))
            if not batch:
                return 0
            claimed = await self._memory.advance(batch, partial(claim, at=now))
            self._tell(t.handset for t in claimed if t.step is Step.ARRIVED)
            await self._hand_over(claimed, now, handle=handle)
            await self._memory.advance(claimed, partial(finish, at=now))
            self._tell(t.handset for t in claimed if t.is_outgoing)
            return len(batch)

    async def next_due(self) -> datetime | None:
        """Return when `step` will have something to do; the bell rings if that becomes earlier."""
        self._expected = None
        self._expected = await self._memory.next_due()
        return self._expected

    async def send_from(
        self, handset: str, to: str, *, body: str, media: tuple[str, ...] = ()
    ) -> HandsetText:
        """Let a phone, new or known, send a text; on disk when this returns.

        Raises Refusal: 21212 and 21211 for what is no number, 21619 for nothing to send, 21617
        and 21623 for too much of it, 21620 for media without an http(s) URL.
        """
        number, peer = _phone(handset, code=21212), _recipient(to)
        parts = _checked_text(body, media)
        now = self._clock.now()
        text = HandsetText(
            sid=self._chance.sid(TEXT_PREFIX, now),
            handset=number,
            peer=peer,
            is_outgoing=True,
            message_ref=None,
            encoding=parts.encoding,
            segments=parts.segments,
            media=media,
            due_at=now,
            created_at=now,
        )
        await self._memory.keep(text)
        self._announce([text])
        self._tell([number])
        return text

    async def handset(self, number: str) -> Handset | None:
        """Return a phone."""
        return await self._memory.find(number)

    async def handsets(self, limit: int = 50) -> list[Handset]:
        """Return phones, the most recently active first; HANDSETS_MAX at most."""
        return await self._memory.recent(limit=min(limit, HANDSETS_MAX))

    async def add_handset(self, number: str | None = None, name: str = "") -> Handset:
        """Add a phone, with a free fictional number unless one is given; rename one that is there.

        Raises Refusal: 21211 for what is no number, 20002 for a name that is too long, 21422 when
        no number is free.
        """
        if number is not None:
            return await self.rename(number, name)
        make = partial(self._free_handset, name=_checked_name(name))
        handset = await self._memory.add(FREE_PREFIX, make)
        self._tell([handset.number])
        return handset

    async def rename(self, number: str, name: str) -> Handset:
        """Give a phone, new or known, a name; raises Refusal as `add_handset` does."""
        blank = self._blank(_phone(number, code=21211))
        checked = _checked_name(name)
        handset = await self._memory.change(blank, lambda phone: replace(phone, name=checked))
        self._tell([handset.number])
        return handset

    async def set_behaviour(self, number: str, behaviour: str) -> Handset:
        """Give a phone, new or known, a behaviour of its own; an empty one takes it away again.

        Raises Refusal: 21211 for what is no number, 20422 for a behaviour that there is not.
        """
        if behaviour and find_behaviour(behaviour) is None:
            raise Refusal(20422, name="Behaviour", reason="no such behaviour")
        blank = self._blank(_phone(number, code=21211))
        handset = await self._memory.change(
            blank, lambda phone: replace(phone, behaviour=behaviour)
        )
        self._tell([handset.number])
        return handset

    async def remove_handset(self, number: str) -> bool:
        """Remove a phone and its texts; those on their way to it will find nobody (30005)."""
        removed = await self._memory.forget(number, behaviour="unknown")
        if removed:
            self._tell([number])
        return removed

    async def texts(
        self, number: str, *, limit: int = 200, before: str | None = None
    ) -> list[HandsetText]:
        """Return what a phone shows, both ways, in the order of time.

        These are the newest, TEXTS_MAX at most; *before* is the smallest SID of the page that is
        there already.
        """
        return await self._shown(number, limit, before=before, with_outgoing=True)

    async def inbox(self, number: str, limit: int = 50) -> list[HandsetText]:
        """Return the newest texts that a phone received, in the order of time."""
        return await self._shown(number, limit, before=None, with_outgoing=False)

    async def _hand_over(
        self, texts: Sequence[HandsetText], now: datetime, *, handle: Handler
    ) -> None:
        said: list[Receipt] = [r for text in texts for r in receipts(text, now)]
        if said:
            await handle(said)
        spoken: list[Incoming] = [incoming(text) for text in texts if text.is_outgoing]
        arrived = [t for t in texts if t.step is Step.ARRIVED and not t.is_outgoing]
        if arrived:
            own = await self._memory.own({_bare(text.handset) for text in arrived})
            spoken += [passed_on(text) for text in arrived if _bare(text.handset) in own]
        if spoken:
            await handle(spoken)

    async def _shown(
        self, number: str, limit: int, *, before: str | None, with_outgoing: bool
    ) -> list[HandsetText]:
        texts = await self._memory.shown(
            number, limit=min(limit, TEXTS_MAX), before=before, with_outgoing=with_outgoing
        )
        return sorted(texts, key=lambda text: (text.shown_at, text.sid))

    def _parcels(self, batch: Sequence[Submission]) -> dict[str, Parcel]:
        now = self._clock.now()
        parcels: dict[str, Parcel] = {}
        for submission in batch:
            assert 0 <= submission.segment_index < submission.segment_count
            parcel = parcels.get(submission.message_sid)
            if parcel is None:
                parcel = parcels[submission.message_sid] = self._parcel(submission, now)
            parcel.segments[submission.segment_index] = submission.text
        return parcels

    def _parcel(self, submission: Submission, now: datetime) -> Parcel:
        return Parcel(
            sid=self._chance.sid(TEXT_PREFIX, now),
            message_sid=submission.message_sid,
            sender=submission.sender,
            recipient=submission.recipient,
            encoding=submission.encoding,
            segment_count=submission.segment_count,
            media=submission.media,
            at=now,
        )

    def _blank(self, number: str) -> Handset:
        now = self._clock.now()
        return Handset(number=number, created_at=now, updated_at=now)

    def _free_handset(self, taken: frozenset[str], *, name: str) -> Handset:
        for index in range(FREE_NUMBERS):
            number = f"{FREE_PREFIX}{index:04}"
            if number not in taken:
                return replace(self._blank(number), name=name)
        raise Refusal(21422, number=FREE_PREFIX)

    def _announce(self, texts: Iterable[HandsetText]) -> None:
        """Ring if something will happen earlier than the worker expects."""
        due = min((text.due_at for text in texts if text.due_at is not None), default=None)
        if due is not None and (self._expected is None or due < self._expected):
            self._bell.ring()

    def _tell(self, numbers: Iterable[str]) -> None:
        if self._feed.is_watched:
            for number in dict.fromkeys(numbers):
                self._feed.publish(News("handset", "", number))


def _bare(address: str) -> str:
    """Return the number of a phone, which may have a channel's prefix."""
    return address.rpartition(":")[2]


def _fresh_or_first(due: list[HandsetText]) -> list[HandsetText]:
    """Return the texts that were not tried yet or, when all were, the first alone."""
    return [text for text in due if text.attempts == 0] or due[:1]


def _phone(text: str, *, code: int) -> str:
    address = parse_recipient(text)
    if address is None or address.kind is not AddressKind.NUMBER:
        raise Refusal(code, number=text)
    return address.text


def _recipient(text: str) -> str:
    """Return a number or short code."""
    address = parse_recipient(text)
    if address is None or address.kind is AddressKind.CHANNEL:
        raise Refusal(21211, number=text)
    return address.text


def _checked_name(name: str) -> str:
    name = name.strip()
    if len(name) > NAME_MAX:
        raise Refusal(20002, reason=f"at most {NAME_MAX} characters")
    return name


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _checked_text(body: str, media: tuple[str, ...]) -> Segmentation:
    """Return the body as it will be sent; an MMS is one segment however long."""
    if not body and not media:
        raise Refusal(21619)
    if body_length(body) > BODY_MAX:
        raise Refusal(21617)
    if len(media) > MEDIA_MAX:
        raise Refusal(21623)
    for url in media:
        if not _is_address(url):
            raise Refusal(21620, name=url)
    if media:
        return Segmentation(encoding_of(body), (body,), body_length(body))
    return split(body)
