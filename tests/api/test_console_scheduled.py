"""The console's page of what is scheduled."""

import pytest

from tests.api.test_console import Browser, Markup, local_console
from tests.api.test_service_sending import schedule, service
from tests.harness import Trunkline


@pytest.fixture
def browser(trunkline: Trunkline) -> Browser:
    """Return a browser on the machine of the console."""
    return Browser(local_console(trunkline))


def actions(page: str) -> list[str]:
    """Return where the forms of a page lead."""
    return [str(found["action"]) for tag, found in Markup(page).tags if tag == "form"]


async def test_what_waits_is_shown_in_the_order_of_its_times(
    trunkline: Trunkline, browser: Browser
) -> None:
    """And nothing where nothing waits."""
    assert "Nothing is scheduled" in await browser.read("/scheduled")
    sid = await service(trunkline, trunkline.number)
    late = await schedule(trunkline, sid, 60, Body="The <late> one")
    soon = await schedule(trunkline, sid, 30, Body="The soon one")
    page = await browser.read("/scheduled")
    assert page.index("The soon one") < page.index("The &lt;late&gt; one")
    assert actions(page) == [
        f"/console/scheduled/{message['sid']}/cancel" for message in (soon, late)
    ]
    assert page.count(f'title="{sid}"><bdi>Reminders</bdi>') == 2
    assert "/console/scheduled" in await browser.read("/messages")


async def test_a_message_is_canceled(trunkline: Trunkline, browser: Browser) -> None:
    """Once; then it is not there any more."""
    sid = await service(trunkline, trunkline.number)
    message = await schedule(trunkline, sid, 60)
    (action,) = actions(await browser.read("/scheduled"))
    answer = await browser.submit(action.removeprefix("/console"))
    assert answer.status == 303
    assert (await trunkline.message(message["sid"]))["status"] == "canceled"
    assert "Nothing is scheduled" in await browser.read("/scheduled")
    again = await browser.submit(action.removeprefix("/console"))
    assert "is not scheduled any more" in again.body.decode()
