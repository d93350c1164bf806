"""Media of messages, and their bytes: https://www.twilio.com/docs/messaging/api/media-resource"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from trunkline.api.answers import Download
from trunkline.api.paging import page_of
from trunkline.api.resource import JSON_SUFFIX, V2010, Call, Op, Resource
from trunkline.api.wire import Period, Sid, Wire
from trunkline.domain.account import Media
from trunkline.flows import messages
from trunkline.store.paging import Found, Page

# Bytes of strangers: no browser may take them for a page of ours, nor run what is in them.
_SAFE_HEADERS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "cache-control": "private",
}
_CONTENT_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaView:
    """One picture, sound or file."""

    account_sid: Annotated[str, Sid("AC")]
    content_type: str
    date_created: datetime
    date_updated: datetime
    parent_sid: str
    sid: Annotated[str, Sid("ME")]
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMedia:
    """Which media are wanted."""

    date_created: Period | None = None
    date_created_before: Annotated[Period | None, Wire("DateCreated<")] = None
    date_created_after: Annotated[Period | None, Wire("DateCreated>")] = None

    def wants(self, media: Media) -> bool:
        """Tell whether a medium was made in the wanted time."""
        day = self.date_created.as_day() if self.date_created else None
        at = media.created_at
        return (
            (day is None or day.start <= at < day.end)
            and (self.date_created_before is None or at < self.date_created_before.end)
            and (self.date_created_after is None or at >= self.date_created_after.start)
        )


def _view(call: Call, media: Media) -> MediaView:
    return MediaView(
        account_sid=media.account_sid,
        content_type=media.content_type,
        date_created=media.created_at,
        date_updated=media.updated_at,
        parent_sid=media.message_sid,
        sid=media.sid,
        uri=f"{call.root}/Messages/{media.message_sid}/Media/{media.sid}{JSON_SUFFIX}",
    )


async def page(call: Call, params: ListMedia, page: Page) -> Found[Media] | None:
    """List the media of a message; they outlive it, unless they are deleted themselves."""
    message_sid = call.path["MessageSid"]
    media = await messages.media_of(call.platform, call.account.sid, message_sid)
    if not media and await messages.find(call.platform, call.account.sid, message_sid) is None:
        return None
    return page_of([m for m in media if params.wants(m)], page, sid=lambda m: m.sid)


async def fetch(call: Call) -> Media | None:
    """Describe a medium."""
    return await messages.find_media(
        call.platform, call.account.sid, call.path["MessageSid"], call.path["Sid"]
    )


async def delete(call: Call) -> bool:
    """Delete a medium."""
    media = await fetch(call)
    if media is not None:
        await messages.remove_media(call.platform, media)
    return media is not None


async def download(call: Call) -> Download | None:
    """Return the bytes of a medium; asked for by the same path without .json."""
    media = await fetch(call)
    if media is None:
        return None
    content = await messages.media_content(call.platform, media)
    if content is None:
        return None
    is_clean = _CONTENT_TYPE.fullmatch(media.content_type)
    return Download(
        content=content,
        content_type=media.content_type if is_clean else "application/octet-stream",
        filename=media.sid,
        headers=_SAFE_HEADERS,
    )


MEDIA = Resource(
    name="media",
    path="/Messages/{MessageSid}/Media",
    dialect=V2010,
    view=_view,
    list_key="media_list",
    page=Op(run=page, params=ListMedia),
    fetch=Op(run=fetch),
    delete=Op(run=delete),
    download=Op(run=download),
)
