"""The console as a browser meets it: who may see it, what it shows, and what its forms do."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pytest
from markupsafe import escape

from tests.harness import NOON, PORT, Response, Trunkline, call_asgi
from trunkline.console.app import Console, console_app
from trunkline.console.conversation import foreign_link
from trunkline.console.gate import loopback_hosts
from trunkline.console.live import (
    NEWS_MAX,
    SUBSCRIBERS_MAX,
    SUBSCRIBERS_OF_ONE_MAX,
    SUBSCRIBERS_OF_OTHERS_MAX,
)
from trunkline.console.log import ROWS_MAX
from trunkline.runtime import News
from trunkline.store.messages import Event, insert_events

ADA = "+15558675310"
HOST = f"127.0.0.1:{PORT}"
OURS = {"sec-fetch-site": "same-origin"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
STRANGE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</textarea></title><svg onload=alert(1)>",
    "{{ visit.platform }} {% raw %}",
)


class Browser:
    """Calls a console as a browser would that somebody uses on the same machine."""

    def __init__(self, console: Console) -> None:
        self.console = console

    async def request(
        self, method: str, path: str, *, body: str | bytes = b"", **headers: str
    ) -> Response:
        """Make one request; underscores in header names are hyphens."""
        sent = {"host": HOST} | {k.replace("_", "-"): v for k, v in headers.items()}
        given = {name: value for name, value in sent.items() if value}
        place, mark, query = path.partition("?")
        path = unquote(place) + mark + query
        content = body.encode() if isinstance(body, str) else body
        return await call_asgi(self.console, method, f"/console{path}", headers=given, body=content)

    async def read(self, path: str, **headers: str) -> str:
        """Return a page that must be there."""
        answer = await self.request("GET", path, **headers)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    async def submit(
        self, path: str, form: Mapping[str, str] | None = None, **headers: str
    ) -> Response:
        """Send a form from one of the console's own pages."""
        content = urlencode(form or {}).encode()
        return await self.request("POST", path, body=content, **{**OURS, **FORM, **headers})


@pytest.fixture
def browser(trunkline: Trunkline) -> Browser:
    """Return a browser on the machine of a console that is bound to the loopback interface."""
    return Browser(local_console(trunkline))


def local_console(trunkline: Trunkline) -> Console:
    return console_app(
        trunkline.app.platform,
        trunkline.app.network,
        is_loopback=True,
        allowed_hosts=loopback_hosts(PORT),
    )


def public_console(trunkline: Trunkline) -> Console:
    return console_app(
        trunkline.app.platform,
        trunkline.app.network,
        is_loopback=False,
        allowed_hosts=frozenset(),
    )


def basic(username: str, password: str) -> str:
    pair = f"{username}:{password}".encode()
    return "Basic " + base64.b64encode(pair).decode()


async def subaccount(trunkline: Trunkline) -> tuple[str, str]:
    made = await trunkline.request("POST", "/2010-04-01/Accounts.json", {"FriendlyName": "Sub"})
    return made.json["sid"], made.json["auth_token"]


class Markup(HTMLParser):
    """Collects the tags of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))


async def pages(trunkline: Trunkline, browser: Browser) -> dict[str, str]:
    """Return every kind of page, with a message in each direction on them."""
    sid = (await trunkline.send()).json["sid"]
    await trunkline.run_for(2)
    paths = ("/", f"/phones/{ADA}", "/messages", f"/messages/{sid}", "/connect")
    return {path: await browser.read(path) for path in paths}


# Who may come in.


async def test_on_the_loopback_interface_it_opens_without_a_login(browser: Browser) -> None:
    """Somebody who tries Trunkline out sees phones, not a form for passwords."""
    for host in (HOST, f"localhost:{PORT}", f"[::1]:{PORT}", f"LOCALHOST:{PORT}"):
        assert "<h1>Phones</h1>" in await browser.read("/", host=host)


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1:9", ""])
@pytest.mark.parametrize("path", ["/", "/events", "/static/base.css"])
async def test_a_foreign_name_that_leads_here_sees_nothing(
    browser: Browser, host: str, path: str
) -> None:
    """DNS rebinding makes a stranger's page of the same origin; its Host header gives it away."""
    answer = await browser.request("GET", path, host=host)
    assert answer.status == 403
    assert b"Phones" not in answer.body


