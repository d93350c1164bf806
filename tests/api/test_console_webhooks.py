"""The console's page of webhooks that were given up: what it shows and what its buttons do."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.api.test_console import (
    Browser,
    Markup,
    basic,
    local_console,
    public_console,
    subaccount,
)
from tests.api.test_redaction import rows_of
from tests.api.test_replay import BAD, give_up, listed, refuse_bad
from tests.harness import Trunkline
from trunkline.console import webhooks as pages
from trunkline.console.webhooks import counted
from trunkline.store.parked import COUNTED_MAX
from trunkline.store.tables import callbacks

HOST = "bad.example:8443"


@pytest.fixture
async def trunkline(tmp_path: Path) -> AsyncIterator[Trunkline]:
    """Yield a program that gives webhooks up soon."""
    program = Trunkline(tmp_path / "data", webhook_retry_seconds=(5,))
    yield program
    await program.close()


@pytest.fixture
def browser(trunkline: Trunkline) -> Browser:
    """Return a browser on the machine of the console."""
    return Browser(local_console(trunkline))


def actions(page: str) -> list[str]:
    """Return where the forms of a page lead."""
    return [str(found["action"]) for tag, found in Markup(page).tags if tag == "form"]


async def test_where_nothing_is_wrong_it_says_so(browser: Browser) -> None:
    """An empty page is good news."""
    page = await browser.read("/webhooks")
    assert "Everything was delivered" in page
    assert actions(page) == []


async def test_hosts_and_webhooks_are_shown_with_why(
    trunkline: Trunkline, browser: Browser
) -> None:
    """A host's last error, and each webhook with its message."""
    (sid,) = await give_up(trunkline)
    trunkline.receiver.script = refuse_bad
    await trunkline.send(StatusCallback="https://slow.bad.example/status")
    await trunkline.run_for(2)
    page = await browser.read("/webhooks")
    assert page.index(HOST) < page.index("slow.bad.example")
    assert page.count("11200 ") == 4
    assert f'href="/console/messages/{sid}"' in page
    assert re.findall(r'<span class="pill">(\w+)<', page) == ["delivered", "sent"]
    assert 'href="/console/webhooks" aria-current="page"' in page


async def test_what_waits_for_a_host_is_told(trunkline: Trunkline, browser: Browser) -> None:
    """How much, until when, and why."""
    trunkline.receiver.script = refuse_bad
    await trunkline.send(StatusCallback="https://slow.bad.example/status")
    await trunkline.run_for(2)
    page = await browser.read("/webhooks?host=slow.bad.example")
    assert "Nothing was given up for this host" in page
    (queue,) = re.findall(r'id="queue".*?</div>', page, re.DOTALL)
    assert "<strong>2</strong> wait" in queue
    at = trunkline.clock.now()
    (tried, planned) = sorted(re.findall(r'<time datetime="([^"]+)"', queue))
    assert datetime.fromisoformat(tried) < at < datetime.fromisoformat(planned)
    assert "11200 " in queue
    assert "None waits." in await browser.read("/webhooks?host=good.example")


async def test_the_list_is_there_before_something_is_given_up(browser: Browser) -> None:
    """So that a page which is open can fill it."""
    assert 'id="rows" data-live="webhook"' in await browser.read("/webhooks")


async def test_buttons_say_what_they_are_about(trunkline: Trunkline, browser: Browser) -> None:
    """In one sentence each."""
    (sid,) = await give_up(trunkline)
    names = [
        tag["aria-label"]
        for name, tag in Markup(await browser.read("/webhooks")).tags
        if name in ("button", "summary")
    ]
    assert names[:4] == [
        f"Replay all for {HOST}",
        f"Discard… all for {HOST}",
        f"Throw 2 away for good: all for {HOST}",
        f"Replay delivered of {sid}",
    ]


async def test_a_host_is_replayed_or_thrown_away(trunkline: Trunkline, browser: Browser) -> None:
    """Everything of it, and nothing of another."""
    (sid,) = await give_up(trunkline)
    (other,) = await give_up(trunkline, url="https://worse.bad.example/status")
    answer = await browser.submit("/webhooks/replay", {"host": HOST})
    assert (answer.status, answer.headers["location"]) == (303, "/console/webhooks")
    await trunkline.run_for(1)
    assert trunkline.receiver.statuses(sid) == ["sent", "delivered"]
    await browser.submit("/webhooks/discard", {"host": "worse.bad.example"})
    await trunkline.run_for(60)
    assert trunkline.receiver.statuses(other) == []
    assert await rows_of(trunkline, callbacks) == 0


@pytest.mark.parametrize("verb", ["replay", "discard"])
@pytest.mark.parametrize("form", [{}, {"host": ""}])
async def test_no_host_is_not_every_host(
    trunkline: Trunkline, browser: Browser, verb: str, form: dict[str, str]
) -> None:
    """A form that names none is refused."""
    await give_up(trunkline)
    assert (await browser.submit(f"/webhooks/{verb}", form)).status == 400
    assert await rows_of(trunkline, callbacks) == 2


async def test_one_webhook_has_buttons_of_its_own(trunkline: Trunkline, browser: Browser) -> None:
    """Replaying one takes its message's with it; throwing one away does not."""
    first, second = await give_up(trunkline, 2)
    assert len(actions(await browser.read("/webhooks"))) == 2 + 2 * 4
    (told, *_) = await listed(trunkline, message=second)
    (dropped, *_) = await listed(trunkline, message=first)
    forms = [f"/webhooks/{told['sid']}/replay", f"/webhooks/{dropped['sid']}/discard"]
    for form in forms:
        assert f"/console{form}" in actions(await browser.read("/webhooks"))
        assert (await browser.submit(form)).status == 303
    await trunkline.run_for(1)
    assert trunkline.receiver.statuses(second) == ["sent", "delivered"]
    assert trunkline.receiver.statuses(first) == []
    assert await rows_of(trunkline, callbacks) == 1
    for form in forms:
        gone = await browser.submit(form)
        assert gone.status == 400
        assert pages.GONE in gone.body.decode()


async def test_there_are_pages(
    trunkline: Trunkline, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older ones behind newer ones, of one host too."""
    monkeypatch.setattr(pages, "ROWS_MAX", 3)
    await give_up(trunkline, 2)
    first = await browser.read(f"/webhooks?host={HOST}")
    (older,) = re.findall(r'href="/console(/webhooks[^"]+)" rel="next"', first)
    second = await browser.read(older.replace("&amp;", "&"))
    assert (first.count('data-key="CB'), second.count('data-key="CB')) == (3, 1)
    assert 'rel="next"' not in second
    assert "Newest" in second


async def test_it_is_the_main_accounts(trunkline: Trunkline) -> None:
    """A subaccount sees neither the page nor a way to it."""
    await give_up(trunkline, url=BAD)
    browser = Browser(public_console(trunkline))
    login = {"authorization": basic(*await subaccount(trunkline))}
    for method, path in (("GET", "/webhooks"), ("POST", "/webhooks/replay")):
        answer = await browser.request(method, path, **login)
        assert answer.status in (403, 404)
        assert b"Carriers" not in answer.body
    home = await browser.request("GET", "/messages", **login)
    assert "/console/webhooks" not in home.body.decode()


def test_counts_say_where_they_end() -> None:
    """What is not counted to the end has a plus."""
    assert [counted(n) for n in (0, 1234, COUNTED_MAX)] == ["0", "1,234", "10,000+"]
