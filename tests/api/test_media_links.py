"""The addresses of media: signed ones, for hours, and what a browser makes of the bytes there."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness import Trunkline
from trunkline.flows.links import public_url
from trunkline.flows.messages import media_of

PICTURE = b"\x89PNG\r\n\x1a\n0123456789"


async def received(trunkline: Trunkline, kind: str = "image/png", content: bytes = PICTURE) -> Any:
    """Return the address of a medium that a handset sent us."""
    trunkline.receiver.script = lambda seen: (200, kind, content)
    await trunkline.app.network.send_from(
        "+15558675310", trunkline.number, body="", media=("https://phones.example/it",)
    )
    await trunkline.run_for(2)
    page = await trunkline.request("GET", f"{trunkline.base}/Messages.json?PageSize=1")
    (message,) = page.json["messages"]
    listed = await trunkline.request("GET", message["subresource_uris"]["media"])
    return listed.json["media_list"][0]["uri"].removesuffix(".json")


async def test_a_medium_is_open_for_four_hours_to_whoever_was_sent_there(
    trunkline: Trunkline,
) -> None:
    """With the account's token or a key one is sent on; what one is sent to asks for nothing."""
    path = await received(trunkline)
    assert (await trunkline.request("GET", path, auth=None)).status == 401
    key = (await trunkline.request("POST", f"{trunkline.base}/Keys.json", {})).json
    location = ""
    for auth in ("", (key["sid"], key["secret"])):
        answer = await trunkline.request("GET", path, auth=auth)
        assert (answer.status, answer.body) == (307, b"")
        assert answer.headers["cache-control"] == "private, no-store"
        location = answer.headers["location"]
    assert not urlsplit(location).netloc
    for seconds, status in ((0, 200), (4 * 3600 - 1, 200), (1, 403)):
        trunkline.clock.advance(seconds)
        content = await trunkline.request("GET", location, auth=None)
        assert (content.status, content.body == PICTURE) == (status, status == 200)
    assert (await trunkline.download(path)).body == PICTURE


async def test_a_link_that_was_changed_leads_nowhere(trunkline: Trunkline) -> None:
    """Neither to another medium nor for longer, nor with nothing at all."""
    first, second = await received(trunkline), await received(trunkline)
    location = (await trunkline.request("GET", first)).headers["location"]
    other = location.replace(first.rpartition("/")[2], second.rpartition("/")[2])
    longer = re.sub(r"until=(\d+)", lambda found: f"until={int(found[1]) + 1}", location)
    wrong = [other, longer, location[:-1], location.partition("?")[0], location + "x"]
    wrong += [location.partition("&")[0], "/media/ME?until=x&signature=%00", "/media/"]
    for path in wrong:
        assert path != location
        answer = await trunkline.request("GET", path, auth=None)
        assert answer.status in (403, 404), path
        assert PICTURE not in answer.body


