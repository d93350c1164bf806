"""Media as the console shows them: from our own disk, never from a stranger's server."""

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from trunkline.console.conversation import MediumName
from trunkline.console.visit import PREFIX, Visit
from trunkline.domain.account import Media
from trunkline.domain.media import SHOWN_TYPES
from trunkline.flows import messages

_POLICY = "default-src 'none'; sandbox"


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
    is_shown = medium.content_type in SHOWN_TYPES
    media_type = medium.content_type if is_shown else "application/octet-stream"
    disposition = "inline" if is_shown else "attachment"
    headers = {"Content-Security-Policy": _POLICY}
    if isinstance(content, bytes):
        headers["Content-Disposition"] = f'{disposition}; filename="{medium.sid}"'
        return Response(content, media_type=media_type, headers=headers)
    return FileResponse(
        content,
        media_type=media_type,
        filename=medium.sid,
        content_disposition_type=disposition,
        headers=headers,
    )
