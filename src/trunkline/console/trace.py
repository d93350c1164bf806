"""The page of one message: its text, its segments, its facts and its timeline."""

from datetime import timedelta

from starlette.exceptions import HTTPException
from starlette.responses import Response

from trunkline.console.conversation import Attachment, MediumName, attachment
from trunkline.console.media import medium_path
from trunkline.console.pages import page
from trunkline.console.timeline import draw_timeline
from trunkline.console.visit import Visit
from trunkline.domain.account import Media
from trunkline.domain.ids import MICROSECOND
from trunkline.domain.message import Direction, Message
from trunkline.domain.text import split
from trunkline.flows import messages
from trunkline.flows.messages import MessageFilter
from trunkline.store.paging import Page

RELATED_MAX = 10  # Twilio lets ten replies answer one text (14109).
ANSWERED_WITHIN = timedelta(minutes=5)  # Webhooks with all their redirects end sooner.


async def show_message(visit: Visit) -> Response:
    """Show everything that is known of one message."""
    sid = visit.request.path_params["sid"]
    trace = await messages.trace(visit.platform, visit.account.sid, sid)
    if trace is None:
        raise HTTPException(404, "This account has no such message.")
    message = trace.message
    return page(
        visit,
        "message.html",
        message=message,
        parts=split(message.body) if not message.num_media else None,
        attachments=[_attachment(medium) for medium in trace.media],
        moments=draw_timeline(trace),
        related=await _related(visit, message),
    )


def _attachment(medium: Media) -> Attachment:
    name = MediumName(medium.account_sid, medium.message_sid, medium.sid)
    return attachment(medium.content_type, url=medium_path(name))


async def _related(visit: Visit, message: Message) -> list[Message]:
    """Return the replies to an inbound text, or the text that a reply answers."""
    if message.direction is Direction.INBOUND:
        wanted = MessageFilter(
            sender=message.recipient,
            recipient=message.sender,
            direction=Direction.OUTBOUND_REPLY,
            created_from=message.created_at,
            created_before=message.created_at + ANSWERED_WITHIN,
        )
        size = RELATED_MAX
    elif message.direction is Direction.OUTBOUND_REPLY:
        wanted = MessageFilter(
            sender=message.recipient,
            recipient=message.sender,
            direction=Direction.INBOUND,
            created_before=message.created_at + MICROSECOND,
        )
        size = 1
    else:
        return []
    found = await messages.page(visit.platform, visit.account.sid, wanted, Page(size=size))
    return found.items[::-1]
