"""Texts that come in: webhooks, TwiML, replies, fallbacks, and what goes wrong on the way."""

import asyncio
import contextlib
import hashlib
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse

from tests.harness import Script, Seen, Trunkline
from trunkline.flows.callbacks import finish
from trunkline.flows.conversation import LoopGuard, deliver_inbound
from trunkline.store.callbacks import load_due_callbacks
from trunkline.store.media import SHELVES

APP = "https://app.example.com/sms"
PHONE = "+15558675310"


def twiml(text: str) -> Script:
    """Answer everything with TwiML."""
    return lambda seen: (200, "text/xml", text.encode())


def by_path(**answers: Any) -> Script:
    """Answer by the last part of the path."""

    def script(seen: Seen) -> tuple[int, str, bytes]:
        name = urlsplit(seen.url).path.rpartition("/")[2]
        answer = answers[name]
        return answer if isinstance(answer, tuple) else (200, "text/xml", answer.encode())

    return script


async def speak(trunkline: Trunkline, body: str = "Hi", media: tuple[str, ...] = ()) -> None:
    """Let the phone send a text to our number, and let everything happen."""
    await trunkline.app.network.send_from(PHONE, trunkline.number, body=body, media=media)
    await trunkline.run_for(10)


async def messages(trunkline: Trunkline, **query: str) -> list[Any]:
    """Return our messages, newest first."""
    answer = await trunkline.request("GET", f"{trunkline.base}/Messages.json", query)
    return list(answer.json["messages"])


async def errors(trunkline: Trunkline) -> list[int]:
    """Return the webhook errors in the trace of the newest inbound message."""
    inbound = next(m for m in await messages(trunkline) if m["direction"] == "inbound")
    events = await trunkline.events(inbound["sid"])
    return [e["detail"]["error_code"] for e in events if e["kind"] == "webhook_error"]


async def test_an_inbound_text_is_told_and_answered(trunkline: Trunkline) -> None:
    """The application gets Twilio's parameters, signed, and its reply reaches the phone."""
    await trunkline.configure_number(SmsUrl=APP)
    response = MessagingResponse()
    response.message("Thanks <you> & all")
    trunkline.receiver.script = twiml(str(response))
    await speak(trunkline, "Hello ☃")
    (seen,) = trunkline.receiver.seen
    inbound = next(m for m in await messages(trunkline) if m["direction"] == "inbound")
    assert seen.form["MessageSid"] == seen.form["SmsSid"] == seen.form["SmsMessageSid"]
    assert seen.form["MessageSid"] == inbound["sid"]
    expected = {
        "From": PHONE,
        "To": trunkline.number,
        "Body": "Hello ☃",
        "NumMedia": "0",
        "NumSegments": "1",
        "SmsStatus": "received",
        "AccountSid": trunkline.account_sid,
        "ApiVersion": "2010-04-01",
        "FromCountry": "US",
        "ToState": "CA",
        "FromCity": "",
    }
    assert expected.items() <= seen.form.items()
    assert RequestValidator(trunkline.auth_token).validate(
        APP, seen.form, seen.headers["X-Twilio-Signature"]
    )
    assert seen.headers["I-Twilio-Idempotency-Token"]
    reply = next(m for m in await messages(trunkline) if m["direction"] == "outbound-reply")
    assert (reply["body"], reply["status"]) == ("Thanks <you> & all", "delivered")
    (shown,) = await trunkline.app.network.inbox(PHONE)
    assert shown.body == "Thanks <you> & all"
    assert (inbound["status"], inbound["error_code"]) == ("received", None)


async def test_get_puts_the_parameters_into_the_signed_query(trunkline: Trunkline) -> None:
    """With SmsMethod=GET the whole URL is signed and the body is empty."""
    await trunkline.configure_number(SmsUrl=f"{APP}?tenant=7", SmsMethod="GET")
    await speak(trunkline)
    (seen,) = trunkline.receiver.seen
    assert seen.method == "GET"
    query = dict(parse_qsl(urlsplit(seen.url).query, keep_blank_values=True))
    assert (query["tenant"], query["Body"]) == ("7", "Hi")
    validator = RequestValidator(trunkline.auth_token)
    assert validator.validate(seen.url, {}, seen.headers["X-Twilio-Signature"])