async def test_who_comes_through_a_proxy_logs_in_even_on_loopback(
    trunkline: Trunkline, browser: Browser
) -> None:
    """A tunnel that rewrites the Host header must not open the console to the world."""
    assert (await browser.request("GET", "/", x_forwarded_for="203.0.113.9")).status == 401
    assert (await browser.request("GET", "/", x_forwarded_proto="https")).status == 401
    assert (await browser.request("GET", "/", via="1.1 proxy")).status == 401
    login = basic(trunkline.account_sid, trunkline.auth_token)
    page = await browser.read("/", x_forwarded_for="203.0.113.9", authorization=login)
    assert "<h1>Phones</h1>" in page


async def test_elsewhere_it_asks_for_the_credentials(trunkline: Trunkline) -> None:
    """Wrong or none: 401 and the realm; right ones or a key: the page."""
    browser = Browser(public_console(trunkline))
    refused = await browser.request("GET", "/", host="sms.example.com")
    assert refused.status == 401
    assert 'Basic realm="Trunkline console"' in refused.headers["www-authenticate"]
    wrong = basic(trunkline.account_sid, "0" * 32)
    assert (await browser.request("GET", "/", authorization=wrong)).status == 401
    right = basic(trunkline.account_sid, trunkline.auth_token)
    assert "<h1>Phones</h1>" in await browser.read("/", authorization=right)
    key = (await trunkline.request("POST", f"{trunkline.base}/Keys.json", {})).json
    assert "<h1>Phones</h1>" in await browser.read(
        "/", authorization=basic(key["sid"], key["secret"])
    )


async def test_a_key_sees_no_token(trunkline: Trunkline) -> None:
    """It could not be revoked any more otherwise."""
    browser = Browser(public_console(trunkline))
    key = (await trunkline.request("POST", f"{trunkline.base}/Keys.json", {})).json
    login = {"authorization": basic(key["sid"], key["secret"])}
    assert "An API key does not see it." in await browser.read("/connect", **login)
    answer = await browser.submit("/connect/token", {}, **login)
    assert answer.status == 403
    assert trunkline.auth_token.encode() not in answer.body


async def test_a_subaccount_sees_its_own_messages_and_no_phones(trunkline: Trunkline) -> None:
    """Phones and messages of the main account are nobody else's."""
    sid = (await trunkline.send(body="for Ada only")).json["sid"]
    await trunkline.run_for(2)
    browser = Browser(public_console(trunkline))
    login = {"authorization": basic(*await subaccount(trunkline))}
    assert "belong to the main account" in await browser.read("/", **login)
    assert "for Ada only" not in await browser.read("/messages", **login)
    for path in (f"/messages/{sid}", f"/phones/{ADA}", f"/phones/{ADA}/thread"):
        answer = await browser.request("GET", path, **login)
        assert answer.status == 404
        assert b"for Ada only" not in answer.body
    assert (await browser.submit("/phones", {}, **login)).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": f"http://{HOST}.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": f"http://{HOST}"},
    ],
)
async def test_a_form_of_a_strangers_page_does_nothing(
    trunkline: Trunkline, browser: Browser, headers: dict[str, str]
) -> None:
    """CSRF: who cannot show that one of our pages sent the form is refused."""
    answer = await browser.request("POST", "/phones", **headers)
    assert answer.status == 403
    assert await trunkline.app.network.handsets() == []


