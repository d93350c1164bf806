"""Media are fetched before their message goes on its way, and kept by what they hold."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from sqlalchemy import Connection

from trunkline.carriers.port import MediaKeeper
from trunkline.domain.account import Media
from trunkline.domain.ids import is_sid
from trunkline.domain.media import MEDIA_BYTES_MAX, TOO_LARGE, is_linked, object_to
from trunkline.domain.message import Fact, Message
from trunkline.flows.callbacks import OUR_FAULT, RETRIED_CODES, RETRIED_STATUSES
from trunkline.flows.inbound import inbound_callback, wants_webhooks
from trunkline.flows.lanes import outbox_row
from trunkline.flows.links import find_by_signed_url
from trunkline.flows.mms import convert
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import Observation, advance, announce, event
from trunkline.runtime import next_attempt
from trunkline.store.callbacks import insert_callbacks
from trunkline.store.media import MediaFetch, delete_fetch, postpone_fetch
from trunkline.store.messages import find_message, insert_events, messages_by_sid
from trunkline.store.outbox import insert_outbox
from trunkline.store.records import (
    ACCOUNTS,
    MEDIA,
    NUMBERS,
    SERVICES,
    find_record,
    find_unique,
    insert_record,
)
from trunkline.webhooks.answer import BAD_URL
from trunkline.webhooks.request import Rendered, is_webhook_url, parse_target
from trunkline.webhooks.requester import Requester

RETRY_SECONDS = (2.0, 10.0, 60.0)  # A sender waits for its message; a longer wait helps nobody.
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
    message = await platform.store.read(
        lambda db: find_message(db, row.account_sid, row.message_sid)
    )
    found = [] if message is None else await _fetch_all(platform, fetcher, message, urls=row.urls)
    await _settle(platform, row, found)
    return found


async def _fetch_all(
    platform: Platform, fetcher: Requester, message: Message, *, urls: Sequence[str]
) -> list[Fetched]:
    found: list[Fetched] = []
    # One after the other, so that a message has no more in memory than it may carry.
    for url in urls:
        room = MEDIA_BYTES_MAX - sum(item.size for item in found)
        found.append(await _fetch(platform, fetcher, message, url=url, size_max=room))
        if message.is_outbound and found[-1].error_code is not None:
            break
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
    platform.recent.forget(message.sid for message in changed)
    announce(platform, changed)


async def _fetch(
    platform: Platform, fetcher: Requester, message: Message, *, url: str, size_max: int
) -> Fetched:
    own = await _own_media(platform, message.account_sid, url)
    if own is not None:
        found = Fetched(url, own.content_type, own.digest, own.size)
        return _judged(found, message, size_max=size_max)
    if not is_webhook_url(url):
        return Fetched(url, error_code=BAD_URL, reason="the URL is not one that can be fetched")
    target = parse_target(url)
    headers = {"Accept": "*/*"} | _credentials(platform, message, url)
    request = Rendered("GET", target.url, headers, b"")
    answer = await fetcher.send(request, target, size_max=size_max)
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
    # What was cut is larger than what was read.
    size = size_max + 1 if answer.is_cut else len(answer.body)
    found = Fetched(url, media_type(answer.content_type), size=size)
    found = _judged(found, message, size_max=size_max)
    if found.error_code is not None:
        return found
    digest = await asyncio.to_thread(platform.media_files.put, answer.body)
    return replace(found, digest=digest)


def _judged(found: Fetched, message: Message, *, size_max: int) -> Fetched:
    """Return a medium, or why the message cannot take it along."""
    if found.size > size_max:
        return Fetched(found.url, error_code=TOO_LARGE, reason="the media exceed 5 MB together")
    objection = object_to(message, found.content_type, size=found.size)
    if objection is None:
        return found
    return Fetched(found.url, error_code=objection.error_code, reason=objection.reason)


def media_type(header: str | None) -> str:
    """Return the type that a Content-Type header names; one that is malformed names none."""
    found = _MEDIA_TYPE.match(header or "")
    return found[1].lower() if found else DEFAULT_TYPE


def _credentials(platform: Platform, message: Message, url: str) -> dict[str, str]:
    """Return the header that a carrier's media ask for: of what it brought itself, nothing else."""
    keeper: object = platform.switchboard.live.get(message.carrier)
    if message.is_outbound or not isinstance(keeper, MediaKeeper):
        return {}
    authorization = keeper.authorization_for(url)
    return {"Authorization": authorization} if authorization else {}


async def _own_media(platform: Platform, account_sid: str, url: str) -> Media | None:
    """Return the medium that we serve ourselves at *url* to this account, if it is one.

    An application that sends back the picture it got names it by our address.
    """
    base = platform.rules.base_url
    if not url.startswith(base + "/"):
        return None
    signed = await find_by_signed_url(platform, url)
    if signed is not None:
        return signed
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
    key = (row.account_sid, row.message_sid)
    message = messages_by_sid(db, [key], to_change=True).get(row.message_sid)
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
        if is_linked(message):
            message = convert(platform, db, message)
        insert_outbox(db, [outbox_row(platform, message)])
    return [message]


def _tell(platform: Platform, db: Connection, message: Message, media: Sequence[Media]) -> None:
    number = find_unique(db, NUMBERS, message.recipient)
    if number is None or not wants_webhooks(find_record(db, ACCOUNTS, message.account_sid)):
        return
    service = find_record(db, SERVICES, message.messaging_service_sid or "")
    if call := inbound_callback(platform, message, number, service=service, media=media):
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
