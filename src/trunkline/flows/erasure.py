"""Erasing for good: what is erased is erased once more, when whatever was under way has ended.

Rule 1: a text goes in the commit that answers for it, wherever it was copied to.
Rule 2: what was under way then (a webhook, a receipt) may bring a piece of it back; so the same is
        done again later, and only then the database's own log is begun anew and the matter closed.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from trunkline.domain.account import Media
from trunkline.domain.ids import instant, sid_micros
from trunkline.flows.platform import Platform
from trunkline.store.erasure import (
    ATTEMPTS,
    BYTES,
    MESSAGE,
    TEXT,
    TRACE,
    Erasure,
    awaited,
    delete_attempts,
    delete_messages,
    delete_traces,
    due_erasures,
    end_erasures,
    erase_texts,
    note_erasures,
    postpone_erasures,
    unfinished,
)
from trunkline.store.links import delete_links
from trunkline.store.media import IDLE_SECONDS
from trunkline.store.retention import delete_media, media_of, used_digests
from trunkline.store.rows import by_account

# A webhook takes 15 s at most, and what came of it is committed in the next second.
AGAIN_SECONDS = 60.0
# While somebody is still to be told of a deleted message, each try leaves its trace anew.
STILL_AWAITED_SECONDS = 3600.0
# Bytes that were just put there may be named by a medium that is not committed yet.
BYTES_SECONDS = IDLE_SECONDS
# Of an older message nothing is heard any more: 35 days ahead it may be scheduled, and carriers'
# receipts come within days.
HEARD_OF_FOR = timedelta(days=45)
ERASURES_MAX = 200  # In one commit; some 20 ms.

# What hangs on a message, and how it is removed.
PARTS = {TRACE: delete_traces, ATTEMPTS: delete_attempts}
_WAITS = {BYTES: BYTES_SECONDS, TEXT: AGAIN_SECONDS, MESSAGE: STILL_AWAITED_SECONDS}


def erase(platform: Platform, db: Connection, account_sid: str, *, sid: str) -> None:
    """Empty the text of a message and every copy of it, now and once more later."""
    erase_texts(db, account_sid, [sid])
    _again(platform, db, account_sid, [sid], kind=TEXT)


def forget(platform: Platform, db: Connection, account_sid: str, *, sid: str) -> None:
    """Remove a message with its trace, now and once more later; its media stay."""
    delete_messages(db, account_sid, [sid])
    _again(platform, db, account_sid, [sid], kind=MESSAGE)


def forget_all(platform: Platform, db: Connection, account_sid: str, sids: Sequence[str]) -> None:
    """Remove messages that grew old; once more later only where somebody is to be told of them."""
    still = awaited(db, account_sid, sids)
    delete_messages(db, account_sid, sids)
    _again(platform, db, account_sid, sorted(still), kind=MESSAGE)


def forget_parts(
    platform: Platform, db: Connection, account_sid: str, *, sids: Sequence[str], kind: str
) -> None:
    """Remove a part of messages that stay; once more later where more of it may come."""
    PARTS[kind](db, account_sid, sids)
    now = platform.clock.now()
    found = [
        Erasure(target=sid, kind=kind, account_sid=account_sid, due_at=_when_twice_as_old(sid, now))
        for sid in sorted(unfinished(db, account_sid, sids))
        if now - instant(sid_micros(sid)) < HEARD_OF_FOR
    ]
    note_erasures(db, found)


def forget_media(platform: Platform, db: Connection, media: Sequence[Media]) -> None:
    """Remove media; their bytes go a little later, unless another medium needs them."""
    delete_media(db, media)
    _forget_links(db, media)
    due_at = platform.clock.now() + timedelta(seconds=BYTES_SECONDS)
    note_erasures(
        db,
        [
            Erasure(target=digest, kind=BYTES, account_sid=account_sid, due_at=due_at)
            for digest, account_sid in {m.digest: m.account_sid for m in media}.items()
        ],
    )


def _forget_links(db: Connection, media: Sequence[Media]) -> None:
    """Remove the short addresses of messages whose media are all gone."""
    keys = {(medium.account_sid, medium.message_sid) for medium in media}
    left = {medium.message_sid for medium in media_of(db, [sid for _, sid in sorted(keys)])}
    for account_sid, sids in by_account(sorted(keys)).items():
        delete_links(db, account_sid, [sid for sid in sids if sid not in left])


async def erase_again(platform: Platform) -> int:
    """Erase what is due to be erased once more; return how much that was."""
    now = platform.clock.now()
    due = await platform.store.read(lambda db: due_erasures(db, now, limit=ERASURES_MAX))
    if not due:
        return 0
    parts = [each for each in due if each.kind in PARTS]
    messages = [each for each in due if each.kind in (TEXT, MESSAGE)]
    still = await platform.store.write(lambda db: _erase(platform, db, messages, parts=parts))
    done = await _discard(platform, [each.target for each in due if each.kind == BYTES])
    if messages and await platform.store.scrub():
        done |= {each.target for each in messages} - still
    rest = [each for each in due if each.kind not in PARTS]
    await platform.store.write(lambda db: _close(platform, db, rest, done=done))
    return len(due)


def _when_twice_as_old(sid: str, now: datetime) -> datetime:
    return now + (now - instant(sid_micros(sid)))


def _again(
    platform: Platform, db: Connection, account_sid: str, sids: Iterable[str], *, kind: str
) -> None:
    due_at = platform.clock.now() + timedelta(seconds=AGAIN_SECONDS)
    note_erasures(
        db,
        [Erasure(target=sid, kind=kind, account_sid=account_sid, due_at=due_at) for sid in sids],
    )


def _erase(
    platform: Platform, db: Connection, rows: Sequence[Erasure], *, parts: Sequence[Erasure]
) -> set[str]:
    """Erase texts and messages once more, and parts; return which messages are awaited still."""
    end_erasures(db, parts)  # Those of which more may come are noted anew.
    for account_sid, kind in sorted({(part.account_sid, part.kind) for part in parts}):
        sids = [p.target for p in parts if (p.account_sid, p.kind) == (account_sid, kind)]
        forget_parts(platform, db, account_sid, sids=sids, kind=kind)
    still: set[str] = set()
    for account_sid in sorted({row.account_sid for row in rows}):
        own = [row for row in rows if row.account_sid == account_sid]
        erase_texts(db, account_sid, [row.target for row in own if row.kind == TEXT])
        removed = [row.target for row in own if row.kind == MESSAGE]
        still |= awaited(db, account_sid, removed)
        delete_messages(db, account_sid, removed)
    return still


async def _discard(platform: Platform, digests: Sequence[str]) -> set[str]:
    """Remove bytes by their digests; return those that are gone, or needed by others."""
    if not digests:
        return set()
    used = await platform.store.read(lambda db: used_digests(db, digests))
    unused = [digest for digest in digests if digest not in used]
    return used | await asyncio.to_thread(platform.media_files.discard, unused)


def _close(platform: Platform, db: Connection, due: Sequence[Erasure], *, done: set[str]) -> None:
    """Forget what is done, and put off the rest."""
    now = platform.clock.now()
    end_erasures(db, [row for row in due if row.target in done])
    waits = {row.target: _WAITS[row.kind] for row in due if row.target not in done}
    left = [row for row in due if row.target in waits]
    postpone_erasures(db, [(row, now + timedelta(seconds=waits[row.target])) for row in left])
