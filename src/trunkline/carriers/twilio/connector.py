"""The connector: one upstream Twilio account as a carrier."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import urlsplit

from trunkline.carriers.port import (
    Answered,
    BindState,
    Handler,
    Happening,
    Incoming,
    MaySend,
    PduSeen,
    Probe,
    Sharing,
    Submission,
    SubmitResult,
    Taken,
)
from trunkline.carriers.twilio.callbacks import Address, media_of, segment_refs
from trunkline.carriers.twilio.client import TwilioClient
from trunkline.carriers.twilio.gate import Gate
from trunkline.carriers.twilio.health import Health
from trunkline.carriers.twilio.ledger import Ledger
from trunkline.carriers.twilio.line import Line
from trunkline.carriers.twilio.sending import Outgoing, Sender, gather
from trunkline.carriers.twilio.settings import SETTINGS, TwilioSettings, check, parse
from trunkline.carriers.twilio.traffic import Traffic
from trunkline.carriers.twilio.watching import RECEIVED, Watch, note_told, receipts
from trunkline.carriers.twilio.wire import DELIVERED
from trunkline.domain.carrier import Setting
from trunkline.domain.errors import Refusal
from trunkline.domain.text import count_segments, encoding_of
from trunkline.runtime import Chance, Clock

# What is under way when the carrier is closed gets this long to be answered.
LEAVE_SECONDS = 2.0


class TwilioConnector:
    """Opens upstream accounts; *callback_url* is where they reach our part of the admin API.

    That is the public address of /trunkline/v1/carriers, or "" without one.
    """

    sharing = Sharing.CARRIERS  # The window, the rate and the polling are those of the account.
    is_called = True
    takes_media = True

    def __init__(self, *, clock: Clock, chance: Chance, callback_url: str, ledger: Ledger) -> None:
        self._clock = clock
        self._chance = chance
        self._callback_url = callback_url
        self._ledger = ledger

    @property
    def settings(self) -> Sequence[Setting]:
        """Every setting of an upstream account."""
        return SETTINGS

    def check(self, settings: Mapping[str, str]) -> None:
        """Refuse (20422) settings that cannot be used together."""
        check(settings)

    def open(
        self,
        name: str,
        settings: Mapping[str, str],
        *,
        lanes: Sequence[int],
        changed: Callable[[], None],
        may_send: MaySend,
    ) -> "TwilioCarrier":
        """Return a carrier at work with checked settings; nothing moves before `run`."""
        return TwilioCarrier(
            name,
            parse(settings),
            lanes=lanes,
            changed=changed,
            may_send=may_send,
            clock=self._clock,
            chance=self._chance,
            callback_url=self._callback_url,
            ledger=self._ledger,
        )


class TwilioCarrier:
    """One upstream account at work; its lanes share one window."""

    def __init__(
        self,
        name: str,
        settings: TwilioSettings,
        *,
        lanes: Sequence[int],
        changed: Callable[[], None],
        may_send: MaySend,
        clock: Clock,
        chance: Chance,
        callback_url: str,
        ledger: Ledger,
    ) -> None:
        self._name = name
        self._lanes = tuple(lanes)
        self._settings = settings
        self._changed = changed
        self._clock = clock
        self._gate = Gate(settings.window, settings.per_second, changed=changed)
        self._address = Address(name, settings, callback_url=callback_url)
        self._traffic = Traffic(self._address.hidden, now=clock.now)
        self._client = TwilioClient(settings, self._traffic.watch, now=clock.now)
        self._health = Health(self._gate, clock=clock, chance=chance)
        self._line = Line(self._client, self._health, clock=clock)
        self._sender = Sender(
            name,
            self._line,
            settings=settings,
            address=self._address,
            gate=self._gate,
            ledger=ledger,
            # They have one lease: what holds for one lane holds for all.
            may_send=lambda: may_send(0),
        )
        self._watch = Watch(name, self._line, settings=settings, ledger=ledger, clock=clock)
        self._handle: Handler | None = None

    @property
    def name(self) -> str:
        """The carrier account's name."""
        return self._name

    @property
    def lanes(self) -> Sequence[int]:
        """The numbers of the lanes that are at work here."""
        return self._lanes

    @property
    def down_since(self) -> datetime | None:
        """Since when the API cannot be reached or does not take our credentials."""
        return self._health.down_since

    async def run(self, handle: Handler) -> None:
        """Ask what became of messages and knock while it is down, until cancelled.

        Without lanes it only listens, since another node asks. Raises what *handle* raises; nothing
        is lost by that, run it again.
        """
        self._handle = handle
        if not self._lanes:
            await self._listen()
        tasks = [
            asyncio.create_task(self._watch_on(handle)),
            asyncio.create_task(self._recover()),
        ]
        self._changed()
        try:
            await asyncio.gather(*tasks)
        finally:
            self._handle = None
            for task in tasks:
                task.cancel()
            await self._leave()

    def take_lane(self, lane: int) -> None:
        """Put one more lane to work."""
        self._lanes = (*self._lanes, lane)

    async def leave_lane(self, lane: int) -> None:
        """Work on a lane no more."""
        self._lanes = tuple(each for each in self._lanes if each != lane)

    def room(self, lane: int) -> int:
        """Say how many messages are welcome; the lanes share what there is."""
        assert lane in self._lanes
        if self._handle is None or self._health.down_since is not None:
            return 0
        return self._gate.room()

    def capacity(self, lane: int) -> int:
        """Say how many messages may be in hand."""
        return self._gate.window

    async def submit(
        self, lane: int, batch: Sequence[Submission], *, answered: Answered | None = None
    ) -> Sequence[SubmitResult]:
        """Hand over messages side by side; those to one recipient in their order."""
        assert lane in self._lanes
        places = {(s.message_sid, s.segment_index): index for index, s in enumerate(batch)}
        results: dict[int, SubmitResult] = {}

        async def hand_over(message: Outgoing) -> None:
            for key, result in (await self._submit(message)).items():
                results[places[key]] = result
                if answered:
                    answered(places[key], result)

        await asyncio.gather(*(hand_over(message) for message in gather(batch)))
        return [results[index] for index in range(len(batch))]

    def binds(self) -> Sequence[BindState]:
        """Return how the account as a whole is doing: there are no connections that matter."""
        counts = self._health.counts
        return [
            BindState(
                lane=0,
                kind="http",
                phase=self._health.phase,
                since=self._health.since,
                peer=urlsplit(self._settings.base_url).netloc,
                window_used=min(self._gate.used, self._settings.window),
                window_max=self._settings.window,
                per_second=self._settings.per_second or None,
                submitted=counts.submitted,
                taken=counts.taken,
                refused=counts.refused,
                throttled=counts.throttled,
                in_doubt=counts.in_doubt,
                receipts=counts.receipts,
                texts=counts.texts,
                errors=counts.errors,
                last_error=self._health.last_error,
                last_receipt_at=counts.last_receipt_at,
            )
        ]

    def pdus(self) -> Sequence[PduSeen]:
        """Return the requests that passed lately, oldest first."""
        return self._traffic.shown()

    async def probe(self) -> Probe:
        """Ask for something of the account and measure how long that takes."""
        time = asyncio.get_running_loop().time
        began = time()
        was_down = self._health.down_since is not None
        is_good, detail = await self._line.knock()
        milliseconds = (time() - began) * 1000
        if was_down and is_good:
            self._changed()
        if self._settings.inbound == "webhook":
            detail += f"; inbound texts are expected at {self._address.url}"
        if self._handle is None:
            await self._client.close()
        return Probe(is_good, detail, milliseconds)

    async def told(self, form: Mapping[str, str], *, signature: str, url: str) -> bool:
        """Take in a status callback or an inbound webhook; False when it is not genuine.

        When this returns, what it says is on disk. Refused (20503) while the carrier is not at
        work: what it says will be asked for.
        """
        if not self._address.is_genuine(url, signature, form=form):
            return False
        if self._handle is None:
            raise Refusal(20503)
        self._traffic.note_call(dict(form))
        happenings = self._happenings(form, url)
        if happenings:
            await self._handle(happenings)
            note_told(self._health.counts, happenings, at=self._clock.now())
        sid = form.get("MessageSid", "")
        if DELIVERED.get(form.get("MessageStatus", "")) is not None:
            self._watch.closed(sid)
        return True

    def authorization_for(self, url: str) -> str | None:
        """Return the Authorization that media of this account need; None for other hosts."""
        return self._client.authorization_for(url)

    def _happenings(self, form: Mapping[str, str], url: str) -> list[Happening]:
        sid, status = form.get("MessageSid", ""), form.get("MessageStatus", "")
        if not sid:
            return []
        if status in DELIVERED:
            return [
                *receipts(
                    segment_refs(sid, self._address.segments(url)),
                    status=status,
                    delivered=DELIVERED[status],
                    error_code=form.get("ErrorCode"),
                    at=self._clock.now(),
                )
            ]
        is_text = form.get("SmsStatus") == RECEIVED and self._settings.inbound == "webhook"
        return [self._incoming(form)] if is_text else []

    def _incoming(self, form: Mapping[str, str]) -> Incoming:
        body = form.get("Body", "")
        return Incoming(
            ref=form["MessageSid"],
            sender=form.get("From", ""),
            recipient=form.get("To", ""),
            body=body,
            encoding=encoding_of(body).value,
            num_segments=count_segments(body),
            media=tuple(media_of(form)),
            at=self._clock.now(),
        )

    async def _submit(self, message: Outgoing) -> dict[tuple[str, int], SubmitResult]:
        result = await self._sender.send(message)
        if isinstance(result, Taken):
            self._watch.opened(result.carrier_ref)
        keys = [(s.message_sid, s.segment_index) for s in message.segments]
        return dict(zip(keys, message.results(result), strict=True))

    async def _watch_on(self, handle: Handler) -> None:
        """Do a round every poll_seconds, but none while it is down."""
        while True:
            if self._health.down_since is None:
                await self._watch.step(handle)
            await asyncio.sleep(self._settings.poll_seconds)

    async def _listen(self) -> None:
        """Take in what we are told, until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            self._handle = None
            await self._client.close()

    async def _recover(self) -> None:
        """Knock while it is down, ever less often."""
        while True:
            await self._health.has_fallen.wait()
            self._health.has_fallen.clear()
            while self._health.down_since is not None:
                await asyncio.sleep(self._health.seconds_to_knock)
                await self._line.knock()
            self._changed()

    async def _leave(self) -> None:
        """Wait a little for answers that are under way, then close the connections."""
        self._gate.stop()
        self._gate.close(LEAVE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._gate.emptied()
        await self._client.close()
