"""Media are fetched before their message goes on its way, and kept by what they hold."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import Connection

from trunkline.carriers.port import MediaKeeper
from trunkline.domain.account import Media
from trunkline.domain.ids import is_sid
from trunkline.domain.message import Fact, Message
from trunkline.flows.callbacks import OUR_FAULT, RETRIED_CODES, RETRIED_STATUSES
from trunkline.flows.inbound import inbound_callback, wants_webhooks
from trunkline.flows.lanes import outbox_row
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import Observation, advance, announce, event
from trunkline.runtime import next_attempt
from trunkline.store.callbacks import insert_callbacks
from trunkline.store.media import MediaFetch, delete_fetch, postpone_fetch
from trunkline.store.messages import find_message, insert_events
from trunkline.store.outbox import insert_outbox
from trunkline.store.records import (
    ACCOUNTS,
    MEDIA,
    NUMBERS,
    find_record,
    find_unique,
    insert_record,
)
from trunkline.webhooks.answer import BAD_URL
from trunkline.webhooks.request import Rendered, is_webhook_url, parse_target
from trunkline.webhooks.requester import Requester

MEDIA_BYTES_MAX = 5 * 1024 * 1024  # Twilio: 5 MB for the media of one message together.
RETRY_SECONDS = (2.0, 10.0, 60.0)  # A sender waits for its message; a longer wait helps nobody.
TOO_LARGE = 11751
BAD_CONTENT_TYPE = 12300
DEFAULT_TYPE = "application/octet-stream"

# Both names as RFC 6838 §4.2 limits them; octets beyond ASCII could not even be stored.
_MEDIA_TYPE = re.compile(
    r"\s*([a-z0-9][\w!#$&^.+-]{0,126}/[a-z0-9][\w!#$&^.+-]{0,126})\s*(?:;|$)", re.A | re.I
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of one URL."""

    url: str
    content_type: str = ""
    digest: str = ""
    size: int = 0
    error_code: int | None = None
    reason: str = ""
    may_help_to_retry: bool = False
    is_silent: bool = False


async def fetch_media(platform: Platform, fetcher: Requester, row: MediaFetch) -> Sequence[Fetched]:
    """Fetch what a message carries, then send it on its way; or try later; or let it fail.

    An inbound text whose media cannot be had is told without them.
    """
    found = await asyncio.gather(*(_fetch(platform, fetcher, row, url=url) for url in row.urls))
    if sum(item.size for item in found) > MEDIA_BYTES_MAX:
        found = [
            Fetched(row.urls[0], error_code=TOO_LARGE, reason="the media exceed 5 MB together")
        ]
    await _settle(platform, row, found)
    return found


async def put_off(platform: Platform, row: MediaFetch) -> None:
    """Let a message wait whose media met a bug of ours; after the last try it fails."""
    reason = "an unexpected error of ours"
    bug = Fetched(row.urls[0], error_code=OUR_FAULT, reason=reason, may_help_to_retry=True)
    await _settle(platform, row, [bug])


async def _settle(platform: Platform, row: MediaFetch, found: Sequence[Fetched]) -> None:
    due_at = None
    if any(item.may_help_to_retry for item in found):
        due_at = next_attempt(
            row.attempts + 1,
            platform.clock.now(),
            backoff_seconds=RETRY_SECONDS,
            chance=platform.chance.fraction(),
        )
    if due_at is not None:
        later = due_at
        await platform.store.write(lambda db: postpone_fetch(db, row.message_sid, later))
        return
    changed = await platform.store.write(lambda db: _finish(platform, db, row, found=found))
    announce(platform, changed)


