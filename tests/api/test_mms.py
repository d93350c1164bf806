"""Pictures, sounds and files on their way out: what is fetched and refused, and who is told."""

import pytest

from tests.harness import Seen, Trunkline
from trunkline.domain.media import MEDIA_BYTES_MAX, OTHER_BYTES_MAX

STATUS = "https://app.example.com/status"
SHOP = "https://shop.example.com"
PHONE = "+15558675310"


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
