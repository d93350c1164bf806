"""The simulated network's memory: its handsets and their texts."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update

from trunkline.domain.handset import Handset, HandsetText, Judge, Parcel, Step
from trunkline.store.records import NUMBERS, known_keys
from trunkline.store.store import Store
from trunkline.store.tables import handset_texts, handsets
from trunkline.store.upserts import upsert

HANDSET_FIELDS = tuple(field.name for field in fields(Handset))
TEXT_FIELDS = tuple(field.name for field in fields(HandsetText))
CHANGING = ("segments", "behaviour", "step", "attempts", "due_at", "arrived_at")

_UPDATE_TEXT = (
    update(handset_texts)
    .where(handset_texts.c.sid == bindparam("b_sid"))
    .values({name: bindparam("b_" + name) for name in CHANGING})
)
_NEW_HANDSET = upsert(handsets)
_PUT_HANDSET = _NEW_HANDSET.on_conflict_do_update(
    index_elements=["number"],
    set_={name: _NEW_HANDSET.excluded[name] for name in HANDSET_FIELDS if name != "number"},
)


class HandsetMemory:
    """Keeps what the network must remember in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def own(self, numbers: Collection[str]) -> Collection[str]:
        """Return which numbers some account holds."""
        return await self._store.read(lambda db: known_keys(db, NUMBERS, numbers))

    async def take(self, parcels: Sequence[Parcel], judge: Judge) -> list[HandsetText]:
        """Store what *judge* makes of each parcel; handsets that were not known appear."""
        return await self._store.write(lambda db: _take(db, parcels, judge=judge))

    async def keep(self, text: HandsetText) -> None:
        """Store a text that a handset sends; a handset that was not known appears."""

        def work(db: Connection) -> None:
            at = text.created_at
            handset = _handset(db, text.handset) or Handset(
                number=text.handset, created_at=at, updated_at=at
            )
            _put_handsets(db, [replace(handset, updated_at=at)])
            _insert_texts(db, [text])

        await self._store.write(work)

    async def due(self, now: datetime, *, limit: int) -> list[HandsetText]:
        """Return the texts for which something is to happen, the longest due first."""
        due_at, sid = handset_texts.c.due_at, handset_texts.c.sid
        query = select(handset_texts).where(due_at <= now).order_by(due_at, sid).limit(limit)
        return await self._store.read(lambda db: _texts(db.execute(query).mappings()))

    async def next_due(self) -> datetime | None:
        """Return when something is to happen next."""
        due_at = handset_texts.c.due_at
        query = select(due_at).where(due_at.is_not(None)).order_by(due_at).limit(1)
        return await self._store.read(lambda db: db.execute(query).scalar())

    async def advance(
        self, texts: Sequence[HandsetText], change: Callable[[HandsetText], HandsetText]
    ) -> list[HandsetText]:
        """Store and return changed texts; one whose due_at changed meanwhile is left alone."""
        changed = [change(text) for text in texts]
        await self._store.write(lambda db: _advance(db, texts, changed=changed))
        return changed

    async def find(self, number: str) -> Handset | None:
        """Return a handset."""
        return await self._store.read(lambda db: _handset(db, number))

    async def recent(self, *, limit: int) -> list[Handset]:
        """Return handsets, the most recently active first."""
        query = select(handsets).order_by(handsets.c.updated_at.desc()).limit(limit)
        return await self._store.read(
            lambda db: [Handset(**row) for row in db.execute(query).mappings()]
        )

    async def change(self, handset: Handset, change: Callable[[Handset], Handset]) -> Handset:
        """Store and return the changed handset of this number, or *handset* changed if new."""

        def work(db: Connection) -> Handset:
            changed = change(_handset(db, handset.number) or handset)
            _put_handsets(db, [changed])
            return changed

        return await self._store.write(work)

    async def add(self, prefix: str, make: Callable[[frozenset[str]], Handset]) -> Handset:
        """Store and return a handset made from the numbers with *prefix* that are in use."""
        number = handsets.c.number
        query = select(number).where(number >= prefix, number < prefix + ":")  # ':' follows '9'.

        def work(db: Connection) -> Handset:
            handset = make(frozenset(db.execute(query).scalars()))
            _put_handsets(db, [handset])
            return handset

        return await self._store.write(work)

    async def forget(self, number: str, *, behaviour: str) -> bool:
        """Remove a handset and its finished texts; those on their way to it get *behaviour*."""
        return await self._store.write(lambda db: _forget(db, number, behaviour=behaviour))

    async def shown(
        self, number: str, *, limit: int, before: str | None, with_outgoing: bool
    ) -> list[HandsetText]:
        """Return what a handset shows, the newest *limit* texts before a SID, newest first."""
        column = handset_texts.c
        seen = (column.is_outgoing == 0) & (column.step == Step.ARRIVED)
        query = select(handset_texts).where(
            column.handset == number, seen | (column.is_outgoing == 1) if with_outgoing else seen
        )
        if before is not None:
            query = query.where(column.sid < before)
        query = query.order_by(column.sid.desc()).limit(limit)
        return await self._store.read(lambda db: _texts(db.execute(query).mappings()))


