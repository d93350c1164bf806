"""The journal of segments: in order, once each, per source, and still there after a restart."""

from pathlib import Path

import pytest

from tests.harness import NOON
from trunkline.app import open_store
from trunkline.carriers.port import SegmentJournal
from trunkline.runtime import Chance, ManualClock
from trunkline.store.segments import StoredSegments


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