async def test_plain_text_is_sent_back(trunkline: Trunkline) -> None:
    """An answer of text/plain is the reply itself."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = lambda seen: (200, "text/plain; charset=utf-8", "Grüße".encode())
    await speak(trunkline)
    (shown,) = await trunkline.app.network.inbox(PHONE)
    assert shown.body == "Grüße"


async def test_html_is_read_as_twiml(trunkline: Trunkline) -> None:
    """Frameworks say text/html when a handler returns str(response)."""
    await trunkline.configure_number(SmsUrl=APP)
    answer = b"<Response><Message>ok</Message></Response>"
    trunkline.receiver.script = lambda seen: (200, "text/html; charset=utf-8", answer)
    await speak(trunkline)
    (shown,) = await trunkline.app.network.inbox(PHONE)
    assert shown.body == "ok"


async def test_a_reply_has_callbacks_of_its_own(trunkline: Trunkline) -> None:
    """statusCallback may be relative; it gets the reply's statuses."""
    await trunkline.configure_number(SmsUrl=APP)
    text = '<Response><Message statusCallback="/done">x</Message></Response>'
    trunkline.receiver.script = by_path(sms=text, done=(204, "", b""))
    await speak(trunkline)
    done = [s.form["MessageStatus"] for s in trunkline.receiver.seen if s.url.endswith("/done")]
    assert done == ["sent", "delivered"]


async def test_redirects_lead_on(trunkline: Trunkline) -> None:
    """What comes before a Redirect is done, what comes after is not."""
    await trunkline.configure_number(SmsUrl=APP)
    first = (
        '<Response><Message>one</Message><Redirect method="GET">next?a=1</Redirect>'
        "<Message>never</Message></Response>"
    )
    trunkline.receiver.script = by_path(
        sms=first, next="<Response><Message>two</Message></Response>"
    )
    await speak(trunkline)
    assert [s.method for s in trunkline.receiver.seen] == ["POST", "GET"]
    shown = await trunkline.app.network.inbox(PHONE)
    assert [t.body for t in shown] == ["one", "two"]


async def test_an_action_takes_over(trunkline: Trunkline) -> None:
    """The document at a Message's action replaces the rest and is told of the reply."""
    await trunkline.configure_number(SmsUrl=APP)
    text = '<Response><Message action="then">one</Message><Message>never</Message></Response>'
    trunkline.receiver.script = by_path(
        sms=text, then="<Response><Message>two</Message></Response>"
    )
    await speak(trunkline)
    shown = await trunkline.app.network.inbox(PHONE)
    assert [t.body for t in shown] == ["one", "two"]
    then = trunkline.receiver.seen[-1].form
    reply = next(m for m in await messages(trunkline) if m["body"] == "one")
    assert (then["MessageSid"], then["MessageStatus"]) == (reply["sid"], "queued")


async def test_a_redirect_loop_ends(trunkline: Trunkline) -> None:
    """Ten documents are the limit (14106); nothing is sent."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = twiml("<Response><Redirect>sms</Redirect></Response>")
    await speak(trunkline)
    assert len(trunkline.receiver.seen) == 10
    assert await errors(trunkline) == [14106]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((200, "text/xml", b"<Response><Message>"), 12100),
        ((200, "text/xml", b"<Answer/>"), 12102),
        ((200, "application/json", b"{}"), 12300),
        ((200, "text/xml", b"<Response>" + b" " * 70_000 + b"</Response>"), 11750),
        ((404, "text/html", b"no"), 11200),
    ],
)
async def test_errors_are_recorded_on_the_message(
    trunkline: Trunkline, answer: tuple[int, str, bytes], code: int
) -> None:
    """The message stays `received` and carries the code; nothing is asked again."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = lambda seen: answer
    await speak(trunkline)
    await trunkline.run_for(10_000)
    (inbound,) = await messages(trunkline)
    assert (inbound["status"], inbound["error_code"]) == ("received", code)
    assert inbound["error_message"]
    assert await errors(trunkline) == [code]
    assert len(trunkline.receiver.seen) == 1


