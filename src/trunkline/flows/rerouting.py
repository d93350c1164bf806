"""Messages that wait are put where somebody sends them, or where they belong.

Rule: what may be with a carrier waits for it; only what it cannot have goes to another one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace
from sqlalchemy import Connection

from trunkline.domain.carrier import InDoubtRule
from trunkline.domain.message import VIA, Fact, Message
from trunkline.flows.lanes import ask_of, outbox_row, routed
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import (
    Changes,
    Observation,
    advance,
    announce_changes,
    event,
    observation,
)
from trunkline.runtime import BATCH_MAX
from trunkline.store.messages import Event, insert_events, messages_by_sid, reroute_messages
from trunkline.store.outbox import (
    Doubt,
    Misplaced,
    OutboxRow,
    delete_outbox,
    find_outbox,
    lanes_in_use,
    move_outbox,
    refs_of,
    rename_lane,
    senders_of,
)

EXPIRED = 30036
UNKNOWN = 30008
# Flows that change their lane side by side, in one commit: with a batch of each about 0.2 s.
FLOWS_MAX = 10


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of rows that nobody sends; those that just wait on are not in it."""

    facts: list[Observation] = field(default_factory=list)
    gone: list[OutboxRow] = field(default_factory=list)
    moves: list[tuple[OutboxRow, OutboxRow]] = field(default_factory=list)
    targets: list[Message] = field(default_factory=list)


async def redirect(platform: Platform, rows: Sequence[OutboxRow], *, reason: str) -> int:
    """Let rows that did not leave take other routes, where there are any; return how many could.

    Those whose time ran out fail (30036).
    """
    now = platform.clock.now()
    # Mostly there is no other route, and then nobody need wait for the writer.
    plan = await platform.store.read(lambda db: _plan(platform, db, rows, now=now))
    if not plan.gone and not plan.moves:
        return 0

    def work(db: Connection) -> tuple[_Plan, Changes]:
        return _redirect(platform, db, rows, now=now, reason=reason)

    plan, changed = await platform.store.write(work)
    announce_changes(platform, changed)
    platform.recent.forget(message.sid for message in plan.targets)
    for lane in {after.lane for _, after in plan.moves}:
        platform.switchboard.ring(lane)
    return len(plan.moves) + len(plan.gone)


async def rehome(platform: Platform, carrier: str) -> None:
    """Put what waits for a carrier into the lanes of its senders, before any lane is at work.

    With another number of lanes a sender has another one; its texts must not overtake each other.
    Of several nodes each does so for its own lanes; those of nobody are the sweeper's.
    """
    switchboard = platform.switchboard

    def find(db: Connection) -> list[Misplaced]:
        lanes = [lane for lane in lanes_in_use(db) if lane.rpartition("/")[0] == carrier]
        lanes = [lane for lane in lanes if switchboard.lease(lane) is not None]
        found = [
            Misplaced(lane, flow, sender, platform.switchboard.lane(carrier, sender))
            for lane in lanes
            for flow, sender in senders_of(db, lane)
        ]
        return [each for each in found if each.lane != each.target]

    # The writer is asked, so that what is just being accepted is there.
    misplaced = await platform.store.write(find)
    for start in range(0, len(misplaced), FLOWS_MAX):
        some = misplaced[start : start + FLOWS_MAX]
        await asyncio.gather(*(_move(platform, rows) for rows in some))


async def _move(platform: Platform, rows: Misplaced) -> None:
    """Move rows, a part at a time, so that others get to write."""

    lease = platform.switchboard.lease(rows.lane)

    def work(db: Connection) -> int:
        if lease is None:
            return 0
        lease.hold(db)
        return rename_lane(db, rows, limit=BATCH_MAX)

    while await platform.store.write(work) == BATCH_MAX:
        pass


def moved_event(platform: Platform, row: OutboxRow, moved: OutboxRow, *, reason: str = "") -> Event:
    """Return what the trace says of a message that takes another route."""
    detail: dict[str, object] = {"from": row.lane, "to": moved.lane}
    return event(platform, row, "rerouted", detail=detail | ({"reason": reason} if reason else {}))


def _redirect(
    platform: Platform,
    db: Connection,
    rows: Sequence[OutboxRow],
    *,
    now: datetime,
    reason: str,
) -> tuple[_Plan, Changes]:
    plan = _plan(platform, db, rows, now=now, to_change=True)
    changed = advance(platform, db, plan.facts)
    delete_outbox(db, plan.gone)
    move_outbox(db, plan.moves)
    reroute_messages(db, plan.targets)
    insert_events(db, [moved_event(platform, a, b, reason=reason) for a, b in plan.moves])
    return plan, changed


def _plan(
    platform: Platform,
    db: Connection,
    rows: Sequence[OutboxRow],
    *,
    now: datetime,
    to_change: bool = False,
) -> _Plan:
    """Say what becomes of rows, as they are now."""
    there = find_outbox(db, [(r.account_sid, r.message_sid) for r in rows], to_change=to_change)
    # What is under way in a lane at work is that lane's: its answer may come any moment.
    own = [
        row
        for row in there.values()
        if row.in_doubt is not Doubt.UNDER_WAY or not platform.switchboard.is_owned(row.lane)
    ]
    messages = messages_by_sid(db, {(row.account_sid, row.message_sid) for row in own})
    taken = refs_of(db, [(r.account_sid, r.message_sid) for r in own if r.attempts or r.in_doubt])
    plan = _Plan()
    for row in own:
        message = messages.get(row.message_sid)
        fact = _hopeless(platform, row, now)
        if fact or message is None:
            plan.gone.append(row)
            plan.facts.extend([fact] if fact else [])
        elif row.message_sid not in taken and (way := _new_way(platform, row, message, now=now)):
            plan.targets.append(way[0])
            plan.moves.append((row, way[1]))
    return plan


def _hopeless(platform: Platform, row: OutboxRow, now: datetime) -> Observation | None:
    """Return why a row that nobody sends need not wait any longer."""
    if row.expires_at <= now:
        return observation(row, Fact.EXPIRED, at=now, error_code=EXPIRED)
    carrier = row.lane.rpartition("/")[0]
    is_failing = platform.switchboard.policy(carrier).in_doubt is InDoubtRule.FAIL
    if row.in_doubt and is_failing and not platform.switchboard.is_usable(carrier):
        return observation(row, Fact.UNSENDABLE, at=now, error_code=UNKNOWN)
    return None


def _new_way(
    platform: Platform, row: OutboxRow, message: Message, *, now: datetime
) -> tuple[Message, OutboxRow] | None:
    """Return a message with the lane it should wait in, if that is another and is better."""
    switchboard = platform.switchboard
    carrier = row.lane.rpartition("/")[0]
    down = switchboard.down(now)
    if switchboard.is_usable(carrier) and carrier not in down:
        # Its carrier is fine, only the lane is gone: fewer of them were asked for.
        lane = switchboard.lane(carrier, message.sender)
        return (message, replace(row, lane=lane)) if lane != row.lane else None
    # What may be with a carrier waits for it to come back, unless it never will.
    is_bound = VIA in message.options or (row.in_doubt and switchboard.is_usable(carrier))
    if is_bound:
        return None
    avoid = down | {carrier} | set(row.tried)
    route = switchboard.choose_other(ask_of(message), carrier, avoid=avoid)
    if route is None:
        return None
    target = routed(message, route)
    moved = replace(
        outbox_row(platform, target),
        tried=row.tried,
        in_doubt=row.in_doubt,
        expires_at=row.expires_at,
    )
    return target, moved
