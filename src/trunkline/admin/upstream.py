"""Where upstream accounts tell us of messages: open to whoever knows the address.

Rule: the address holds a secret token and most callers sign; who is not genuine learns nothing.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from trunkline.admin.ask import render
from trunkline.api.answers import error_answer
from trunkline.api.forms import BODY_BYTES_MAX, parse_form, read_body
from trunkline.domain.errors import Refusal
from trunkline.flows.platform import Platform
from trunkline.flows.upstream import told

TOLD_PATH = "/carriers/{name}/told/{token}"
# An empty TwiML document: nothing is to be answered to who sent a text.
_NOTHING = b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>'


def told_endpoint(platform: Platform) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers the callbacks of upstream accounts."""

    async def answer(request: Request) -> Response:
        try:
            form = await _form(request)
            signature = request.headers.get("x-twilio-signature", "")
            name = str(request.path_params["name"])
            await told(platform, name, form, signature=signature, url=str(request.url))
            return Response(_NOTHING, media_type="text/xml")
        except Refusal as refusal:
            # Without the path, which holds the token.
            return render(error_answer(refusal, path="/"))
        except ClientDisconnect:
            return Response(status_code=400)

    return answer


async def _form(request: Request) -> dict[str, str]:
    body = await read_body(request.receive, headers=dict(request.scope["headers"]))
    if body is None:
        raise Refusal(20001, message=f"The request body is larger than {BODY_BYTES_MAX} bytes")
    content_type = request.headers.get("content-type", "").encode("latin-1")
    # Texts with NUL characters cannot be stored everywhere, and no carrier brings any.
    return {name: text.replace("\x00", "") for name, text in await parse_form(body, content_type)}
