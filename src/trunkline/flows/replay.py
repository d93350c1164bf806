"""Webhooks that were given up: found, made again in their order, or thrown away.

Rule: what is replayed comes behind what is due anyway, and in the order of its message; that a
later status was told meanwhile does not keep an earlier one back, for each is owed once at least.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from trunkline.domain.errors import Refusal
from trunkline.domain.ids import position_of
from trunkline.flows.platform import Platform
from trunkline.store.callbacks import AttemptRow, CallbackRow
from trunkline.store.parked import (
    WebhookFilter,
    count_webhooks,
    discard_parked,
    find_parked,
    last_attempts,
    last_tried,
    load_parked,
    newest_by_host,
    next_try,
    page_webhooks,
    trim_attempts,
    unpark,
)
from trunkline.store.retention import lower_mark

__all__ = ["Done", "Host", "Listed", "Queue", "WebhookFilter"]

BATCH_MAX = 200  # In one commit; some 10 ms.
AT_ONCE_MAX = 10_000  # In one request: about a second. Whoever has more to replay asks again.
MESSAGE_WEBHOOKS_MAX = 1000  # Of one message; it has a dozen statuses at most.
HOSTS_MAX = 100  # Listed; those with the most given up come first.


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A webhook, and what came of the last attempt at it."""

    row: CallbackRow
    last: AttemptRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """How the webhooks for one host stand; last is the last attempt at one of them."""

    name: str
    waiting: int
    parked: int
    last: AttemptRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What waits for one host; next_at is None where nothing waits for a later time than now."""

    waiting: int
    next_at: datetime | None
    last: AttemptRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done to how many webhooks, and whether there are more to go on with."""

    count: int
    has_more: bool


async def listed(
    platform: Platform, wanted: WebhookFilter, *, limit: int, before: str | None = None
) -> list[Listed]:
    """Return webhooks, newest first, each with its last attempt."""

    def query(db: Connection) -> list[Listed]:
        rows = page_webhooks(db, wanted, limit=limit, before=before)
        tried = last_attempts(db, rows)
        return [Listed(row=row, last=tried.get(row.sid)) for row in rows]

    return await platform.store.read(query)


async def count(platform: Platform, wanted: WebhookFilter) -> int:
    """Return how many webhooks there are, as far as they are counted."""
    return await platform.store.read(lambda db: count_webhooks(db, wanted))


async def hosts(platform: Platform) -> list[Host]:
    """Return the hosts for which webhooks wait or were given up, the most given up first."""

    def query(db: Connection) -> list[Host]:
        parked = newest_by_host(db, is_parked=True)
        waiting = newest_by_host(db, is_parked=False)
        none = (0, "")
        counts = [
            (-parked.get(name, none)[0], -waiting.get(name, none)[0], name)
            for name in parked | waiting
        ]
        return [
            Host(
                name=name,
                waiting=-waits,
                parked=-given_up,
                last=_last_at(db, name, parked=parked.get(name, none)[1]),
            )
            for given_up, waits, name in sorted(counts)[:HOSTS_MAX]
        ]

    return await platform.store.read(query)


async def queue(platform: Platform, host: str) -> Queue:
    """Return what waits for a host."""
    wanted, now = WebhookFilter(is_parked=False, host=host), platform.clock.now()

    def query(db: Connection) -> Queue:
        return Queue(
            waiting=count_webhooks(db, wanted),
            next_at=next_try(db, host, now=now),
            last=_last_at(db, host),
        )

    return await platform.store.read(query)


async def replay(platform: Platform, sid: str) -> int:
    """Make a parked webhook again with all others of its message that are parked, in order.

    Return how many that are; refuses (20404) one that is not there or not parked.
    """

    def work(db: Connection) -> int:
        row = _required(db, sid)
        wanted = WebhookFilter(account_sid=row.account_sid, message_sid=row.message_sid)
        rows = load_parked(db, wanted, after="", limit=MESSAGE_WEBHOOKS_MAX)
        return _unpark(platform, db, rows)

    done = await platform.store.write(work)
    platform.webhooks.ring()
    return done


async def discard(platform: Platform, sid: str) -> int:
    """Throw one parked webhook away, or refuse (20404)."""

    def work(db: Connection) -> int:
        return discard_parked(db, [_required(db, sid)])

    return await platform.store.write(work)


async def replay_all(platform: Platform, wanted: WebhookFilter) -> Done:
    """Make parked webhooks again, oldest first; AT_ONCE_MAX at once."""
    return await _all(platform, wanted, act=_unpark)


async def discard_all(platform: Platform, wanted: WebhookFilter) -> Done:
    """Throw parked webhooks away; AT_ONCE_MAX at once."""
    return await _all(platform, wanted, act=lambda platform, db, rows: discard_parked(db, rows))


Act = Callable[[Platform, Connection, Sequence[CallbackRow]], int]


async def _all(platform: Platform, wanted: WebhookFilter, *, act: Act) -> Done:
    chosen = replace(wanted, is_parked=True)
    step = partial(_batch, platform, wanted=chosen, act=act)
    total, after, has_more = 0, "", True
    while has_more and total < AT_ONCE_MAX:
        found, done = await platform.store.write(partial(step, after=after))
        total += done
        has_more = len(found) == BATCH_MAX
        after = found[-1].sid if found else after
    platform.webhooks.ring()
    return Done(count=total, has_more=has_more)


def _batch(
    platform: Platform, db: Connection, *, wanted: WebhookFilter, after: str, act: Act
) -> tuple[list[CallbackRow], int]:
    found = load_parked(db, wanted, after=after, limit=BATCH_MAX)
    return found, act(platform, db, found)


def _unpark(platform: Platform, db: Connection, rows: Sequence[CallbackRow]) -> int:
    # Not at once, but from now on: what is due at once is made first.
    done = unpark(db, rows, due_at=platform.clock.now())
    oldest: dict[str, str] = {}
    for row in rows:
        trim_attempts(db, row)
        position = position_of(row.message_sid)
        oldest[row.account_sid] = min(position, oldest.get(row.account_sid, position))
    for account_sid, position in oldest.items():
        # The new attempts are as old as their message, where retention has been already.
        lower_mark(db, account_sid, "attempts", position=position)
    return done


def _last_at(db: Connection, host: str, *, parked: str = "") -> AttemptRow | None:
    """Return the later of the last attempts at what waits for a host and at one that is parked."""
    found = (find_parked(db, parked) if parked else None, last_tried(db, host))
    rows = [row for row in found if row is not None]
    return max(last_attempts(db, rows).values(), key=lambda attempt: attempt.at, default=None)


def _required(db: Connection, sid: str) -> CallbackRow:
    row = find_parked(db, sid)
    if row is None:
        raise Refusal(20404, path=f"/trunkline/v1/webhooks/{sid}")
    return row
