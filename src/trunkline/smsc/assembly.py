"""Long texts that customers submit in segments: kept until they are whole, then one message.

Rules: a segment is on disk before it is answered; its message_id is the SID that the message will
have, with the segment's number behind it, so that either can be asked for; what never becomes
whole ends with a receipt for each segment that wants one. Segments of one text may come to several
nodes: the journal says which text one joins, and what is in memory follows it.

A segment that a whole text had already is an echo of that one (see smpp/concatenation.py): out of
turn it is answered as it was there. In its turn, where a text may begin that is like the last, it
has an id of its own, and if nothing comes of it the receipt that the message of the other has. What
echoes are known by is written with the message, so that they are after a restart, and elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby

import msgspec
from sqlalchemy import Connection

from trunkline.domain.carrier import SmppCredential
from trunkline.domain.ids import position_of
from trunkline.domain.message import FINAL
from trunkline.flows.customers import journal_of
from trunkline.flows.deliveries import Origin, ReceiptNote, Wanted, is_wanted, receipt_row
from trunkline.flows.platform import Platform
from trunkline.smpp.concatenation import Echo, Reassembly, Segment, Text, TextKey, Whole, whole_of
from trunkline.smsc.reading import Wish, decode_body, origin_for
from trunkline.store.deliveries import insert_deliveries
from trunkline.store.messages import find_message
from trunkline.store.segments import (
    StoredSegments,
    forget_text,
    remember_text,
    take_text,
)

EXPIRY_SECONDS = 300.0  # Senders send all segments within seconds; a retry takes minutes.
REMEMBERED_SECONDS = 2 * EXPIRY_SECONDS  # From the first segment to the repeat of the last one.
POSITION_LENGTH = 32  # Of a SID without its prefix.
TOLD = "0" * POSITION_LENGTH  # Instead of a position: what is remembered of a whole text.
# Of one customer: a few MB of memory, and more than a minute of long texts at any rate granted.
TEXTS_MAX = 2_000
SEGMENTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Part(Segment):
    """A segment as submitted, with what it was answered; two are equal when their texts are."""

    sid: str = field(compare=False)
    wish: Wish = field(compare=False, repr=False)
    at: datetime = field(compare=False)
    echo_id: str = field(default="", compare=False, kw_only=True)

    @property
    def message_id(self) -> str:
        """What the segment was answered with; *echo_id* is what its like in a whole text was.

        Another segment may take an echo's place, so that the two must not have one name.
        """
        if self.echo is Echo.STRAY:
            return self.echo_id
        return f"{self.sid}-{self.number}{'r' if self.echo else ''}"

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
    echo: Echo = Echo.NONE
    echo_id: str = ""

    @property
    def part(self) -> Part:
        """What was kept."""
        part = _part(self.wish, self.sid, at=self.at)
        return replace(part, echo=self.echo, echo_id=self.echo_id)


class _Told(msgspec.Struct, array_like=True):
    """What is remembered of a text that became a message: what its segments were answered with."""

    whole: Whole
    message_ids: tuple[str, ...]


@dataclass(slots=True)
class _Shelf:
    """The texts of one customer that are not whole."""

    credential: SmppCredential
    reassembly: Reassembly
    parts: dict[tuple[TextKey, int], Part] = field(default_factory=dict)
    sids: dict[TextKey, str] = field(default_factory=dict)
    # Of the texts that looked alike, the one that ended last; of TEXTS_MAX such.
    ended: dict[TextKey, str] = field(default_factory=dict)


class Assembly:
    """The texts of all customers that are not whole."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._journal = StoredSegments(platform.store, chance=platform.chance, clock=platform.clock)
        self._shelves: dict[str, _Shelf] = {}
        # The journals where something may be remembered, and when to look what is too old.
        self._remembering: set[str] = set()
        self._forget_at = 0.0

    async def load(
        self, credential: SmppCredential, *, now: float, seconds: float = 0.0
    ) -> list[tuple[Part, ...]]:
        """Take up what was kept at least *seconds* ago; return the texts that are whole.

        Those whose message is there already are only forgotten.
        """
        source = journal_of(credential)
        self._remembering.add(source)
        kept = await self._journal.load(source)
        parts = [_DECODER.decode(doc).part for _, doc in kept]
        latest = self._platform.clock.now() - timedelta(seconds=seconds)
        young = {part.sid for part in parts if part.at > latest}
        whole: list[tuple[Part, ...]] = []
        for (key, _), part in zip(kept, parts, strict=True):
            if part.sid in young:
                continue
            if key == part.message_id:
                await self._rekey(credential, part)
            for text in self.add(credential, part, now=now):
                if await self._is_message(credential, text[0].sid):
                    await self.forget(credential, text)
                elif is_whole(text):
                    whole.append(text)
                else:
                    await self.end(credential, text, status="expired", error_code=None)
        return whole

    async def place(self, credential: SmppCredential, wish: Wish, *, now: float) -> Part:
        """Put the part that a wish is on disk, and return it.

        One that was placed before is the same part again.
        """
        shelf, at = self._shelf(credential), self._platform.clock.now()
        blank = _part(wish, "", at=at)
        known = shelf.parts.get((blank.key, blank.number))
        # A used reference with another text begins a new one.
        own = shelf.sids.get(blank.key, "") if known is None or known == blank else ""
        fresh = self._platform.chance.sid("SM", at)

        def placed(rows: _Rows) -> tuple[Part, Mapping[str, Text]]:
            texts = _texts(_parts(rows))
            # What is missing here came elsewhere, or a moment ago: this is of the next text.
            is_next = known is not None and own in texts and texts[own].is_whole
            told = _told(rows, texts, at=at)
            part = _placed(blank, texts, own="" if is_next else own, fresh=fresh, told=told)
            return part, texts

        def choose(rows: _Rows) -> tuple[str, int, bytes] | None:
            part, texts = placed(rows)
            is_news = part.sid not in texts or _is_news(part, texts[part.sid])
            return (_key(part), part.number, _doc(part)) if is_news else None

        rows = await self._journal.join(journal_of(credential), _family(blank.key), choose=choose)
        part, texts = placed(rows)
        self._learn(shelf, part, texts=texts, now=now)
        return part

    def _learn(self, shelf: _Shelf, part: Part, *, texts: Mapping[str, Text], now: float) -> None:
        """Let the text wait here that a part joins, as it was on disk; and no other one."""
        mates = _mates(part, texts.get(part.sid))
        before = shelf.sids.get(part.key, part.sid)
        if before != part.sid and not mates and before in texts:
            return  # The old text still waits: it ends when the part is added.
        text = Text(part.key, now, tuple(mates[number] for number in sorted(mates)))
        shelf.reassembly.know(part.key, text if mates else None)
        for key in [key for key in shelf.parts if key[0] == part.key]:
            del shelf.parts[key]
        shelf.parts |= {(part.key, number): mate for number, mate in mates.items()}
        shelf.sids[part.key] = part.sid

    async def _rekey(self, credential: SmppCredential, part: Part) -> None:
        """Let a part that an older version kept be found by those of its text."""
        source = journal_of(credential)
        await self._journal.keep(source, _key(part), number=part.number, doc=_doc(part))
        await self._journal.forget(source, part.message_id)

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

    def has_ended(self, credential: SmppCredential, part: Part) -> bool:
        """Tell whether a part's text ended while it was placed: it is of another text, then."""
        return self._shelf(credential).ended.get(part.key) == part.sid

    def restore(self, credential: SmppCredential, parts: Iterable[Part], *, now: float) -> None:
        """Let the parts of a text wait on that was whole but could not be accepted."""
        shelf = self._shelf(credential)
        for part in parts:
            shelf.ended.pop(part.key, None)
            shelf.sids[part.key] = part.sid
            self.add(credential, part, now=now)

    def take(self, db: Connection, credential: SmppCredential, parts: Sequence[Part]) -> bool:
        """Take a whole text from the disk, in the commit of its message; False: somebody else did.

        So it becomes one message, whoever had it whole at the same time.
        """
        source, first = journal_of(credential), parts[0]
        if not take_text(db, source, _key(first), count=len(parts)):
            return False
        self._remembering.add(source)
        sid = f"SG{position_of(first.sid)}"
        doc = _ENCODER.encode(_told_of(parts, at=self._platform.clock.now()))
        remember_text(db, source, _family(first.key) + TOLD, sid=sid, doc=doc)
        return True

    async def forget(self, credential: SmppCredential, parts: Sequence[Part]) -> None:
        """Remove the parts of a text from the disk."""
        source = journal_of(credential)

        def work(db: Connection) -> None:
            for part in parts:
                forget_text(db, source, _key(part), number=part.number)

        await self._platform.store.write(work)

    async def expire(self, now: float) -> None:
        """End the texts whose time is over, of customers who are gone, too."""
        if now >= self._forget_at:
            self._forget_at = now + EXPIRY_SECONDS
            await self._forget_told()
        for sid, shelf in list(self._shelves.items()):
            for text in shelf.reassembly.expire(now):
                parts = self._taken(shelf, text)
                await self.end(shelf.credential, parts, status="expired", error_code=None)
            if not shelf.parts and not shelf.sids:
                self._shelves.pop(sid, None)

    async def _forget_told(self) -> None:
        """Remove what is remembered of texts whose segments nobody repeats any more."""
        until = self._platform.clock.now() - timedelta(seconds=REMEMBERED_SECONDS)
        for source in sorted(self._remembering):
            await self._journal.forget_remembered(source, until)

    async def end(
        self,
        credential: SmppCredential,
        parts: Sequence[Part],
        *,
        status: str,
        error_code: int | None,
    ) -> None:
        """Give up a text: the receipts that its parts want are owed, and the parts are gone.

        What another node has ended, or made a message of, is not there any more and owes nothing;
        nor does a stray echo, whose id is another text's. Echoes alone end as that text did.
        """
        if status == "expired" and all(part.echo for part in parts):
            status, error_code = await self._fate(credential, parts)
        now, source = self._platform.clock.now(), journal_of(credential)
        rows = {
            part.message_id: receipt_row(
                self._platform,
                credential.account_sid,
                credential.system_id,
                message_sid=part.sid,
                note=_note(part, now, status=status, error_code=error_code),
            )
            for part in parts
            if part.echo is not Echo.STRAY
            and is_wanted(part.wish.when, delivered=status == "delivered")
        }

        def work(db: Connection) -> None:
            ended = {
                part.message_id
                for part in parts
                if forget_text(db, source, _key(part), number=part.number)
            }
            insert_deliveries(db, [row for name, row in rows.items() if name in ended])

        await self._platform.store.write(work)
        self._platform.bells.deliveries.ring()

    async def _fate(
        self, credential: SmppCredential, parts: Sequence[Part]
    ) -> tuple[str, int | None]:
        """Return what became of the message of the text that echoes are of."""
        sid = parts[0].echo_id.partition("-")[0]
        message = await self._platform.store.read(
            lambda db: find_message(db, credential.account_sid, sid)
        )
        is_over = message is not None and message.status in FINAL
        return (message.status.value, message.error_code) if message and is_over else ("sent", None)

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
            # What is an echo is found out where a part is placed, with what the disk remembers.
            reassembly = Reassembly(
                EXPIRY_SECONDS,
                texts_max=TEXTS_MAX,
                segments_max=SEGMENTS_MAX,
                whole_texts_max=0,
                gives_back_echoes=True,
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
        if parts:
            shelf.ended.pop(text.key, None)
            shelf.ended[text.key] = parts[0].sid
        if len(shelf.ended) > TEXTS_MAX:
            del shelf.ended[next(iter(shelf.ended))]
        return parts


def is_whole(parts: Sequence[Part]) -> bool:
    """Tell whether no segment of a text is missing."""
    return Text(parts[0].key, 0.0, tuple(parts)).is_whole


def joined(system_id: str, parts: Sequence[Part]) -> tuple[Wish, str, Origin]:
    """Return a whole text: its first segment's wish, all of the body, and who asks for what.

    Each segment has a data_coding; those of one are decoded together, characters may span them.
    """
    first = parts[0].wish
    wanted = tuple(Wanted(part.wish.told or part.message_id, part.wish.when) for part in parts)
    body = "".join(
        decode_body(b"".join(part.octets for part in group), data_coding)
        for data_coding, group in groupby(parts, key=lambda part: part.data_coding)
    )
    return first, body, origin_for(system_id, first, wanted=wanted)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Kept)
