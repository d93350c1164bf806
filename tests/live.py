"""The whole program left to work by itself: HTTP in, a real socket to an SMSC, webhooks out.

Its time runs faster than the machine's, so that waits of seconds are over soon; protocol timers are
the machine's own, and short by settings.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from structlog.testing import capture_logs

from tests.databases import DATABASES
from tests.harness import NOON, PORT, Receiver, Trunkline
from tests.smsc import Peer, Script, ScriptedSmsc, receipt
from trunkline.app import App
from trunkline.config import Config
from trunkline.domain.text import Encoding, decode_segment
from trunkline.flows import carriers, routes
from trunkline.runtime import Chance, ManualClock, SystemClock
from trunkline.smpp.pdu import Bind, BindTransmitter, Pdu, SubmitSm
from trunkline.store.outbox import outbox_size

SPEED = 50.0
SECONDS = 60.0  # For what takes a second at most on an idle machine.
LOOK_SECONDS = 0.03
CALLBACK = "http://app.example/status"
INBOUND = "http://app.example/sms"
QUICK = {
    "system_id": "esme",
    "password": "secret",
    "connect_seconds": "1",
    "response_seconds": "0.5",
    "enquire_seconds": "0.3",
    "reconnect_seconds": "0.01",
    "reconnect_seconds_max": "0.05",
    # There is one carrier, and waiting for it is what is tested.
    "failover_seconds": "36000",
}
END = {"delivered", "undelivered", "failed"}
ORDERS = [["sent", "delivered"], ["sent", "undelivered"], ["failed"], ["sent"]]

_BEGAN = time.monotonic()

T = TypeVar("T")


class QuickClock(ManualClock):
    """A clock that nobody moves and that runs SPEED times as fast as the machine's.

    It goes on over a restart of the program.
    """

    def __init__(self) -> None:
        super().__init__(NOON)

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return NOON + timedelta(seconds=SPEED * (time.monotonic() - _BEGAN))

    async def sleep(self, seconds: float) -> None:
        """Return once *seconds* of this clock have passed."""
        await SystemClock().sleep(seconds / SPEED)


async def eventually(
    condition: Callable[[], Awaitable[T | None]], *, what: str, seconds: float = SECONDS
) -> T:
    """Return the first true value of *condition*; fail, saying *what* was awaited, without one."""
    began = time.monotonic()
    over = began + seconds
    while not (found := await condition()):
        now = time.monotonic()
        assert now < over, f"still not so: {what}"
        # Looking at hundreds of messages must not be what keeps them from going on.
        await SystemClock().sleep(max(LOOK_SECONDS, 2 * (now - began)))
        began = time.monotonic()
    return found


class Live(Trunkline):
    """A program at work, and short words for what its users and its operator do."""

    def __init__(self, directory: Path, *, receiver: Receiver | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        given = {"data_dir": directory, "seed": 7, **DATABASES.settings(directory)}
        self.config = Config.model_validate(given)
        self.clock = QuickClock()
        self.receiver = receiver or Receiver(self.clock)
        self.app = App(self.config, clock=self.clock, chance=Chance(7), port=PORT)
        self.app.use_sender(self.receiver)
        self.account_sid, self.auth_token = self.app.facts.account_sid, self.app.facts.auth_token
        self.number = self.app.facts.phone_number
        self.base = f"/2010-04-01/Accounts/{self.account_sid}"
        self.sids: list[str] = []

    async def connect(self, name: str = "acme", **settings: str) -> None:
        """Add a carrier and a route to it; it is the only one then."""
        platform = self.app.platform
        for route in await routes.listed(platform):
            if route.carrier == "simulated":
                await routes.remove(platform, route.sid)
        found = {**QUICK, **settings}
        await carriers.add(platform, name=name, carrier_type="smpp", settings=found)
        await routes.add(platform, routes.Wish(carrier=name))

    async def change(self, name: str = "acme", state: str | None = None, **settings: str) -> None:
        """Change a carrier, as the admin API does."""
        await carriers.change(self.app.platform, name, settings=settings or None, state=state)

    async def text(self, body: str = "Hello", to: str = "+14155550123") -> str:
        """Send a text that is to be told of; return its SID."""
        answer = await self.send(to, body, StatusCallback=CALLBACK)
        assert answer.status == 201, answer.body
        self.sids.append(answer.json["sid"])
        return self.sids[-1]

    async def texts(self, bodies: Collection[str]) -> list[str]:
        """Send texts to one handset each, side by side."""
        return await asyncio.gather(
            *(self.text(body, to=f"+1415555{n:04}") for n, body in enumerate(bodies, 1000))
        )

    async def statuses(self) -> dict[str, tuple[str, int | None]]:
        """Return status and error code of all messages."""
        listed = await self.request("GET", f"{self.base}/Messages.json", {"PageSize": 1000})
        return {m["sid"]: (m["status"], m["error_code"]) for m in listed.json["messages"]}

    async def bodies(self) -> Counter[str]:
        """Return the texts that came in."""
        listed = await self.request("GET", f"{self.base}/Messages.json", {"PageSize": 1000})
        return Counter(m["body"] for m in listed.json["messages"] if m["direction"] == "inbound")

    async def becomes(self, sid: str, *statuses: str) -> tuple[str, int | None]:
        """Wait until a message has one of these statuses; return it with the error code."""

        async def there() -> tuple[str, int | None] | None:
            message = await self.message(sid)
            is_there = message["status"] in statuses
            return (message["status"], message["error_code"]) if is_there else None

        return await eventually(there, what=f"{sid} is one of {statuses}")

    async def waiting(self) -> int:
        """Return how many messages wait for the carrier."""
        return await self.app.store.read(outbox_size)

    async def balanced(self, *, ends: Collection[str] = END, seconds: float = SECONDS) -> None:
        """Wait until everything ended and nothing waits; callbacks are complete and in order."""

        async def over() -> bool:
            if await self.waiting():
                return False
            now = await self.statuses()
            is_over = all(now[sid][0] in ends for sid in self.sids)
            return is_over and all(now[sid][0] in self.receiver.statuses(sid) for sid in self.sids)

        await eventually(over, what="every message ended and was told of", seconds=seconds)
        for sid in self.sids:
            # At least once each: after a restart one may come again.
            assert list(dict.fromkeys(self.receiver.statuses(sid))) in ORDERS

    def bind_error(self, name: str = "acme") -> str:
        """Return what the first connection complains of."""
        carrier = self.app.platform.switchboard.live.get(name)
        return carrier.binds()[0].last_error if carrier else ""


@contextlib.asynccontextmanager
async def living(directory: Path, *, receiver: Receiver | None = None) -> AsyncIterator[Live]:
    """Run a program on a directory, and see that nothing went wrong in it that it did not expect.

    On the same directory again it is a restart.
    """
    with capture_logs() as lines, unhandled() as troubles:
        before = asyncio.all_tasks()
        live = Live(directory, receiver=receiver)
        await live.app.start()
        try:
            yield live
        finally:
            await live.close()
        await asyncio.sleep(0)
        assert [task for task in asyncio.all_tasks() - before if is_ours(task)] == []
    assert [line for line in lines if line["log_level"] == "error"] == []
    assert troubles == [], troubles


def is_ours(task: asyncio.Task[Any]) -> bool:
    """Say whether a task runs the program's code, not a test's."""
    return "/src/trunkline/" in repr(task)


@contextlib.contextmanager
def unhandled() -> Iterator[list[dict[str, Any]]]:
    """Yield a list that gets what nobody caught: a protocol or a callback that raised."""
    loop, troubles = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, trouble: troubles.append(trouble))
    try:
        yield troubles
    finally:
        loop.set_exception_handler(None)


class Handsets(ScriptedSmsc):
    """An SMSC that takes every text and delivers it, once its script has let it.

    `faults` are played to the next submissions, one each; `taken` counts the texts that were
    answered with an id.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(Script(submit=self._submit), **options)
        self.faults: list[Callable[[Handsets, Peer, int, SubmitSm], None]] = []
        self.taken: Counter[str] = Counter()
        self.told: list[tuple[Peer, int, Pdu]] = []

    def play(self, peer: Peer, number: int, pdu: Pdu) -> None:
        """Do what the script says; what was not acknowledged before comes again after a bind."""
        super().play(peer, number, pdu)
        if isinstance(pdu, Bind) and receives(peer):
            told, self.told = self.told, []
            for before, its_number, its_pdu in told:
                if before.is_gone and before.answers.get(its_number) != 0:
                    self.tell(its_pdu, peer)

    def take(self, peer: Peer, number: int, pdu: SubmitSm, *, message_id: str = "") -> str:
        """Answer a submission with an id, and tell that it was delivered."""
        message_id = self.accept(peer, number, pdu, message_id=message_id)
        self.tell(receipt(message_id), peer)
        return message_id

    def tell(self, pdu: Pdu, peer: Peer) -> None:
        """Send a receipt on a connection that receives, this one if it does; else not at all."""
        fitting = (one for one in (peer, *self.bound) if receives(one))
        chosen = next(fitting, None)
        if chosen:
            self.told.append((chosen, chosen.deliver(pdu), pdu))

    def accept(self, peer: Peer, number: int, pdu: SubmitSm, *, message_id: str = "") -> str:
        """Answer a submission with an id."""
        message_id = message_id or self.next_id()
        peer.accept(number, message_id)
        self.taken[text_of(pdu)] += 1
        return message_id

    @property
    def seen_texts(self) -> Counter[str]:
        """How often each text was submitted."""
        return Counter(map(text_of, self.submits))

    def _submit(self, peer: Peer, number: int, pdu: SubmitSm) -> None:
        if self.faults:
            self.faults.pop(0)(self, peer, number, pdu)
        elif not peer.is_gone:
            self.take(peer, number, pdu)


def receives(peer: Peer) -> bool:
    """Say whether a connection takes receipts now."""
    is_open = peer.is_bound and peer.session.window_free > 0
    return is_open and not isinstance(peer.bind, BindTransmitter)


def text_of(pdu: SubmitSm) -> str:
    """Return the text of a GSM segment without a header."""
    return decode_segment(pdu.short_message, Encoding.GSM7)


def host_of(smsc: ScriptedSmsc) -> str:
    """Return where an SMSC listens, as settings have it."""
    return f"127.0.0.1:{smsc.port}"
