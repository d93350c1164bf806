"""Customers who are bound to several nodes: their long texts, and what is delivered to them."""

import asyncio
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from tests.esme import Esme, part
from tests.harness import Trunkline
from trunkline.domain.carrier import SmppCredential
from trunkline.flows import customers, outbound
from trunkline.flows.customers import Wishes
from trunkline.flows.tenure import DELIVERIES
from trunkline.runtime import uptime
from trunkline.smpp.udh import Concatenation, ReferenceKind
from trunkline.smsc import desk
from trunkline.smsc.assembly import EXPIRY_SECONDS, Assembly, Part
from trunkline.smsc.desk import Desk, Request
from trunkline.smsc.reading import Wish
from trunkline.smsc.server import SmscServer
from trunkline.store.deliveries import count_deliveries
from trunkline.store.tables import inbound_segments

TOTAL = 3


@pytest.fixture
async def acme(trunkline: Trunkline) -> SmppCredential:
    """Yield a customer."""
    added = await customers.add(
        trunkline.app.platform,
        trunkline.account_sid,
        system_id="acme",
        wishes=Wishes(password="secret", addresses=(trunkline.number,)),
    )
    return added.credential


def wish(number: int) -> Wish:
    """Return a segment of a text as it was submitted."""
    text = f"part {number} "
    return Wish(
        source=(1, 1, "14155550100"),
        destination=(1, 1, "15558675310"),
        octets=text.encode(),
        data_coding=0,
        place=Concatenation(ReferenceKind.UDH8, 7, total=TOTAL, number=number),
        when="final",
    )


class Node:
    """The part of a node that puts customers' texts together."""

    def __init__(self, trunkline: Trunkline, credential: SmppCredential) -> None:
        self.assembly = Assembly(trunkline.app.platform)
        self.credential = credential

    async def submit(self, *wishes: Wish) -> list[tuple[Part, ...]]:
        """Take segments, and return the texts that end by them."""
        placing = [self.assembly.place(self.credential, each, now=0.0) for each in wishes]
        parts = await asyncio.gather(*placing)
        found = [self.assembly.add(self.credential, part, now=0.0) for part in parts]
        return [text for texts in found for text in texts]


def kept(db: Connection) -> int:
    """Count the segments of texts that are not messages."""
    number = inbound_segments.c.number
    return db.execute(select(func.count(number)).where(number > 0)).scalar_one()


@pytest.mark.parametrize("places", list(product(range(2), repeat=TOTAL)))
async def test_segments_by_way_of_two_nodes_make_one_text(
    trunkline: Trunkline, acme: SmppCredential, places: tuple[int, ...]
) -> None:
    """Each has the SID that the message will have; whoever gets the last one has all."""
    nodes = [Node(trunkline, acme), Node(trunkline, acme)]
    for turn in range(2):
        ended = [
            text
            for number, place in enumerate(places, 1)
            for text in await nodes[place].submit(wish(number))
        ]
        ((first, *others),) = ended
        assert [part.number for part in (first, *others)] == [1, 2, 3]
        assert {part.sid for part in others} == {first.sid}
        await nodes[places[-1]].assembly.forget(acme, (first, *others))
        assert await trunkline.app.store.read(kept) == 0, turn


async def test_segments_that_come_at_one_moment_make_one_text(
    trunkline: Trunkline, acme: SmppCredential
) -> None:
    """Three nodes take one each, and exactly one finds the text whole."""
    nodes = [Node(trunkline, acme) for _ in range(TOTAL)]
    submitting = [node.submit(wish(n)) for n, node in enumerate(nodes, 1)]
    ended = [text for texts in await asyncio.gather(*submitting) for text in texts]
    assert [len(text) for text in ended] == [TOTAL]
    assert len({part.sid for part in ended[0]}) == 1