_TOLD_DECODER = msgspec.msgpack.Decoder(_Told)
_Rows = Sequence[tuple[str, bytes]]


def _key(part: Part) -> str:
    """Return the key of a part's text in the journal: what texts look like, and which it is."""
    return _family(part.key) + position_of(part.sid)


def _family(key: TextKey) -> str:
    return sha256(repr(tuple(key)).encode()).hexdigest()[:POSITION_LENGTH]


def _doc(part: Part) -> bytes:
    return _ENCODER.encode(_Kept(part.sid, part.at, part.wish, part.echo, part.echo_id))


def _parts(rows: _Rows) -> list[Part]:
    return [_DECODER.decode(doc).part for key, doc in rows if not key.endswith(TOLD)]


def _texts(parts: Iterable[Part]) -> dict[str, Text]:
    """Return texts that look alike, by their SIDs."""
    found: dict[str, dict[int, Part]] = {}
    for part in parts:
        found.setdefault(part.sid, {})[part.number] = part
    return {
        sid: Text(next(iter(each.values())).key, 0.0, tuple(each[n] for n in sorted(each)))
        for sid, each in found.items()
    }


def _told(rows: _Rows, texts: Mapping[str, Text], *, at: datetime) -> _Told | None:
    """Return what is remembered of the last text that was whole, be it accepted yet or not."""
    whole = max((sid for sid, text in texts.items() if text.is_whole), default=None)
    if whole is not None:
        return _told_of(_parts_of(texts[whole]), at=at)
    found = (_TOLD_DECODER.decode(doc) for key, doc in rows if key.endswith(TOLD))
    since = at.timestamp() - REMEMBERED_SECONDS
    return next((told for told in found if told.whole.at > since), None)