async def test_unknown_verbs_are_warnings(trunkline: Trunkline) -> None:
    """12200 is recorded and the rest is obeyed."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = twiml("<Response><Dance/><Message>ok</Message></Response>")
    await speak(trunkline)
    assert await errors(trunkline) == [12200]
    assert len(await trunkline.app.network.inbox(PHONE)) == 1


async def test_the_fallback_is_asked_when_the_first_fails(trunkline: Trunkline) -> None:
    """It gets the same parameters with ErrorCode and ErrorUrl, and its answer counts."""
    await trunkline.configure_number(SmsUrl=APP, SmsFallbackUrl="https://app.example.com/fallback")
    trunkline.receiver.script = by_path(
        sms=(500, "text/plain", b"boom"),
        fallback="<Response><Message>sorry</Message></Response>",
    )
    await speak(trunkline)
    first, second = trunkline.receiver.seen
    assert (second.form["ErrorCode"], second.form["ErrorUrl"]) == ("11200", APP)
    assert second.form["MessageSid"] == first.form["MessageSid"]
    (shown,) = await trunkline.app.network.inbox(PHONE)
    assert shown.body == "sorry"


async def test_a_receiver_that_comes_back_is_told(trunkline: Trunkline) -> None:
    """A failed webhook is made again with the same token until it succeeds; the blame goes."""
    await trunkline.configure_number(SmsUrl=APP)
    outcomes = [0, 503, 200]
    trunkline.receiver.script = lambda seen: (outcomes.pop(0), "text/plain", b"back")
    await speak(trunkline)
    await trunkline.run_for(120)
    tokens = {s.headers["I-Twilio-Idempotency-Token"] for s in trunkline.receiver.seen}
    assert (len(trunkline.receiver.seen), len(tokens)) == (3, 1)
    (shown,) = await trunkline.app.network.inbox(PHONE)
    assert shown.body == "back"
    inbound = next(m for m in await messages(trunkline) if m["direction"] == "inbound")
    assert inbound["error_code"] is None


async def test_callbacks_keep_their_order_through_failures(trunkline: Trunkline) -> None:
    """`delivered` waits until `sent` was received; a parked callback no longer holds it up."""
    outcomes = [503, 503, 204, 204]
    trunkline.receiver.script = lambda seen: (outcomes.pop(0), "", b"")
    sid = (await trunkline.send(StatusCallback=APP)).json["sid"]
    await trunkline.run_for(200)
    assert trunkline.receiver.statuses(sid) == ["sent", "sent", "sent", "delivered"]
    trunkline.receiver.seen.clear()
    trunkline.receiver.script = lambda seen: (
        204 if seen.form["MessageStatus"] == "delivered" else 503,
        "",
        b"",
    )
    sid = (await trunkline.send(StatusCallback=APP)).json["sid"]
    await trunkline.run_for(10_000)
    assert trunkline.receiver.statuses(sid) == ["sent"] * 6 + ["delivered"]


async def test_a_reply_loop_is_broken(trunkline: Trunkline) -> None:
    """The sixteenth reply within thirty seconds fails with 14107."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = twiml("<Response><Message>again</Message></Response>")
    for _ in range(16):
        await trunkline.app.network.send_from(PHONE, trunkline.number, body="x")
    await trunkline.run_for(10)
    codes = [m["error_code"] for m in await messages(trunkline, To=PHONE)]
    assert sorted(codes, key=str) == [14107] + [None] * 15


async def test_media_come_in_and_go_back(trunkline: Trunkline) -> None:
    """A picture is fetched, kept, told by our own URL, and may be sent back by it."""
    await trunkline.configure_number(SmsUrl=APP)
    picture = b"\x89PNG picture"

    def script(seen: Seen) -> tuple[int, str, bytes]:
        if seen.url.endswith("cat.png"):
            return 200, "image/png", picture
        url = seen.form["MediaUrl0"]
        text = f"<Response><Message><Body>nice</Body><Media>{url}</Media></Message></Response>"
        return 200, "text/xml", text.encode()

    trunkline.receiver.script = script
    await speak(trunkline, "", ("https://pictures.example.com/cat.png",))
    told = trunkline.receiver.seen[-1].form
    assert (told["NumMedia"], told["MediaContentType0"], told["Body"]) == ("1", "image/png", "")
    inbound = next(m for m in await messages(trunkline) if m["direction"] == "inbound")
    assert inbound["sid"].startswith("MM")
    assert inbound["num_media"] == "1"
    path = told["MediaUrl0"].removeprefix("http://127.0.0.1:8800")
    content = await trunkline.download(path)
    assert (content.body, content.headers["content-type"]) == (picture, "image/png")
    assert (await trunkline.request("GET", path, auth=None)).status == 401
    reply = next(m for m in await messages(trunkline) if m["direction"] == "outbound-reply")
    assert (reply["status"], reply["num_media"]) == ("delivered", "1")
    (shown,) = await trunkline.app.network.inbox(PHONE)
    assert len(shown.media) == 1