@pytest.mark.parametrize("headers", [OURS, {"origin": f"http://{HOST}"}])
async def test_our_own_forms_are_taken(
    trunkline: Trunkline, browser: Browser, headers: dict[str, str]
) -> None:
    """Browsers without Sec-Fetch headers show the origin instead."""
    answer = await browser.request("POST", "/phones", **headers)
    assert answer.status == 303
    assert len(await trunkline.app.network.handsets()) == 1


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_strangers_script_fetches_nothing(browser: Browser, site: str) -> None:
    """A link from elsewhere may lead to us; a script from elsewhere may not read."""
    for path in ("/", "/events", "/messages"):
        answer = await browser.request("GET", path, sec_fetch_site=site, sec_fetch_mode="cors")
        assert answer.status == 403
    assert await browser.read("/", sec_fetch_site=site, sec_fetch_mode="navigate")


async def test_every_answer_carries_the_security_headers(browser: Browser) -> None:
    """Pages, files, refusals and errors alike."""
    answers = [
        await browser.request("GET", path, host=host)
        for path in ("/", "/static/console.js", "/messages/SMnone", "/none")
        for host in (HOST, "evil.example")
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "same-origin"


async def test_pages_need_nothing_that_their_policy_forbids(
    trunkline: Trunkline, browser: Browser
) -> None:
    """No inline script or style, nothing from another host."""
    for path, page in (await pages(trunkline, browser)).items():
        for tag, attributes in Markup(page).tags:
            assert tag != "style", path
            assert tag != "script" or (attributes["src"] or "").startswith("/console/"), path
            assert "style" not in attributes, path
            assert not [name for name in attributes if name.startswith("on")], path
            for name in ("src", "action") & attributes.keys():
                assert (attributes[name] or "").startswith("/console"), path


# What it shows.


async def test_a_text_appears_on_its_phone(trunkline: Trunkline, browser: Browser) -> None:
    """With its cost, from whom it is, and a way to its trace."""
    sid = (await trunkline.send(body="Grüß dich 🌿 " + "x" * 70)).json["sid"]
    await trunkline.run_for(2)
    page = await browser.read("/")
    assert "Grüß dich 🌿" in page
    assert "UCS-2 · 2 segments" in page
    assert "(415) 555-0100" in page
    assert f"/console/messages/{sid}" in page


@pytest.mark.parametrize("text", STRANGE)
async def test_text_from_strangers_never_becomes_markup(
    trunkline: Trunkline, browser: Browser, text: str
) -> None:
    """In bubbles, in the log, in a trace, in the name of a phone and in a webhook's answer."""
    trunkline.receiver.script = lambda seen: (500, "text/html", text.encode())
    await trunkline.configure_number(SmsUrl="https://app.example.com/sms")
    await trunkline.app.network.add_handset(ADA, text)
    await trunkline.app.network.send_from(ADA, trunkline.number, body=text)
    await trunkline.send(body=text)
    await trunkline.run_for(2)
    listed = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    inbound = next(m["sid"] for m in listed.json["messages"] if m["direction"] == "inbound")
    for path in ("/", "/messages", f"/messages/{inbound}"):
        page = await browser.read(path)
        tags = Markup(page).tags
        assert str(escape(text)) in page
        assert "<" not in text or text not in page
        assert [a for t, a in tags if t == "script"] == [
            {"type": "module", "src": "/console/static/console.js"}
        ]
        assert not [t for t, a in tags if "onerror" in a or "onload" in a]


async def test_control_characters_are_shown_and_do_nothing(
    trunkline: Trunkline, browser: Browser
) -> None:
    """Escapes become pictures, overrides of direction are taken out, each text stands by itself."""
    body = "a\x1b[31m\x07 \u202eb\u202c \x7f"
    await trunkline.app.network.send_from(ADA, trunkline.number, body=body)
    await trunkline.run_for(1)
    page = await browser.read("/")
    assert "a\u241b[31m\u2407 \ufffdb" in page
    assert not set("\x1b\x07\x7f\u202e") & set(page)
    assert '<p class="bubble text" dir="auto">' in page


async def test_a_reply_shows_with_its_ticks(trunkline: Trunkline, browser: Browser) -> None:
    """On its way at first, delivered once our number has it."""
    await trunkline.app.network.send_from(ADA, trunkline.number, body="hello")
    assert "on its way" in await browser.read(f"/phones/{ADA}/thread")
    await trunkline.run_for(1)
    thread = await browser.read(f"/phones/{ADA}/thread")
    assert "is-arrived" in thread
    assert "on its way" not in thread


async def test_a_long_conversation_goes_back_page_by_page(
    trunkline: Trunkline, browser: Browser
) -> None:
    """The shelf shows the newest texts; a link leads to the earlier ones."""
    for index in range(45):
        await trunkline.app.network.send_from(ADA, trunkline.number, body=f"text {index:02}")
    page = await browser.read("/")
    assert "text 44" in page
    assert "text 04" not in page
    (link,) = re.findall(r'href="/console(/phones/[^"]+before=\w+)"', page)
    earlier = await browser.read(link)
    assert "text 04" in earlier
    assert "text 05" not in earlier


# The log and the trace.


async def test_the_log_narrows_by_number_status_direction_and_day(
    trunkline: Trunkline, browser: Browser
) -> None:
    """Each filter keeps what it names and drops the rest."""
    await trunkline.send(body="to Ada")
    await trunkline.send("+15555530003", body="to nobody")
    await trunkline.run_for(2)
    await trunkline.app.network.send_from("+15550100001", trunkline.number, body="from Bo")
    await trunkline.run_for(1)
    today, yesterday = "2026-11-20", "2026-11-19"
    cases: list[tuple[Mapping[str, str], set[str]]] = [
        ({}, {"to Ada", "to nobody", "from Bo"}),
        ({"number": ADA}, {"to Ada"}),
        ({"number": " 15550100001"}, {"from Bo"}),
        ({"status": "undelivered"}, {"to nobody"}),
        ({"direction": "inbound"}, {"from Bo"}),
        ({"day": today, "status": "delivered"}, {"to Ada"}),
        ({"day": yesterday}, set()),
    ]
    for query, expected in cases:
        page = await browser.read(f"/messages?{urlencode(query)}")
        assert {t for t in ("to Ada", "to nobody", "from Bo") if t in page} == expected, query


async def test_the_last_day_of_all_is_a_day(browser: Browser) -> None:
    """After it comes none."""
    await browser.read("/messages?day=9999-12-31")


async def test_nonsense_in_a_filter_is_named_and_not_applied(
    trunkline: Trunkline, browser: Browser
) -> None:
    """A typing mistake hides nothing."""
    await trunkline.send(body="to Ada")
    query = urlencode({"number": "???", "status": "x", "direction": "up", "day": "soon"})
    page = await browser.read(f"/messages?{query}&after=zzz")
    assert "not applied: number, status, direction, day" in page
    assert "to Ada" in page


async def test_the_log_pages_by_key(trunkline: Trunkline, browser: Browser) -> None:
    """Older and back to newer, with the filters kept."""
    for index in range(ROWS_MAX + 3):
        await trunkline.send(body=f"text {index:02}")
    first = await browser.read(f"/messages?number={quote(ADA)}")
    assert first.count("<tr data-key") == ROWS_MAX
    assert "text 02" not in first
    (older,) = re.findall(r'href="/console(/messages[^"]+)" rel="next"', first)
    second = await browser.read(older.replace("&amp;", "&"))
    assert second.count("<tr data-key") == 3
    assert "number=%2B15558675310" in older
    (newer,) = re.findall(r'href="/console(/messages[^"]+)" rel="prev"', second)
    assert (await browser.read(newer.replace("&amp;", "&"))).count("<tr data-key") == ROWS_MAX


async def test_a_trace_tells_the_whole_way(trunkline: Trunkline, browser: Browser) -> None:
    """Acceptance, hand-over, receipts, every webhook attempt and what it was answered."""
    trunkline.receiver.script = lambda seen: (503, "text/plain", b"<b>later</b>")
    callback = "https://app.example.com/status?a=1"
    sent = await trunkline.send(body="x" * 161, StatusCallback=callback)
    await trunkline.run_for(2)
    page = await browser.read(f"/messages/{sent.json['sid']}")
    for words in (
        "Accepted",
        "Handed over",
        "Segment 2 delivered",
        "Webhook “sent”",
        "HTTP 503",
        "11200 HTTP retrieval failure",
        "&lt;b&gt;later&lt;/b&gt;",
        "Webhook “delivered” is due",
        callback,
        "GSM-7 · 2 segments",
    ):
        assert words in page, words
    assert page.count("Webhook trouble") == 0


@pytest.mark.parametrize(
    ("again", "words"), [(True, "It was handed over again."), (False, "It was given up.")]
)
async def test_a_doubt_after_a_crash_is_told(
    trunkline: Trunkline, browser: Browser, again: bool, words: str
) -> None:
    """What may have reached a phone twice, or not at all, is no secret."""
    sid = (await trunkline.send()).json["sid"]
    detail = {"carrier": "simulated", "segments": 1, "submitted_again": again}
    entry = Event(
        sid="EV1",
        account_sid=trunkline.account_sid,
        message_sid=sid,
        at=NOON,
        kind="in_doubt",
        detail=detail,
    )
    await trunkline.app.store.write(lambda db: insert_events(db, [entry]))
    assert words in await browser.read(f"/messages/{sid}")


async def test_a_failed_message_says_why(trunkline: Trunkline, browser: Browser) -> None:
    """The code and its meaning, in the log and in the trace."""
    sid = (await trunkline.send("+15555530003")).json["sid"]
    await trunkline.run_for(2)
    assert "30003" in await browser.read("/messages?status=undelivered")
    page = await browser.read(f"/messages/{sid}")
    assert "Not delivered" in page
    assert "30003 Unreachable destination handset" in page


async def test_a_text_and_its_reply_lead_to_each_other(
    trunkline: Trunkline, browser: Browser
) -> None:
    """From the trace of one to the trace of the other."""
    twiml = b"<Response><Message>Welcome!</Message></Response>"
    trunkline.receiver.script = lambda seen: (200, "text/xml", twiml)
    await trunkline.configure_number(SmsUrl="https://app.example.com/sms")
    await trunkline.app.network.send_from(ADA, trunkline.number, body="JOIN")
    await trunkline.run_for(2)
    listed = (await trunkline.request("GET", f"{trunkline.base}/Messages.json")).json["messages"]
    sids = {message["direction"]: message["sid"] for message in listed}
    inbound = await browser.read(f"/messages/{sids['inbound']}")
    assert f"/console/messages/{sids['outbound-reply']}" in inbound
    assert "Welcome!" in inbound
    assert f"/console/messages/{sids['inbound']}" in await browser.read(
        f"/messages/{sids['outbound-reply']}"
    )


async def test_what_is_not_there_is_404(browser: Browser) -> None:
    """As a page that leads back."""
    for path in ("/messages/SM" + "0" * 32, "/phones/+15550000000", "/none"):
        answer = await browser.request("GET", path)
        assert answer.status == 404
        assert b'href="/console/"' in answer.body


# What its forms do.


async def test_a_phone_texts_our_number(trunkline: Trunkline, browser: Browser) -> None:
    """Without scripts a form leads back to the phone; with scripts it only says that it worked."""
    await trunkline.app.network.add_handset(ADA)
    form = {"to": trunkline.number, "body": "line one\r\nline two"}
    answer = await browser.submit(f"/phones/{ADA}/texts", form)
    assert (answer.status, answer.headers["location"]) == (303, f"/console/#{ADA}")
    assert (await browser.submit(f"/phones/{ADA}/texts", form, x_console="1")).status == 204
    await trunkline.run_for(1)
    listed = (await trunkline.request("GET", f"{trunkline.base}/Messages.json")).json["messages"]
    assert [m["body"] for m in listed] == ["line one\nline two"] * 2


async def test_stop_is_one_click(trunkline: Trunkline, browser: Browser) -> None:
    """Whatever is being typed."""
    await trunkline.app.network.add_handset(ADA)
    form = {"to": trunkline.number, "body": "half a sent", "keyword": "STOP"}
    await browser.submit(f"/phones/{ADA}/texts", form)
    (text,) = await trunkline.app.network.texts(ADA)
    assert text.body == "STOP"


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"to": "nobody", "body": "hi"}, "Phone Number"),
        ({"to": "+14155550100", "body": "  "}, "must be specified"),
        ({"to": "+14155550100", "body": "x" * 1601}, "1600 character limit"),
    ],
)
async def test_a_text_that_cannot_be_sent_says_why_and_is_kept(
    trunkline: Trunkline, browser: Browser, form: dict[str, str], reason: str
) -> None:
    """The page comes back with what was typed; a script gets the sentence."""
    await trunkline.app.network.add_handset(ADA)
    answer = await browser.submit(f"/phones/{ADA}/texts", form)
    assert answer.status == 400
    assert reason in answer.body.decode()
    assert form["body"] in answer.body.decode()
    told = await browser.submit(f"/phones/{ADA}/texts", form, x_console="1")
    assert told.status == 422
    assert reason in told.body.decode()
    assert await trunkline.app.network.texts(ADA) == []


