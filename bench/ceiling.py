"""The ceilings of accepting: servers that check a password, read a form and do nothing else.

`python -m bench.ceiling asgi|starlette` prints its port and serves until it is told to stop. Both
run in the HTTP server and event loop that Trunkline has.
"""

import base64
import hmac
import socket
import sys
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "f" * 32
BACKLOG = 512
# As large as a message of Trunkline's own API.
REPLY = b'{"status": "queued", "filler": "%s"}' % (b"x" * 665)
AUTHORIZATION = b"Basic " + base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode())

_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(REPLY)).encode()),
]


def judge(authorization: bytes, body: bytes) -> int:
    """Return 201 for somebody who knows the password and names a recipient, else an error."""
    form = dict(parse_qsl(body.decode()))
    if not hmac.compare_digest(authorization, AUTHORIZATION):
        return 401
    return 201 if "To" in form else 400


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request without any framework."""
    headers = dict(scope["headers"])
    body, is_whole = b"", False
    while not is_whole:
        event = await receive()
        body += event.get("body", b"")
        is_whole = not event.get("more_body")
    status = judge(headers.get(b"authorization", b""), body)
    await send({"type": "http.response.start", "status": status, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": REPLY})


async def _post(request: Request) -> Response:
    authorization = request.headers.get("authorization", "").encode()
    status = judge(authorization, await request.body())
    return Response(REPLY, status, media_type="application/json")


def framed() -> ASGIApp:
    """Return the same with Starlette's routing, request and response."""
    path = "/2010-04-01/Accounts/{account_sid}/Messages.json"
    return Starlette(routes=[Route(path, _post, methods=["POST"])])


CEILINGS: dict[str, ASGIApp] = {"asgi": bare, "starlette": framed()}


def config_of(app: ASGIApp) -> uvicorn.Config:
    """Return how Trunkline's HTTP server is set."""
    return uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
    )


def main() -> None:
    """Serve the ceiling that the command line names."""
    config = config_of(CEILINGS[sys.argv[1]])
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        print(listening.getsockname()[1], flush=True)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
