"""The probe: the bare durable way of a text in one process, to show what the shape alone allows.

A request is committed to SQLite before its 201, submitted in a window, its receipt acknowledged
after a commit, and reported by two signed callbacks. Whatever waits together commits together.
Nothing is checked, nothing survives a restart, nothing is tried again: Trunkline does all that and
is to stay close. `python -m bench.probe` prints its port and serves until it is told to stop.
"""

import argparse
import asyncio
import hmac
import queue
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import msgspec
import uvicorn
import uvloop
from sqlalchemy import Connection, bindparam, create_engine, delete, event, insert, select, update
from starlette.types import Receive, Scope, Send

from bench.ceiling import ACCOUNT_SID, AUTH_TOKEN, AUTHORIZATION, BACKLOG, config_of
from bench.probe_tables import CARRIER, LANE, callbacks, messages, metadata, outbox, refs
from trunkline.smpp.events import Answered, Bound, Event, Requested
from trunkline.smpp.pdu import BindTransceiver, DeliverSm, DeliverSmResp, SubmitSm, SubmitSmResp
from trunkline.smpp.session import Session
from trunkline.smpp.states import Role
from trunkline.webhooks.signature import sign

BATCH_MAX = 500
CALLERS = 64
RESPONSE_SECONDS = 120
DATE = "Fri, 20 Nov 2026 10:00:00 +0000"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")
_RECEIPT_ID = re.compile(rb"id:(\S+)")

T = TypeVar("T")
Item = TypeVar("Item")
Work = Callable[[Connection], Any]
Values = dict[str, Any]

_THIS = (messages.c.account_sid == ACCOUNT_SID) & (messages.c.sid == bindparam("s"))
_OUTBOX_ROW = (outbox.c.lane == LANE) & (outbox.c.sid == bindparam("s"))
_CALLBACK = (callbacks.c.sid == bindparam("s")) & (callbacks.c.number == bindparam("n"))


class Store:
    """One thread that writes; each commit holds all works that wait."""

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(f"sqlite:///{path}")
        self._waiting: queue.SimpleQueue[tuple[Work, asyncio.Future[Any]]] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", lambda db: db.exec_driver_sql("BEGIN IMMEDIATE"))
        metadata.create_all(self._engine)
        threading.Thread(target=self._write, daemon=True).start()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* returned once it is on disk."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put((work, future))
        return await future

    def _write(self) -> None:
        db = self._engine.connect()
        while True:
            group = [self._waiting.get()]
            while not self._waiting.empty():
                group.append(self._waiting.get())
            with db.begin():
                results = [work(db) for work, _ in group]
            futures = [future for _, future in group]
            self._loop.call_soon_threadsafe(_settle, futures, results)


