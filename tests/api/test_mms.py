"""Pictures, sounds and files on their way out: what is fetched and refused, and who is told."""

import contextlib
import dataclasses
import json
import re
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from tests.api.test_retention import passes
from tests.api.test_routes_admin import add_carrier, add_route, explain
from tests.api.test_service_sending import send, service
from tests.harness import Response, Seen, Trunkline
from trunkline.domain.media import MEDIA_BYTES_MAX, OTHER_BYTES_MAX
from trunkline.store.records import NUMBERS, find_unique, update_record
from trunkline.store.sending_tables import short_links

STATUS = "https://app.example.com/status"
SHOP = "https://shop.example.com"
PHONE = "+15558675310"
GERMAN = "+4915112345678"
CAT = {"MediaUrl": f"{SHOP}/cat.png"}


def serve(trunkline: Trunkline, **served: tuple[str, bytes]) -> None:
    """Let the shop serve content by the last part of a path, with underscores for points."""

    def script(seen: Seen) -> tuple[int, str, bytes]:
        name = seen.url.rpartition("/")[2].replace(".", "_")
        if name not in served:
            return (204, "", b"") if seen.method == "POST" else (404, "text/html", b"no")
        return 200, *served[name]

    trunkline.receiver.script = script


def asked(trunkline: Trunkline) -> list[str]:
    """Return what the shop was asked for."""
    seen = [each.url for each in trunkline.receiver.seen]
    return [url.removeprefix(f"{SHOP}/") for url in seen if url.startswith(SHOP)]


async def test_ten_media_arrive_together(trunkline: Trunkline) -> None:
    """In their order and with their types, in one message of one segment; eleven are refused."""
    names = [f"{n}_png" for n in range(8)] + ["song_mp3", "card_vcf"]
    kinds = ["image/png"] * 8 + ["audio/mpeg", "text/vcard; charset=utf-8"]
    contents = {name: (kind, name.encode()) for name, kind in zip(names, kinds, strict=True)}
    serve(trunkline, **contents)
    urls = [f"{SHOP}/{name.replace('_', '.')}" for name in names]
    sent = (await trunkline.send(MediaUrl=urls, StatusCallback=STATUS)).json
    assert (sent["sid"][:2], sent["num_media"], sent["num_segments"]) == ("MM", "10", "1")
    await trunkline.run_for(5)
    assert trunkline.receiver.statuses(sent["sid"]) == ["sent", "delivered"]
    listed = await trunkline.request("GET", sent["subresource_uris"]["media"])
    types = [medium["content_type"] for medium in listed.json["media_list"]]
    assert sorted(types) == ["audio/mpeg", *["image/png"] * 8, "text/vcard"]
    (text,) = await trunkline.app.network.inbox(PHONE)
    assert len(text.media) == 10
    too_many = await trunkline.send(MediaUrl=[*urls, f"{SHOP}/0.png"])
    assert (too_many.status, too_many.json["code"]) == (400, 21623)
    wrong = await trunkline.send(MediaUrl=[urls[0], "ftp://shop.example.com/cat.png"])
    assert (wrong.status, wrong.json["code"]) == (400, 21620)


@pytest.mark.parametrize(
    ("kind", "size", "code"),
    [
        ("image/png", MEDIA_BYTES_MAX, None),
        ("image/png", MEDIA_BYTES_MAX + 1, 11751),
        ("video/mp4", OTHER_BYTES_MAX, None),
        ("video/mp4", OTHER_BYTES_MAX + 1, 30019),
        ("video/mp4", MEDIA_BYTES_MAX + 1, 11751),
        ("text/html", 10, 12300),
        ("image/svg+xml", 10, 12300),
        ("", 10, 12300),
    ],
)
async def test_what_cannot_go_along_fails_the_message(
    trunkline: Trunkline, kind: str, size: int, code: int | None
) -> None:
    """Too large for us, too large for carriers, of no type that they take; the callback says it."""
    serve(trunkline, it=(kind, b"x" * size))
    form = {"MediaUrl": f"{SHOP}/it", "StatusCallback": STATUS}
    sid = (await trunkline.send(**form)).json["sid"]
    await trunkline.run_for(5)
    message = await trunkline.message(sid)
    status = "delivered" if code is None else "failed"
    assert (message["status"], message["error_code"]) == (status, code)
    told = trunkline.receiver.seen[-1].form
    assert told["MessageStatus"] == status
    if code is not None:
        assert (told["ErrorCode"], bool(told["ErrorMessage"])) == (str(code), True)
        assert trunkline.receiver.statuses(sid) == ["failed"]
        errors = [e["detail"] for e in await trunkline.events(sid) if e["kind"] == "media_error"]
        assert [(each["error_code"], each["url"]) for each in errors] == [(code, f"{SHOP}/it")]
        assert await trunkline.app.network.inbox(PHONE) == []


