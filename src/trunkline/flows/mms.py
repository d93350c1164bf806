"""Media that cannot travel as MMS go as a text with a short link to them.

Rule: which way a message goes is decided with its route, before its media are fetched; the link is
made afterwards, in the commit that keeps them, so that it never leads nowhere.
"""

from msgspec.structs import replace
from sqlalchemy import Connection

from trunkline.domain.errors import Refusal
from trunkline.domain.ids import MICROSECOND
from trunkline.domain.media import AS_LINK, NO_MMS_WAY, goes_as_mms, is_linked, linked
from trunkline.domain.message import Message
from trunkline.domain.text import split
from trunkline.flows.links import add_short_link
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import event
from trunkline.store.messages import insert_events, update_messages


async def check_sender(platform: Platform, message: Message) -> None:
    """Refuse (21621) an MMS from a number of ours that sends none."""
    if not goes_as_mms(message):
        return
    number = await platform.directory.number(message.sender or "")
    if number is not None and not number.capabilities.mms:
        raise Refusal(21621, number=number.phone_number)


def convert(platform: Platform, db: Connection, message: Message) -> Message:
    """Store and return a message as the text it becomes: what it says, then where its media are.

    It keeps its SID and the count of its media; it has segments and costs like any text.
    """
    link = add_short_link(platform, db, message)
    body = f"{message.body} {link}".lstrip()
    parts = split(body)
    why = message.options.get(AS_LINK, NO_MMS_WAY)
    text = replace(
        message if is_linked(message) else linked(message, why),
        body=body,
        encoding=parts.encoding.value,
        num_segments=len(parts.segments),
        # Whoever remembers the message as it was notices that it is another now.
        updated_at=max(platform.clock.now(), message.updated_at + MICROSECOND),
    )
    update_messages(db, [text])
    detail: dict[str, object] = {"why": why, "segments": text.num_segments}
    insert_events(db, [event(platform, text, "sent_as_link", detail=detail)])
    return text