async def test_a_newcomer_sends_a_test_text(trunkline: Trunkline, browser: Browser) -> None:
    """From our number to the phone, by the same way as a program's."""
    await trunkline.app.network.add_handset(ADA)
    assert "Send a test text" in await browser.read("/")
    form = {"from": trunkline.number, "body": "Hello there"}
    assert (await browser.submit(f"/phones/{ADA}/test", form)).status == 303
    await trunkline.run_for(2)
    assert "Hello there" in await browser.read("/")
    refused = await browser.submit(f"/phones/{ADA}/test", {"body": "no sender"}, x_console="1")
    assert refused.status == 422
    assert b"21603" in refused.body


async def test_phones_come_go_and_behave(trunkline: Trunkline, browser: Browser) -> None:
    """One click makes one; its options name it, break it and take it away."""
    answer = await browser.submit("/phones")
    (handset,) = await trunkline.app.network.handsets()
    assert answer.headers["location"] == f"/console/#{handset.number}"
    form = {"name": "Off the grid", "behaviour": "off"}
    await browser.submit(f"/phones/{handset.number}", form)
    page = await browser.read("/")
    assert "Off the grid" in page
    assert "The phone is off" in page
    sid = (await trunkline.send(handset.number)).json["sid"]
    await trunkline.run_for(2)
    assert (await trunkline.message(sid))["error_code"] == 30003
    too_long = await browser.submit(f"/phones/{handset.number}", {"name": "x" * 65})
    assert too_long.status == 400
    assert (await browser.submit(f"/phones/{handset.number}/remove")).status == 303
    assert await trunkline.app.network.handsets() == []