async def test_media_count_together_and_the_first_failure_is_the_last_request(
    trunkline: Trunkline,
) -> None:
    """Three pictures of 2 MB are too much; what comes behind them is not even asked for."""
    serve(trunkline, big_png=("image/png", b"x" * 2 * 1024 * 1024))
    sid = (await trunkline.send(MediaUrl=[f"{SHOP}/big.png"] * 4)).json["sid"]
    await trunkline.run_for(5)
    assert (await trunkline.message(sid))["error_code"] == 11751
    assert asked(trunkline) == ["big.png"] * 3


async def test_a_medium_that_is_not_there_fails_the_message_at_once(trunkline: Trunkline) -> None:
    """Asking again would not help; whoever answers with 503 is asked again."""
    serve(trunkline)
    sid = (await trunkline.send(MediaUrl=f"{SHOP}/gone.png", StatusCallback=STATUS)).json["sid"]
    await trunkline.run_for(1)
    assert (await trunkline.message(sid))["error_code"] == 11200
    assert trunkline.receiver.seen[-1].form["ErrorCode"] == "11200"
    assert asked(trunkline) == ["gone.png"]


async def test_a_message_whose_media_meet_a_bug_ends(trunkline: Trunkline) -> None:
    """It is tried as often as one that fails, not for ever; others are sent meanwhile."""

    def script(seen: Seen) -> tuple[int, str, bytes]:
        if seen.url.endswith("bug.png"):
            raise LookupError("ours")
        return (204, "", b"") if seen.method == "POST" else (200, "image/png", b"cat")

    trunkline.receiver.script = script
    broken = (await trunkline.send(MediaUrl=f"{SHOP}/bug.png", StatusCallback=STATUS)).json["sid"]
    sound = (await trunkline.send(**CAT)).json["sid"]
    for _ in range(6):
        with contextlib.suppress(ExceptionGroup):
            await trunkline.run_for(60)
    assert (await trunkline.message(sound))["status"] == "delivered"
    message = await trunkline.message(broken)
    assert (message["status"], message["error_code"]) == ("failed", 20500)
    assert trunkline.receiver.statuses(broken) == ["failed"]
    assert asked(trunkline).count("bug.png") == 4


async def test_an_inbound_text_is_told_with_the_media_that_could_be_had(
    trunkline: Trunkline,
) -> None:
    """Of any type, with their addresses and types; those that are missing are not counted."""
    await trunkline.configure_number(SmsUrl="https://app.example.com/sms")
    serve(
        trunkline,
        a_jpg=("image/jpeg", b"a"),
        big_mp4=("video/mp4", b"x" * (MEDIA_BYTES_MAX + 1)),
        c_smil=("application/smil", b"c"),
    )
    media = tuple(f"{SHOP}/{name}" for name in ("a.jpg", "big.mp4", "gone.jpg", "c.smil"))
    await trunkline.app.network.send_from(PHONE, trunkline.number, body="see", media=media)
    await trunkline.run_for(5)
    told = trunkline.receiver.seen[-1].form
    assert told["NumMedia"] == "2"
    assert [told[f"MediaContentType{n}"] for n in range(2)] == ["image/jpeg", "application/smil"]
    assert told["MediaUrl1"].rpartition("/")[2].startswith("ME")
    assert "MediaUrl2" not in told


async def test_a_number_without_mms_sends_none_by_any_way(trunkline: Trunkline) -> None:
    """A request for one is refused (21621), and a reply by TwiML left out and noted."""
    app = "https://app.example.com/sms"
    await trunkline.configure_number(SmsUrl=app)

    def work(db: Connection) -> None:
        number = find_unique(db, NUMBERS, trunkline.number)
        assert number is not None
        able = dataclasses.replace(number.capabilities, mms=False)
        update_record(db, NUMBERS, dataclasses.replace(number, capabilities=able))

    await trunkline.app.platform.store.write(work)
    assert (await trunkline.send(**CAT)).json["code"] == 21621
    answer = f"<Response><Message><Media>{CAT['MediaUrl']}</Media></Message></Response>"
    trunkline.receiver.script = lambda _: (200, "text/xml", answer.encode())
    await trunkline.app.network.send_from(PHONE, trunkline.number, body="see")
    await trunkline.run_for(5)
    page = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    (inbound,) = page.json["messages"]
    details = [event["detail"] for event in await trunkline.events(inbound["sid"])]
    assert "21621" in json.dumps(details)
    assert asked(trunkline) == []


