"""The page of one message: its text, its segments, its facts and its timeline."""

from datetime import timedelta

from starlette.exceptions import HTTPException
from starlette.responses import Response

from trunkline.console.media import draw_medium
from trunkline.console.pages import page
from trunkline.console.timeline import draw_timeline
from trunkline.console.visit import Visit
from trunkline.domain.ids import instant, sid_micros
from trunkline.domain.media import carries_media
from trunkline.domain.message import IN_REPLY_TO, Direction, Message
from trunkline.domain.text import split
from trunkline.flows import messages
from trunkline.flows.messages import MessageFilter
from trunkline.store.paging import Page

REPLIES_LOOKED_AT_MAX = 200  # Between one pair of numbers; a text has ten at most (14109).
ANSWERED_WITHIN = timedelta(hours=2)  # By default a webhook's last retry is 72 minutes later.


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
        parts=split(message.body) if not carries_media(message) else None,
        attachments=[draw_medium(medium) for medium in trace.media],
        moments=draw_timeline(trace),
        related=await _related(visit, message),
    )


async def _related(visit: Visit, message: Message) -> list[Message]:
    """Return the replies to an inbound text, or the text that a reply answers."""
    answered = message.options.get(IN_REPLY_TO)
    if answered is not None:
        found = await messages.find(visit.platform, visit.account.sid, answered)
        return [] if found is None else [found]
    if message.direction is not Direction.INBOUND:
        return []
    made_at = instant(sid_micros(message.sid))
    wanted = MessageFilter(
        sender=message.recipient,
        recipient=message.sender,
        direction=Direction.OUTBOUND_REPLY,
        created_from=made_at,
        created_before=made_at + ANSWERED_WITHIN,
    )
    replies = await messages.page(
        visit.platform, visit.account.sid, wanted, Page(size=REPLIES_LOOKED_AT_MAX)
    )
    return [r for r in replies.items[::-1] if r.options.get(IN_REPLY_TO) == message.sid]
