"""A server with an API like Twilio's for messages, which answers as a script says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlsplit

AC = "AC" + "a1" * 16
MESSAGES = f"/2010-04-01/Accounts/{AC}/Messages.json"
SECONDS = 10.0


@dataclass(frozen=True)
class Asked:
    """A request that the server got."""

    method: str
    path: str
    form: Sequence[tuple[str, str]]
    headers: Mapping[str, str]

    @property
    def fields(self) -> dict[str, str]:
        """The form or the query, the last of each name."""
        return dict(self.form)


@dataclass(frozen=True)
class Answer:
    """What the server says; `cut` ends the connection instead."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass
class Api:
    """An account with messages, as far as the connector looks at it.

    `scripted` answers come first, one for each creation; a message of the script's 201 exists.
    """

    port: int = 0
    scripted: list[Answer] = field(default_factory=list)
    messages: list[dict[str, object]] = field(default_factory=list)
    media: dict[str, list[str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    is_locked: bool = False
    is_slow: bool = False
    page_size: int = 50
    date: timedelta = timedelta(0)
    at_once_max: int = 0
    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.is_open.set()
        self._count = 0
        self._at_once = 0
        self._news = asyncio.Condition()

    @property
    def created(self) -> list[Asked]:
        """The requests that asked for a message."""
        return [a for a in self.asked if a.method == "POST"]

    def add(self, form: Mapping[str, str], **changes: object) -> dict[str, object]:
        """Add a message to the account, newest first."""
        self._count += 1
        made_at = datetime.now(UTC) + self.date
        message: dict[str, object] = {
            "sid": f"SM{self._count:032x}",
            "status": "queued",
            "direction": "outbound-api",
            "from": form.get("From"),
            "to": form["To"],
            "body": form.get("Body", ""),
            "num_segments": "1",
            "num_media": str(sum(1 for name in form if name == "MediaUrl")),
            "error_code": None,
            "date_created": format_datetime(made_at),
        }
        self.messages.insert(0, message | changes)
        return self.messages[0]

    async def seen(self, condition: Callable[[], bool]) -> None:
        """Return once something that was asked makes *condition* true."""
        async with self._news, asyncio.timeout(SECONDS):
            await self._news.wait_for(condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while (asked := await read_request(reader)) is not None:
                answer = await self._answer(asked)
                if answer.cut:
                    break
                writer.write(self._rendered(answer))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, asked: Asked) -> Answer:
        async with self._news:
            self.asked.append(asked)
            self._news.notify_all()
        self._at_once += 1
        self.at_once_max = max(self.at_once_max, self._at_once)
        try:
            await self.is_open.wait()
        finally:
            self._at_once -= 1
        if self.is_locked:
            return Answer(401, {"code": 20003, "message": "Authenticate", "status": 401})
        if asked.method == "GET":
            return self._shown(asked)
        answer = self.scripted.pop(0) if self.scripted else Answer(201)
        return Answer(201, self.add(asked.fields)) if answer.status == 201 else answer

    def _shown(self, asked: Asked) -> Answer:
        parts = urlsplit(asked.path)
        if "/Media" in parts.path:
            sid = parts.path.split("/")[-2]
            return Answer(200, {"media_list": [{"uri": uri} for uri in self.media[sid]]})
        wanted = asked.fields
        found = [
            m
            for m in self.messages
            if all(wanted.get(n, m[k]) == m[k] for n, k in (("To", "to"), ("From", "from")))
        ]
        start = int(wanted.get("Start", "0"))
        page = found[start : start + self.page_size]
        following = f"{MESSAGES}?Start={start + self.page_size}"
        is_last = start + self.page_size >= len(found)
        return Answer(200, {"messages": page, "next_page_uri": None if is_last else following})

    def _rendered(self, answer: Answer) -> bytes:
        body = json.dumps(answer.body).encode()
        headers = {
            "Content-Length": str(len(body)),
            "Date": format_datetime(datetime.now(UTC) + self.date, usegmt=False),
            **answer.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode() + body


async def read_request(reader: asyncio.StreamReader) -> Asked | None:
    """Read one request, None at the end of the connection."""
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines if line)}
    body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
    form = parse_qsl(body or urlsplit(path).query, keep_blank_values=True)
    return Asked(method, path, form, headers)


@asynccontextmanager
async def served(api: Api) -> AsyncIterator[asyncio.Server]:
    """Run an API on a free port."""
    server = await asyncio.start_server(api.serve, "127.0.0.1", api.port)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        api.is_open.set()
        server.close()