async def ended(trunkline: Trunkline, sid: str, *, phone: str) -> tuple[Any, str]:
    """Let a message come to its end; return it, and the body of the text that a phone shows."""
    await trunkline.run_for(5)
    (text,) = await trunkline.app.network.inbox(phone)
    return await trunkline.message(sid), text.body


def link_in(body: str) -> str:
    """Return the path of the short link that a text ends with."""
    found = re.fullmatch(r"(?:Hello )?http://127\.0\.0\.1:8800(/p/\w{10})", body)
    assert found, body
    return found[1]


async def links(trunkline: Trunkline) -> int:
    """Return how many short links are kept."""
    query = select(func.count()).select_from(short_links)
    return await trunkline.app.store.read(lambda db: db.execute(query).scalar_one())


async def follow(trunkline: Trunkline, path: str) -> Response:
    """GET a link as a handset does, which has no credentials."""
    answer = await trunkline.request("GET", path, auth=None)
    if answer.status != 307:
        return answer
    return await trunkline.request("GET", answer.headers["location"], auth=None)


async def test_where_there_is_no_mms_a_text_leads_to_the_picture(trunkline: Trunkline) -> None:
    """From a number as from a service: MM stays, it costs as a text, and the link needs nothing."""
    serve(trunkline, cat_png=("image/png", b"cat"))
    sent = (await trunkline.send(GERMAN, StatusCallback=STATUS, **CAT)).json
    assert (sent["sid"][:2], sent["num_media"], sent["body"]) == ("MM", "1", "Hello")
    message, body = await ended(trunkline, sent["sid"], phone=GERMAN)
    assert (message["body"], message["num_media"], message["num_segments"]) == (body, "1", "1")
    assert trunkline.receiver.statuses(sent["sid"]) == ["sent", "delivered"]
    plain = (await trunkline.send("+4915112345679")).json["sid"]
    await trunkline.run_for(5)
    assert message["price"] == (await trunkline.message(plain))["price"]
    picture = await follow(trunkline, link_in(body))
    assert (picture.status, picture.headers["content-type"]) == (200, "image/png")
    assert picture.body == b"cat"
    trace = [e["kind"] for e in await trunkline.events(sent["sid"])]
    assert trace[:2] == ["sent_as_link", "handed_over"]


async def test_a_text_with_a_link_has_the_segments_it_needs(trunkline: Trunkline) -> None:
    """What was one MMS may be several segments, each of which is handed over and paid."""
    serve(trunkline, cat_png=("image/png", b"cat"))
    sid = (await trunkline.send(GERMAN, "x" * 150, **CAT)).json["sid"]
    message, body = await ended(trunkline, sid, phone=GERMAN)
    assert message["num_segments"] == "2"
    assert body.startswith("x" * 150 + " http://127.0.0.1:8800/p/")
    (text,) = await trunkline.app.network.inbox(GERMAN)
    assert (len(text.segments), text.media) == (2, ())


async def test_several_media_have_a_page(trunkline: Trunkline) -> None:
    """Pictures, sound and a card, each behind a link of its own; nothing of a stranger runs."""
    kinds = {"a_png": "image/png", "b_mp3": "audio/mpeg", "c_vcf": "text/vcard"}
    serve(trunkline, **{name: (kind, name.encode()) for name, kind in kinds.items()})
    urls = [f"{SHOP}/{name.replace('_', '.')}" for name in kinds]
    sid = (await trunkline.send(GERMAN, body="", MediaUrl=urls)).json["sid"]
    _, body = await ended(trunkline, sid, phone=GERMAN)
    page = await trunkline.request("GET", link_in(body), auth=None)
    text = page.body.decode()
    assert (page.status, page.headers["x-robots-tag"]) == (200, "noindex, nofollow")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; img-src 'self'")
    assert [tag for tag in ("<img", "<audio", "Save the file") if tag in text] != []
    paths = re.findall(r'(?:src|<p><a href)="([^"]+)"', text)
    found = [await follow(trunkline, path.replace("&amp;", "&")) for path in paths]
    assert [each.body for each in found] == [name.encode() for name in kinds]


