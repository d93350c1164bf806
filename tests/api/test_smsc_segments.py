"""Segments of long texts: their journal, and those that customers submit more often than once."""

from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from tests.esme import Esme, part
from tests.harness import NOON, Trunkline
from trunkline.app import open_store
from trunkline.carriers.port import SegmentJournal
from trunkline.domain.carrier import SmppCredential
from trunkline.flows import customers
from trunkline.flows.customers import Wishes
from trunkline.runtime import Chance, ManualClock
from trunkline.smpp.pdu import SubmitSmResp
from trunkline.smpp.receipt import parse_receipt
from trunkline.smsc.assembly import EXPIRY_SECONDS, REMEMBERED_SECONDS
from trunkline.smsc.desk import Desk, Request
from trunkline.smsc.server import SmscServer
from trunkline.store import segments
from trunkline.store.deliveries import count_deliveries
from trunkline.store.segments import StoredSegments

ALPHA = {1: b"Alpha one. ", 2: b"Alpha two."}
BETA = {1: b"Beta one. ", 2: b"Beta two."}


async def test_segments_outlive_their_process(tmp_path: Path) -> None:
    """What was kept is loaded in the order in which it came, by whoever starts next."""
    store = open_store(tmp_path)
    journal: SegmentJournal = StoredSegments(store, chance=Chance(1), clock=ManualClock(NOON))
    await journal.keep("a", "text", number=2, doc=b"two")
    await journal.keep("a", "other", number=1, doc=b"\x00\xff")
    await journal.keep("a", "text", number=1, doc=b"one")
    await journal.keep("a", "text", number=2, doc=b"two")
    await journal.keep("b", "text", number=1, doc=b"elsewhere")
    await store.close()

    store = open_store(tmp_path)
    again = StoredSegments(store, chance=Chance(2), clock=ManualClock(NOON))
    kept = [("text", b"two"), ("other", b"\x00\xff"), ("text", b"one")]
    assert await again.load("a") == kept
    await again.forget("a", "text")
    await again.forget("a", "unknown")
    assert await again.load("a") == [("other", b"\x00\xff")]
    assert await again.load("b") == [("text", b"elsewhere")]
    await store.close()


