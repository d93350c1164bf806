"""Addresses of media that ask for no credentials: whoever has one may see them, for a time.

Signed ones live for hours and are kept nowhere. Short ones, for texts, live for a year in a row.
"""

import asyncio
import re
from collections.abc import Mapping
from datetime import timedelta
from hmac import compare_digest
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import Connection

from trunkline.domain.account import Media
from trunkline.domain.ids import is_sid
from trunkline.domain.message import Message
from trunkline.flows.platform import Platform
from trunkline.store.links import ShortLink, find_link, insert_links
from trunkline.store.media import MediaFiles
from trunkline.store.records import MEDIA, child_records, find_record

SIGNED_PREFIX, SHORT_PREFIX = "/media", "/p"
# Twilio: a redirect to a medium leads somewhere for about four hours.
SIGNED_SECONDS = 4 * 3600
# Twilio: https://p.twil.io/ and 7 characters, for 365 days. Where a million links live, one guess
# in 1.5 million would find one of seven characters; of ten, one in 250 billion.
TOKEN_LENGTH = 10
SHORT_FOR = timedelta(days=365)
# Without what looks alike, because people copy addresses by hand.
_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz"
_TOKEN = re.compile(rf"[{_LETTERS}]{{{TOKEN_LENGTH}}}")


def signed_path(platform: Platform, media: Media) -> str:
    """Return the path at which everybody may have a medium until the time is up."""
    return _signed_path(platform, media.sid, {})


async def keep_upload(platform: Platform, content: bytes, *, content_type: str) -> str:
    """Keep what a person wants to send, and return its address, which is open for hours.

    No message has it yet: if none takes it soon, it goes.
    """
    digest = await asyncio.to_thread(platform.media_files.put, content)
    path = _signed_path(platform, digest, {"type": content_type})
    return platform.rules.base_url + path


def public_url(platform: Platform, media: Media) -> str:
    """Return where a carrier may fetch a medium without credentials of ours: where it came from.

    What came from ourselves is open there for hours.
    """
    base = platform.rules.base_url
    if not media.source_url.startswith(f"{base}/"):
        return media.source_url
    return base + signed_path(platform, media)


def is_signed(platform: Platform, name: str, query: Mapping[str, str]) -> bool:
    """Tell whether a path is one of ours, as it was made, and its time is not up."""
    until = query.get("until", "")
    wanted = _sign(platform, name, query.get("type", ""), until=until)
    if not compare_digest(wanted.encode(), query.get("signature", "").encode()):
        return False
    return int(until) > platform.clock.now().timestamp()


async def find_signed(platform: Platform, name: str, query: Mapping[str, str]) -> Media | None:
    """Return the medium that a signed path names, if it is still there."""
    if is_sid(name, "ME"):
        return await platform.store.read(lambda db: find_record(db, MEDIA, name))
    size = await asyncio.to_thread(_touch, platform.media_files, name)
    if size is None:
        return None
    now = platform.clock.now()
    return Media(
        sid="upload",
        account_sid="",
        message_sid="",
        content_type=query["type"],
        source_url="",
        digest=name,
        size=size,
        created_at=now,
        updated_at=now,
    )


async def find_by_signed_url(platform: Platform, url: str) -> Media | None:
    """Return the medium that an absolute address of ours names, if it is a signed one."""
    # What follows our address is no address by itself: urlsplit takes //[x for half of one.
    path, _, query_string = url.removeprefix(platform.rules.base_url).partition("?")
    prefix, _, name = path.rpartition("/")
    query = dict(parse_qsl(query_string.partition("#")[0]))
    if prefix != SIGNED_PREFIX or not is_signed(platform, name, query):
        return None
    return await find_signed(platform, name, query)


def add_short_link(platform: Platform, db: Connection, message: Message) -> str:
    """Make a short address for the media of a message, and return it."""
    size = len(_LETTERS)
    number = int(platform.chance.token_hex(16), 16)
    token = "".join(_LETTERS[number // size**place % size] for place in range(TOKEN_LENGTH))
    link = ShortLink(
        token=token,
        account_sid=message.account_sid,
        message_sid=message.sid,
        expires_at=platform.clock.now() + SHORT_FOR,
    )
    insert_links(db, [link])
    return f"{platform.rules.base_url}{SHORT_PREFIX}/{token}"


async def find_linked(platform: Platform, token: str) -> list[Media]:
    """Return the media that a short address leads to; none when they, or its time, are gone."""
    if not _TOKEN.fullmatch(token):
        return []

    def query(db: Connection) -> list[Media]:
        link = find_link(db, token, at=platform.clock.now())
        if link is None:
            return []
        found = child_records(db, MEDIA, link.message_sid)
        return [media for media in found if media.account_sid == link.account_sid]

    return await platform.store.read(query)


def _signed_path(platform: Platform, name: str, fields: Mapping[str, str]) -> str:
    until = str(int(platform.clock.now().timestamp()) + SIGNED_SECONDS)
    signature = _sign(platform, name, fields.get("type", ""), until=until)
    query = urlencode({**fields, "until": until, "signature": signature})
    return f"{SIGNED_PREFIX}/{name}?{query}"


def _sign(platform: Platform, name: str, content_type: str, *, until: str) -> str:
    return platform.vault.sign(f"media\n{name}\n{content_type}\n{until}")


def _touch(files: MediaFiles, digest: str) -> int | None:
    """Return how many bytes there are, which nobody throws away now; None where they are gone."""
    content = files.find(digest)
    if content is None:
        return None
    octets = content if isinstance(content, bytes) else content.read_bytes()
    files.put(octets)
    return len(octets)
