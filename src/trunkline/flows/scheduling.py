"""Messages whose time has come go on their way; what may not be sent then fails then.

Rule: whoever takes a message from the schedule moves it on in the same commit. So it goes on its
way once, however many look at the same time, and a message that was canceled meanwhile stays so.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from msgspec.structs import replace
from sqlalchemy import Connection

from trunkline.domain.ids import micros
from trunkline.domain.message import QUEUED_AT, Fact, Message, Status, observe
from trunkline.domain.sending import Draft
from trunkline.domain.service import Pool
from trunkline.flows.outbound import Added, announce_accepted, let_wait, set_out, with_senders
from trunkline.flows.platform import Platform
from trunkline.store.messages import messages_by_sid, reroute_messages, update_messages
from trunkline.store.schedule import (
    Scheduled,
    delete_scheduled,
    load_scheduled,
    next_of_account,
    postpone_scheduled,
)

DUE_MAX = 200  # Messages of one commit, for which others wait: some ten milliseconds of work.
PUT_OFF_SECONDS = 60.0  # For a message that meets a bug; a mended program finds it soon.
NO_SERVICE = 21702
_WAITING = frozenset({Status.SCHEDULED, Status.ACCEPTED})


async def release(platform: Platform) -> int:
    """Let messages whose time has come go on their way; return how many there were."""
    now = platform.clock.now()
    rows = await platform.store.read(lambda db: load_scheduled(db, now, limit=DUE_MAX))
    if not rows:
        return 0
    (trouble,) = await asyncio.gather(_move_on(platform, rows), return_exceptions=True)
    if trouble is not None:
        await _one_by_one(platform, rows)
    return len(rows)


async def _move_on(platform: Platform, rows: Sequence[Scheduled]) -> None:
    pools = await _pools(platform, rows)

    def work(db: Connection) -> Added:
        return _release(platform, db, rows, pools=pools)

    announce_accepted(platform, await platform.store.write(work))


async def _one_by_one(platform: Platform, rows: Sequence[Scheduled]) -> None:
    """Move each message on by itself, and put off the one that meets a bug of ours.

    It must not keep all others waiting, whoever's they are. What it met is raised, for the log.
    """
    bugs: list[Exception] = []
    for row in rows:
        (trouble,) = await asyncio.gather(_move_on(platform, [row]), return_exceptions=True)
        if isinstance(trouble, Exception):
            bugs.append(trouble)
            later = platform.clock.now() + timedelta(seconds=PUT_OFF_SECONDS)
            await platform.store.write(partial(postpone_scheduled, row=row, due_at=later))
    if bugs:
        raise ExceptionGroup(f"{len(bugs)} scheduled messages were put off", bugs)


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A message that waits, and until when."""

    message: Message
    due_at: datetime


async def upcoming(platform: Platform, account_sid: str, *, limit: int) -> list[Upcoming]:
    """Return what of an account is due next, the first first."""

    def query(db: Connection) -> list[Upcoming]:
        rows = next_of_account(db, account_sid, limit=limit)
        known = messages_by_sid(db, [(row.account_sid, row.message_sid) for row in rows])
        return [
            Upcoming(known[row.message_sid], row.due_at) for row in rows if row.message_sid in known
        ]

    return await platform.store.read(query)


async def _pools(platform: Platform, rows: Sequence[Scheduled]) -> Mapping[str, Pool | None]:
    """Return the services of messages with their senders, as they are now."""
    keys = [(row.account_sid, row.message_sid) for row in rows]
    messages = await platform.store.read(lambda db: messages_by_sid(db, keys))
    sids = {m.messaging_service_sid for m in messages.values() if m.messaging_service_sid}
    return {sid: await platform.directory.pool(sid) for sid in sids}


def _release(
    platform: Platform,
    db: Connection,
    rows: Sequence[Scheduled],
    *,
    pools: Mapping[str, Pool | None],
) -> Added:
    keys = [(row.account_sid, row.message_sid) for row in rows]
    # They are locked before they are taken out: so does who cancels one, and so none is in doubt.
    messages = messages_by_sid(db, keys, to_change=True)
    waiting = {sid for sid, m in messages.items() if m.status in _WAITING}
    delete_scheduled(db, keys)
    drafts = [
        _due(platform, messages[row.message_sid], row, pools=pools)
        for row in rows
        if row.message_sid in waiting
    ]
    drafts = list(with_senders(platform, db, drafts))
    changed = [draft.message for draft in drafts]
    let_wait(db, drafts)
    update_messages(db, changed)
    reroute_messages(db, changed)
    return set_out(platform, db, drafts)


def _due(
    platform: Platform, message: Message, row: Scheduled, *, pools: Mapping[str, Pool | None]
) -> Draft:
    """Return a message as it is now that its time has come; one without a service fails."""
    now = platform.clock.now()
    accepted = replace(
        observe(message, Fact.DUE, at=now),
        options={**message.options, QUEUED_AT: str(micros(now))},
    )
    pool = pools.get(message.messaging_service_sid or "")
    if pool is None:
        accepted = observe(accepted, Fact.UNSENDABLE, at=now, error_code=NO_SERVICE)
    return Draft(accepted, row.media_urls, pool)
