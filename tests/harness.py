"""The whole program in one process: HTTP in, the simulated network, webhooks out; time stands still
until a test moves it."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.databases import DATABASES
from trunkline.app import App
from trunkline.config import Config
from trunkline.dispatch.worker import IDLE_SECONDS_MAX
from trunkline.flows.messages import trace
from trunkline.runtime import Chance, ManualClock
from trunkline.webhooks.answer import BLOCKED, Answer, Attempt
from trunkline.webhooks.request import Rendered, Target

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PORT = 8800


@dataclass(frozen=True, slots=True)
class Response:
    """What the program answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Seen:
    """A webhook request that the program made."""

    method: str
    url: str
    form: dict[str, str]
    headers: Mapping[str, str]
    at: datetime


Script = Callable[[Seen], tuple[int, str, bytes]]


@dataclass
class Receiver:
    """Stands for every web application: notes what it is asked and answers by a script."""

    clock: ManualClock
    script: Script = lambda seen: (204, "", b"")
    seen: list[Seen] = field(default_factory=list)
    blocked: bool = False

    async def send(
        self,
        request: Rendered,
        target: Target,
        *,
        cookies: Mapping[str, str] | None = None,
        size_max: int = 65536,
    ) -> Answer:
        """Answer as the script says; status 0 stands for a connection that is refused."""
        text = request.body.decode() or urlsplit(request.url).query
        seen = Seen(
            request.method,
            request.url,
            dict(parse_qsl(text, keep_blank_values=True)),
            request.headers,
            self.clock.now(),
        )
        self.seen.append(seen)
        status, content_type, body = (0, "", b"") if self.blocked else self.script(seen)
        error = 11205 if status == 0 else 11200 if status >= 400 else None
        attempt = Attempt(
            started_at=self.clock.now(),
            duration_ms=1,
            status=status or None,
            error_code=error,
            reason=BLOCKED.reason if self.blocked else "" if error is None else f"HTTP {status}",
            url_host=urlsplit(request.url).netloc,
            head=body[:1024],
        )
        return Answer(
            status=status or None,
            content_type=content_type,
            body=body[:size_max],
            is_cut=len(body) > size_max,
            error_code=error,
            cookies=dict(cookies or {}),
            final_url=request.url,
            attempts=(attempt,),
        )

    def statuses(self, sid: str) -> list[str]:
        """Return the statuses that were called back for a message, in order."""
        return [
            s.form["MessageStatus"]
            for s in self.seen
            if s.form.get("MessageSid") == sid and "MessageStatus" in s.form
        ]


class Trunkline:
    """A program under test, with short words for what its users do."""

    def __init__(self, directory: Path, **settings: object) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        given = {"seed": 7, "delivery_delay_seconds": 1, **DATABASES.settings(directory)}
        self.config = Config.model_validate({"data_dir": directory, **given, **settings})
        self.clock = ManualClock(NOON)
        self.receiver = Receiver(self.clock)
        self.app = App(self.config, clock=self.clock, chance=Chance(self.config.seed), port=PORT)
        self.app.use_sender(self.receiver)
        facts = self.app.facts
        self.account_sid, self.auth_token = facts.account_sid, facts.auth_token
        self.number = facts.phone_number
        self.base = f"/2010-04-01/Accounts/{self.account_sid}"

    async def request(
        self,
        method: str,
        path: str,
        form: Mapping[str, object] | Sequence[tuple[str, str]] | None = None,
        *,
        auth: tuple[str, str] | str | None = "",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        host: str = f"127.0.0.1:{PORT}",
    ) -> Response:
        """Make one HTTP request; by default as the main account. GET puts *form* in the query."""
        content = body if body is not None else urlencode(form or {}, doseq=True).encode()
        sent = {"host": host, "accept": "application/json"}
        if method == "GET" and form:
            path, content = f"{path}?{content.decode()}", b""
        if form is not None and method != "GET":
            sent["content-type"] = "application/x-www-form-urlencoded"
        if auth == "":
            auth = (self.account_sid, self.auth_token)
        if auth is not None:
            pair = auth if isinstance(auth, str) else ":".join(auth)
            sent["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        sent |= {k.lower(): v for k, v in (headers or {}).items()}
        return await call_asgi(self.app.asgi, method, path, headers=sent, body=content)

    async def send(self, to: str = "+15558675310", body: str = "Hello", **form: object) -> Response:
        """POST a message from our number."""
        given = {"To": to, "From": self.number, "Body": body, **form}
        return await self.request(
            "POST", f"{self.base}/Messages.json", {k: v for k, v in given.items() if v is not None}
        )

    async def message(self, sid: str) -> Any:
        """GET a message."""
        return (await self.request("GET", f"{self.base}/Messages/{sid}.json")).json

    async def events(self, sid: str) -> list[dict[str, Any]]:
        """Return the trace of a message, oldest first."""
        found = await trace(self.app.platform, self.account_sid, sid)
        assert found is not None
        return [{"kind": event.kind, "detail": event.detail} for event in found.events]

    async def download(self, path: str, **headers: str) -> Response:
        """GET a medium by its address without .json, and follow where that leads, as nobody."""
        answer = await self.request("GET", path)
        if answer.status != 307:
            return answer
        return await self.request("GET", answer.headers["location"], auth=None, headers=headers)

    async def run_for(self, seconds: float) -> None:
        """Let time pass, and let everything happen at the moment it is due.

        As in earnest, a worker has its turn when it said so, and every few seconds besides.
        """
        end = self.clock.now() + timedelta(seconds=seconds)
        await self.app.settle()
        all_at = self.clock.now()
        while self.clock.now() < end:
            dues = [(await worker.next_due(), worker) for worker in self.app.workers]
            due = min((at for at, _ in dues if at is not None and at <= end), default=end)
            self.clock.advance(max(0.0, (due - self.clock.now()).total_seconds()))
            now = self.clock.now()
            if now == end or now - all_at >= timedelta(seconds=IDLE_SECONDS_MAX):
                all_at = now
                await self.app.settle()
            else:
                await self.app.settle([w for at, w in dues if at is not None and at <= now])

    async def configure_number(self, **form: str) -> None:
        """Set fields of our number."""
        numbers = await self.request("GET", f"{self.base}/IncomingPhoneNumbers.json")
        sid = numbers.json["incoming_phone_numbers"][-1]["sid"]
        changed = await self.request("POST", f"{self.base}/IncomingPhoneNumbers/{sid}.json", form)
        assert changed.status == 200, changed.body

    async def close(self) -> None:
        """Stop, as a restart would find it."""
        await self.app.stop()


async def call_asgi(
    asgi: Any, method: str, path: str, *, headers: Mapping[str, str], body: bytes
) -> Response:
    """Call an ASGI program with one request and return its whole answer."""
    raw, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": raw,
        "raw_path": raw.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", PORT),
    }
    sent: list[dict[str, Any]] = []
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not given:
            await asyncio.Event().wait()  # The client stays.
        return given.pop()

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    await asgi(scope, receive, send)
    start = next(e for e in sent if e["type"] == "http.response.start")
    content = b"".join(e.get("body", b"") for e in sent if e["type"] == "http.response.body")
    answered = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in start["headers"]}
    return Response(start["status"], answered, content)
