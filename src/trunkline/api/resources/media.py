"""Media of messages, and their bytes: https://www.twilio.com/docs/messaging/api/media-resource"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from trunkline.api.answers import Answer
from trunkline.api.paging import page_of
from trunkline.api.resource import JSON_SUFFIX, V2010, Call, Op, Resource
from trunkline.api.wire import Period, Sid, Wire
from trunkline.domain.account import Media
from trunkline.flows import messages
from trunkline.flows.links import signed_path
from trunkline.store.paging import Found, Page


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


async def download(call: Call) -> Answer | None:
    """Lead to the bytes of a medium; asked for by the same path without .json.

    Where that leads asks for no credentials, and for four hours has the medium.
    """
    media = await fetch(call)
    if media is None:
        return None
    # A path alone: whatever name the caller has for us is the right one.
    location = signed_path(call.platform, media).encode()
    return Answer(307, headers=((b"location", location), (b"cache-control", b"private, no-store")))


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
