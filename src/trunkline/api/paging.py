"""Lists in pages: what a caller may ask for, and the two envelopes Twilio wraps a page in."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from trunkline.api.fields import Pairs
from trunkline.domain.errors import Refusal
from trunkline.domain.ids import SID, is_sid
from trunkline.store.paging import PAGE_SIZE, PAGE_SIZE_MAX, Found, Page

PAGE_NUMBER_DIGITS_MAX = 9  # The number only counts pages for the caller's eye.

_DIGITS = re.compile(rf"[0-9]{{1,{PAGE_NUMBER_DIGITS_MAX}}}")
_NAMES = {"pagesize": "PageSize", "page": "Page", "pagetoken": "PageToken"}
# PA: behind this SID. PB: in front of it.
_FORWARD, _BACK = "PA", "PB"
TOKEN_PATTERN = f"^(({_FORWARD}|{_BACK}){SID.pattern})?$"

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The page a caller asks for; the number is his to count with, the cursor decides."""

    page: Page
    number: int


def parse_asked(pairs: Pairs) -> Asked:
    """Read PageSize, Page and PageToken, or refuse (20007, 20422, 21481).

    A page number without a token is refused: there are no pages by offset, and a caller who
    counts up would be sent the first page for ever.
    """
    texts = {_NAMES[name.lower()]: text for name, text in pairs if name.lower() in _NAMES}
    number = _number(texts.get("Page", "") or "0")
    token = texts.get("PageToken", "")
    if number and not token:
        raise Refusal(21481)
    after, before = _cursor(token)
    size = _size(texts.get("PageSize", "") or str(PAGE_SIZE))
    return Asked(page=Page(size=size, after=after, before=before), number=number)


def _size(text: str) -> int:
    if not _DIGITS.fullmatch(text) or int(text) < 1:
        raise Refusal(20007, message=f"PageSize must be between 1 and {PAGE_SIZE_MAX}")
    # The SDKs ask for a page of 10,000 where a program wants so many in all; they go from page to
    # page, however large those are.
    return min(int(text), PAGE_SIZE_MAX)


def _number(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise Refusal(20422, name="`Page`", reason="not a page number")
    return int(text)


def _cursor(token: str) -> tuple[str | None, str | None]:
    if not token:
        return None, None
    direction, sid = token[:2], token[2:]
    if direction not in (_FORWARD, _BACK) or not is_sid(sid):
        raise Refusal(21481)
    return (sid, None) if direction == _FORWARD else (None, sid)


def page_of(items: Sequence[Item], page: Page, *, sid: Callable[[Item], str]) -> Found[Item]:
    """Return a page of a list that is small enough to be at hand as a whole, newest first."""
    newest = sorted(items, key=sid, reverse=True)
    if page.before:
        ahead = [item for item in newest if sid(item) > page.before]
        kept = ahead[-page.size :]
        return Found(kept, len(newest) > len(ahead), len(ahead) > len(kept))
    behind = [item for item in newest if not page.after or sid(item) < page.after]
    kept = behind[: page.size]
    return Found(kept, len(behind) > len(kept), len(newest) > len(behind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page that was found, with what its envelope says about it."""

    list_key: str
    rows: list[dict[str, Any]]
    asked: Asked
    found: Found[Any]
    path: str
    filters: Pairs
    base_url: str

    def uri(self, *, number: int, token: str = "") -> str:
        """Return the relative address of a page of the same list; the filters are kept."""
        query = [*self.filters, ("PageSize", str(self.asked.page.size)), ("Page", str(number))]
        return f"{self.path}?{urlencode([*query, ('PageToken', token)] if token else query)}"

    @property
    def own(self) -> str:
        """The address of this page."""
        page = self.asked.page
        token = _FORWARD + page.after if page.after else _BACK + page.before if page.before else ""
        return self.uri(number=self.asked.number, token=token)

    @property
    def next(self) -> str | None:
        """The address of the page behind this one."""
        if not self.found.has_next or not self.found.items:
            return None
        return self.uri(number=self.asked.number + 1, token=_FORWARD + self.found.items[-1].sid)

    @property
    def previous(self) -> str | None:
        """The address of the page in front of this one."""
        if not self.found.has_previous or not self.found.items:
            return None
        number = max(self.asked.number - 1, 0)
        return self.uri(number=number, token=_BACK + self.found.items[0].sid)


_COUNT = {"type": "integer", "minimum": 0}
_LINK = {"type": "string"}
_LINK_OR_NONE = {"type": ["string", "null"]}

# What envelope_2010 adds to a list.
ENVELOPE_2010: Mapping[str, Mapping[str, Any]] = {
    "end": _COUNT,
    "first_page_uri": _LINK,
    "next_page_uri": _LINK_OR_NONE,
    "page": _COUNT,
    "page_size": _COUNT,
    "previous_page_uri": _LINK_OR_NONE,
    "start": _COUNT,
    "uri": _LINK,
}
# What envelope_v1 adds to a list.
ENVELOPE_V1: Mapping[str, Mapping[str, Any]] = {
    "meta": {
        "type": "object",
        "required": [
            *("page", "page_size", "first_page_url", "previous_page_url", "next_page_url"),
            *("key", "url"),
        ],
        "properties": {
            "page": _COUNT,
            "page_size": _COUNT,
            "first_page_url": _LINK,
            "previous_page_url": _LINK_OR_NONE,
            "next_page_url": _LINK_OR_NONE,
            "key": {"type": "string"},
            "url": _LINK,
        },
    }
}


def envelope_2010(listing: Listing) -> dict[str, Any]:
    """Wrap a page as the 2010-04-01 API does.

    The SDKs find the list as the only key that does not belong to paging, so no key may be added.
    """
    start = listing.asked.number * listing.asked.page.size
    return {
        listing.list_key: listing.rows,
        "end": start + len(listing.rows) - 1 if listing.rows else 0,
        "first_page_uri": listing.uri(number=0),
        "next_page_uri": listing.next,
        "page": listing.asked.number,
        "page_size": listing.asked.page.size,
        "previous_page_uri": listing.previous,
        "start": start,
        "uri": listing.own,
    }


def envelope_v1(listing: Listing) -> dict[str, Any]:
    """Wrap a page as the newer products do; the SDKs fetch its absolute addresses as they stand."""

    def absolute(uri: str | None) -> str | None:
        return None if uri is None else listing.base_url + uri

    return {
        listing.list_key: listing.rows,
        "meta": {
            "page": listing.asked.number,
            "page_size": listing.asked.page.size,
            "first_page_url": absolute(listing.uri(number=0)),
            "previous_page_url": absolute(listing.previous),
            "next_page_url": absolute(listing.next),
            "key": listing.list_key,
            "url": absolute(listing.own),
        },
    }
