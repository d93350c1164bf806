"""Long inbound texts whose segments come to several nodes: each is told once, whole."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from tests.databases import DATABASES
from trunkline.app import open_store
from trunkline.carriers.smpp.incoming import Reader
from trunkline.carriers.smpp.settings import parse
from trunkline.carriers.smpp.texts import HALF, LongTexts, Ready
from trunkline.runtime import Chance, ManualClock
from trunkline.smpp.concatenation import Segment
from trunkline.smpp.udh import Concatenation, ReferenceKind
from trunkline.store.segments import StoredSegments
from trunkline.store.store import Database
from trunkline.store.tables import inbound_segments

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EXPIRY = 60.0
SETTINGS = {"host": "127.0.0.1", "system_id": "esme"}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a started store."""
    store = open_store(tmp_path, **DATABASES.settings(tmp_path))
    yield store
    await store.close()


def node(store: Database, seed: int = 1) -> LongTexts:
    """Return what one node knows of a carrier's long texts."""
    journal = StoredSegments(store, chance=Chance(seed), clock=ManualClock(NOON))
    reader = Reader(parse(SETTINGS))
    return LongTexts("acme", journal, reader=reader, expiry_seconds=EXPIRY)


def segment(number: int, text: str, *, total: int = 3, reference: int = 7) -> Segment:
    place = Concatenation(ReferenceKind.UDH8, reference, total=total, number=number)
    return Segment("+12025550100", "+14155550123", place, (), 0, text.encode())


SEGMENTS = [segment(1, "one "), segment(2, "two "), segment(3, "three")]


def kept(db: Connection) -> int:
    """Count the segments of texts that are not told."""
    number = inbound_segments.c.number
    return db.execute(select(func.count(number)).where(number > 0)).scalar_one()


async def told(texts: LongTexts, ready: list[Ready]) -> list[str]:
    """Record texts as whoever has them does: tell them, then forget them."""
    await texts.forget(ready)
    return [text.incoming.body for text in ready]


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_whichever_node_gets_the_last_segment_tells_the_text(
    store: Database, order: tuple[int, ...]
) -> None:
    """In every order, by two nodes in turn; afterwards nothing is left anywhere."""
    nodes = [node(store), node(store, 2)]
    for turn, number in enumerate(order):
        at = NOON + timedelta(seconds=turn)
        texts = nodes[turn % 2]
        ready = await texts.add(SEGMENTS[number], at=at)
        assert bool(ready) is (turn == 2)
        if ready:
            assert ready[0].incoming.at == NOON
            assert await told(texts, ready) == ["one two three"]
    assert await store.read(kept) == 0
    for texts in nodes:
        assert await texts.expire(NOON + timedelta(seconds=EXPIRY)) == []


async def test_segments_that_come_at_one_moment_make_one_text(store: Database) -> None:
    """Three nodes take one each, all at once, and exactly one finds the text whole."""
    for attempt in range(5):
        at = NOON + timedelta(minutes=attempt)
        nodes = [node(store, seed) for seed in range(3)]
        adding = [texts.add(s, at=at) for texts, s in zip(nodes, SEGMENTS, strict=True)]
        found = await asyncio.gather(*adding)
        whole = [(texts, ready) for texts, ready in zip(nodes, found, strict=True) if ready]
        assert len(whole) == 1
        assert await told(*whole[0]) == ["one two three"]
        assert await store.read(kept) == 0


async def test_what_is_never_whole_is_told_once_with_all_that_came(store: Database) -> None:
    """The first node whose time is over tells it; the other finds that nothing is left."""
    nodes = [node(store), node(store, 2)]
    await nodes[0].add(SEGMENTS[0], at=NOON)
    await nodes[1].add(SEGMENTS[2], at=NOON + timedelta(seconds=1))
    end = NOON + timedelta(seconds=EXPIRY)
    assert await nodes[1].expire(end - timedelta(seconds=1)) == []
    assert await told(nodes[0], await nodes[0].expire(end)) == ["one three"]
    assert await nodes[1].expire(end) == []
    assert await store.read(kept) == 0


async def test_both_nodes_name_a_text_alike(store: Database) -> None:
    """So that what is told twice is recorded once."""
    nodes = [node(store), node(store, 2)]
    await nodes[0].add(SEGMENTS[0], at=NOON)
    await nodes[1].add(SEGMENTS[2], at=NOON + timedelta(seconds=1))
    end = NOON + timedelta(seconds=EXPIRY)
    refs = {(await texts.expire(end))[0].incoming.ref for texts in nodes}
    assert len(refs) == 1


async def test_a_node_takes_up_what_a_dead_one_had_begun(store: Database) -> None:
    """It knows the deadline, too."""
    await node(store).add(SEGMENTS[0], at=NOON)
    heir = node(store, 2)
    assert await heir.load(NOON) == []
    assert heir.seconds_left(NOON + timedelta(seconds=20)) == EXPIRY - 20
    assert await told(heir, await heir.expire(NOON + timedelta(seconds=EXPIRY))) == ["one "]


@pytest.mark.parametrize("begins", ["a", "c"])
@pytest.mark.parametrize("places", list(product(range(2), repeat=3)))
async def test_a_reference_that_is_used_again_makes_another_text(
    store: Database, places: tuple[int, ...], begins: str
) -> None:
    """Senders with one fixed reference exist; what another node has told is not mixed in."""
    nodes = [node(store), node(store, 2)]
    first = [segment(1, "a", total=2), segment(2, "b", total=2)]
    second = [segment(1, begins, total=2), segment(2, "d", total=2)]
    bodies: list[str] = []
    turns = zip((*first, *second), (0, *places), strict=True)
    for seconds, (each, place) in enumerate(turns):
        ready = await nodes[place].add(each, at=NOON + timedelta(seconds=seconds))
        bodies += await told(nodes[place], ready)
    assert bodies == ["ab", f"{begins}d"]
    assert await store.read(kept) == 0


