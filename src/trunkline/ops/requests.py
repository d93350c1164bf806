"""Measures and names the requests of a part that does not do so itself."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trunkline.flows.platform import Platform
from trunkline.runtime import request_id

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def measured(part: ASGIApp, platform: Platform, *, route: str) -> ASGIApp:
    """Return *part* with its requests counted under *route*, up to the first byte of an answer."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        request_id.set(platform.chance.sid("RQ", platform.clock.now()))

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else "other"
                platform.meter.observe(
                    "http_request_seconds",
                    loop.time() - started,
                    route=route,
                    method=method,
                    status=f"{message['status'] // 100}xx",
                )
            await send(message)

        try:
            await part(scope, receive, send_measured)
        finally:
            request_id.set("")

    return serve
