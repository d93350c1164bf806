"""Media as the console shows them: from our own disk, never from a stranger's server."""

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from trunkline.api.content import content_response
from trunkline.console.conversation import Attachment, MediumName, attachment
from trunkline.console.visit import PREFIX, Visit
from trunkline.domain.account import Media
from trunkline.domain.media import MEDIA_BYTES_MAX
from trunkline.flows import messages
from trunkline.flows.links import keep_upload
from trunkline.flows.media import media_type


def medium_path(name: MediumName) -> str:
    """Return where the console shows a medium."""
    return f"{PREFIX}/media/{name.account_sid}/{name.message_sid}/{name.sid}"


def draw_medium(medium: Media) -> Attachment:
    """Return a medium as a page shows it."""
    name = MediumName(medium.account_sid, medium.message_sid, medium.sid)
    return attachment(medium.content_type, url=medium_path(name))


async def find_visible_medium(visit: Visit, name: MediumName) -> Media | None:
    """Return a medium of the account, or of a subaccount of it."""
    owner = await visit.platform.directory.account(name.account_sid)
    if owner is None or visit.account.sid not in (owner.sid, owner.owner_sid):
        return None
    return await messages.find_media(
        visit.platform, name.account_sid, message_sid=name.message_sid, sid=name.sid
    )


async def upload(visit: Visit) -> Response:
    """Keep a file that a phone is to send, and say by which address it is sent."""
    visit.require_main_account()
    content = await visit.body(bytes_max=MEDIA_BYTES_MAX)
    content_type = media_type(visit.request.headers.get("content-type"))
    url = await keep_upload(visit.platform, content, content_type=content_type)
    return PlainTextResponse(url, status_code=201)


async def serve_medium(visit: Visit) -> Response:
    """Serve the bytes of a medium so that they are shown or saved, and never run."""
    path = visit.request.path_params
    name = MediumName(path["account_sid"], path["message_sid"], path["sid"])
    medium = await find_visible_medium(visit, name)
    if medium is None:
        raise HTTPException(404, "There is no such medium.")
    content = await messages.media_content(visit.platform, medium)
    if content is None:
        raise HTTPException(404, "There is no such medium.")
    return content_response(visit.request, medium, content=content)
