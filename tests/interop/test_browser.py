"""The console in a real browser, beside the official client and a web application that answers."""

import asyncio
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import uvicorn
from aiohttp import web
from playwright.async_api import Browser, FilePayload, Page, Response, async_playwright, expect

from tests.scripted import ScriptedConnector
from trunkline.app import App
from trunkline.carriers.port import PduSeen
from trunkline.config import Config
from trunkline.connecting import connect
from trunkline.domain.message import Direction, Status
from trunkline.flows import carriers, messages, routes
from trunkline.flows.routes import Wish
from trunkline.runtime import Chance, News, SystemClock
from trunkline.store.callbacks import CallbackRow, insert_callbacks
from trunkline.store.messages import MessageFilter
from trunkline.store.paging import Page as Sheet

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ADA = "+15558675310"


def png(side: int, colour: bytes) -> bytes:
    """Return a square picture of one colour."""
    rows = b"".join(b"\0" + colour * side for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


RED = png(8, b"\xd0\x20\x20")
HIDE = """(is_hidden) => {
  Object.defineProperty(document, "hidden", { value: is_hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
OF_CARRIERS = (
    *("/carriers", "/carriers/simulated", "/carriers/simulated/settings", "/new-carrier"),
    *("/new-carrier?type=simulated", f"/routes?from=ACME&to={ADA}", "/strays"),
)
NARROW = {"width": 390, "height": 844}
LONG_NAME = "my-carrier-with-quite-a-long-name.042"  # They have 40 characters at most.
EVERYWHERE = (
    *("/", f"/phones/{ADA}", "/messages", "/messages?status=failed", "/scheduled", "/services"),
    *("/consent", "/webhooks", "/webhooks?host=bad.example", "/alerts", "/connect", "/nodes"),
    *("/carriers", f"/carriers/{LONG_NAME}", f"/carriers/{LONG_NAME}/settings", "/new-carrier"),
    *("/routes", "/strays"),
)
# How far the page itself and the parts that are not to be scrolled reach beyond their frames.
OVERHANG = """() => Math.max(
  document.documentElement.scrollWidth - innerWidth,
  ...[...document.querySelectorAll(".nav, .blank, .card:not(.log-frame)")].map(
    (part) => part.scrollWidth - part.clientWidth
  ),
)"""
# The least contrast of a text to its card (WCAG 2.2, 1.4.3), over all that a selector finds.
CONTRAST = """(found) => Math.min(...found.map((element) => {
  const bright = (colour) => {
    const parts = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const card = getComputedStyle(element.closest(".card")).backgroundColor;
  const [low, high] = [bright(getComputedStyle(element).color), bright(card)].sort((a, b) => a - b);
  return high / low;
}))"""


@dataclass(frozen=True, slots=True)
class Site:
    """A running Trunkline and the program that its number's texts go to."""

    app: App
    url: str
    application_url: str

    async def send(self, body: str, to: str = ADA) -> str:
        """Send a text with the official client and return its SID."""
        facts = self.app.facts
        client = connect(
            account_sid=facts.account_sid, auth_token=facts.auth_token, base_url=facts.base_url
        )
        message = await asyncio.to_thread(
            client.messages.create, to=to, from_=facts.phone_number, body=body
        )
        return str(message.sid)


async def answer(request: web.Request) -> web.Response:
    """Reply to a text as an application does."""
    form = await request.post()
    said = escape(str(form["Body"]))
    reply = f"<Response><Message>You said: {said}</Message></Response>"
    return web.Response(text=reply, content_type="text/xml")


@pytest.fixture
async def application_url() -> AsyncIterator[str]:
    """Yield the address of a web application."""
    application = web.Application()
    application.router.add_post("/sms", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/sms"
    await runner.cleanup()


@pytest.fixture
async def site(tmp_path: Path, application_url: str) -> AsyncIterator[Site]:
    """Yield a Trunkline that runs as `trunkline up` runs it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        config = Config.model_validate({"data_dir": tmp_path, "delivery_delay_seconds": 0.05})
        app = App(config, clock=SystemClock(), chance=Chance(7), port=port)
        await app.start()
        server = uvicorn.Server(uvicorn.Config(app.asgi, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield Site(app, f"http://127.0.0.1:{port}/console", application_url)
        app.console.close()
        server.should_exit = True
        await serving
        await app.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Yield Chromium."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        await chromium.close()


Open = Callable[..., Awaitable[Page]]


@pytest.fixture
async def open_page(site: Site, browser: Browser) -> AsyncIterator[Open]:
    """Return what opens pages; in the end none of them may have complained."""
    complaints: list[str] = []

    async def open_it(path: str = "/", **options: Any) -> Page:
        context = await browser.new_context(**options)
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        await page.goto(site.url + path)
        return page

    yield open_it
    assert complaints == []


async def test_a_newcomers_first_minutes(site: Site, open_page: Open) -> None:
    """A text of the official client appears by itself; the answer goes to a webhook and back."""
    page = await open_page("/connect")
    await page.get_by_label("Webhook for inbound texts").fill(site.application_url)
    await page.get_by_role("button", name="Save").click()
    await page.wait_for_url("**/connect#numbers")
    # Once it hears from us it asks again, so that nothing is missed in between.
    async with page.expect_response(is_asked_again):
        await page.goto(site.url + "/")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.get_by_text("No phone yet")).to_be_visible()
    await site.send("Hello, Ada 🌿")
    phone = page.locator(f'[data-phone="{ADA}"]')
    await expect(phone.get_by_text("Hello, Ada 🌿")).to_be_visible()
    await expect(phone.get_by_text("UCS-2 · 1 segment")).to_be_visible()
    await expect(page.get_by_text("No phone yet")).to_be_hidden()
    writing = phone.get_by_role("textbox", name="Text", exact=True)
    await writing.fill("Hi & <bye>")
    await expect(phone.get_by_text("GSM-7 · 1 segment · 150 left")).to_be_visible()
    await writing.press("Enter")
    await expect(phone.get_by_text("You said: Hi & <bye>")).to_be_visible()
    await expect(phone.locator(".is-out .tick.is-arrived")).to_be_visible()
    await expect(writing).to_have_value("")


async def test_what_is_being_typed_survives_what_arrives(site: Site, open_page: Open) -> None:
    """A draft, its caret and the chosen options stay; the conversation follows its end."""
    await site.send("first")
    page = await open_page()
    phone = page.locator(f'[data-phone="{ADA}"]')
    writing = phone.get_by_role("textbox", name="Text", exact=True)
    await writing.fill("half a sentence")
    for number in range(12):
        await site.send(f"text {number}")
    await expect(phone.get_by_text("text 11", exact=True)).to_be_in_viewport()
    await expect(writing).to_have_value("half a sentence")
    await expect(writing).to_be_focused()


async def test_a_phone_is_used_by_the_keyboard_alone(site: Site, open_page: Open) -> None:
    """New phone, test text, options that Escape closes, and STOP."""
    page = await open_page()
    await page.get_by_role("button", name="New phone").press("Enter")
    await page.wait_for_url("**/console/#+1555*")
    phone = page.locator("[data-phone]")
    await phone.get_by_role("button", name="Send a test text").first.press("Enter")
    await expect(phone.get_by_text("Hello from Trunkline 👋")).to_be_visible()
    options = phone.locator("summary", has=page.locator("svg")).first
    await options.press("Enter")
    await expect(phone.get_by_label("What happens to texts")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(phone.get_by_label("What happens to texts")).to_be_hidden()
    await expect(options).to_be_focused()
    await phone.get_by_role("button", name="STOP").press("Enter")
    await expect(phone.locator(".is-out .bubble")).to_have_text("STOP")


async def test_the_log_is_live(site: Site, open_page: Open) -> None:
    """New rows stand on top, statuses change in place, a trace grows while it is read."""
    await site.send("first")
    page = await open_page("/messages")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await site.send("second", to="+15555530003")
    first_row = page.locator("#rows tr").first
    await expect(first_row).to_contain_text("second")
    await expect(first_row).to_contain_text("undelivered")
    await expect(first_row).to_contain_text("30003")
    await first_row.get_by_role("link").first.click()
    await expect(page.get_by_text("30003 Unreachable destination handset").first).to_be_visible()


@pytest.fixture
def connector(site: Site) -> ScriptedConnector:
    """Return what opens carriers of the type smpp instead of the one that would connect."""
    made, switchboard = ScriptedConnector(), site.app.platform.switchboard
    switchboard.connectors = {**switchboard.connectors, "smpp": made}
    return made


async def test_a_carrier_is_added_watched_and_tried(
    site: Site, open_page: Open, connector: ScriptedConnector
) -> None:
    """From the empty list to a message that left by it; its traffic shows by itself."""
    page = await open_page("/carriers")
    await expect(page.get_by_text("Nothing leaves this machine yet")).to_be_visible()
    await page.get_by_role("link", name="Add a carrier").click()
    await page.get_by_role("link", name="SMPP").click()
    await page.get_by_label("Name", exact=True).fill("north")
    await page.get_by_label("host", exact=True).fill("smsc.example")
    await page.get_by_label("password").fill("secret")
    await page.get_by_role("button", name="Add the carrier").click()
    await page.wait_for_url("**/console/carriers/north")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.get_by_text("Down", exact=False).first).to_be_visible()
    north, now = connector.opened["north"], site.app.clock.now()
    north.bind(now, peer="203.0.113.7:2775", window_used=3, window_max=10)
    await expect(page.locator("#binds").get_by_text("bound")).to_be_visible()
    await expect(page.locator("#health")).to_contain_text("Up since")
    passed = page.locator("#passages")
    north.passed = [
        PduSeen(at=now, lane=0, is_outgoing=True, name="enquire_link", sequence_number=1),
        PduSeen(at=now, lane=0, is_outgoing=True, name="submit_sm", fields={"data_coding": "8"}),
    ]
    await expect(passed.get_by_text("submit_sm")).to_be_visible()
    await expect(passed.get_by_text("enquire_link")).to_be_hidden()
    await page.get_by_label("Without enquire_link").uncheck()
    await expect(passed.get_by_text("enquire_link")).to_be_visible()
    await passed.get_by_text("submit_sm").click()
    await expect(passed.get_by_text("data_coding")).to_be_visible()
    await page.get_by_role("button", name="Pause").click()
    north.passed = [*north.passed, PduSeen(at=now, lane=0, is_outgoing=False, name="unbind")]
    north.bind(now, window_max=10)
    await expect(page.locator("#binds")).to_contain_text("Lane 1")
    await expect(passed).not_to_contain_text("unbind")
    await page.get_by_role("button", name="Go on").click()
    await expect(passed.get_by_text("unbind")).to_be_visible()
    await expect(passed.get_by_text("data_coding")).to_be_visible()
    await page.get_by_label("To", exact=True).fill(ADA)
    await page.get_by_role("button", name="Send through north").click()
    await expect(page.get_by_text("To the carrier “north”.")).to_be_visible()
    assert [submission.recipient for submission in north.taken] == [ADA]


async def test_a_route_is_added_and_explained(site: Site, open_page: Open) -> None:
    """By the forms, without leaving the page."""
    page = await open_page("/routes")
    await page.get_by_label("Prefix of the recipient").fill("+1 555")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("cell", name="to +1555…")).to_be_visible()
    await page.get_by_label("To", exact=True).fill(ADA)
    await page.get_by_role("button", name="Explain").click()
    await expect(page.get_by_text("This message leaves by simulated.")).to_be_visible()
    await expect(page.locator(".is-chosen")).to_contain_text("It is the first of 2 that match.")
    await expect(page.locator(".considered")).to_contain_text("Its order 1000 comes after 100.")


async def test_the_stream_comes_back_after_a_pause(site: Site, open_page: Open) -> None:
    """A page that missed something looks again when it hears from us again."""
    await site.send("first")
    page = await open_page()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await page.evaluate(HIDE, True)
    await expect(page.get_by_text("Paused")).to_be_visible()
    await site.send("while it was away")
    await page.evaluate(HIDE, False)
    await expect(page.get_by_text("while it was away")).to_be_visible()


async def test_without_scripts_texts_are_read_and_sent(site: Site, open_page: Open) -> None:
    """Forms and links are enough."""
    await site.send("hello")
    await site.app.network.send_from(ADA, site.app.facts.phone_number, body="earlier")
    page = await open_page(java_script_enabled=False)
    phone = page.locator(f'[data-phone="{ADA}"]')
    await expect(phone.get_by_text("earlier")).to_be_visible()
    await phone.get_by_role("textbox", name="Text", exact=True).fill("sent by a plain form")
    await phone.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator(".bubble", has_text="sent by a plain form")).to_be_visible()
    await page.get_by_role("link", name="Messages").click()
    await expect(page.get_by_role("cell", name="sent by a plain form")).to_be_visible()


async def test_hostile_text_is_only_text(site: Site, open_page: Open) -> None:
    """Nothing of it runs or loads, on any page."""
    hostile = "<script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>"
    await site.app.network.add_handset(ADA, "<b onclick=alert(3)>Ada</b>")
    await site.app.network.send_from(
        ADA, site.app.facts.phone_number, body=hostile, media=("https://evil.example/cat.png",)
    )
    sid = await site.send(hostile)
    for path in ("/", f"/phones/{ADA}", "/messages", f"/messages/{sid}"):
        page = await open_page(path)
        asked = requests_of(page)
        await page.reload()
        await expect(page.get_by_text("<script>alert(1)</script>").first).to_be_visible()
        assert [url for url in asked if "evil" in url] == []


async def test_a_phone_sends_and_shows_pictures(site: Site, open_page: Open) -> None:
    """Files of this machine go out as MMS; what comes back to the phone is seen on it."""
    await site.app.network.add_handset(ADA, "Ada")
    page = await open_page()
    phone = page.locator(f'[data-phone="{ADA}"]')
    await phone.get_by_label("Attach pictures, sounds or files").click()
    await phone.get_by_label("Pictures, sounds, videos or a contact").set_input_files(
        [
            FilePayload(name="red.png", mimeType="image/png", buffer=RED),
            FilePayload(name="bo.vcf", mimeType="", buffer=b"BEGIN:VCARD\r\nFN:Bo\r\nEND:VCARD"),
        ]
    )
    await expect(phone.get_by_text("red.png, bo.vcf are attached")).to_be_visible()
    await phone.get_by_role("button", name="Send", exact=True).click()
    sent = phone.locator(".bubble-line.is-out")
    await expect(sent.get_by_text("Contact")).to_be_visible()
    picture = sent.get_by_role("img", name="Picture")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("async (it) => (await it.decode(), it.naturalWidth)") == 8
    await expect(phone.locator("[name=media]")).to_have_value("")
    wanted = MessageFilter(direction=Direction.INBOUND)
    account_sid = site.app.facts.account_sid
    found = await messages.page(site.app.platform, account_sid, wanted, page=Sheet(size=1))
    (inbound,) = found.items
    media = await messages.media_of(site.app.platform, inbound.account_sid, inbound.sid)
    assert [medium.content_type for medium in media] == ["image/png", "text/x-vcard"]
    facts = site.app.facts
    client = connect(
        account_sid=facts.account_sid, auth_token=facts.auth_token, base_url=facts.base_url
    )
    await asyncio.to_thread(
        client.messages.create,
        to=ADA,
        from_=facts.phone_number,
        media_url=[site.app.platform.media_url(medium) for medium in media],
    )
    back = phone.locator(".bubble-line.is-in").get_by_role("img", name="Picture")
    await expect(back).to_be_visible()
    assert await back.evaluate("async (it) => (await it.decode(), it.naturalWidth)") == 8


def is_asked_again(response: Response) -> bool:
    """Say whether a script of the first page asked for that page."""
    return response.url.endswith("/console/") and response.request.resource_type == "fetch"


def requests_of(page: Page) -> list[str]:
    """Return the list that will hold what the page asks for from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_fit_a_narrow_screen(site: Site, open_page: Open, scheme: str) -> None:
    """No page scrolls sideways at 390 pixels."""
    sid = await site.send("https://example.com/" + "a" * 120)
    await expect_delivered(site, sid)
    places = ("/", f"/phones/{ADA}", "/messages", f"/messages/{sid}", "/services", "/connect")
    page = await open_page(viewport=NARROW, color_scheme=scheme)
    for path in (*places, *OF_CARRIERS):
        await page.goto(site.url + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path


@pytest.fixture
async def long_name(site: Site) -> None:
    """Add a carrier with a long name, and a route that leads to it."""
    platform = site.app.platform
    smsc = {"host": "smsc.example"}
    await carriers.add(platform, name=LONG_NAME, carrier_type="smpp", settings=smsc)
    await routes.add(platform, Wish(carrier=LONG_NAME, prefix="+4477"))


@pytest.mark.parametrize("width", [375, 700, 768, 1440])
@pytest.mark.usefixtures("connector", "long_name")
async def test_pages_fit_every_screen(site: Site, open_page: Open, width: int) -> None:
    """Neither a page nor its menu is wider than the screen; each has one heading of its own."""
    await site.app.network.add_handset(ADA, "")
    page = await open_page(viewport={"width": width, "height": 800}, java_script_enabled=False)
    for path in EVERYWHERE:
        await page.goto(site.url + path)
        assert await page.evaluate(OVERHANG) <= 0, path
        await expect(page.locator("h1")).to_have_count(1)
    await expect(page.get_by_role("link", name="Connect", exact=True)).to_be_in_viewport(ratio=1)
    await expect(page.locator(".who")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.usefixtures("connector", "long_name")
async def test_zeros_can_be_read(site: Site, open_page: Open, scheme: str) -> None:
    """What is fainter than the rest is not fainter than people can read."""
    page = await open_page("/carriers", color_scheme=scheme)
    assert await page.eval_on_selector_all(".counts .is-zero dd", CONTRAST) >= 4.5
    await page.goto(f"{site.url}/carriers/{LONG_NAME}")
    assert await page.eval_on_selector_all(".counts .is-zero dd", CONTRAST) >= 4.5


async def test_what_is_given_up_appears_by_itself(site: Site, open_page: Open) -> None:
    """On a page that had nothing to show."""
    page = await open_page("/webhooks")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.get_by_text("Everything was delivered")).to_be_visible()
    await expect(page.get_by_role("heading", name="Given up")).to_be_hidden()
    await park(site, url="https://bad.example/status")
    site.app.platform.feed.publish(News("webhook", site.app.facts.account_sid, ""))
    await expect(page.get_by_role("heading", name="Given up")).to_be_visible()
    await expect(page.get_by_role("button", name="Replay all for bad.example")).to_be_visible()
    await expect(page.locator("#rows").get_by_role("button", name="Discard")).to_be_visible()


async def test_long_names_of_hosts_fit_a_narrow_screen(site: Site, open_page: Open) -> None:
    """The lists of webhooks do not scroll sideways either."""
    await park(site, url="https://" + "-".join(["long"] * 12) + ".example.com/status")
    page = await open_page("/webhooks", viewport=NARROW)
    await expect(page.locator(".webhook-host")).to_have_count(2)
    wide = "frames => frames.filter(f => f.scrollWidth > f.clientWidth).length"
    assert await page.eval_on_selector_all(".log-frame", wide) == 0


async def park(site: Site, *, url: str) -> None:
    """Leave a webhook that was given up."""
    now = site.app.platform.clock.now()
    parked = CallbackRow(
        sid=site.app.platform.chance.sid("CB", now),
        account_sid=site.app.facts.account_sid,
        message_sid=site.app.platform.chance.sid("SM", now),
        kind="status",
        url=url,
        parameters={"MessageStatus": "sent"},
        token="t",
        created_at=now,
        due_at=None,
    )
    await site.app.store.write(lambda db: insert_callbacks(db, [parked]))


async def expect_delivered(site: Site, sid: str) -> None:
    """Wait until a message is delivered."""
    with site.app.platform.feed.subscribe() as news:
        async with asyncio.timeout(10):
            while await status_of(site, sid) is not Status.DELIVERED:
                await news.get()


async def status_of(site: Site, sid: str) -> Status | None:
    message = await messages.find(site.app.platform, site.app.facts.account_sid, sid)
    return None if message is None else message.status