@pytest.mark.parametrize("url", ["http://[::1/x.png", "http:///x.png", "ftp://a.example/x"])
async def test_media_without_an_address_are_not_sent(
    trunkline: Trunkline, browser: Browser, url: str
) -> None:
    """Nor do they break the page, wherever they come from."""
    path = f"/trunkline/v1/phones/{ADA}/texts"
    form = {"To": trunkline.number, "Body": "x", "MediaUrl": url}
    answer = await trunkline.request("POST", path, form)
    assert (answer.status, answer.json["code"]) == (400, 21620)
    assert foreign_link(url).kind in ("gone", "link")
    await browser.read("/")


@pytest.mark.parametrize(
    ("body", "label", "fits"),
    [
        ("Hello", "GSM-7 · 1 segment · 155 left", True),
        ("ü" * 161, "GSM-7 · 2 segments · 145 left", True),
        ("🌿", "UCS-2 · 1 segment · 68 left", True),
        ("x" * 1601, "1,601 of 1,600 characters", False),
    ],
)
async def test_the_cost_of_a_text_shows_while_it_is_typed(
    browser: Browser, body: str, label: str, fits: bool
) -> None:
    """Encoding, segments and how far it is to the next."""
    answer = await browser.submit("/hint", {"body": body})
    assert answer.json == {"label": label, "fits": fits}