async def test_media_that_cannot_be_fetched_fail_the_message(trunkline: Trunkline) -> None:
    """After three tries the message fails with what the server answered."""
    trunkline.receiver.script = lambda seen: (503, "", b"")
    sid = (await trunkline.send(MediaUrl="https://pictures.example.com/cat.png")).json["sid"]
    await trunkline.run_for(300)
    message = await trunkline.message(sid)
    assert (message["status"], message["error_code"]) == ("failed", 11200)
    assert len(trunkline.receiver.seen) == 4


async def test_a_text_to_nobody_is_not_stored(trunkline: Trunkline) -> None:
    """A number that nobody holds receives nothing."""
    await trunkline.app.network.send_from(PHONE, "+14155550123", body="anyone?")
    await trunkline.run_for(5)
    assert await messages(trunkline) == []


async def test_texts_and_pictures_share_one_order(trunkline: Trunkline) -> None:
    """SM… and MM… are listed by age, page by page."""
    trunkline.receiver.script = lambda seen: (200, "image/png", b"png")
    sids = []
    for n in range(6):
        media = {"MediaUrl": "https://pictures.example.com/cat.png"} if n % 2 else {}
        sids.append((await trunkline.send(body=str(n), **media)).json["sid"])
    path, seen = f"{trunkline.base}/Messages.json?PageSize=2", []
    while path:
        page = (await trunkline.request("GET", path)).json
        seen += [m["sid"] for m in page["messages"]]
        path = page["next_page_uri"]
    assert seen == sids[::-1]


ONE_AND_ON = "<Message>one</Message><Redirect>/next</Redirect>"
BAD_ENDS = {
    "refused": (404, "text/plain", b"no"),
    "out of order": (500, "text/plain", b"oops"),
    "unreadable": (200, "application/json", b"{}"),
    "gone": (0, "", b""),
}


@pytest.mark.parametrize("leading", ['<Message action="/next">one</Message>', ONE_AND_ON])
@pytest.mark.parametrize("bad", BAD_ENDS.values(), ids=BAD_ENDS)
@pytest.mark.parametrize("with_fallback", [False, True])
async def test_what_was_said_stays_said(
    trunkline: Trunkline, leading: str, bad: tuple[int, str, bytes], with_fallback: bool
) -> None:
    """A document that cannot be had takes back nothing of those before it, nor is that repeated."""
    fallback = {"SmsFallbackUrl": "https://app.example.com/fallback"} if with_fallback else {}
    await trunkline.configure_number(SmsUrl=APP, **fallback)
    trunkline.receiver.script = by_path(
        sms=f"<Response>{leading}</Response>",
        next=bad,
        fallback="<Response><Message>sorry</Message></Response>",
    )
    await speak(trunkline)
    await trunkline.run_for(7200)
    said = [m["body"] for m in await messages(trunkline) if m["direction"] == "outbound-reply"]
    assert sorted(said) == ["one", "sorry"] if with_fallback else said == ["one"]
    paths = [urlsplit(seen.url).path for seen in trunkline.receiver.seen]
    assert paths == ["/sms", "/next", *(["/fallback"] if with_fallback else [])]


