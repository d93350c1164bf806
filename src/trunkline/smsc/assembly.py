"""Long texts that customers submit in segments: kept until they are whole, then one message.

Rules: a segment is on disk before it is answered; its message_id is the SID that the message will
have, with the segment's number behind it, so that either can be asked for; what never becomes
whole ends with a receipt for each segment that wants one.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from trunkline.domain.carrier import SmppCredential
from trunkline.flows.customers import journal_of
from trunkline.flows.deliveries import Origin, ReceiptNote, Wanted, is_wanted, receipt_row
from trunkline.flows.platform import Platform
from trunkline.smpp.concatenation import Reassembly, Segment, Text, TextKey
from trunkline.smsc.reading import Wish, decode_body, origin_for
from trunkline.store.deliveries import insert_deliveries
from trunkline.store.messages import find_message
from trunkline.store.segments import StoredSegments

EXPIRY_SECONDS = 300.0  # Senders send all segments within seconds; a retry takes minutes.
# Of one customer: a few MB of memory, and more than a minute of long texts at any rate granted.
TEXTS_MAX = 2_000
SEGMENTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Part(Segment):
    """A segment as submitted, with what it was answered; two are equal when their texts are."""

    sid: str = field(compare=False)
    wish: Wish = field(compare=False, repr=False)
    at: datetime = field(compare=False)

    @property
    def message_id(self) -> str:
        """What the segment was answered with."""
        return f"{self.sid}-{self.number}"

    @property
    def number(self) -> int:
        """Which segment it is, from 1."""
        assert self.place
        return self.place.number

    @property
    def key(self) -> TextKey:
        """What it has in common with the other segments of its text."""
        assert self.place
        kind, reference, total, _ = self.place
        return TextKey(self.source_addr, self.destination_addr, kind, reference, total)


class _Kept(msgspec.Struct, array_like=True):
    """A part as the journal has it."""

    sid: str
    at: datetime
    wish: Wish


@dataclass(slots=True)
class _Shelf:
    """The texts of one customer that are not whole."""

    credential: SmppCredential
    reassembly: Reassembly
    parts: dict[tuple[TextKey, int], Part] = field(default_factory=dict)
    sids: dict[TextKey, str] = field(default_factory=dict)


class Assembly:
    """The texts of all customers that are not whole."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._journal = StoredSegments(platform.store, chance=platform.chance, clock=platform.clock)
        self._shelves: dict[str, _Shelf] = {}

    async def load(self, credential: SmppCredential, *, now: float) -> list[tuple[Part, ...]]:
        """Take up what was kept before a restart; return the texts that are whole.

        Those whose message is there already are only forgotten.
        """
        kept = await self._journal.load(journal_of(credential))
        whole: list[tuple[Part, ...]] = []
        for _, doc in kept:
            found = msgspec.msgpack.decode(doc, type=_Kept)
            part = _part(found.wish, found.sid, at=found.at)
            for parts in self.add(credential, part, now=now):
                if await self._is_message(credential, parts[0].sid):
                    await self.forget(credential, parts)
                elif is_whole(parts):
                    whole.append(parts)
                else:
                    await self.end(credential, parts, status="expired", error_code=None)
        return whole

    def place(self, credential: SmppCredential, wish: Wish) -> Part:
        """Return the part that a wish is; one that was placed before is the same part again."""
        shelf = self._shelf(credential)
        now = self._platform.clock.now()
        part = _part(wish, "", at=now)
        known = shelf.parts.get((part.key, part.number))
        if known == part:
            return known
        sid = shelf.sids.get(part.key)
        if sid is None or known is not None:
            # A used reference with another text begins a new one.
            sid = shelf.sids[part.key] = self._platform.chance.sid("SM", now)
        return replace(part, sid=sid)

    async def keep(self, credential: SmppCredential, part: Part) -> None:
        """Put a part on disk."""
        doc = msgspec.msgpack.encode(_Kept(part.sid, part.at, part.wish))
        source = journal_of(credential)
        await self._journal.keep(source, part.message_id, number=part.number, doc=doc)

    def add(self, credential: SmppCredential, part: Part, *, now: float) -> list[tuple[Part, ...]]:
        """Put a part, which is on disk, to the others; return the texts that end by it.

        Mostly there is none, or one that is whole; what had to make room is not.
        """
        shelf = self._shelf(credential)
        ended = [self._taken(shelf, text) for text in shelf.reassembly.add(part, now=now)]
        if not any(part is each for parts in ended for each in parts):
            shelf.sids.setdefault(part.key, part.sid)
            shelf.parts.setdefault((part.key, part.number), part)
        return ended

    def restore(self, credential: SmppCredential, parts: Iterable[Part], *, now: float) -> None:
        """Let the parts of a text wait on that was whole but could not be accepted."""
        for part in parts:
            self._shelf(credential).sids[part.key] = part.sid
            self.add(credential, part, now=now)

    async def forget(self, credential: SmppCredential, parts: Sequence[Part]) -> None:
        """Remove the parts of a text from the disk."""
        source = journal_of(credential)
        await asyncio.gather(*(self._journal.forget(source, part.message_id) for part in parts))

    async def expire(self, now: float) -> None:
        """End the texts whose time is over, of customers who are gone, too."""
        for sid, shelf in list(self._shelves.items()):
            for text in shelf.reassembly.expire(now):
                parts = self._taken(shelf, text)
                await self.end(shelf.credential, parts, status="expired", error_code=None)
            if not shelf.parts and not shelf.sids:
                self._shelves.pop(sid, None)

    async def end(
        self,
        credential: SmppCredential,
        parts: Sequence[Part],
        *,
        status: str,
        error_code: int | None,
    ) -> None:
        """Give up a text: the receipts that its parts want are owed, and the parts are gone."""
        now = self._platform.clock.now()
        rows = [
            receipt_row(
                self._platform,
                credential.account_sid,
                credential.system_id,
                message_sid=part.sid,
                note=_note(part, now, status=status, error_code=error_code),
            )
            for part in parts
            if is_wanted(part.wish.when, delivered=False)
        ]

        def work(db: Connection) -> None:
            insert_deliveries(db, rows)

        await self._platform.store.write(work)
        await self.forget(credential, parts)
        self._platform.bells.deliveries.ring()

    def is_waiting(self, credential: SmppCredential, sid: str) -> bool:
        """Tell whether a customer's text waits for segments."""
        return sid in self._shelf(credential).sids.values()

    async def _is_message(self, credential: SmppCredential, sid: str) -> bool:
        return await self._platform.store.read(
            lambda db: find_message(db, credential.account_sid, sid) is not None
        )

    def _shelf(self, credential: SmppCredential) -> _Shelf:
        shelf = self._shelves.get(credential.sid)
        if shelf is None:
            # No whole text is remembered: what is sent again after it is a text of its own.
            reassembly = Reassembly(
                EXPIRY_SECONDS, texts_max=TEXTS_MAX, segments_max=SEGMENTS_MAX, whole_texts_max=0
            )
            shelf = self._shelves[credential.sid] = _Shelf(credential, reassembly)
        return shelf

    def _taken(self, shelf: _Shelf, text: Text) -> tuple[Part, ...]:
        """Return the parts of a text that ends, and take them from the shelf."""
        parts = tuple(part for part in text.segments if isinstance(part, Part))
        for part in parts:
            if shelf.parts.get((part.key, part.number)) is part:
                del shelf.parts[part.key, part.number]
        if parts and shelf.sids.get(text.key) == parts[0].sid:
            del shelf.sids[text.key]
        return parts