async def test_a_deleted_medium_is_gone_behind_every_link(trunkline: Trunkline) -> None:
    """At once, although the link's time is not up."""
    path = await received(trunkline)
    location = (await trunkline.request("GET", path)).headers["location"]
    assert (await trunkline.request("DELETE", f"{path}.json")).status == 204
    assert (await trunkline.request("GET", location, auth=None)).status == 404
    assert (await trunkline.request("GET", path)).status == 404


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("image/png", ("image/png", "inline", ".png")),
        ("video/mp4; codecs=avc1", ("video/mp4", "inline", ".mp4")),
        ("text/vcard", ("text/vcard; charset=utf-8", "attachment", ".vcf")),
        ("text/html", ("text/html; charset=utf-8", "attachment", "")),
        ("image/svg+xml", ("image/svg+xml", "attachment", "")),
        ("application/smil", ("application/smil", "attachment", "")),
        ("nonsense", ("application/octet-stream", "attachment", "")),
    ],
)
async def test_a_strangers_page_does_not_run_on_our_origin(
    trunkline: Trunkline, kind: str, sent: tuple[str, str, str]
) -> None:
    """What browsers can show is shown, everything else is saved; nothing is sniffed or run."""
    path = await received(trunkline, kind, b"<script>alert(1)</script>")
    answer = await trunkline.download(path)
    sid, (content_type, disposition, ending) = path.rpartition("/")[2], sent
    assert (answer.status, answer.body) == (200, b"<script>alert(1)</script>")
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-disposition"] == f'{disposition}; filename="{sid}{ending}"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    ("asked", "status", "part", "content_range"),
    [
        ("bytes=0-3", 206, slice(0, 4), "bytes 0-3/18"),
        ("bytes=8-", 206, slice(8, 18), "bytes 8-17/18"),
        ("bytes=-5", 206, slice(13, 18), "bytes 13-17/18"),
        ("bytes=8-99", 206, slice(8, 18), "bytes 8-17/18"),
        ("bytes=18-", 416, slice(0, 0), "bytes */18"),
    ],
)
async def test_a_part_of_a_medium_can_be_had(
    trunkline: Trunkline, asked: str, status: int, part: slice, content_range: str
) -> None:
    """As players ask for it: from the middle, the end, or beyond."""
    answer = await trunkline.download(await received(trunkline), range=asked)
    assert (answer.status, answer.headers["content-range"]) == (status, content_range)
    assert answer.body == PICTURE[part]


async def test_a_medium_can_be_asked_about(trunkline: Trunkline) -> None:
    """HEAD gives the headers of GET, at the medium's address and where that leads."""
    path = await received(trunkline)
    first = await trunkline.request("HEAD", path)
    assert (first.status, first.body) == (307, b"")
    head = await trunkline.request("HEAD", first.headers["location"], auth=None)
    whole = await trunkline.request("GET", first.headers["location"], auth=None)
    assert (head.status, head.body, whole.body) == (200, b"", PICTURE)
    names = ("content-type", "content-length", "content-disposition", "accept-ranges", "etag")
    assert [head.headers[name] for name in names] == [whole.headers[name] for name in names]
    again = await trunkline.request(
        "GET",
        first.headers["location"],
        auth=None,
        headers={"range": "bytes=0-3", "if-range": '"another"'},
    )
    assert (again.status, again.body) == (200, PICTURE)
    assert (await trunkline.request("POST", first.headers["location"], {})).status == 405


@pytest.mark.parametrize("rest", ["//[x/media/y", "/media/x?[#[", "/media/x?until=9&signature=y"])
async def test_what_is_nearly_an_address_of_ours_ends_too(trunkline: Trunkline, rest: str) -> None:
    """What comes behind our address need not be one by itself."""
    sent = await trunkline.send(MediaUrl=trunkline.app.platform.rules.base_url + rest)
    await trunkline.run_for(5)
    assert (await trunkline.message(sent.json["sid"]))["status"] == "failed"


async def test_a_carrier_may_fetch_what_came_from_ourselves(trunkline: Trunkline) -> None:
    """An application sends the picture back by our address, which asks others for credentials."""
    path = await received(trunkline)
    base_url = trunkline.app.platform.rules.base_url
    sent = await trunkline.send(MediaUrl=base_url + path)
    await trunkline.run_for(5)
    assert (await trunkline.message(sent.json["sid"]))["status"] == "delivered"
    (again,) = await media_of(trunkline.app.platform, trunkline.account_sid, sent.json["sid"])
    url = public_url(trunkline.app.platform, again)
    fetched = await trunkline.request("GET", url.removeprefix(base_url), auth=None)
    assert (fetched.status, fetched.body) == (200, PICTURE)
    (first,) = await media_of(trunkline.app.platform, trunkline.account_sid, path.split("/")[5])
    assert public_url(trunkline.app.platform, first) == "https://phones.example/it"