def _take(db: Connection, parcels: Sequence[Parcel], *, judge: Judge) -> list[HandsetText]:
    known = _texts_of_messages(db, [parcel.message_sid for parcel in parcels])
    strangers = [p.recipient for p in parcels if p.message_sid not in known]
    phones = _handsets(db, strangers)
    texts, new, changed = [], [], []
    for parcel in parcels:
        before = known.get(parcel.message_sid)
        text = judge(parcel, before or _phone_of(parcel, phones))
        texts.append(text)
        if before is None:
            new.append(text)
            phones[text.handset] = _with_one_more(_phone_of(parcel, phones), parcel.at)
        elif text is not before:
            changed.append(text)
    _put_handsets(db, phones.values())
    _insert_texts(db, new)
    _update_texts(db, changed)
    return texts


def _phone_of(parcel: Parcel, phones: dict[str, Handset]) -> Handset:
    known = phones.get(parcel.recipient)
    return known or Handset(number=parcel.recipient, created_at=parcel.at, updated_at=parcel.at)


def _with_one_more(handset: Handset, at: datetime) -> Handset:
    return replace(handset, texts=handset.texts + 1, updated_at=at)


def _advance(
    db: Connection, texts: Sequence[HandsetText], *, changed: Sequence[HandsetText]
) -> None:
    """Store changes, those that are alike in one statement; a batch has a handful of kinds."""
    alike: defaultdict[
        tuple[datetime | None, Step, int, datetime | None, datetime | None], list[str]
    ]
    alike = defaultdict(list)
    for old, new in zip(texts, changed, strict=True):
        kind = (old.due_at, new.step, new.attempts, new.due_at, new.arrived_at)
        alike[kind].append(new.sid)
    column = handset_texts.c
    for (was_due_at, step, attempts, due_at, arrived_at), sids in alike.items():
        db.execute(
            update(handset_texts)
            .where(column.sid.in_(sids), column.due_at == was_due_at)
            .values(step=step, attempts=attempts, due_at=due_at, arrived_at=arrived_at)
        )


def _forget(db: Connection, number: str, *, behaviour: str) -> bool:
    column = handset_texts.c
    here = column.handset == number
    db.execute(delete(handset_texts).where(here, column.due_at.is_(None)))
    on_its_way = (column.is_outgoing == 0) & (column.step == Step.ON_ITS_WAY)
    db.execute(update(handset_texts).where(here, on_its_way).values(behaviour=behaviour))
    return db.execute(delete(handsets).where(handsets.c.number == number)).rowcount > 0


def _texts_of_messages(db: Connection, message_sids: list[str]) -> dict[str, HandsetText]:
    query = select(handset_texts).where(handset_texts.c.message_ref.in_(message_sids))
    return {row.message_ref: _text(row._mapping) for row in db.execute(query)}


def _handset(db: Connection, number: str) -> Handset | None:
    return _handsets(db, [number]).get(number)


def _handsets(db: Connection, numbers: Iterable[str]) -> dict[str, Handset]:
    query = select(handsets).where(handsets.c.number.in_(list(numbers)))
    return {row.number: Handset(**row._mapping) for row in db.execute(query)}


def _put_handsets(db: Connection, batch: Iterable[Handset]) -> None:
    rows = [{name: getattr(handset, name) for name in HANDSET_FIELDS} for handset in batch]
    if rows:
        db.execute(_PUT_HANDSET, rows)


def _insert_texts(db: Connection, batch: Sequence[HandsetText]) -> None:
    if batch:
        values = [
            {name: getattr(text, name) for name in TEXT_FIELDS}
            | {"is_outgoing": int(text.is_outgoing)}
            for text in batch
        ]
        db.execute(insert(handset_texts), values)


def _update_texts(db: Connection, batch: Sequence[HandsetText]) -> None:
    if batch:
        values = [
            {"b_sid": text.sid} | {"b_" + name: getattr(text, name) for name in CHANGING}
            for text in batch
        ]
        db.execute(_UPDATE_TEXT, values)


def _texts(rows: Iterable[RowMapping]) -> list[HandsetText]:
    return [_text(row) for row in rows]


def _text(row: RowMapping) -> HandsetText:
    values = dict(row)
    values["is_outgoing"] = bool(values["is_outgoing"])
    values["segments"] = tuple(values["segments"])
    values["media"] = tuple(values["media"])
    values["step"] = Step(values["step"])
    return HandsetText(**values)
