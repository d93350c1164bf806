"""Hands messages to the upstream account: each once, as far as that can be found out.

Rule: a message whose request may have arrived is looked for before it is submitted again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trunkline.carriers.port import Deferred, InDoubt, Refused, Submission, SubmitResult, Taken
from trunkline.carriers.twilio.callbacks import Address, segment_refs
from trunkline.carriers.twilio.client import Reply, Silence
from trunkline.carriers.twilio.gate import Gate, Turns
from trunkline.carriers.twilio.ledger import Ledger
from trunkline.carriers.twilio.line import Line
from trunkline.carriers.twilio.settings import TwilioSettings
from trunkline.carriers.twilio.verdicts import Meaning, Verdict, judge
from trunkline.carriers.twilio.wire import Problem, UpstreamMessage, read
from trunkline.domain.ids import EPOCH, instant, is_sid, sid_micros

# What is remembered of requests that may have arrived, and of references that were given out: what
# falls out is asked of the ledger.
DOUBTS_MAX = 10_000
TAKEN_MAX = 20_000
# A message that was made after ours and went to the same number is on the first pages.
LOOKUP_PAGES_MAX = 4
# Their times are whole seconds, and so is the difference between the clocks.
ROUNDING = timedelta(seconds=2)
# "Queue full" there empties at one segment a second.
HELD_UP_SECONDS = 60.0
# Who knocks may be about to find it open; until then nobody turns in circles.
DEFERRED_SECONDS_MIN = 0.5
TRIAL_PREFIX = "Sent from your Twilio trial account - "
INVALID_MEDIA = 21620


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message: its segments in their order."""

    segments: tuple[Submission, ...]

    @property
    def first(self) -> Submission:
        """What all segments have in common is in the first."""
        return self.segments[0]

    @property
    def body(self) -> str:
        """The text as it was before it was split."""
        return "".join(segment.text for segment in self.segments)

    @property
    def made_at(self) -> datetime:
        """When the message was made, which is before it was first submitted."""
        sid = self.first.message_sid
        return instant(sid_micros(sid)) if is_sid(sid) else EPOCH

    def results(self, result: SubmitResult) -> list[SubmitResult]:
        """Return what became of the message as results of its segments."""
        if not isinstance(result, Taken):
            return [result for _ in self.segments]
        refs = segment_refs(result.carrier_ref, self.first.segment_count)
        return [Taken(refs[segment.segment_index]) for segment in self.segments]


def gather(batch: Sequence[Submission]) -> list[Outgoing]:
    """Return the messages of a batch in their order."""
    found: dict[str, list[Submission]] = {}
    for submission in batch:
        found.setdefault(submission.message_sid, []).append(submission)
    return [Outgoing(tuple(segments)) for segments in found.values()]


