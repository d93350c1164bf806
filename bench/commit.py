"""The store alone: how fast works come to the disk, one message each and in lists."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import uvloop
from sqlalchemy import Connection

from bench.figures import Row, quantile, quantiles
from bench.site import recipient
from bench.stage import Stage
from trunkline.domain.ids import AT_ONCE
from trunkline.domain.message import VALIDITY_SECONDS_MAX, Direction, Message, Status
from trunkline.runtime import Chance
from trunkline.store.messages import insert_messages
from trunkline.store.opening import open_store
from trunkline.store.outbox import OutboxRow, insert_outbox
from trunkline.store.store import Database

ACCOUNT_SID = "AC" + "0" * 32
SENDER = "+14155550100"
LANE = "bench/0"
# How many wait at once with one message each, and how many messages a list has for one caller.
CALLERS = (1, 16, 64, 256)
LISTS = (10, 100, 500)


@dataclass(slots=True)
class Commits:
    """A meter that keeps what the store says of its commits."""

    works: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Leave it: stores count nothing that is asked for here."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Note one commit."""
        if name == "commit_works":
            self.works.append(value)
        elif name == "commit_seconds":
            self.seconds.append(value)


def measure(stage: Stage) -> dict[str, object]:
    """Measure each database, with a few callers and with many, and with lists."""
    return {name: _measure(stage, name) for name in stage.trunklines()}


def _measure(stage: Stage, name: str) -> dict[str, Row]:
    site = stage.new_site(name)
    site.directory.mkdir()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_try_all(open_store(site.directory, site.database or None), stage))


async def _try_all(store: Database, stage: Stage) -> dict[str, Row]:
    chance = Chance()
    found = {}
    for callers in CALLERS:
        # Alone each one waits for its own flush, so fewer are enough.
        works = stage.sizes.works if callers > 1 else stage.sizes.works // 10
        found[f"one by one, {callers} callers"] = await _try(
            store, chance, works=works, callers=callers, size=1
        )
    for size in LISTS:
        works = max(1, stage.sizes.works // size)
        found[f"lists of {size}, 1 caller"] = await _try(
            store, chance, works=works, callers=1, size=size
        )
    await store.close()
    return found


async def _try(store: Database, chance: Chance, *, works: int, callers: int, size: int) -> Row:
    now = datetime.now(UTC)
    todo = iter([[_message(chance, now) for _ in range(size)] for _ in range(works)])
    commits = store.meter = Commits()
    taken: list[float] = []

    async def call() -> None:
        for batch in todo:
            before = time.perf_counter()
            await store.write(partial(_accept, batch=batch))
            taken.append(time.perf_counter() - before)

    began, cpu_before = time.perf_counter(), time.process_time()
    await asyncio.gather(*(call() for _ in range(callers)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_before
    return {
        "messages_per_second": round(works * size / seconds),
        "cpu_us_per_message": round(cpu / (works * size) * 1_000_000, 1),
        **quantiles("work_ms", taken),
        **quantiles("commit_ms", commits.seconds),
        "works_per_commit_p50": quantile(commits.works, 0.5),
        "works_per_commit_max": max(commits.works, default=0.0),
    }


def _accept(db: Connection, *, batch: Sequence[Message]) -> None:
    """Store messages as accepting does: each with its row for the lane."""
    insert_messages(db, batch)
    insert_outbox(db, [_outbox_row(message) for message in batch])


def _message(chance: Chance, now: datetime) -> Message:
    sid = chance.sid("SM", now)
    return Message(
        account_sid=ACCOUNT_SID,
        sid=sid,
        direction=Direction.OUTBOUND_API,
        status=Status.QUEUED,
        sender=SENDER,
        recipient=recipient(int(sid[-4:], 16)),
        body="Your code is 0000000. It is good for the next fifty minutes.",
        encoding="GSM-7",
        num_segments=1,
        carrier="bench",
        created_at=now,
        updated_at=now,
    )


def _outbox_row(message: Message) -> OutboxRow:
    return OutboxRow(
        lane=LANE,
        message_sid=message.sid,
        account_sid=message.account_sid,
        flow="300000000",
        sender=SENDER,
        recipient=message.recipient,
        segments=1,
        due_at=AT_ONCE,
        expires_at=message.created_at + timedelta(seconds=VALIDITY_SECONDS_MAX),
    )