def _prepare(connection: Any, _: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _settle(futures: Sequence[asyncio.Future[Any]], results: Sequence[object]) -> None:
    for future, result in zip(futures, results, strict=True):
        future.set_result(result)


class Batcher(Generic[Item]):
    """Gathers what comes while the last batch is at work."""

    def __init__(self, flow: Callable[[list[Item]], Awaitable[object]]) -> None:
        self._flow = flow
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> None:
        """Return when a batch with the item is done."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        await future

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            await self._flow([item for item, _ in batch])
            for _, future in batch:
                future.set_result(None)
        self._task = None


class Tasks:
    """Keeps tasks from being collected while they run."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something run by itself."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def accept(db: Connection, rows: Sequence[Values]) -> None:
    """Store messages and what a lane has to do."""
    db.execute(insert(messages), rows)
    due = [{"lane": LANE, "sid": row["sid"], "due_at": row["created_at"]} for row in rows]
    db.execute(insert(outbox), due)


def mark_sending(db: Connection, sids: Sequence[str]) -> None:
    """Write down that texts are about to leave."""
    db.execute(update(messages).where(_THIS).values(status="sending"), [{"s": sid} for sid in sids])


def record_sent(db: Connection, taken: Sequence[tuple[str, str]]) -> None:
    """Store what the SMSC calls the texts that it took."""
    keys = [{"s": sid} for sid, _ in taken]
    now = time.time()
    db.execute(update(messages).where(_THIS).values(status="sent", updated_at=now), keys)
    db.execute(insert(refs), [{"carrier": CARRIER, "ref": ref, "sid": sid} for sid, ref in taken])
    db.execute(delete(outbox).where(_OUTBOX_ROW), keys)
    db.execute(insert(callbacks), _callback_rows([sid for sid, _ in taken], 1, at=now))


def record_delivered(db: Connection, found: Sequence[str]) -> list[str]:
    """Store that texts arrived; return whose they are."""
    query = select(refs.c.sid).where(refs.c.carrier == CARRIER, refs.c.ref.in_(found))
    sids = list(db.execute(query).scalars())
    now = time.time()
    keys = [{"s": sid} for sid in sids]
    db.execute(update(messages).where(_THIS).values(status="delivered", updated_at=now), keys)
    db.execute(insert(callbacks), _callback_rows(sids, 2, at=now))
    return sids


def finish(db: Connection, done: Sequence[tuple[str, int]]) -> None:
    """Forget callbacks that were made."""
    db.execute(
        delete(callbacks).where(_CALLBACK), [{"s": sid, "n": number} for sid, number in done]
    )


def _callback_rows(sids: Sequence[str], number: int, *, at: float) -> list[Values]:
    return [{"sid": sid, "number": number, "due_at": at} for sid in sids]


Due = tuple[str, int, str]


class Lane(asyncio.Protocol):
    """One SMPP connection that submits in a window and takes receipts."""

    def __init__(self, store: Store, due: "asyncio.Queue[Due]", *, window: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._store, self._due, self._tasks = store, due, Tasks()
        self._waiting: deque[Values] = deque()
        self._under_way: dict[int, str] = {}
        self._free = window
        self._is_marking = False
        self.bound = asyncio.Event()
        self._session = Session(
            Role.ESME,
            now=self._loop.time(),
            window_max=window,
            response_seconds=RESPONSE_SECONDS,
            enquire_seconds=None,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._session.request(BindTransceiver(system_id="bench"), self._loop.time())
        self._transport.write(self._session.data_to_send())

    def push(self, rows: Sequence[Values]) -> None:
        """Submit texts as soon as there is room."""
        self._waiting += rows
        self._go_on()

    def data_received(self, data: bytes) -> None:
        taken: list[tuple[str, str]] = []
        receipts: list[tuple[str, int]] = []
        for each in self._session.receive(data, self._loop.time()):
            self._sort(each, taken, receipts=receipts)
        if taken:
            self._free += len(taken)
            self._tasks.start(self._note_sent(taken))
            self._go_on()
        if receipts:
            self._tasks.start(self._note_delivered(receipts))

    def _sort(
        self, each: Event, taken: list[tuple[str, str]], *, receipts: list[tuple[str, int]]
    ) -> None:
        match each:
            case Bound():
                self.bound.set()
            case Answered(number, _, SubmitSmResp(message_id=ref)):
                taken.append((self._under_way.pop(number), ref))
            case Requested(number, DeliverSm(short_message=text)):
                found = _RECEIPT_ID.search(text)
                assert found is not None
                receipts.append((found[1].decode(), number))

    def _go_on(self) -> None:
        count = min(self._free, len(self._waiting))
        if count and not self._is_marking:
            self._is_marking = True
            self._free -= count
            batch = [self._waiting.popleft() for _ in range(count)]
            self._tasks.start(self._submit(batch))

    async def _submit(self, batch: Sequence[Values]) -> None:
        sids = [row["sid"] for row in batch]
        await self._store.write(lambda db: mark_sending(db, sids))
        now = self._loop.time()
        for row in batch:
            self._under_way[self._session.request(_submit_sm(row), now)] = row["sid"]
        self._transport.write(self._session.data_to_send())
        self._is_marking = False
        self._go_on()

    async def _note_sent(self, taken: Sequence[tuple[str, str]]) -> None:
        await self._store.write(lambda db: record_sent(db, taken))
        for sid, _ in taken:
            self._due.put_nowait((sid, 1, "sent"))

    async def _note_delivered(self, receipts: Sequence[tuple[str, int]]) -> None:
        refs_found = [ref for ref, _ in receipts]
        sids = await self._store.write(lambda db: record_delivered(db, refs_found))
        for _, number in receipts:
            self._session.respond(number, DeliverSmResp())
        self._transport.write(self._session.data_to_send())
        for sid in sids:
            self._due.put_nowait((sid, 2, "delivered"))


def _submit_sm(row: Values) -> SubmitSm:
    return SubmitSm(
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr=row["sender"][1:],
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr=row["recipient"][1:],
        registered_delivery=1,
        short_message=row["body"].encode(),
    )


class Caller:
    """One keep-alive connection that makes callbacks, one after the other."""

    def __init__(self, due: "asyncio.Queue[Due]", urls: dict[str, str]) -> None:
        self._due, self._urls = due, urls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, finish_one: Callable[[tuple[str, int]], Awaitable[None]]) -> None:
        """Make callbacks for ever."""
        while True:
            sid, number, status = await self._due.get()
            await self._call(self._urls[sid], sid, status=status)
            await finish_one((sid, number))

    async def _call(self, url: str, sid: str, *, status: str) -> None:
        host, _, path = url.removeprefix("http://").partition("/")
        form = _form(sid, status)
        body = urlencode(form)
        if self._streams is None:
            name, _, port = host.partition(":")
            self._streams = await asyncio.open_connection(name, int(port))
        reader, writer = self._streams
        writer.write(
            f"POST /{path} HTTP/1.1\r\nHost: {host}\r\n"
            f"X-Twilio-Signature: {sign(AUTH_TOKEN, url, form)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        assert length is not None
        await reader.readexactly(int(length[1]))


def _form(sid: str, status: str) -> list[tuple[str, str]]:
    names = {"MessageSid": sid, "SmsSid": sid, "MessageStatus": status, "SmsStatus": status}
    fixed = {
        "AccountSid": ACCOUNT_SID,
        "ApiVersion": "2010-04-01",
        "From": "+15017122661",
        "To": "+15558675310",
    }
    return list((names | fixed).items())


class Api:
    """Takes messages over HTTP."""

    def __init__(self, accepting: Batcher[Values], urls: dict[str, str]) -> None:
        self._accepting, self._urls = accepting, urls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, is_whole = b"", False
        while not is_whole:
            part = await receive()
            body += part.get("body", b"")
            is_whole = not part.get("more_body")
        known = hmac.compare_digest(dict(scope["headers"])[b"authorization"], AUTHORIZATION)
        assert known
        form = dict(parse_qsl(body.decode()))
        row = _message(form)
        self._urls[row["sid"]] = form["StatusCallback"]
        await self._accepting.add(row)
        reply = msgspec.json.encode(_view(row))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(reply)).encode()),
        ]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": reply})


