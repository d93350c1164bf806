"""Pages of lists: what callers ask for, and the envelopes around what is found."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.api.paging import (
    Asked,
    Listing,
    envelope_2010,
    envelope_v1,
    page_of,
    parse_asked,
)
from trunkline.domain.errors import Refusal
from trunkline.store.paging import Found, Page


@dataclass(frozen=True)
class Thing:
    sid: str


def sid(number: int) -> str:
    return f"SM{number:032x}"


THINGS = [Thing(sid(number)) for number in range(10)]


def listing(found: Found[Thing], asked: Asked) -> Listing:
    return Listing(
        list_key="things",
        rows=[{"sid": thing.sid} for thing in found.items],
        asked=asked,
        found=found,
        path="/2010-04-01/Accounts/AC1/Things.json",
        filters=[("To", "+1"), ("DateSent>", "2026-12-01")],
        base_url="http://localhost:8000",
    )


def test_the_first_page_has_fifty_items() -> None:
    """Nothing said means what Twilio means by it."""
    assert parse_asked([]) == Asked(page=Page(size=50), number=0)
    assert parse_asked([("PageSize", ""), ("Page", ""), ("PageToken", "")]) == parse_asked([])


def test_a_token_says_where_the_page_lies() -> None:
    """PA: behind a SID, PB: in front of it; names count in any case."""
    behind = parse_asked([("PageSize", "2"), ("Page", "3"), ("PageToken", f"PA{sid(1)}")])
    assert behind == Asked(page=Page(size=2, after=sid(1)), number=3)
    before = parse_asked([("pagetoken", f"PB{sid(1)}")])
    assert before == Asked(page=Page(size=50, before=sid(1)), number=0)


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        *(("PageSize", t, 20007) for t in ("0", "-1", "NaN", "1.5", "٣", "9" * 50)),
        *(("Page", t, 20422) for t in ("-1", "first", "1.0", "9" * 50)),
        ("Page", "1", 21481),
        *(("PageToken", t, 21481) for t in ("x", "PA", "PASM1", f"PX{sid(1)}", f"pa{sid(1)}")),
    ],
)
def test_nonsense_is_refused(name: str, text: str, code: int) -> None:
    """A page by number alone is nonsense, too: whoever counts up would never come to an end."""
    with pytest.raises(Refusal) as refusal:
        parse_asked([(name, text)])
    assert refusal.value.code == code


def test_the_envelope_of_2010_has_its_keys_and_one_list() -> None:
    """A key more, and the SDKs do not find the list."""
    asked = Asked(page=Page(size=2, after=sid(8)), number=1)
    envelope = envelope_2010(listing(page_of(THINGS, asked.page, sid=lambda t: t.sid), asked))
    query = "To=%2B1&DateSent%3E=2026-12-01&PageSize=2"
    path = f"/2010-04-01/Accounts/AC1/Things.json?{query}"
    assert envelope == {
        "things": [{"sid": sid(7)}, {"sid": sid(6)}],
        "end": 3,
        "first_page_uri": f"{path}&Page=0",
        "next_page_uri": f"{path}&Page=2&PageToken=PA{sid(6)}",
        "page": 1,
        "page_size": 2,
        "previous_page_uri": f"{path}&Page=0&PageToken=PB{sid(7)}",
        "start": 2,
        "uri": f"{path}&Page=1&PageToken=PA{sid(8)}",
    }


def test_an_empty_page_ends_at_zero() -> None:
    """There is nothing before or behind it."""
    asked = parse_asked([])
    envelope = envelope_2010(listing(Found([], has_next=False, has_previous=False), asked))
    assert (envelope["start"], envelope["end"]) == (0, 0)
    assert envelope["next_page_uri"] is envelope["previous_page_uri"] is None


def test_the_envelope_of_v1_has_absolute_addresses() -> None:
    """All seven keys of meta are there: Java's and C#'s SDKs fail on a missing one."""
    asked = Asked(page=Page(size=2, before=sid(7)), number=0)
    envelope = envelope_v1(listing(page_of(THINGS, asked.page, sid=lambda t: t.sid), asked))
    path = "http://localhost:8000/2010-04-01/Accounts/AC1/Things.json"
    assert set(envelope) == {"things", "meta"}
    assert envelope["meta"]["key"] == "things"
    assert envelope["meta"]["next_page_url"].startswith(path)
    assert envelope["meta"]["previous_page_url"] is None
    assert set(envelope["meta"]) == {
        *("page", "page_size", "first_page_url", "previous_page_url", "next_page_url"),
        *("key", "url"),
    }


def walk(page: Page, count: int, *, back: bool) -> list[str]:
    """Turn pages until there are no more and return what was on them."""
    seen: list[str] = []
    while True:
        found = page_of(THINGS[:count], page, sid=lambda thing: thing.sid)
        sids = [thing.sid for thing in found.items]
        seen = sids + seen if back else seen + sids
        if not (found.has_previous if back else found.has_next):
            return seen
        page = replace(page, before=sids[0]) if back else replace(page, after=sids[-1])


@given(st.integers(1, 12), st.integers(1, 10))
def test_pages_of_a_small_list_hold_everything_once(size: int, count: int) -> None:
    """Forwards and back, newest first, as the lists of the store do."""
    newest = [thing.sid for thing in reversed(THINGS[:count])]
    assert walk(Page(size=size), count, back=False) == newest
    assert walk(Page(size=size, before=sid(0)), count, back=True) == newest[:-1]