async def test_a_form_without_end_is_refused(browser: Browser) -> None:
    """Too many bytes, or too many fields."""
    assert (await browser.submit("/hint", {"body": "x" * 70_000})).status == 413
    assert (await browser.submit("/hint", {f"f{i}": "" for i in range(60)})).status == 400


async def test_the_token_shows_only_when_asked_for(trunkline: Trunkline, browser: Browser) -> None:
    """No page holds it before; afterwards the snippets are complete."""
    for page in (await pages(trunkline, browser)).values():
        assert trunkline.auth_token not in page
    assert (await browser.request("GET", "/connect/token")).status == 405
    answer = await browser.submit("/connect/token")
    assert answer.status == 200
    assert answer.body.decode().count(trunkline.auth_token) == 4
    assert answer.headers["cache-control"] == "no-store"


async def test_a_numbers_webhook_is_set_by_a_form(trunkline: Trunkline, browser: Browser) -> None:
    """What cannot be called is refused with the reason; nobody else's number is touched."""
    page = await browser.read("/connect")
    (path,) = re.findall(r'action="/console(/numbers/PN\w{32})"', page)
    url = "http://localhost:5000/sms"
    assert (await browser.submit(path, {"sms_url": url, "sms_method": "GET"})).status == 303
    number = await trunkline.app.platform.directory.number(trunkline.number)
    assert number is not None
    assert (number.sms_url, number.sms_method) == (url, "GET")
    refused = await browser.submit(path, {"sms_url": "ftp://x", "sms_method": "POST"})
    assert refused.status == 400
    assert 'role="alert"' in refused.body.decode()
    missing = await browser.submit("/numbers/PN" + "0" * 32, {"sms_url": url})
    assert missing.status == 404


