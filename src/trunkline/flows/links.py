"""Addresses of media that ask for no credentials: whoever has one may see them, for a time.

Signed ones live for hours and are kept nowhere. Short ones, for texts, live for a year in a row.
"""

import re
from datetime import timedelta
from hmac import compare_digest

from sqlalchemy import Connection

from trunkline.domain.account import Media
from trunkline.domain.message import Message
from trunkline.flows.platform import Platform
from trunkline.store.links import ShortLink, find_link, insert_links
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


def signed_path(platform: Platform, media: Media, *, seconds: int = SIGNED_SECONDS) -> str:
    """Return the path at which everybody may have a medium until the time is up."""
    until = str(int(platform.clock.now().timestamp()) + seconds)
    return (
        f"{SIGNED_PREFIX}/{media.sid}?until={until}&signature={_sign(platform, media.sid, until)}"
    )


def public_url(platform: Platform, media: Media) -> str:
    """Return where a carrier may fetch a medium without credentials of ours: where it came from.

    What came from ourselves is open there for hours.
    """
    base = platform.rules.base_url
    if not media.source_url.startswith(f"{base}/"):
        return media.source_url
    return base + signed_path(platform, media)


def is_signed(platform: Platform, sid: str, *, until: str, signature: str) -> bool:
    """Tell whether a path is one of ours, as it was made, and its time is not up."""
    if not compare_digest(_sign(platform, sid, until).encode(), signature.encode()):
        return False
    return int(until) > platform.clock.now().timestamp()


async def find_signed(platform: Platform, sid: str) -> Media | None:
    """Return the medium that a signed path names, if it is still there."""
    return await platform.store.read(lambda db: find_record(db, MEDIA, sid))


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


def _sign(platform: Platform, sid: str, until: str) -> str:
    return platform.vault.sign(f"media {sid} {until}")
