"""What a fact makes of its message is stored once, whoever else saw the same fact at that moment.

What a node remembers of a message may be out of date. Here it is made so: another has taken the
same step since, at the same microsecond, as the clocks of both were behind the message's time.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.harness import NOON, Trunkline
from trunkline.domain.message import Fact, Message, Status
from trunkline.flows.statuses import Changes, Observation, advance
from trunkline.store.messages import find_message
from trunkline.store.tables import callbacks, usage

BEHIND = NOON - timedelta(seconds=1)


@pytest.fixture
async def trunkline(tmp_path: Path) -> AsyncIterator[Trunkline]:
    """Yield a program whose workers do nothing."""
    program = Trunkline(tmp_path)
    yield program
    await program.close()


async def queued(trunkline: Trunkline) -> Message:
    """Accept a message and return it."""
    sid = (await trunkline.send(StatusCallback="http://app.example/status")).json["sid"]
    found = await trunkline.app.store.read(lambda db: find_message(db, trunkline.account_sid, sid))
    assert found is not None
    return found


async def told(trunkline: Trunkline, fact: Fact, *messages: Message) -> Changes:
    """Store what a fact makes of messages, as they are remembered."""
    platform = trunkline.app.platform
    platform.recent.keep(messages)
    facts = [
        Observation(account_sid=m.account_sid, message_sid=m.sid, fact=fact, at=BEHIND)
        for m in messages
    ]
    return await platform.store.write(lambda db: advance(platform, db, facts))


async def counted(trunkline: Trunkline) -> tuple[int, int]:
    """Return how many messages were counted as sent, and how many webhooks are due."""

    def query(db):
        used = db.execute(select(func.sum(usage.c.count))).scalar() or 0
        return int(used), db.execute(select(func.count()).select_from(callbacks)).scalar_one()

    return await trunkline.app.store.read(query)


async def test_the_same_step_twice_is_one(trunkline: Trunkline) -> None:
    """The second time it changes nothing: no use is counted, and no webhook is due."""
    (sending,) = (await told(trunkline, Fact.SUBMITTED, await queued(trunkline))).messages
    (sent,) = (await told(trunkline, Fact.CARRIER_ACCEPTED, sending)).messages
    assert sent.status is Status.SENT
    assert await counted(trunkline) == (1, 1)
    assert (await told(trunkline, Fact.CARRIER_ACCEPTED, sending)).messages == []
    assert await counted(trunkline) == (1, 1)


async def test_a_step_of_ours_beside_the_same_as_anothers(trunkline: Trunkline) -> None:
    """Nobody can tell which of the two was ours; so they are judged again, on what is there."""
    drafts = [await queued(trunkline) for _ in range(2)]
    first, second = (await told(trunkline, Fact.SUBMITTED, *drafts)).messages
    await told(trunkline, Fact.CARRIER_ACCEPTED, first)
    with pytest.raises(RuntimeError):
        await told(trunkline, Fact.CARRIER_ACCEPTED, first, second)
    assert await counted(trunkline) == (1, 1)
    platform = trunkline.app.platform
    assert platform.recent.messages([first.sid, second.sid]) == {}
    facts = [
        Observation(
            account_sid=m.account_sid, message_sid=m.sid, fact=Fact.CARRIER_ACCEPTED, at=BEHIND
        )
        for m in (first, second)
    ]
    changes = await platform.store.write(lambda db: advance(platform, db, facts))
    assert [message.sid for message in changes.messages] == [second.sid]
    assert await counted(trunkline) == (2, 2)