# What is live.


class Stream:
    """Reads a console's stream of events as a page does."""

    def __init__(self, console: Console, headers: Mapping[str, str]) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.parts: asyncio.Queue[str] = asyncio.Queue()
        self._gone = asyncio.Event()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "GET",
            "path": "/console/events",
            "query_string": b"",
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }
        self.task = asyncio.create_task(console(scope, self._receive, self._send))

    async def next(self, event: str) -> Any:
        """Return the data of the next event of a kind."""
        async with asyncio.timeout(5):
            while True:
                part = await self.parts.get()
                if part.startswith(f"event: {event}\n"):
                    data = part.split("data:")[1].strip()
                    return json.loads(data) if data else None

    async def hears(self, topic: str, sid: str) -> bool:
        """Return True once the page was told of something; time runs out otherwise."""
        while [topic, sid] not in await self.next("news"):
            continue
        return True

    async def leave(self) -> None:
        """Close the page."""
        self._gone.set()
        await self.task

    async def _receive(self) -> dict[str, object]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status.set_result(message["status"])
        elif body := message.get("body"):
            self.parts.put_nowait(body.decode())


Listen = Callable[..., Stream]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Return what opens streams; all are closed in the end."""
    streams: list[Stream] = []

    def open_stream(console: Console, **headers: str) -> Stream:
        streams.append(Stream(console, {"host": HOST} | headers))
        return streams[-1]

    yield open_stream
    for stream in streams:
        await stream.leave()


async def test_what_changes_is_told_to_the_page(trunkline: Trunkline, listen: Listen) -> None:
    """A message's SID and a phone's number, as soon as something happens to them."""
    stream = listen(local_console(trunkline))
    assert await stream.status == 200
    await stream.parts.get()
    sid = (await trunkline.send()).json["sid"]
    assert await stream.hears("message", sid)
    await trunkline.run_for(2)
    assert await stream.hears("handset", ADA)


async def test_news_of_others_are_not_told(trunkline: Trunkline, listen: Listen) -> None:
    """A subaccount hears of its own messages, and nothing of phones."""
    sid, token = await subaccount(trunkline)
    stream = listen(public_console(trunkline), authorization=basic(sid, token))
    assert await stream.status == 200
    await stream.parts.get()
    feed = trunkline.app.platform.feed
    feed.publish(News("message", trunkline.account_sid, "SM1"))
    feed.publish(News("handset", "", ADA))
    feed.publish(News("message", sid, "SM2"))
    assert await stream.next("news") == [["message", "SM2"]]


async def test_a_page_that_would_have_to_look_at_everything_is_told_so(
    trunkline: Trunkline, listen: Listen
) -> None:
    """A burst becomes one event that says: look again."""
    stream = listen(local_console(trunkline))
    assert await stream.status == 200
    await stream.parts.get()
    for index in range(NEWS_MAX + 1):
        trunkline.app.platform.feed.publish(News("message", trunkline.account_sid, f"SM{index}"))
    assert await stream.next("reload") is None


async def test_streams_are_bounded_and_end_with_the_program(
    trunkline: Trunkline, listen: Listen
) -> None:
    """One too many is refused; when the program stops, all end and nobody subscribes any more."""
    console = local_console(trunkline)
    streams = [listen(console) for _ in range(SUBSCRIBERS_MAX)]
    for stream in streams:
        await stream.parts.get()
    assert await listen(console).status == 503
    console.close()
    await asyncio.gather(*(stream.task for stream in streams))
    assert not trunkline.app.platform.feed.is_watched
    assert await listen(console).status == 503


async def test_a_suspended_account_sees_nothing_and_does_nothing(
    trunkline: Trunkline, listen: Listen
) -> None:
    """As with the API; and a page that is open hears no more."""
    browser = Browser(public_console(trunkline))
    sid, token = await subaccount(trunkline)
    login = {"authorization": basic(sid, token)}
    stream = listen(public_console(trunkline), **login)
    assert await stream.status == 200
    await stream.parts.get()
    change = {"Status": "suspended"}
    answer = await trunkline.request("POST", f"/2010-04-01/Accounts/{sid}.json", change)
    assert answer.status == 200
    assert (await browser.request("GET", "/messages", **login)).status == 403
    assert (await browser.submit("/connect/token", {}, **login)).status == 403
    trunkline.app.platform.feed.publish(News("message", sid, "SM1"))
    await stream.task


async def test_one_account_does_not_take_everybodys_streams(
    trunkline: Trunkline, listen: Listen
) -> None:
    """Each has its share, and the main account what all the others leave."""
    console = public_console(trunkline)
    for number in range(SUBSCRIBERS_OF_OTHERS_MAX // SUBSCRIBERS_OF_ONE_MAX + 1):
        login = {"authorization": basic(*await subaccount(trunkline))}
        streams = [listen(console, **login) for _ in range(SUBSCRIBERS_OF_ONE_MAX + 1)]
        statuses = [await stream.status for stream in streams]
        is_full = number * SUBSCRIBERS_OF_ONE_MAX >= SUBSCRIBERS_OF_OTHERS_MAX
        assert statuses.count(200) == (0 if is_full else SUBSCRIBERS_OF_ONE_MAX)
    own = basic(trunkline.account_sid, trunkline.auth_token)
    assert await listen(console, authorization=own).status == 200


async def test_pages_that_come_all_at_once_are_counted(
    trunkline: Trunkline, listen: Listen
) -> None:
    """None slips in before the first of them has begun to listen."""
    console = local_console(trunkline)
    streams = [listen(console) for _ in range(SUBSCRIBERS_MAX + 20)]
    statuses = [await stream.status for stream in streams]
    assert (statuses.count(200), statuses.count(503)) == (SUBSCRIBERS_MAX, 20)