def _told_of(parts: Sequence[Part], *, at: datetime) -> _Told:
    whole = whole_of(Text(parts[0].key, 0.0, tuple(parts)), at=at.timestamp())
    return _Told(whole, tuple(part.message_id for part in parts))


def _parts_of(text: Text) -> tuple[Part, ...]:
    return tuple(part for part in text.segments if isinstance(part, Part))


def _placed(
    blank: Part, texts: Mapping[str, Text], *, own: str, fresh: str, told: _Told | None
) -> Part:
    """Return a part with the SID of the text it joins, of *texts* that look alike.

    That is the one that waits here, with *own* as its SID, or else the youngest on disk that is not
    whole and has not another segment in the part's place; or a new one.
    """
    if own in texts and (there := _there(blank, texts[own])) and not there.echo:
        return there
    for sid in (own, *sorted(texts, reverse=True)):
        text = texts.get(sid)
        if text is None or text.is_whole:
            continue
        part = _marked(blank, text, told=told)
        if not text.is_over_by(part):
            return _there(part, text) or replace(part, sid=sid)
    return replace(_marked(blank, Text(blank.key, 0.0, ()), told=told), sid=fresh)


def _marked(blank: Part, text: Text, *, told: _Told | None) -> Part:
    """Return a part that may join a text, with what it was answered before if it is an echo."""
    part = text.marked(blank, by=told.whole if told else None)
    assert isinstance(part, Part)
    return replace(part, echo_id=told.message_ids[part.number - 1]) if told and part.echo else part


def _there(part: Part, text: Text) -> Part | None:
    """Return the part as a text has it already, unless it is to be replaced."""
    there = text.at(part.number)
    is_same = there == part and not _is_news(part, text)
    return there if isinstance(there, Part) and is_same else None


def _is_news(part: Part, text: Text) -> bool:
    """Tell whether a part changes a text."""
    return text.with_(part, now=0.0) is not text


def _mates(part: Part, text: Text | None) -> dict[int, Part]:
    """Return the parts beside which one is put, by number.

    An echo in whose place there is another segment is put nowhere.
    """
    if text is None:
        return {}
    stays = part != text.at(part.number) and not _is_news(part, text)
    return {p.number: p for p in _parts_of(text) if stays or p.number != part.number}


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
        message_id=part.wish.told or part.message_id,
        status=status,
        error_code=error_code,
        submitted_at=part.at,
        done_at=now,
        text="",
        source=part.wish.source,
        destination=part.wish.destination,
        reference=part.wish.reference,
    )