def is_whole(parts: Sequence[Part]) -> bool:
    """Tell whether no segment of a text is missing."""
    return len(parts) == parts[0].key.total


def joined(system_id: str, parts: Sequence[Part]) -> tuple[Wish, str, Origin]:
    """Return a whole text: its first segment's wish, all of the body, and who asks for what."""
    first = parts[0].wish
    wanted = tuple(Wanted(part.message_id, part.wish.when) for part in parts)
    octets = b"".join(part.octets for part in parts)
    return (
        first,
        decode_body(octets, first.data_coding),
        origin_for(system_id, first, wanted=wanted),
    )


def _part(wish: Wish, sid: str, *, at: datetime) -> Part:
    return Part(
        source_addr=wish.source[2],
        destination_addr=wish.destination[2],
        place=wish.place,
        elements=(),
        data_coding=wish.data_coding,
        octets=wish.octets,
        sid=sid,
        wish=wish,
        at=at,
    )


def _note(part: Part, now: datetime, *, status: str, error_code: int | None) -> ReceiptNote:
    return ReceiptNote(
        message_id=part.message_id,
        status=status,
        error_code=error_code,
        submitted_at=part.at,
        done_at=now,
        text="",
        source=part.wish.source,
        destination=part.wish.destination,
        reference=part.wish.reference,
    )
