"""The ceiling: an HTTP server that checks a password, reads a form and does nothing else.

`python -m bench.ceiling` prints its port and serves until it is told to stop.
"""

import base64
import hmac
import socket
from urllib.parse import parse_qsl

import uvicorn
from starlette.types import Receive, Scope, Send

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "f" * 32
BACKLOG = 512
# As large as a message of Trunkline's own API.
REPLY = b'{"status": "queued", "filler": "%s"}' % (b"x" * 665)

_AUTHORIZATION = b"Basic " + base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode())
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(REPLY)).encode()),
]


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request: 201 for somebody who knows the password and names a recipient."""
    headers = dict(scope["headers"])
    body = b""
    is_whole = False
    while not is_whole:
        event = await receive()
        body += event.get("body", b"")
        is_whole = not event.get("more_body")
    form = dict(parse_qsl(body.decode()))
    known = hmac.compare_digest(headers.get(b"authorization", b""), _AUTHORIZATION)
    status = 401 if not known else 201 if "To" in form else 400
    await send({"type": "http.response.start", "status": status, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": REPLY})


def main() -> None:
    """Serve with the same HTTP server and event loop as Trunkline."""
    config = uvicorn.Config(
        answer,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
    )
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        print(listening.getsockname()[1], flush=True)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