def _message(form: dict[str, str]) -> Values:
    now = time.time()
    return {
        "account_sid": ACCOUNT_SID,
        # Ordered by time, as Trunkline's are: new rows go to the end of every index.
        "sid": f"SM{int(now * 1000):012x}{uuid4().hex[:20]}",
        "sender": form["From"],
        "recipient": form["To"],
        "status": "queued",
        "direction": "outbound-api",
        "service": None,
        "carrier": CARRIER,
        "lane": LANE,
        "body": form["Body"],
        "segments": 1,
        "created_at": now,
        "updated_at": now,
    }


def _view(row: Values) -> Values:
    uri = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{row['sid']}"
    return {
        **{name: row[name] for name in ("sid", "account_sid", "status", "body", "direction")},
        "to": row["recipient"],
        "from": row["sender"],
        "num_segments": "1",
        "num_media": "0",
        **dict.fromkeys(("date_created", "date_updated"), DATE),
        **dict.fromkeys(("date_sent", "error_code", "error_message", "price")),
        "price_unit": "USD",
        "api_version": "2010-04-01",
        "messaging_service_sid": None,
        "uri": f"{uri}.json",
        "subresource_uris": {"media": f"{uri}/Media.json"},
    }


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    due: asyncio.Queue[Due] = asyncio.Queue()
    urls: dict[str, str] = {}
    store, tasks = Store(options.file), Tasks()
    _, lane = await asyncio.get_running_loop().create_connection(
        lambda: Lane(store, due, window=options.window), "127.0.0.1", options.smsc_port
    )
    await lane.bound.wait()

    async def take(rows: list[Values]) -> None:
        await store.write(lambda db: accept(db, rows))
        lane.push(rows)

    accepting = Batcher(take)
    finishing: Batcher[tuple[str, int]] = Batcher(
        lambda done: store.write(lambda db: finish(db, done))
    )
    for _ in range(CALLERS):
        tasks.start(Caller(due, urls).run(finishing.add))
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        print(listening.getsockname()[1], flush=True)
        await uvicorn.Server(config_of(Api(accepting, urls))).serve(sockets=[listening])


def main() -> None:
    """Serve as the options say."""
    parser = argparse.ArgumentParser(prog="python -m bench.probe")
    parser.add_argument("--smsc-port", type=int, required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True, help="the database, to be made")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(options))


if __name__ == "__main__":
    main()