async def test_an_alert_is_about_the_request_it_names(trunkline: Trunkline) -> None:
    """What the first URL answered stands with the first, what the fallback did with that."""
    await trunkline.configure_number(SmsUrl=APP, SmsFallbackUrl="https://app.example.com/fallback")
    trunkline.receiver.script = by_path(
        sms=(405, "text/plain", b"first"), fallback=(404, "text/plain", b"second")
    )
    await speak(trunkline)
    listed = (await trunkline.request("GET", "/v1/Alerts")).json["alerts"]
    told = set()
    for alert in listed:
        whole = (await trunkline.request("GET", f"/v1/Alerts/{alert['sid']}")).json
        text = dict(parse_qsl(whole["alert_text"]))
        told.add((text["url"], text["httpResponse"], whole["response_body"]))
    assert told == {
        (APP, "405", "first"),
        ("https://app.example.com/fallback", "404", "second"),
    }


async def test_what_is_relative_is_so_to_its_document(trunkline: Trunkline) -> None:
    """Not to the one that led there."""
    await trunkline.configure_number(SmsUrl=APP)
    picture = "https://other.example.com/dir/pic.png"

    def script(seen: Seen) -> tuple[int, str, bytes]:
        if seen.url == picture:
            return 200, "image/png", b"png"
        if urlsplit(seen.url).path == "/dir/next":
            asked = "<Body>m</Body><Media>pic.png</Media>"
            text = f'<Message statusCallback="cb">{asked}</Message>'
        else:
            text = "<Redirect>https://other.example.com/dir/next</Redirect>"
        return 200, "text/xml", f"<Response>{text}</Response>".encode()

    trunkline.receiver.script = script
    await speak(trunkline)
    urls = {seen.url for seen in trunkline.receiver.seen}
    assert {picture, "https://other.example.com/dir/cb"} <= urls


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ('from="ACME"', 21612),
        ('from="+19998887777"', 14102),
        (f'from="MG{"0" * 32}"', 14102),
        ('to="whatsapp:+14155558679"', 21910),
        ('to="72345"', 14101),
        ('to="nobody"', 14101),
    ],
)
async def test_addresses_of_a_reply_are_judged_as_those_of_a_request(
    trunkline: Trunkline, attributes: str, code: int
) -> None:
    """What cannot be sent is left out, with an alert that holds no number."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = twiml(
        f"<Response><Message {attributes}>x</Message><Message>y</Message></Response>"
    )
    await speak(trunkline)
    said = [m["body"] for m in await messages(trunkline) if m["direction"] == "outbound-reply"]
    assert said == ["y"]
    assert await errors(trunkline) == [code]
    (alert,) = (await trunkline.request("GET", "/v1/Alerts")).json["alerts"]
    assert "9998887777" not in alert["alert_text"]


async def test_an_action_is_asked_about_the_reply(trunkline: Trunkline) -> None:
    """Its parties and where they are, and its SID by every name."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = by_path(
        sms='<Response><Message action="/next">one</Message></Response>', next="<Response/>"
    )
    await speak(trunkline)
    first, second = (seen.form for seen in trunkline.receiver.seen)
    assert (second["From"], second["To"]) == (first["To"], first["From"])
    assert (second["FromState"], second["ToState"]) == (first["ToState"], first["FromState"])
    (reply,) = [m for m in await messages(trunkline) if m["direction"] == "outbound-reply"]
    assert {second[name] for name in ("MessageSid", "SmsSid", "SmsMessageSid")} == {reply["sid"]}


