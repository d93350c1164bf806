"""Media as the console shows them: from our own disk, never from a stranger's server."""

from starlette.exceptions import HTTPException
from starlette.responses import Response

from trunkline.api.content import content_response
from trunkline.console.conversation import MediumName
from trunkline.console.visit import PREFIX, Visit
from trunkline.domain.account import Media
from trunkline.flows import messages


def medium_path(name: MediumName) -> str:
    """Return where the console shows a medium."""
    return f"{PREFIX}/media/{name.account_sid}/{name.message_sid}/{name.sid}"


async def find_visible_medium(visit: Visit, name: MediumName) -> Media | None:
    """Return a medium of the account, or of a subaccount of it."""
    owner = await visit.platform.directory.account(name.account_sid)
    if owner is None or visit.account.sid not in (owner.sid, owner.owner_sid):
        return None
    return await messages.find_media(
        visit.platform, name.account_sid, message_sid=name.message_sid, sid=name.sid
    )


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