async def test_what_is_never_whole_ends_once(trunkline: Trunkline, acme: SmppCredential) -> None:
    """One receipt for each segment, whichever node's time is over first."""
    nodes = [Node(trunkline, acme), Node(trunkline, acme)]
    await nodes[0].submit(wish(1))
    await nodes[1].submit(wish(2))
    for node in nodes:
        await node.assembly.expire(EXPIRY_SECONDS + 1)
    owed = await trunkline.app.store.read(
        lambda db: count_deliveries(db, trunkline.account_sid, "acme")
    )
    assert owed == 2
    assert await trunkline.app.store.read(kept) == 0


async def test_what_another_node_accepted_owes_no_failure(
    trunkline: Trunkline, acme: SmppCredential
) -> None:
    """The node that had the first segment need not be told."""
    nodes = [Node(trunkline, acme), Node(trunkline, acme)]
    await nodes[0].submit(wish(1))
    (text,) = await nodes[1].submit(wish(2), wish(3))
    await nodes[1].assembly.forget(acme, text)
    await nodes[0].assembly.expire(EXPIRY_SECONDS + 1)
    owed = await trunkline.app.store.read(
        lambda db: count_deliveries(db, trunkline.account_sid, "acme")
    )
    assert owed == 0


async def test_a_text_that_two_have_whole_is_one_message(
    trunkline: Trunkline, acme: SmppCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who comes second is told the same, and leaves it at that."""
    platform, reached, gate = trunkline.app.platform, asyncio.Event(), asyncio.Event()
    one, two = Desk(platform), Desk(platform)

    async def late(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(desk, "accept", outbound.accept)
        reached.set()
        await gate.wait()
        await outbound.accept(*args, **kwargs)

    monkeypatch.setattr(desk, "accept", late)
    source = trunkline.number.removeprefix("+")
    numbers = range(1, TOTAL + 1)
    pdus = [part(n, total=TOTAL, body=b"part %d " % n, source_addr=source) for n in numbers]
    asked = [Request(number, pdu) for number, pdu in zip(numbers, pdus, strict=True)]
    answering = asyncio.create_task(one.answer(acme, asked, now=0.0))
    await reached.wait()
    await two.resume(acme, now=0.0)
    gate.set()
    replies = await answering
    assert {reply.command_status for reply in replies} == {0}
    listed = await trunkline.request(
        "GET", f"/2010-04-01/Accounts/{trunkline.account_sid}/Messages.json"
    )
    assert [each["body"] for each in listed.json["messages"]] == ["part 1 part 2 part 3 "]
    assert {reply.pdu.message_id.partition("-")[0] for reply in replies} == {  # type: ignore[attr-defined]
        listed.json["messages"][0]["sid"]
    }
    assert await platform.store.read(kept) == 0


async def test_what_somebody_may_be_accepting_is_left_to_him(
    trunkline: Trunkline, acme: SmppCredential
) -> None:
    """Of a text that was left behind nothing comes any more."""
    node, other = Node(trunkline, acme), Desk(trunkline.app.platform)
    await node.submit(*(wish(n) for n in range(1, TOTAL + 1)))
    await other.resume(acme, now=0.0, seconds=60.0)
    assert await trunkline.app.store.read(kept) == TOTAL
    trunkline.clock.advance(61)
    await other.resume(acme, now=0.0, seconds=60.0)
    assert await trunkline.app.store.read(kept) == 0


@pytest.mark.sqlite
async def test_only_the_node_with_the_lease_delivers(
    trunkline: Trunkline, smsc: SmscServer, acme: SmppCredential
) -> None:
    """Another one to which the customer is bound, too, waits until it has it."""
    tenure = trunkline.app.platform.tenure
    tenure.is_alone = False
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind("acme", "secret")
        await trunkline.app.network.send_from("+15558675310", trunkline.number, body="Hi")
        tenure.gained("network", node_sid="ND1", fence=1, until=uptime() + 60)
        await trunkline.run_for(5)
        assert await trunkline.app.store.read(
            lambda db: count_deliveries(db, trunkline.account_sid, "acme")
        )
        assert esme.delivered.empty()
        assert f"{DELIVERIES}acme" in tenure.wanted
        tenure.gained(f"{DELIVERIES}acme", node_sid="ND1", fence=1, until=uptime() + 60)
        assert (await esme.next_delivery()).short_message == b"Hi"