async def _fetch(platform: Platform, fetcher: Requester, row: MediaFetch, *, url: str) -> Fetched:
    own = await _own_media(platform, row.account_sid, url)
    if own is not None:
        return Fetched(url, own.content_type, own.digest, own.size)
    if not is_webhook_url(url):
        return Fetched(url, error_code=BAD_URL, reason="the URL is not one that can be fetched")
    target = parse_target(url)
    headers = {"Accept": "*/*"} | await _credentials(platform, row, url)
    request = Rendered("GET", target.url, headers, b"")
    answer = await fetcher.send(request, target, size_max=MEDIA_BYTES_MAX)
    if answer.error_code is not None:
        reason = answer.attempts[-1].reason if answer.attempts else ""
        retry = answer.status in RETRIED_STATUSES or (
            answer.status is None and answer.error_code in RETRIED_CODES
        )
        return Fetched(
            url,
            error_code=answer.error_code,
            reason=reason,
            may_help_to_retry=retry,
            is_silent=answer.status is None,
        )
    if answer.is_cut:
        return Fetched(url, error_code=TOO_LARGE, reason="larger than 5 MB")
    content_type = media_type(answer.content_type)
    digest = await asyncio.to_thread(platform.media_files.put, answer.body)
    return Fetched(url, content_type, digest, len(answer.body))


def media_type(header: str | None) -> str:
    """Return the type that a Content-Type header names; one that is malformed names none."""
    found = _MEDIA_TYPE.match(header or "")
    return found[1].lower() if found else DEFAULT_TYPE


async def _credentials(platform: Platform, row: MediaFetch, url: str) -> dict[str, str]:
    """Return the header that a carrier's media ask for: of what it brought itself, nothing else."""
    keepers = {
        name: carrier
        for name, carrier in platform.switchboard.live.items()
        if isinstance(carrier, MediaKeeper)
    }
    if not keepers:
        return {}
    message = await platform.store.read(
        lambda db: find_message(db, row.account_sid, row.message_sid)
    )
    if message is None or message.is_outbound or message.carrier not in keepers:
        return {}
    authorization = keepers[message.carrier].authorization_for(url)
    return {"Authorization": authorization} if authorization else {}


async def _own_media(platform: Platform, account_sid: str, url: str) -> Media | None:
    """Return the medium that our own API serves at *url* to this account, if it is one.

    An application that sends back the picture it got names it by our address.
    """
    base = platform.rules.base_url
    if not url.startswith(base + "/"):
        return None
    parts = urlsplit(url).path.split("/")
    if len(parts) != 8 or parts[3] != account_sid or not is_sid(parts[7], "ME"):
        return None
    sid = parts[7]
    media = await platform.store.read(lambda db: find_record(db, MEDIA, sid))
    return media if media is not None and media.account_sid == account_sid else None


def _finish(
    platform: Platform, db: Connection, row: MediaFetch, *, found: Sequence[Fetched]
) -> list[Message]:
    delete_fetch(db, row.message_sid)
    message = find_message(db, row.account_sid, row.message_sid)
    if message is None:
        return []
    media = [_add(platform, db, message, item) for item in found if item.error_code is None]
    failed = [item for item in found if item.error_code is not None]
    insert_events(
        db,
        [
            event(
                platform,
                message,
                "media_error",
                detail={"error_code": item.error_code, "reason": item.reason, "url": item.url},
            )
            for item in failed
        ],
    )
    if not message.is_outbound:
        _tell(platform, db, message, media)
    elif failed:
        fact = Observation(
            account_sid=message.account_sid,
            message_sid=message.sid,
            fact=Fact.UNSENDABLE,
            at=platform.clock.now(),
            error_code=failed[0].error_code,
        )
        return advance(platform, db, [fact]).messages
    else:
        insert_outbox(db, [outbox_row(platform, message)])
    return [message]


def _tell(platform: Platform, db: Connection, message: Message, media: Sequence[Media]) -> None:
    number = find_unique(db, NUMBERS, message.recipient)
    if number is None or not wants_webhooks(find_record(db, ACCOUNTS, message.account_sid)):
        return
    if call := inbound_callback(platform, message, number, media=media):
        insert_callbacks(db, [call])


def _add(platform: Platform, db: Connection, message: Message, item: Fetched) -> Media:
    now = platform.clock.now()
    media = Media(
        sid=platform.chance.sid("ME", now),
        account_sid=message.account_sid,
        message_sid=message.sid,
        content_type=item.content_type,
        source_url=item.url,
        digest=item.digest,
        size=item.size,
        created_at=now,
        updated_at=now,
    )
    insert_record(db, MEDIA, media)
    return media
