"""What stands around every page of the console: the menu, whose account it is, and one heading."""

import pytest

from tests.api.test_console import (
    ADA,
    Browser,
    Markup,
    basic,
    local_console,
    pages,
    public_console,
    subaccount,
)
from tests.harness import Trunkline


def links(page: str) -> list[str | None]:
    """Return where a page leads."""
    return [found["href"] for tag, found in Markup(page).tags if tag == "a"]


@pytest.fixture
async def login(trunkline: Trunkline) -> dict[str, str]:
    """Return the header by which a subaccount logs in."""
    return {"authorization": basic(*await subaccount(trunkline))}


async def test_every_page_has_one_heading_and_says_whose_it_is(trunkline: Trunkline) -> None:
    """So that nobody takes one account for another."""
    browser = Browser(local_console(trunkline))
    for path, page in (await pages(trunkline, browser)).items():
        assert page.count("<h1") == 1, path
        assert f'class="who" title="{trunkline.account_sid}"' in page, path


async def test_a_subaccount_is_named(trunkline: Trunkline) -> None:
    """By its friendly name; its SID is behind it."""
    sid, token = await subaccount(trunkline)
    browser = Browser(public_console(trunkline))
    page = await browser.read("/messages", authorization=basic(sid, token))
    assert f'title="{sid}"><span class="unseen">Account </span><bdi>Sub</bdi>' in page


async def test_who_has_no_phones_is_led_to_none(
    trunkline: Trunkline, login: dict[str, str]
) -> None:
    """To the messages instead, from the menu, the first page and what is refused."""
    browser = Browser(public_console(trunkline))
    for path in ("/", "/messages", "/consent", "/webhooks", "/carriers", f"/phones/{ADA}"):
        page = (await browser.request("GET", path, **login)).body.decode()
        assert "/console/" not in links(page), path
        assert "/console/messages" in links(page), path


async def test_who_has_phones_is_led_back_to_them(trunkline: Trunkline) -> None:
    """From what is not there."""
    browser = Browser(local_console(trunkline))
    page = (await browser.request("GET", "/carriers/nobody")).body.decode()
    assert '<a href="/console/">Back to the phones</a>' in page
