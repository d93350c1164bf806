"""Media for whoever has a link to them: no account, no credentials."""

from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from trunkline.api.content import content_response
from trunkline.domain.account import Media
from trunkline.domain.media import SHOWN_TYPES
from trunkline.flows import messages
from trunkline.flows.links import (
    SHORT_PREFIX,
    SIGNED_PREFIX,
    find_linked,
    find_signed,
    is_signed,
    signed_path,
)
from trunkline.flows.platform import Platform

UNAVAILABLE_SECONDS = 30
_GONE = "This is not here, or not any more."
_PAGE_HEADERS = {
    "cache-control": "private, no-store",
    "content-security-policy": (
        "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Media</title>
<style>
:root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }}
body {{ max-width: 40rem; margin: 1rem auto; padding: 0 1rem }}
img, video, audio {{ display: block; max-width: 100%; margin: 0 0 1rem }}
</style>
{pieces}
"""


def links_app(platform: Platform) -> ASGIApp:
    """Return what serves signed and short links."""

    async def signed(request: Request) -> Response:
        return await _signed(platform, request)

    async def short(request: Request) -> Response:
        return await _short(platform, request)

    async def unavailable(request: Request, error: Exception) -> Response:
        headers = {"retry-after": str(UNAVAILABLE_SECONDS)}
        return PlainTextResponse("Try again later.", status_code=503, headers=headers)

    return Starlette(
        routes=[
            Route(SIGNED_PREFIX + "/{name}", signed),
            Route(SHORT_PREFIX + "/{token}", short),
        ],
        exception_handlers={ConnectionError: unavailable},  # The store's.
    )


async def _signed(platform: Platform, request: Request) -> Response:
    """Send the bytes of a medium for as long as the signature says."""
    name, query = request.path_params["name"], request.query_params
    if not is_signed(platform, name, query):
        reason = "This link is not valid, or not any more; ask for the medium itself again."
        return PlainTextResponse(reason, status_code=403, headers=_PAGE_HEADERS)
    media = await find_signed(platform, name, query)
    content = None if media is None else await messages.media_content(platform, media)
    if media is None or content is None:
        return PlainTextResponse(_GONE, status_code=404, headers=_PAGE_HEADERS)
    return content_response(request, media, content=content)


async def _short(platform: Platform, request: Request) -> Response:
    """Lead to the one medium of a message, or show a page with all of them."""
    found = await find_linked(platform, request.path_params["token"])
    if not found:
        return PlainTextResponse(_GONE, status_code=404, headers=_PAGE_HEADERS)
    if len(found) == 1:
        return RedirectResponse(URL(signed_path(platform, found[0])), headers=_PAGE_HEADERS)
    pieces = "\n".join(_piece(platform, media) for media in found)
    return HTMLResponse(_PAGE.format(pieces=pieces), headers=_PAGE_HEADERS)


def _piece(platform: Platform, media: Media) -> str:
    # Nothing here is a stranger's text: the path is ours, and the kind one of three.
    path = signed_path(platform, media).replace("&", "&amp;")
    kind = media.content_type.partition("/")[0] if media.content_type in SHOWN_TYPES else ""
    if kind == "image":
        return f'<a href="{path}"><img src="{path}" alt="Picture"></a>'
    if kind in ("audio", "video"):
        return f'<{kind} src="{path}" controls preload="metadata"></{kind}>'
    return f'<p><a href="{path}">Save the file</a></p>'