async def test_a_status_callback_that_is_none_is_left_out(trunkline: Trunkline) -> None:
    """The reply goes out without it."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = twiml(
        '<Response><Message statusCallback="http://[">x</Message></Response>'
    )
    await speak(trunkline)
    assert (await messages(trunkline))[0]["body"] == "x"
    assert await errors(trunkline) == [14105]


async def test_a_text_to_a_number_of_ours_comes_in_there(trunkline: Trunkline) -> None:
    """Its application is told, and may answer; with pictures, too."""
    second = "+14155550188"
    form = {"PhoneNumber": second, "SmsUrl": "https://app.example.com/second"}
    bought = await trunkline.request("POST", f"{trunkline.base}/IncomingPhoneNumbers.json", form)
    assert bought.status == 201, bought.body
    trunkline.receiver.script = by_path(
        second="<Response><Message>and you</Message></Response>", pic=(200, "image/png", b"png")
    )
    sent = await trunkline.send(second, "hello", MediaUrl="https://app.example.com/pic")
    await trunkline.run_for(30)
    (seen,) = [s for s in trunkline.receiver.seen if s.url.endswith("/second")]
    assert (seen.form["From"], seen.form["To"], seen.form["Body"], seen.form["NumMedia"]) == (
        *(trunkline.number, second),
        *("hello", "1"),
    )
    found = {(m["direction"], m["to"]): m for m in await messages(trunkline)}
    assert set(found) == {
        *(("outbound-api", second), ("inbound", second)),
        *(("outbound-reply", trunkline.number), ("inbound", trunkline.number)),
    }
    assert found["outbound-api", second]["sid"] == sent.json["sid"]
    assert found["outbound-api", second]["status"] == "delivered"


async def test_two_numbers_that_answer_each_other_come_to_an_end(trunkline: Trunkline) -> None:
    """As with anybody else's number."""
    second = "+14155550188"
    form = {"PhoneNumber": second, "SmsUrl": APP}
    await trunkline.request("POST", f"{trunkline.base}/IncomingPhoneNumbers.json", form)
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = twiml("<Response><Message>pong</Message></Response>")
    await trunkline.send(second, "ping")
    await trunkline.run_for(600)
    everything = await messages(trunkline, PageSize="1000")
    assert 14107 in {m["error_code"] for m in everything}
    assert len(everything) < 100


async def test_media_that_are_no_urls_harm_nobody(trunkline: Trunkline) -> None:
    """A reply with an unusable media URL fails; the worker goes on."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = twiml(
        "<Response><Message><Body>x</Body><Media>javascript:alert(1)</Media></Message></Response>"
    )
    await speak(trunkline)
    reply = next(m for m in await messages(trunkline) if m["direction"] == "outbound-reply")
    assert (reply["status"], reply["error_code"]) == ("failed", 11100)


BROKEN_URLS = ("http://[", "//[", "http://[@localhost/x", "http://\u2100@localhost/", "//\u2100")


@pytest.mark.parametrize("url", BROKEN_URLS)
@pytest.mark.parametrize(
    "text",
    [
        "<Redirect>{}</Redirect>",
        '<Message statusCallback="{}">x</Message>',
        '<Message action="{}">x</Message>',
        "<Message><Body>x</Body><Media>{}</Media></Message>",
    ],
)
async def test_a_broken_url_is_asked_for_once(trunkline: Trunkline, text: str, url: str) -> None:
    """What the standard library itself cannot take apart ends the conversation with an error."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = twiml(f"<Response>{text.format(url)}</Response>")
    await speak(trunkline)
    assert len(trunkline.receiver.seen) == 1
    inbound, *_ = [m for m in await messages(trunkline) if m["direction"] == "inbound"]
    replies = [m for m in await messages(trunkline) if m["direction"] == "outbound-reply"]
    told = [*await errors(trunkline), inbound["error_code"], *(r["error_code"] for r in replies)]
    assert {11100, 14105} & set(told)


@pytest.mark.parametrize("header", ["image/\udcff", "x" * 9000, "image/png\x00", "", "text"])
async def test_a_type_that_is_none_is_octets(trunkline: Trunkline, header: str) -> None:
    """A carrier that sends nonsense beside its picture harms neither the message nor others."""
    trunkline.receiver.script = lambda seen: (200, header, b"picture")
    await speak(trunkline, "see", ("https://pictures.example.com/cat.png",))
    (message,) = await messages(trunkline)
    (medium,) = (
        await trunkline.request("GET", f"{trunkline.base}/Messages/{message['sid']}/Media.json")
    ).json["media_list"]
    assert medium["content_type"] == "application/octet-stream"


async def test_many_messages_bring_the_same_picture(trunkline: Trunkline) -> None:
    """They are written at the same moment, and kept once."""
    picture = b"p" * 4_000_000
    trunkline.receiver.script = lambda seen: (200, "image/png", picture)
    url = "https://pictures.example.com/cat.png"
    sids = [(await trunkline.send(MediaUrl=url)).json["sid"] for _ in range(16)]
    await trunkline.run_for(5)
    assert {(await trunkline.message(sid))["status"] for sid in sids} == {"delivered"}
    files = trunkline.app.platform.media_files
    kept = [digest for number in range(SHELVES) for digest in files.shelf(number)]
    assert kept == [hashlib.sha256(picture).hexdigest()]


