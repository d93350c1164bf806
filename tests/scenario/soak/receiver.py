"""The customers' application: takes webhooks, checks their signatures, and is in trouble at times.

It is a web server of its own kind, so that nothing of Trunkline's is on both sides.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import Mapping
from random import Random
from urllib.parse import parse_qsl

from tests.scenario.soak.ledger import Ledger, Told
from tests.scenario.soak.surroundings import pause
from tests.scenario.soak.texts import REPLY, token_of, written

STEADY, FLAKY, SLOW = PATHS = "/steady", "/flaky", "/slow"
INBOUND = "/sms"
PICTURE = "/picture"
SLOW_SECONDS = 0.3
DEAF_SECONDS = 20.0  # Whoever asks waits for 15 s.


class Application:
    """Where webhooks arrive; *secrets* are the auth tokens by account."""

    def __init__(self, ledger: Ledger, chance: Random) -> None:
        self.is_broken = False
        self.is_deaf = False
        self.origin = ""
        self.secrets: dict[str, str] = {}
        self._ledger, self._chance = ledger, chance
        self._server: asyncio.Server | None = None

    async def listen(self) -> int:
        """Begin to answer; return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Let nobody come any more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._converse(reader, writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                signature = next(
                    (h[20:].strip() for h in head if h.lower().startswith(_SIGNED)), ""
                )
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                path = head[0].split(" ")[1]
                form = dict(parse_qsl(body.decode(), keep_blank_values=True))
                writer.write(await self._answer(path, form, signature=signature))
                await writer.drain()
        finally:
            writer.transport.abort()

    async def _answer(self, path: str, form: Mapping[str, str], *, signature: str) -> bytes:
        if path.startswith(SLOW):
            await pause(SLOW_SECONDS * self._chance.random())
        if self.is_deaf and self._chance.random() < 0.5:
            await self._hear_again()
        if path.startswith(PICTURE):
            return self._picture()
        is_bad = self.is_broken or (path.startswith(FLAKY) and self._chance.random() < 0.3)
        status, content = (503, "") if is_bad else (200, "")
        is_signed = hmac.compare_digest(self._signature(path, form), signature)
        self._ledger.badly_signed[form["MessageSid"]] += not is_signed
        if path.startswith(INBOUND):
            content = "" if is_bad else self._reply(form)
            self._ledger.heard[token_of(form["Body"])] += not is_bad
        else:
            told = Told(form["MessageSid"], form["MessageStatus"], status)
            self._ledger.told.append(told)
        lines = (
            f"HTTP/1.1 {status} Word",
            "Content-Type: text/xml",
            f"Content-Length: {len(content)}",
        )
        return ("\r\n".join(lines) + f"\r\n\r\n{content}").encode()

    def _picture(self) -> bytes:
        content = "a picture"
        status = 503 if self.is_broken else 200
        head = f"HTTP/1.1 {status} Word\r\nContent-Type: image/png\r\n"
        return f"{head}Content-Length: {len(content)}\r\n\r\n{content}".encode()

    async def _hear_again(self) -> None:
        """Say nothing until somebody has waited for too long, and then no more."""
        await pause(DEAF_SECONDS)
        raise ConnectionAbortedError

    def _reply(self, form: Mapping[str, str]) -> str:
        token = token_of(form["Body"])
        offer = self._ledger.inbound.get(token)
        if offer is None or not offer.wants_reply:
            return ""
        return f"<Response><Message>{written(token + REPLY)}</Message></Response>"

    def _signature(self, path: str, form: Mapping[str, str]) -> str:
        """Return what Twilio's documentation says: the URL, and the sorted fields behind it."""
        text = self.origin + path + "".join(name + form[name] for name in sorted(form))
        key = self.secrets.get(form["AccountSid"], "").encode()
        return base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha1)).decode()


_SIGNED = "x-twilio-signature: "
