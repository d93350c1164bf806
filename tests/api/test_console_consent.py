"""The console's page of consent."""

import pytest

from tests.api.test_consent import ANNA, BEN, say
from tests.api.test_console import Browser, local_console
from tests.api.test_console_carriers import words_of
from tests.harness import Trunkline
from trunkline.console import consent as pages


@pytest.fixture
def browser(trunkline: Trunkline) -> Browser:
    """Return a browser on the machine of the console."""
    return Browser(local_console(trunkline))


async def test_who_opted_out_is_listed_with_the_history_of_each(
    trunkline: Trunkline, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who came back are not in the list; what they said is."""
    assert "Nobody opted out" in await browser.read("/consent")
    for phone in (ANNA, BEN):
        await say(trunkline, "STOP", phone=phone)
    monkeypatch.setattr(pages, "ROWS_MAX", 1)
    first = await browser.read("/consent")
    assert "(555) 867-5310" in first
    assert "(555) 867-5311" not in first
    assert "after=%2B15558675310" in first
    await say(trunkline, "START")
    listed = words_of(await browser.read("/consent"))
    assert "(555) 867-5311" in listed
    assert "(555) 867-5310" not in listed
    one = words_of(await browser.read("/consent?number=%2B15558675310"))
    assert one.index("opt-in-message") < one.index("opt-out-message")
    assert "keyword: start" in one
    assert "Nothing was said" in await browser.read("/consent?number=%2B15558675399")
    assert pages.NO_NUMBER in await browser.read("/consent?number=12345678901234567890")