async def test_a_webhook_that_meets_a_bug_is_put_off(trunkline: Trunkline) -> None:
    """It is tried as often as one that fails, not for ever; other webhooks are made meanwhile."""

    def script(seen: Seen) -> tuple[int, str, bytes]:
        if seen.url.endswith("/bug"):
            raise LookupError("ours")
        return 204, "", b""

    trunkline.receiver.script = script
    broken = (await trunkline.send(StatusCallback="https://app.example.com/bug")).json["sid"]
    sound = (await trunkline.send(StatusCallback="https://app.example.com/ok")).json["sid"]
    for _ in range(12):
        with contextlib.suppress(ExceptionGroup):
            await trunkline.run_for(4000)
    assert trunkline.receiver.statuses(sound) == ["sent", "delivered"]
    assert trunkline.receiver.statuses(broken) == ["sent"] * 6 + ["delivered"] * 6
    assert 20500 in [e["detail"].get("error_code") for e in await trunkline.events(broken)]


async def test_a_refused_address_is_not_asked_again(trunkline: Trunkline) -> None:
    """What the guard does not allow now it does not allow later; the error is on record."""
    trunkline.receiver.blocked = True
    sid = (await trunkline.send(StatusCallback=APP)).json["sid"]
    await trunkline.run_for(10_000)
    assert trunkline.receiver.statuses(sid) == ["sent", "delivered"]
    events = await trunkline.events(sid)
    errors = [e["detail"]["error_code"] for e in events if e["kind"] == "webhook_error"]
    assert errors == [11205, 11205]


async def test_a_text_redacted_under_way_stays_redacted(trunkline: Trunkline) -> None:
    """A webhook that succeeds after a failure takes the blame back, and nothing else."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = lambda seen: (503, "", b"")
    await speak(trunkline, "secret")
    (inbound,) = await messages(trunkline)
    path = f"{trunkline.base}/Messages/{inbound['sid']}.json"
    held = asyncio.Event()
    send = trunkline.receiver.send

    async def slow(*arguments: Any, **options: Any) -> Any:
        await held.wait()
        return await send(*arguments, **options)

    trunkline.receiver.send = slow  # type: ignore[method-assign]
    trunkline.receiver.script = lambda seen: (204, "", b"")
    trunkline.clock.advance(60)
    *_, webhooks = trunkline.app.workers
    while await webhooks.step():
        pass
    assert (await trunkline.request("POST", path, {"Body": ""})).status == 200
    held.set()
    await trunkline.run_for(60)
    after = await trunkline.message(inbound["sid"])
    assert (after["body"], after["error_code"]) == ("", None)


async def test_a_deleted_text_is_still_told(trunkline: Trunkline) -> None:
    """Its webhook was due before it was deleted, and says what it still may."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = lambda seen: (503, "", b"")
    await speak(trunkline, "gone soon")
    (inbound,) = await messages(trunkline)
    path = f"{trunkline.base}/Messages/{inbound['sid']}.json"
    assert (await trunkline.request("DELETE", path)).status == 204
    trunkline.receiver.seen.clear()
    trunkline.receiver.script = lambda seen: (200, "text/plain", b"hello?")
    await trunkline.run_for(120)
    assert [s.form["Body"] for s in trunkline.receiver.seen] == [""]
    assert await messages(trunkline) == []


async def test_two_nodes_that_ask_at_once_send_one_reply(trunkline: Trunkline) -> None:
    """One that was out of touch comes back with what another has done meanwhile."""
    await trunkline.configure_number(SmsUrl=APP)
    trunkline.receiver.script = lambda seen: (503, "", b"")
    await speak(trunkline)
    platform, later = trunkline.app.platform, trunkline.clock.now() + timedelta(days=1)
    (row,) = await platform.store.read(lambda db: load_due_callbacks(db, later, limit=9))
    trunkline.receiver.script = lambda seen: (200, "text/plain", b"here I am")
    sender = trunkline.receiver
    both = [await deliver_inbound(platform, sender, row, guard=LoopGuard()) for _ in range(2)]
    for delivery in both:
        await finish(platform, [delivery])
    bodies = [m["body"] for m in await messages(trunkline) if m["direction"] != "inbound"]
    assert bodies == ["here I am"]