async def test_what_is_remembered_is_no_segment_and_goes_by_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of whole texts are nothing that a start, or an expiry, would have to read."""
    monkeypatch.setattr(segments, "FORGOTTEN_AT_ONCE", 2)
    store, clock = open_store(tmp_path), ManualClock(NOON)
    journal: SegmentJournal = StoredSegments(store, chance=Chance(1), clock=clock)
    for number in range(5):
        await journal.keep("a", f"{number:064}", number=0, doc=b"old")
    await journal.keep("b", "0" * 64, number=0, doc=b"elsewhere")
    clock.advance(10)
    await journal.keep("a", "0" * 63 + "9", number=0, doc=b"new")
    await journal.keep("a", "0" * 63 + "a", number=1, doc=b"one")
    assert [doc for _, doc in await journal.load("a")] == [b"one"]
    await journal.forget_remembered("a", NOON + timedelta(seconds=5))
    kept = [await journal.join(source, "0" * 32, choose=lambda rows: None) for source in "ab"]
    assert [[doc for _, doc in rows] for rows in kept] == [[b"new", b"one"], [b"elsewhere"]]
    await store.close()


async def test_a_newer_segment_takes_the_place_of_an_older(tmp_path: Path) -> None:
    """A number that is used again for another segment means the newer one."""
    store = open_store(tmp_path)
    journal = StoredSegments(store, chance=Chance(1), clock=ManualClock(NOON))
    await journal.keep("a", "text", number=1, doc=b"old")
    await journal.keep("a", "text", number=2, doc=b"second")
    await journal.keep("a", "text", number=1, doc=b"new")
    assert await journal.load("a") == [("text", b"second"), ("text", b"new")]
    with pytest.raises(AssertionError):
        await journal.keep("a", "x" * 65, number=1, doc=b"")
    await store.close()


async def bodies(trunkline: Trunkline) -> list[str]:
    """Return the bodies of all messages in their order."""
    path = f"/2010-04-01/Accounts/{trunkline.account_sid}/Messages.json"
    listed = (await trunkline.request("GET", path)).json["messages"]
    return [each["body"] for each in sorted(listed, key=lambda each: str(each["sid"]))]


@pytest.fixture
async def acme(trunkline: Trunkline) -> SmppCredential:
    """Yield a customer."""
    wishes = Wishes(password="secret", addresses=(trunkline.number,))
    platform, account_sid = trunkline.app.platform, trunkline.account_sid
    return (await customers.add(platform, account_sid, system_id="acme", wishes=wishes)).credential


async def submitted(
    desk: Desk, acme: SmppCredential, number: int, texts: dict[int, bytes], *, total: int = 2
) -> str:
    """Submit a segment and return the id that it is answered with."""
    source = acme.addresses[0].removeprefix("+")
    pdu = part(number, total=total, body=texts[number], source_addr=source)
    (reply,) = await desk.answer(acme, [Request(1, pdu)], now=0.0)
    assert reply.command_status == 0
    assert isinstance(reply.pdu, SubmitSmResp)
    return reply.pdu.message_id


@pytest.mark.parametrize("is_in_one_turn", [False, True])
async def test_a_segment_that_is_submitted_again_joins_no_other_text(
    trunkline: Trunkline, esme: Esme, is_in_one_turn: bool
) -> None:
    """It is answered as before, and the next text with its reference is whole without it."""
    turns = ((1, ALPHA), (2, ALPHA), (2, ALPHA), (1, BETA), (2, BETA))
    pdus = [part(number, body=texts[number]) for number, texts in turns]
    if is_in_one_turn:
        answers = await esme.submit(*pdus)
    else:
        answers = [answer for pdu in pdus for answer in await esme.submit(pdu)]
    assert {status for status, _ in answers} == {0}
    ids = [message_id for _, message_id in answers]
    assert ids[1] == ids[2]
    assert len(set(ids)) == 4
    assert await bodies(trunkline) == ["Alpha one. Alpha two.", "Beta one. Beta two."]


@pytest.mark.parametrize(("repeated", "places"), list(product((1, 2), product(range(2), repeat=3))))
async def test_who_submits_a_segment_again_elsewhere_gets_no_other_text(
    trunkline: Trunkline, acme: SmppCredential, repeated: int, places: tuple[int, ...]
) -> None:
    """On another node, and after a restart."""
    turns = ((1, ALPHA), (2, ALPHA), (repeated, ALPHA), (1, BETA), (2, BETA))
    desks, ids = [Desk(trunkline.app.platform) for _ in range(2)], []
    for (number, texts), place in zip(turns, (0, 0, *places), strict=True):
        ids.append(await submitted(desks[place], acme, number, texts))
        desks[1 - place] = Desk(trunkline.app.platform)
        await desks[1 - place].resume(acme, now=0.0)
    assert await bodies(trunkline) == ["Alpha one. Alpha two.", "Beta one. Beta two."]
    # Where it came in its turn it might have begun a text, and has an id of its own.
    assert (ids[2] == ids[1]) is (repeated == 2)
    assert len({*ids[:2], *ids[3:]}) == 4


@pytest.mark.parametrize("repeated", [1, 2])
async def test_an_echo_never_expires(
    trunkline: Trunkline, acme: SmppCredential, smsc: SmscServer, repeated: int
) -> None:
    """Of what was delivered nobody is told that it was not: the id is known, or told the same."""
    desk = Desk(trunkline.app.platform)
    ids = [await submitted(desk, acme, number, ALPHA) for number in (1, 2, repeated)]
    await trunkline.run_for(5)
    assert (ids[1] == ids[2]) is (repeated == 2)
    await desk.assembly.expire(EXPIRY_SECONDS + 1)
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind("acme", "secret")
        receipts = [parse_receipt(each) for each in await esme.deliveries(len(set(ids)))]
    found = [(facts.message_ids[0], facts.stat) for facts in receipts if facts]
    assert sorted(found) == sorted((message_id, "DELIVRD") for message_id in set(ids))


async def test_a_text_that_is_submitted_twice_is_two_messages(
    trunkline: Trunkline, acme: SmppCredential
) -> None:
    """On purpose: all of it comes again; the ids are others unless it came out of order."""
    desk = Desk(trunkline.app.platform)
    ids = [await submitted(desk, acme, number, ALPHA) for number in (1, 2, 1, 2, 2, 1)]
    assert await bodies(trunkline) == ["Alpha one. Alpha two."] * 3
    assert len(set(ids)) == 5


async def test_what_is_remembered_of_a_text_is_forgotten(
    trunkline: Trunkline, acme: SmppCredential
) -> None:
    """Minutes later a segment like one of it is of a text of its own."""
    desk = Desk(trunkline.app.platform)
    ids = [await submitted(desk, acme, number, ALPHA) for number in (1, 2)]
    trunkline.clock.advance(REMEMBERED_SECONDS + 1)
    await desk.assembly.expire(EXPIRY_SECONDS + 1)
    platform = trunkline.app.platform
    journal = StoredSegments(platform.store, chance=platform.chance, clock=platform.clock)
    assert await journal.load(f"smsc/{acme.sid}") == []
    assert await submitted(desk, acme, 2, ALPHA) not in ids
    await desk.assembly.expire(2 * EXPIRY_SECONDS + 2)
    owed = await platform.store.read(lambda db: count_deliveries(db, trunkline.account_sid, "acme"))
    assert owed == 1


async def test_each_segment_has_an_alphabet_of_its_own(trunkline: Trunkline, esme: Esme) -> None:
    """A character may span two of one alphabet."""
    wave = "\N{WAVING HAND SIGN} 5 €".encode("utf-16-be")
    pieces = [(b"Price: ", 0), (wave[:2], 8), (wave[2:], 8), (b", caf\xe9", 3), (b" - 207b", 0)]
    pdus = [
        part(number, total=len(pieces), body=octets, data_coding=data_coding)
        for number, (octets, data_coding) in enumerate(pieces, 1)
    ]
    assert {status for status, _ in await esme.submit(*pdus)} == {0}
    assert await bodies(trunkline) == ["Price: \N{WAVING HAND SIGN} 5 €, café - 207b"]