async def test_a_short_link_ends(trunkline: Trunkline) -> None:
    """With its media, or after a year; one that was never given leads nowhere."""
    serve(trunkline, cat_png=("image/png", b"cat"))
    paths, sids = [], []
    for to in (GERMAN, "+4915112345679"):
        sids.append((await trunkline.send(to, **CAT)).json["sid"])
        paths.append(link_in((await ended(trunkline, sids[-1], phone=to))[1]))
    media = f"{trunkline.base}/Messages/{sids[0]}/Media"
    (medium,) = (await trunkline.request("GET", f"{media}.json")).json["media_list"]
    assert (await trunkline.request("DELETE", medium["uri"])).status == 204
    assert [(await follow(trunkline, path)).status for path in paths] == [404, 200]
    for wrong in ("/p/2345678923", "/p/x", "/p/%00", "/p/", "/p"):
        assert (await follow(trunkline, wrong)).status == 404
    await passes(trunkline, 364)
    assert (await follow(trunkline, paths[1])).status == 200
    assert await links(trunkline) == 1
    trunkline.clock.advance(2 * 86_400)
    assert (await follow(trunkline, paths[1])).status == 404
    await passes(trunkline, 2)
    assert await links(trunkline) == 0


async def test_large_files_go_as_a_link_where_they_do_not_as_mms(trunkline: Trunkline) -> None:
    """Behind a link lies what fits into 5 MB; its type is still one of those that Twilio takes."""
    serve(trunkline, cat_png=("video/mp4", b"x" * (OTHER_BYTES_MAX + 1)))
    sid = (await trunkline.send(GERMAN, **CAT)).json["sid"]
    message, body = await ended(trunkline, sid, phone=GERMAN)
    assert message["status"] == "delivered"
    assert len((await follow(trunkline, link_in(body))).body) == OTHER_BYTES_MAX + 1
    serve(trunkline, cat_png=("text/html", b"x"))
    sid = (await trunkline.send(GERMAN, **CAT)).json["sid"]
    await trunkline.run_for(5)
    assert (await trunkline.message(sid))["error_code"] == 12300


async def test_a_service_sends_the_link_from_whoever_sends_texts(trunkline: Trunkline) -> None:
    """None of its numbers sends MMS; with the converter off that is an error, as it is abroad."""
    serve(trunkline, cat_png=("image/png", b"cat"))
    path = f"{trunkline.base}/IncomingPhoneNumbers.json"
    bought = await trunkline.request("POST", path, {"PhoneNumber": "+447400123456"})
    assert not bought.json["capabilities"]["mms"]
    british = bought.json["phone_number"]
    sid = (await send(trunkline, await service(trunkline, british), **CAT))["sid"]
    message, body = await ended(trunkline, sid, phone=PHONE)
    assert (message["from"], message["status"]) == (british, "delivered")
    assert (await follow(trunkline, link_in(body))).body == b"cat"
    direct = await trunkline.send(From=british, **CAT)
    assert (direct.status, direct.json["code"]) == (400, 21621)
    strict = await service(trunkline, trunkline.number, mms_converter=False)
    for to, status, code in ((GERMAN, "failed", 21703), ("+15558675311", "delivered", None)):
        sid = (await send(trunkline, strict, to, **CAT))["sid"]
        await trunkline.run_for(5)
        message = await trunkline.message(sid)
        assert (message["status"], message["error_code"]) == (status, code)
    (text,) = await trunkline.app.network.inbox("+15558675311")
    assert (len(text.media), text.body) == (1, "Hello")


async def test_a_carrier_that_takes_no_media_gets_a_link(trunkline: Trunkline) -> None:
    """At home, too, and by SMPP; a way with media comes first, but never the simulated one."""
    serve(trunkline, cat_png=("image/png", b"cat"))
    form = {"Name": "north", "Type": "smpp", "Set": ["host=192.0.2.1", "system_id=us"]}
    made = await trunkline.request("POST", "/trunkline/v1/carriers", form)
    assert made.status == 201, made.body
    await add_route(trunkline, Carrier="north", Prefix="+1555867")
    sid = (await trunkline.send(**CAT)).json["sid"]
    await trunkline.run_for(1)
    message = await trunkline.message(sid)
    assert message["status"] == "queued"
    assert (await follow(trunkline, link_in(message["body"]))).body == b"cat"
    explained = await explain(trunkline, To=PHONE, From=trunkline.number, Channel="mms")
    assert explained["carrier"] is None
    await add_carrier(trunkline, "south")
    await add_route(trunkline, Carrier="south", Prefix="+1617", Channel="mms")
    abroad = (await trunkline.send("+16175550100", **CAT)).json["sid"]
    await trunkline.run_for(5)
    (text,) = await trunkline.app.network.inbox("+16175550100")
    assert (len(text.media), (await trunkline.message(abroad))["status"]) == (1, "delivered")