async def test_a_repeated_segment_changes_nothing_on_any_node(store: Database) -> None:
    """The carrier did not hear our answer and sends it again, by another connection."""
    nodes = [node(store), node(store, 2)]
    await nodes[0].add(SEGMENTS[0], at=NOON)
    for texts in nodes:
        assert await texts.add(SEGMENTS[0], at=NOON + timedelta(seconds=5)) == []
    assert await store.read(kept) == 1
    assert await nodes[1].add(SEGMENTS[1], at=NOON + timedelta(seconds=6)) == []
    ready = await nodes[0].add(SEGMENTS[2], at=NOON + timedelta(seconds=7))
    assert await told(nodes[0], ready) == ["one two three"]


async def test_what_an_older_version_kept_is_found_by_what_follows(store: Database) -> None:
    """Its keys were half as long; the name of the text stays, so that none is told twice."""
    old = node(store)
    await old.add(SEGMENTS[0], at=NOON)
    ((key, doc),) = await StoredSegments(store, chance=Chance(9), clock=ManualClock(NOON)).load(
        "acme"
    )
    journal = StoredSegments(store, chance=Chance(8), clock=ManualClock(NOON))
    await journal.forget("acme", key)
    await journal.keep("acme", key[HALF:], number=1, doc=doc)
    new = node(store, 2)
    assert await new.load(NOON) == []
    await new.add(SEGMENTS[1], at=NOON + timedelta(seconds=1))
    (ready,) = await new.add(SEGMENTS[2], at=NOON + timedelta(seconds=2))
    assert ready.incoming.ref == f"acme:{key[HALF:]}"
    assert await told(new, [ready]) == ["one two three"]
    assert await store.read(kept) == 0


@pytest.mark.parametrize("places", list(product(range(2), repeat=3)))
@pytest.mark.parametrize("repeated", [1, 2])
async def test_a_segment_that_a_told_text_had_joins_no_other(
    store: Database, places: tuple[int, ...], repeated: int
) -> None:
    """The answer to it was lost; after a restart and on another node as well."""
    nodes = [node(store), node(store, 2)]
    alpha = [segment(1, "Alpha one. ", total=2), segment(2, "Alpha two.", total=2)]
    beta = [segment(1, "Beta one. ", total=2), segment(2, "Beta two.", total=2)]
    bodies: list[str] = []
    turns = zip((*alpha, alpha[repeated - 1], *beta), (0, 0, *places), strict=True)
    for seconds, (each, place) in enumerate(turns):
        ready = await nodes[place].add(each, at=NOON + timedelta(seconds=seconds))
        bodies += await told(nodes[place], ready)
        nodes[1 - place] = node(store, 3)
        await nodes[1 - place].load(NOON)
    assert bodies == ["Alpha one. Alpha two.", "Beta one. Beta two."]
    assert await store.read(kept) == 0


async def test_what_is_remembered_of_texts_is_forgotten_in_time(store: Database) -> None:
    """An echo that nothing follows, too; neither is a text of its own."""
    texts = node(store)
    for seconds, each in enumerate((*SEGMENTS, SEGMENTS[2])):
        await told(texts, await texts.add(each, at=NOON + timedelta(seconds=seconds)))
    assert await store.read(kept) == 1
    journal = StoredSegments(store, chance=Chance(9), clock=ManualClock(NOON))
    at = NOON
    for _ in range(4):
        left = texts.seconds_left(at)
        if left is None:
            break
        at += timedelta(seconds=left)
        assert await texts.expire(at) == []
    assert texts.seconds_left(at) is None
    assert await journal.load("acme") == []


async def test_a_text_that_comes_again_is_told_again(store: Database) -> None:
    """Sent twice on purpose, by two nodes, and out of order the second time."""
    nodes = [node(store), node(store, 2)]
    bodies: list[str] = []
    for turn, number in enumerate((0, 1, 2, 2, 0, 1)):
        texts = nodes[turn % 2]
        ready = await texts.add(SEGMENTS[number], at=NOON + timedelta(seconds=turn))
        bodies += await told(texts, ready)
    assert bodies == ["one two three"] * 2


async def test_what_is_remembered_makes_no_unfinished_text_wait_longer(store: Database) -> None:
    """Whoever waits to forget a whole text is awake when one that begins meanwhile is over."""
    texts = node(store)
    await texts.load(NOON)
    for each in SEGMENTS:
        await told(texts, await texts.add(each, at=NOON))
    left = texts.seconds_left(NOON)
    assert left is not None
    assert left <= EXPIRY
    begins = NOON + timedelta(seconds=1)
    await texts.add(segment(1, "alone", reference=8), at=begins)
    assert await texts.expire(NOON + timedelta(seconds=left)) == []
    over = begins + timedelta(seconds=EXPIRY)
    assert await told(texts, await texts.expire(over)) == ["alone"]
    for later in (2, 3, 4):
        await texts.expire(over + timedelta(seconds=later * EXPIRY))
    assert texts.seconds_left(over + timedelta(seconds=5 * EXPIRY)) is None
