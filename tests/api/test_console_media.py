"""Media in the console: shown from our own disk, sent from this machine, and never run."""

from urllib.parse import urlsplit

import pytest

from tests.api.test_console import (
    ADA,
    OURS,
    Browser,
    Markup,
    basic,
    local_console,
    public_console,
    subaccount,
)
from tests.harness import Trunkline
from trunkline.domain.account import Media
from trunkline.domain.errors import Refusal
from trunkline.store.records import MEDIA, insert_record


@pytest.fixture
def browser(trunkline: Trunkline) -> Browser:
    """Return a browser on the machine of the console."""
    return Browser(local_console(trunkline))


async def test_a_picture_of_ours_is_shown_and_a_strangers_is_a_link(
    trunkline: Trunkline, browser: Browser
) -> None:
    """Nothing is loaded from a host that somebody else chose."""
    media = ("https://pictures.example/cat.png",)
    await trunkline.app.network.send_from(ADA, trunkline.number, body="see", media=media)
    with pytest.raises(Refusal, match="21620"):
        await trunkline.app.network.send_from(
            ADA, trunkline.number, body="see", media=("javascript:alert(1)",)
        )
    thread = await browser.read(f"/phones/{ADA}/thread")
    links = [a["href"] for tag, a in Markup(thread).tags if tag == "a" and "target" in a]
    assert links == [media[0]]
    assert "<img" not in thread


async def test_a_phone_sends_files(trunkline: Trunkline, browser: Browser) -> None:
    """What is uploaded is sent by an address of ours, told with its type, and shown there."""
    await trunkline.configure_number(SmsUrl="https://app.example/sms")
    await trunkline.app.network.add_handset(ADA)
    files = [("image/png", b"a picture"), ("text/vcard", b"BEGIN:VCARD"), ("audio/mpeg", b"la la")]
    urls = []
    for kind, content in files:
        kept = await browser.request("POST", "/uploads", body=content, content_type=kind, **OURS)
        assert kept.status == 201, kept.body
        urls.append(kept.body.decode())
    form = {"to": trunkline.number, "body": "see", "media": " ".join(urls)}
    assert (await browser.submit(f"/phones/{ADA}/texts", form)).status == 303
    await trunkline.run_for(2)
    told = trunkline.receiver.seen[-1].form
    assert [told[f"MediaContentType{n}"] for n in range(3)] == [kind for kind, _ in files]
    for number, (_, content) in enumerate(files):
        path = urlsplit(told[f"MediaUrl{number}"]).path
        assert (await trunkline.download(path)).body == content
    trunkline.clock.advance(86_400)  # The addresses of what was uploaded have ended by now.
    thread = Markup(await browser.read(f"/phones/{ADA}/thread"))
    shown = [str(a["src"]) for tag, a in thread.tags if tag in ("img", "audio")]
    shown += [str(a["href"]) for tag, a in thread.tags if tag == "a" and a.get("class") == "file"]
    found = [await browser.request("GET", path.removeprefix("/console")) for path in shown]
    assert sorted(each.body for each in found) == sorted(content for _, content in files)


async def test_what_is_uploaded_has_a_limit_and_an_owner(
    trunkline: Trunkline, browser: Browser
) -> None:
    """5 MB; and only for the pages of the main account, to which the phones belong."""
    large = await browser.request("POST", "/uploads", body=b"x" * (5 * 1024 * 1024 + 1), **OURS)
    assert large.status == 413
    strange = await browser.request("POST", "/uploads", body=b"x")
    assert strange.status == 403
    login = basic(*await subaccount(trunkline))
    other = Browser(public_console(trunkline))
    refused = await other.request("POST", "/uploads", body=b"x", authorization=login, **OURS)
    assert refused.status == 404


async def add_medium(trunkline: Trunkline, message_sid: str, content_type: str) -> Media:
    platform, content = trunkline.app.platform, b"bytes of a picture"
    now = platform.clock.now()
    medium = Media(
        sid=platform.chance.sid("ME", now),
        account_sid=trunkline.account_sid,
        message_sid=message_sid,
        content_type=content_type,
        source_url="",
        digest=platform.media_files.put(content),
        size=len(content),
        created_at=now,
        updated_at=now,
    )
    await platform.store.write(lambda db: insert_record(db, MEDIA, medium))
    return medium


def medium_address(medium: Media) -> str:
    return f"/media/{medium.account_sid}/{medium.message_sid}/{medium.sid}"


@pytest.mark.parametrize(
    ("content_type", "served_as", "is_shown"),
    [
        ("image/png", "image/png", True),
        ("audio/mpeg", "audio/mpeg", True),
        ("image/svg+xml", "image/svg+xml", False),
        ("text/html", "text/html; charset=utf-8", False),
    ],
)
async def test_media_are_served_so_that_they_never_run(
    trunkline: Trunkline, browser: Browser, content_type: str, served_as: str, is_shown: bool
) -> None:
    """What a browser could execute is a download, and everything is sandboxed."""
    sid = (await trunkline.send()).json["sid"]
    medium = await add_medium(trunkline, sid, content_type)
    answer = await browser.request("GET", medium_address(medium))
    assert (answer.status, answer.body) == (200, b"bytes of a picture")
    assert answer.headers["content-type"] == served_as
    assert answer.headers["content-disposition"].startswith("inline" if is_shown else "attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert ("<img" in await browser.read(f"/messages/{sid}")) is content_type.startswith("image/")


async def test_media_of_the_main_account_are_not_a_subaccounts(trunkline: Trunkline) -> None:
    """A guessed address is answered as if nothing were there."""
    sid = (await trunkline.send()).json["sid"]
    address = medium_address(await add_medium(trunkline, sid, "image/png"))
    browser = Browser(public_console(trunkline))
    login = basic(*await subaccount(trunkline))
    assert (await browser.request("GET", address, authorization=login)).status == 404