class Sender:
    """Submits messages over one line; to one recipient one after the other."""

    def __init__(
        self,
        name: str,
        line: Line,
        *,
        settings: TwilioSettings,
        address: Address,
        gate: Gate,
        ledger: Ledger,
        may_send: Callable[[], bool],
    ) -> None:
        self._name = name
        self._line = line
        self._may_send = may_send
        self._settings = settings
        self._address = address
        self._gate = gate
        self._ledger = ledger
        self._turns = Turns()
        self._doubts: OrderedDict[str, float] = OrderedDict()
        self._taken: OrderedDict[str, None] = OrderedDict()
        # Until when a request of the process before this one may have left.
        self._began: float | None = None

    async def send(self, message: Outgoing) -> SubmitResult:
        """Submit a message, or find out that it was submitted before."""
        if message.first.media and not message.first.media_sources:
            return Refused(INVALID_MEDIA, "its media have no public address", may_fail_over=True)
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
        async with self._turns.taken(message.first.recipient), self._gate.passed():
            if self._gate.seconds_closed > 0 or self._line.health.down_since is not None:
                return self._put_off(message)
            if message.first.is_repeat or message.first.message_sid in self._doubts:
                return await self._send_again(message)
            return await self._create(message)

    @property
    def _may_fail_over(self) -> bool:
        """Whether what waits should try others: a carrier that is down is judged elsewhere."""
        return self._line.health.is_crowded

    def _put_off(self, message: Outgoing) -> Deferred | InDoubt:
        """Let a message wait for the line that is closed.

        To put it off says that nothing was taken, which is not known of one that comes again.
        """
        health = self._line.health
        if message.first.is_repeat:
            return InDoubt(health.last_error)
        seconds = max(self._gate.seconds_closed, health.seconds_to_knock, DEFERRED_SECONDS_MIN)
        may_fail_over = self._may_fail_over and message.first.message_sid not in self._doubts
        return Deferred(seconds, health.last_error, may_fail_over=may_fail_over)

    async def _send_again(self, message: Outgoing) -> SubmitResult:
        """Look for a message whose request may have arrived; submit it when it cannot come."""
        sid = message.first.message_sid
        time = asyncio.get_running_loop().time
        doubted_at = self._doubts.get(sid, self._began or time())
        self._doubt(sid, doubted_at)
        while True:
            is_last = time() >= doubted_at + self._settings.doubt_seconds
            found = await self._find(message)
            if found is None:
                return self._put_off(message)
            if found:
                self._doubts.pop(sid, None)
                self._line.health.counts.taken += 1
                return Taken(found)
            if is_last:
                self._doubts.pop(sid, None)
                return await self._create(message)
            await asyncio.sleep(doubted_at + self._settings.doubt_seconds - time())

    async def _find(self, message: Outgoing) -> str | None:
        """Return the SID under which a message was taken, "" where it was not.

        None where that cannot be found out. Of several, the newest that is no other message's.
        """
        form = [pair for pair in self._envelope(message) if pair[0] in {"To", "From"}]
        since = message.made_at + self._line.skew - ROUNDING
        async for page in self._line.pages(form, pages_max=LOOKUP_PAGES_MAX):
            if page is None:
                return None
            # The clocks' difference may have become known by this very answer.
            since = message.made_at + self._line.skew - ROUNDING
            twins = [m.sid for m in page.messages if self._is_same(m, message, since=since)]
            if found := await self._claim(twins):
                return found
            if any(m.created_at is not None and m.created_at < since for m in page.messages):
                return ""
        return ""

    async def _claim(self, sids: Sequence[str]) -> str | None:
        known = await self._ledger.known(self._name, sids) if sids else set()
        for sid in sids:
            if sid not in known and sid not in self._taken:
                self._keep(sid)
                return sid
        return None

    def _is_same(self, found: UpstreamMessage, message: Outgoing, *, since: datetime) -> bool:
        created_at = found.created_at
        return (
            found.direction.startswith("outbound")
            and found.to == message.first.recipient
            and (found.body or "") in {message.body, TRIAL_PREFIX + message.body}
            and found.media == len(message.first.media_sources)
            and created_at is not None
            and created_at >= since
        )

    async def _create(self, message: Outgoing) -> SubmitResult:
        health = self._line.health
        # Asked last of all: what came before this may have waited long for its turn.
        if not self._may_send():
            return self._put_off(message)
        health.counts.submitted += 1
        outcome = await self._line.create(self._form(message))
        if isinstance(outcome, Silence):
            return self._unanswered(message, outcome)
        problem = read(outcome.body, Problem) or Problem()
        verdict = judge(outcome.status, problem)
        match verdict.meaning:
            case Meaning.TAKEN:
                return self._taken_as(message, outcome)
            case Meaning.REFUSED:
                return self._refused(message, verdict)
            case Meaning.HELD_UP:
                health.answered()
                return Deferred(outcome.retry_after or HELD_UP_SECONDS, verdict.reason)
            case Meaning.THROTTLED:
                seconds = health.throttled(verdict.reason, retry_after=outcome.retry_after)
                return Deferred(seconds, verdict.reason, may_fail_over=self._may_fail_over)
            case Meaning.LOCKED_OUT:
                return Deferred(health.fell(verdict.reason), verdict.reason)
            case Meaning.FALTERED:
                self._doubt(message.first.message_sid, asyncio.get_running_loop().time())
                return Deferred(health.faltered(verdict.reason), verdict.reason)

    def _unanswered(self, message: Outgoing, silence: Silence) -> SubmitResult:
        health = self._line.health
        if not silence.has_left:
            return Deferred(health.fell(silence.reason), silence.reason)
        return self._in_doubt(message, silence.reason)

    def _in_doubt(self, message: Outgoing, reason: str) -> InDoubt:
        self._line.health.counts.in_doubt += 1
        self._line.health.faltered(reason)
        self._doubt(message.first.message_sid, asyncio.get_running_loop().time())
        return InDoubt(reason)

    def _taken_as(self, message: Outgoing, reply: Reply) -> SubmitResult:
        taken = read(reply.body, UpstreamMessage)
        if taken is None or not taken.sid:
            return self._in_doubt(message, "the answer cannot be read")
        self._line.health.answered()
        self._line.health.counts.taken += 1
        self._doubts.pop(message.first.message_sid, None)
        self._keep(taken.sid)
        return Taken(taken.sid)

    def _refused(self, message: Outgoing, verdict: Verdict) -> Refused:
        self._line.health.answered()
        self._line.health.counts.refused += 1
        self._doubts.pop(message.first.message_sid, None)
        return Refused(verdict.error_code, verdict.reason, may_fail_over=verdict.may_fail_over)

    def _form(self, message: Outgoing) -> list[tuple[str, str]]:
        form = self._envelope(message)
        if message.body or not message.first.media_sources:
            form.append(("Body", message.body))
        form += [("MediaUrl", url) for url in message.first.media_sources]
        if self._address.is_used:
            url = self._address.status_url(message.first.segment_count)
            form.append(("StatusCallback", url))
        return form

    def _envelope(self, message: Outgoing) -> list[tuple[str, str]]:
        first = message.first
        to = ("To", first.recipient)
        if ":" in first.sender:
            return [to, ("From", first.sender)]
        if self._settings.messaging_service_sid:
            return [to, ("MessagingServiceSid", self._settings.messaging_service_sid)]
        return [to, ("From", self._settings.from_number or first.sender)]

    def _doubt(self, message_sid: str, at: float) -> None:
        self._doubts[message_sid] = at
        while len(self._doubts) > DOUBTS_MAX:
            self._doubts.popitem(last=False)

    def _keep(self, sid: str) -> None:
        self._taken[sid] = None
        while len(self._taken) > TAKEN_MAX:
            self._taken.popitem(last=False)
