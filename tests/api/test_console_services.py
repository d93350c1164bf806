"""The console's page of Messaging Services."""

import pytest

from tests.api.test_console import Browser, Markup, basic, local_console, public_console, subaccount
from tests.api.test_console_carriers import words_of
from tests.api.test_services import bought, made, post, short_code, sid_of
from tests.harness import Trunkline
from trunkline.console import services as pages

HOOK = "https://app.example.com/in"


@pytest.fixture
def browser(trunkline: Trunkline) -> Browser:
    """Return a browser on the machine of the console."""
    return Browser(local_console(trunkline))


def actions(page: str) -> list[str]:
    """Return where the forms of a page lead."""
    return [str(found["action"]) for tag, found in Markup(page).tags if tag == "form"]


async def test_services_are_shown_with_their_senders(
    trunkline: Trunkline, browser: Browser
) -> None:
    """And with what they decide, where it is not what every service does."""
    assert "No service yet" in await browser.read("/services")
    path = await made(trunkline, InboundRequestUrl=HOOK, ValidityPeriod="90", Usecase="poll")
    page = await browser.read("/services")
    assert "No sender: its messages fail with 21704" in page
    ours, code = await sid_of(trunkline, trunkline.number), await short_code(trunkline)
    await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=ours)
    await post(trunkline, f"{path}/ShortCodes", ShortCodeSid=code["sid"])
    await post(
        trunkline, f"{path}/DestinationAlphaSenders", AlphaSender="A & B", IsoCountryCode="DE"
    )
    page = await browser.read("/services")
    shown = words_of(page)
    for words in ("number, US", "72345 short code, US", "A & B name, DE", HOOK, "90 seconds"):
        assert words in shown
    assert 'href="/console/services" aria-current="page"' in page
    await post(trunkline, path, UseInboundWebhookOnNumber="true", ValidityPeriod="600")
    shown = words_of(await browser.read("/services"))
    assert (HOOK in shown, "the webhook of each number" in shown) == (False, True)
    assert "10 minutes" in shown


async def test_many_services_and_senders_have_their_limits(
    trunkline: Trunkline, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page at a time, newest first; of each service so many senders."""
    monkeypatch.setattr(pages, "SERVICES_SHOWN_MAX", 2)
    monkeypatch.setattr(pages, "SENDERS_SHOWN_MAX", 1)
    old, middle, new = [await made(trunkline) for _ in range(3)]
    for sid in ((await bought(trunkline))["sid"], await sid_of(trunkline, trunkline.number)):
        await post(trunkline, f"{new}/PhoneNumbers", PhoneNumberSid=sid)
    first = await browser.read("/services")
    assert first.index(new[1:]) < first.index(middle[1:])
    assert (old[1:] in first, "and more" in first) == (False, True)
    second = await browser.read(f"/services?after={middle[1:]}")
    assert (old[1:] in second, middle[1:] in second, "and more" in second) == (True, False, False)
    assert new[1:] in await browser.read("/services?after=nonsense")


async def test_consent_is_required_and_no_longer(trunkline: Trunkline, browser: Browser) -> None:
    """Of a service that is there."""
    path = await made(trunkline)
    action = f"/services{path}/consent"
    directory = trunkline.app.platform.directory
    for required in ("yes", "no"):
        assert actions(await browser.read("/services")) == [f"/console{action}"]
        answer = await browser.submit(action, {"required": required})
        assert (answer.status, answer.headers["location"]) == (303, f"/console/services#{path[1:]}")
        pool = await directory.pool(path[1:])
        assert pool is not None
        assert pool.service.requires_consent == (required == "yes")
    nobodys = await browser.submit(f"/services/MG{'0' * 32}/consent", {"required": "yes"})
    assert nobodys.status == 404


async def test_an_account_sees_its_own_services(trunkline: Trunkline) -> None:
    """A subaccount does not see those of its owner, nor changes them."""
    path = await made(trunkline)
    sub = await subaccount(trunkline)
    browser = Browser(public_console(trunkline))
    login = {"authorization": basic(*sub)}
    assert "No service yet" in await browser.read("/services", **login)
    answer = await browser.submit(f"/services{path}/consent", {"required": "yes"}, **login)
    assert answer.status == 404
