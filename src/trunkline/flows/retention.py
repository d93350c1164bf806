"""Retention: what is old goes, a few rows at a time, oldest first.

Rule 1: a pass is many small steps, each one commit; it begins where its searches find something,
        so it may be stopped and begun anew at any time.
Rule 2: what a clock says that leapt forward is believed only after it has said so for a day.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from trunkline.domain.ids import instant, position_at, position_of, sid_micros
from trunkline.domain.message import FINAL, Status
from trunkline.domain.retention import Periods, ends_at
from trunkline.flows.deliveries import KEPT_FOR
from trunkline.flows.erasure import PARTS, forget_all, forget_media, forget_parts
from trunkline.flows.periods import own_periods, periods_for
from trunkline.flows.platform import Platform
from trunkline.store import idempotency
from trunkline.store.alerts import delete_alerts
from trunkline.store.callbacks import COOKIE_LIFE
from trunkline.store.links import delete_expired_links
from trunkline.store.messages import newest_sids
from trunkline.store.paging import Page
from trunkline.store.records import ACCOUNTS, page_records
from trunkline.store.retention import (
    delete_cookies,
    delete_deliveries,
    delete_handset_texts,
    delete_parked,
    delete_strays,
    marks_of,
    media_before,
    media_of,
    messages_between,
    name_media,
    parked_between,
    put_mark,
    remove_mark,
    used_digests,
)

# Messages in one commit: with what hangs on them a thousand rows, measured at 20 ms.
BATCH_MAX = 100
ROWS_MAX = 1000  # Of which nothing hangs: alerts, keys of requests.
ACCOUNTS_MAX = 100  # Read at once.
FILES_MAX = 500  # Of one shelf, looked up at once.
FILES_EVERY = timedelta(days=1)  # The directory is compared with the database.
# A clock that leaps further than this while nobody looked may be wrong. It is not believed until it
# has gone on from there for HOLD, in which somebody can notice; a machine that was off waits so.
LEAP_MAX = timedelta(days=1)
HOLD = timedelta(days=1)

# Marks of the platform's own: the time when we looked last, and what is known of a leap.
_PLATFORM = ""
_CLOCK, _LEAPT, _LOOKED, _FILES = "clock", "leapt", "looked", "files"

_DELETABLE = FINAL | {Status.SENT}

Steps = AsyncIterator[int]


async def believes(platform: Platform) -> bool:
    """Tell whether the clock may be believed, after a look at it."""
    now = platform.clock.now()
    return await platform.store.write(lambda db: _believes(db, now))


async def tidy(platform: Platform) -> Steps:
    """Do one pass; after each step yield how many things it dealt with."""
    now = platform.clock.now()
    own = {r.account_sid: r.days for r in await platform.store.read(own_periods)}
    periods = {sid: periods_for(platform, days) for sid, days in own.items()}
    async for account_sid in _accounts(platform):
        kept = periods.get(account_sid, platform.rules.retention)
        async for count in _tidy_account(platform, account_sid, kept=kept, now=now):
            yield count
    async for count in _tidy_parked(platform, periods, now=now):
        yield count
    async for count in _tidy_the_rest(platform, now):
        yield count
    async for count in _tidy_files(platform, now):
        yield count


def _believes(db: Connection, now: datetime) -> bool:
    marks = {kind: instant(int(at, 16)) for kind, at in marks_of(db, _PLATFORM).items()}
    newest = (instant(sid_micros(sid)) for sid in newest_sids(db))
    last = marks.get(_CLOCK) or max(newest, default=now)
    since, looked = marks.get(_LEAPT, now), marks.get(_LOOKED, now)
    if not timedelta() <= now - looked <= LEAP_MAX:
        since = now  # It leapt once more.
    if now - last > LEAP_MAX and now - since < HOLD:
        put_mark(db, _PLATFORM, _LEAPT, position=position_at(since))
        put_mark(db, _PLATFORM, _LOOKED, position=position_at(now))
        return False
    put_mark(db, _PLATFORM, _CLOCK, position=position_at(now))
    for kind in (_LEAPT, _LOOKED):
        remove_mark(db, _PLATFORM, kind)
    return True


async def _accounts(platform: Platform) -> AsyncIterator[str]:
    page: Page | None = Page(size=ACCOUNTS_MAX)
    while page is not None:
        found = await platform.store.read(partial(page_records, kind=ACCOUNTS, page=page))
        for account in found.items:
            yield account.sid
        page = Page(size=ACCOUNTS_MAX, after=found.items[-1].sid) if found.has_next else None


async def _tidy_account(
    platform: Platform, account_sid: str, *, kept: Periods, now: datetime
) -> Steps:
    if before := _position(kept.messages, now):
        async for count in _trim_messages(platform, account_sid, before):
            yield count
    for kind in PARTS:
        if before := _position(kept.days(kind), now):
            async for count in _trim(platform, account_sid, kind, before=before):
                yield count
    if before := _position(kept.alerts, now):
        trim = partial(delete_alerts, account_sid=account_sid, before=before, limit=ROWS_MAX)
        while count := await platform.store.write(trim):
            yield count
    if before := _position(kept.media, now):
        find = partial(media_before, account_sid=account_sid, before=before, limit=BATCH_MAX)
        while media := await platform.store.read(find):
            await platform.store.write(partial(forget_media, platform, media=media))
            yield len(media)


async def _trim_messages(platform: Platform, account_sid: str, before: str) -> Steps:
    """Remove messages that have come to their end, with everything that hangs on them."""

    def work(db: Connection, sids: list[str]) -> None:
        forget_media(platform, db, media_of(db, sids))
        forget_all(platform, db, account_sid, sids)

    after = ""
    while rows := await platform.store.read(
        partial(
            messages_between, account_sid=account_sid, after=after, before=before, limit=BATCH_MAX
        )
    ):
        sids = [sid for sid, status in rows if status in _DELETABLE]
        if sids:
            await platform.store.write(partial(work, sids=sids))
        after = position_of(rows[-1][0])
        yield len(rows)


async def _trim(platform: Platform, account_sid: str, kind: str, *, before: str) -> Steps:
    """Remove what hangs on messages from in front of a position, and note how far that came."""

    def work(db: Connection, sids: list[str]) -> None:
        forget_parts(platform, db, account_sid, sids=sids, kind=kind)
        put_mark(db, account_sid, kind, position=position_of(sids[-1]))

    marks = await platform.store.read(partial(marks_of, account_sid=account_sid))
    after = marks.get(kind, "")
    while rows := await platform.store.read(
        partial(
            messages_between, account_sid=account_sid, after=after, before=before, limit=BATCH_MAX
        )
    ):
        await platform.store.write(partial(work, sids=[sid for sid, _ in rows]))
        after = position_of(rows[-1][0])
        yield len(rows)


async def _tidy_parked(platform: Platform, periods: dict[str, Periods], *, now: datetime) -> Steps:
    rest = platform.rules.retention
    ends = {_position(each.parked, now) for each in (rest, *periods.values())} - {""}
    if not ends:
        return
    after, last = "", max(ends)
    while rows := await platform.store.read(
        partial(parked_between, after=after, before=last, limit=BATCH_MAX)
    ):
        old = [
            (sid, account_sid, message_sid)
            for sid, account_sid, message_sid in rows
            if position_of(sid) < _position(periods.get(account_sid, rest).parked, now)
        ]
        if old:
            await platform.store.write(partial(delete_parked, keys=old))
        after = position_of(rows[-1][0])
        yield len(rows)


async def _tidy_the_rest(platform: Platform, now: datetime) -> Steps:
    """Remove what belongs to no account, or has a life of its own."""
    kept, write = platform.rules.retention, platform.store.write
    if before := _position(kept.strays, now):
        while count := await write(partial(delete_strays, before=before, limit=BATCH_MAX)):
            yield count
    if before := _position(kept.phones, now):
        after = ""
        find = partial(delete_handset_texts, before=before, limit=BATCH_MAX)
        while (found := await write(partial(find, after=after)))[0]:
            after = found[1]
            yield found[0]
    owed = position_at(now - KEPT_FOR)
    while count := await write(partial(delete_deliveries, before=owed, limit=BATCH_MAX)):
        yield count
    while count := await write(partial(delete_expired_links, before=now, limit=BATCH_MAX)):
        yield count
    quiet = now - COOKIE_LIFE
    while count := await write(partial(delete_cookies, before=quiet, limit=BATCH_MAX)):
        yield count
    used = now - idempotency.KEPT_FOR
    while count := await write(partial(idempotency.delete_keys, before=used, limit=ROWS_MAX)):
        yield count


async def _tidy_files(platform: Platform, now: datetime) -> Steps:
    """Remove bytes that no medium names: what a crash left between the file and its commit."""
    store, files = platform.store, platform.media_files
    mark = (await store.read(partial(marks_of, account_sid=_PLATFORM))).get(_FILES)
    if mark is not None and timedelta() <= now - instant(int(mark, 16)) < FILES_EVERY:
        return
    while count := await store.write(partial(name_media, limit=BATCH_MAX)):
        yield count
    yield await asyncio.to_thread(files.discard_leftovers)
    number = 0
    while (found := await asyncio.to_thread(files.next_shelf, number)) is not None:
        digests, number = await asyncio.to_thread(files.shelf, found), found + 1
        for start in range(0, len(digests), FILES_MAX):
            some = digests[start : start + FILES_MAX]
            used = await store.read(partial(used_digests, digests=some))
            gone = await asyncio.to_thread(files.discard, [d for d in some if d not in used])
            yield len(gone)
    await store.write(
        partial(put_mark, account_sid=_PLATFORM, kind=_FILES, position=position_at(now))
    )


def _position(days: int, now: datetime) -> str:
    """Return the position in front of which things are too old; "" when they are kept for ever."""
    end = ends_at(days, now)
    return "" if end is None else position_at(end)
