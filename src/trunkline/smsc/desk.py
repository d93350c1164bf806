"""What bound customers ask for, done in batches: messages accepted, asked after, cancelled.

Rule: a submission is answered after the commit that holds its message, or its segment. When the
store fails, nothing was taken, and the answer is ESME_RSYSERR.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import structlog
from sqlalchemy import Connection

from trunkline.domain.address import parse_recipient
from trunkline.domain.carrier import SmppCredential
from trunkline.domain.errors import Refusal
from trunkline.domain.message import FINAL, Message, Status
from trunkline.domain.sending import Draft
from trunkline.flows import messages
from trunkline.flows.customers import Submitted, allowed_sender, draft_of
from trunkline.flows.deliveries import SMPP_OPTION, Wanted, origin_of, origin_option
from trunkline.flows.outbound import accept
from trunkline.flows.platform import Platform
from trunkline.smpp.fields import DistributionList, SmeAddress, UnsuccessSme
from trunkline.smpp.pdu import (
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    Pdu,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    empty_answer,
)
from trunkline.smpp.receipt import MessageState
from trunkline.smpp.status import CommandStatus
from trunkline.smsc.assembly import Assembly, Part, is_whole, joined
from trunkline.smsc.codes import ending_of, refusal_status
from trunkline.smsc.faults import Faults
from trunkline.smsc.reading import (
    ADDRESS_LENGTH_MAX,
    Submission,
    Wish,
    decode_body,
    destinations_of,
    origin_for,
    wishes_of,
)

SUBMISSIONS = (SubmitSm, DataSm, SubmitMulti)
MESSAGE_ID_LENGTH_MAX = 64  # What an answer has room for (SMPP 3.4 §5.2.23).
# Made in one turn of the event loop, some 5 ms; then others have theirs.
TURN_DRAFTS_MAX = 100
OK, TROUBLE = CommandStatus.ESME_ROK, CommandStatus.ESME_RSYSERR

log = structlog.get_logger()


class Request(NamedTuple):
    """A PDU that waits for its answer."""

    sequence_number: int
    pdu: Pdu


class Reply(NamedTuple):
    """The answer to one."""

    sequence_number: int
    pdu: Pdu
    command_status: int = 0


@dataclass(slots=True)
class _Entry:
    """One destination of a submission, and what becomes of it."""

    destination: SmeAddress | DistributionList
    wish: Wish | None
    status: int = OK
    message_id: str = ""
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    draft: Draft | None = None
    leader: "_Entry | None" = None  # Of segments of one submission, the one whose id all tell.
    is_anothers: bool = False  # Somebody else had the text whole, too, and was first.


@dataclass(frozen=True, slots=True)
class _Job:
    """A submission with its destinations."""

    request: Request
    entries: list[_Entry] = field(default_factory=list)


class Desk:
    """Answers what customers ask; one for the whole server."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._faults = Faults(platform.store)
        self.assembly = Assembly(platform)

    async def answer(
        self, credential: SmppCredential, requests: Sequence[Request], *, now: float
    ) -> list[Reply]:
        """Do what is asked in one turn and return the answers; *now* is the loop's time."""
        submissions = [r for r in requests if isinstance(r.pdu, SUBMISSIONS)]
        replies = await self._submit(credential, submissions, now=now)
        for request in requests:
            match request.pdu:
                case QuerySm() as query:
                    replies.append(await self._query(credential, request, query=query))
                case CancelSm() as cancel:
                    replies.append(await self._cancel(credential, request, cancel=cancel))
                case ReplaceSm() as replacement:
                    status = CommandStatus.ESME_RREPLACEFAIL
                    answer = empty_answer(replacement)
                    replies.append(Reply(request.sequence_number, answer, status))
        return replies

    async def resume(self, credential: SmppCredential, *, now: float, seconds: float = 0.0) -> None:
        """Take up a customer's texts of which nothing came for *seconds*; accept the whole ones."""
        for parts in await self.assembly.load(credential, now=now, seconds=seconds):
            entry = _Entry(SmeAddress(), parts[0].wish, parts=parts)
            await self._draft(credential, entry)
            await self._accept(credential, [entry], now=now)

    async def _submit(
        self, credential: SmppCredential, requests: Sequence[Request], *, now: float
    ) -> list[Reply]:
        if not requests:
            return []
        jobs = [self._read(request) for request in requests]
        entries = [entry for job in jobs for entry in job.entries]
        self._check_segments(credential, entries)
        if credential.is_simulator:
            await self._simulate(credential, entries)
        for job in jobs:
            _follow(job)
        await self._place(credential, entries, now=now)
        await self._draft_jobs(credential, jobs)
        await self._accept(credential, entries, now=now)
        return [_reply(job) for job in jobs]

    def _read(self, request: Request) -> _Job:
        pdu: Submission = request.pdu  # type: ignore[assignment]  # Those are SUBMISSIONS.
        wishes = wishes_of(pdu, self._platform.clock.now())
        job = _Job(request)
        for destination, wish in zip(destinations_of(pdu), wishes, strict=True):
            if isinstance(wish, Wish):
                job.entries.append(_Entry(destination, wish))
            else:
                job.entries.append(_Entry(destination, None, wish))
        return job

    def _check_segments(self, credential: SmppCredential, entries: Sequence[_Entry]) -> None:
        """Refuse at once a segment whose text could never be sent."""
        for entry in entries:
            if entry.wish is None or entry.wish.place is None:
                continue
            try:
                allowed_sender(credential, entry.wish.sender)
            except Refusal as refusal:
                _fail(entry, refusal_status(refusal.code))
                continue
            if parse_recipient(entry.wish.recipient) is None:
                _fail(entry, CommandStatus.ESME_RINVDSTADR)

    async def _simulate(self, credential: SmppCredential, entries: Sequence[_Entry]) -> None:
        numbers = {entry.wish.recipient for entry in entries if entry.wish}
        behaviours = await self._faults.behaviours(numbers)
        for entry in entries:
            behaviour = behaviours.get(entry.wish.recipient) if entry.wish else None
            if behaviour is None or entry.wish is None:
                continue
            recipient = entry.wish.recipient
            status = self._faults.status(credential.system_id, recipient, behaviour=behaviour)
            if status is not OK:
                _fail(entry, status)

    async def _place(
        self, credential: SmppCredential, entries: Sequence[_Entry], *, now: float
    ) -> None:
        """Keep segments; the one that makes its text whole stands for all of it."""
        for wave in _waves(entries):
            wishes = [_told(entry, wish) for entry, wish in wave]
            places = [self.assembly.place(credential, wish, now=now) for wish in wishes]
            parts = await asyncio.gather(*places)
            for (entry, _), wish, placed in zip(wave, wishes, parts, strict=True):
                part = placed
                # What came before it, or over another bind, made the text whole that it joined.
                if self.assembly.has_ended(credential, part):
                    part = await self.assembly.place(credential, wish, now=now)
                entry.part = part
                entry.message_id = wish.told or part.message_id
                for ended in self.assembly.add(credential, part, now=now):
                    await self._end(credential, entry, parts=ended)

    async def _end(
        self, credential: SmppCredential, entry: _Entry, *, parts: tuple[Part, ...]
    ) -> None:
        if is_whole(parts):
            entry.parts = parts
        else:
            await self.assembly.end(credential, parts, status="expired", error_code=None)

    async def _draft_jobs(self, credential: SmppCredential, jobs: Iterable[_Job]) -> None:
        """Make the messages of submissions; nothing of it waits for anything, so others may."""
        drafted = 0
        for job in jobs:
            await self._draft_all(credential, job)
            drafted += len(job.entries)
            if drafted >= TURN_DRAFTS_MAX:
                drafted = 0
                await asyncio.sleep(0)

    async def _draft_all(self, credential: SmppCredential, job: _Job) -> None:
        """Make the messages of a submission; the answer has room for one id, so they share it."""
        told: str | None = None
        for entry in job.entries:
            await self._draft(credential, entry, told=told)
            told = told or entry.message_id or None

    async def _draft(
        self, credential: SmppCredential, entry: _Entry, *, told: str | None = None
    ) -> None:
        """Make the message of a text that is whole, or note why there can be none."""
        wish = entry.wish
        if wish is None or (entry.part is not None and not entry.parts):
            return
        try:
            if entry.parts:
                entry.draft = await self._draft_of_parts(credential, entry.parts)
            else:
                entry.draft = await self._draft_of_wish(credential, wish, told=told)
                entry.message_id = told or entry.draft.message.sid
        except Refusal as refusal:
            await self._refuse(credential, entry, code=refusal.code)

    async def _refuse(self, credential: SmppCredential, entry: _Entry, *, code: int) -> None:
        self._platform.meter.count("messages_refused", code=str(code))
        _fail(entry, refusal_status(code))
        await self._reject(credential, entry, code=code)

    async def _draft_of_wish(
        self, credential: SmppCredential, wish: Wish, *, told: str | None
    ) -> Draft:
        sid = self._platform.chance.sid("SM", self._platform.clock.now())
        origin = origin_for(credential.system_id, wish, wanted=(Wanted(told or sid, wish.when),))
        submitted = Submitted(
            sender=wish.sender,
            recipient=wish.recipient,
            body=decode_body(wish.octets, wish.data_coding),
            validity_seconds=wish.validity_seconds,
            options={**wish.options, SMPP_OPTION: origin_option(origin)},
            sid=sid,
        )
        return await draft_of(self._platform, credential, submitted)

    async def _draft_of_parts(self, credential: SmppCredential, parts: Sequence[Part]) -> Draft:
        first, body, origin = joined(credential.system_id, parts)
        submitted = Submitted(
            sender=first.sender,
            recipient=first.recipient,
            body=body,
            validity_seconds=first.validity_seconds,
            options={**first.options, SMPP_OPTION: origin_option(origin)},
            sid=parts[0].sid,
        )
        return await draft_of(self._platform, credential, submitted)

    async def _reject(self, credential: SmppCredential, entry: _Entry, *, code: int) -> None:
        """End a whole text that was refused; its last segment is answered, the others told."""
        last = entry.part
        if last is not None:
            await self.assembly.forget(credential, [last])
        others = [part for part in entry.parts if part is not last]
        if others:
            await self.assembly.end(credential, others, status="failed", error_code=code)

    async def _accept(
        self, credential: SmppCredential, entries: Sequence[_Entry], *, now: float
    ) -> None:
        """Accept all drafts of a turn together."""
        drafted = [(entry, entry.draft) for entry in entries if entry.draft]
        if not drafted:
            return
        troubles = await self._stored(credential, drafted)
        for (entry, draft), trouble in zip(drafted, troubles, strict=True):
            if trouble is not None:
                log.error("a submission was not stored", exc_info=trouble)
                _fail(entry, TROUBLE)
                # The others wait on for the one that is submitted again.
                others = [part for part in entry.parts if part is not entry.part]
                self.assembly.restore(credential, others, now=now)
            elif draft.error_code is not None:
                await self._refuse(credential, entry, code=draft.error_code)
            elif entry.is_anothers and not await self._find(credential, draft.message.sid):
                _fail(entry, TROUBLE)  # It was given up.

    async def _stored(
        self, credential: SmppCredential, drafted: Sequence[tuple[_Entry, Draft]]
    ) -> list[BaseException | None]:
        """Store messages in one commit, or each alone, so that one that fails fails alone."""
        trouble = await self._trouble(credential, drafted)
        if trouble is None or len(drafted) == 1:
            return [trouble] * len(drafted)
        return [await self._trouble(credential, [each]) for each in drafted]

    async def _trouble(
        self, credential: SmppCredential, drafted: Sequence[tuple[_Entry, Draft]]
    ) -> BaseException | None:
        texts = {draft.message.sid: entry for entry, draft in drafted if entry.parts}

        def claim(db: Connection, drafts: Sequence[Draft]) -> Sequence[Draft]:
            left = []
            for draft in drafts:
                if entry := texts.get(draft.message.sid):
                    entry.is_anothers = not self.assembly.take(db, credential, entry.parts)
                if entry is None or not entry.is_anothers:
                    left.append(draft)
            return left

        accepting = accept(self._platform, [draft for _, draft in drafted], claim=claim)
        (outcome,) = await asyncio.gather(accepting, return_exceptions=True)
        return outcome if isinstance(outcome, BaseException) else None

    async def _query(
        self, credential: SmppCredential, request: Request, *, query: QuerySm
    ) -> Reply:
        message_id = query.message_id[:MESSAGE_ID_LENGTH_MAX]
        sid = message_sid_of(message_id)
        message = await self._find(credential, sid)
        if message is None and not self.assembly.is_waiting(credential, sid):
            status = CommandStatus.ESME_RINVMSGID
            return Reply(request.sequence_number, QuerySmResp(), status)
        if message is None:
            state = int(MessageState.ENROUTE)
            answer = QuerySmResp(message_id=message_id, message_state=state)
            return Reply(request.sequence_number, answer)
        ending = ending_of(message.status.value, message.error_code)
        is_final = message.status in FINAL
        answer = QuerySmResp(
            message_id=message_id,
            # SMPP 3.4 §7.1.1.1: tenths of a second and quarters of an hour from UTC, none.
            final_date=f"{message.updated_at:%y%m%d%H%M%S}000+" if is_final else "",
            message_state=int(ending.message_state),
            error_code=ending.network_error,
        )
        return Reply(request.sequence_number, answer)

    async def _cancel(
        self, credential: SmppCredential, request: Request, *, cancel: CancelSm
    ) -> Reply:
        sid = message_sid_of(cancel.message_id)
        message = await self._find(credential, sid)
        status = CommandStatus.ESME_RCANCELFAIL
        if message is not None and message.status is Status.SCHEDULED:
            status = await self._cancelled(credential, sid)
        return Reply(request.sequence_number, CancelSmResp(), status)

    async def _cancelled(self, credential: SmppCredential, sid: str) -> CommandStatus:
        try:
            await messages.amend(
                self._platform,
                credential.account_sid,
                sid,
                body=None,
                status=Status.CANCELED.value,
            )
        except Refusal:
            return CommandStatus.ESME_RCANCELFAIL
        return OK

    async def _find(self, credential: SmppCredential, sid: str) -> Message | None:
        """Return a message that this customer submitted."""
        message = await messages.find(self._platform, credential.account_sid, sid)
        origin = origin_of(message) if message else None
        is_own = origin is not None and origin.system_id == credential.system_id
        return message if is_own else None


def message_sid_of(message_id: str) -> str:
    """Return the SID of the message that an id means; a segment's has its number behind it."""
    return message_id.strip().partition("-")[0]


def _waves(entries: Iterable[_Entry]) -> list[list[tuple[_Entry, Wish]]]:
    """Return the segments among *entries*, in groups that name no place of a text twice.

    References are used again soon: the second of two is a text of its own if the first is whole.
    Who follows another comes in a group after him.
    """
    waves: list[list[tuple[_Entry, Wish]]] = []
    seen: set[tuple[object, ...]] = set()
    leaders: set[int] = set()
    for entry in entries:
        wish = entry.wish
        if wish is None or wish.place is None:
            continue
        place = (wish.source, wish.destination, wish.place)
        if not waves or place in seen or (entry.leader and id(entry.leader) in leaders):
            waves.append([])
            seen.clear()
            leaders.clear()
        seen.add(place)
        leaders.add(id(entry))
        waves[-1].append((entry, wish))
    return waves


def _follow(job: _Job) -> None:
    """Let the segments of one submission tell the id of the first."""
    placed = [entry for entry in job.entries if entry.wish and entry.wish.place]
    for entry in placed[1:]:
        entry.leader = placed[0]


def _told(entry: _Entry, wish: Wish) -> Wish:
    """Return a wish with the id that its submission is answered with, if that is another's."""
    return replace(wish, told=entry.leader.message_id) if entry.leader else wish


def _fail(entry: _Entry, status: CommandStatus) -> None:
    entry.status, entry.wish, entry.message_id = status, None, ""


def _reply(job: _Job) -> Reply:
    number, pdu = job.request
    if isinstance(pdu, SubmitMulti):
        return _multi_reply(job)
    entry = job.entries[0]
    kind = DataSmResp if isinstance(pdu, DataSm) else SubmitSmResp
    return Reply(number, kind(message_id=entry.message_id), entry.status)


def _multi_reply(job: _Job) -> Reply:
    """Return the answer for several: the id that their receipts will tell, and who gets none."""
    good = [entry for entry in job.entries if entry.status == OK]
    if not job.entries:
        status = CommandStatus.ESME_RINVNUMDESTS
        return Reply(job.request.sequence_number, SubmitMultiResp(), status)
    if not good:
        return Reply(job.request.sequence_number, SubmitMultiResp(), job.entries[0].status)
    unsuccess = tuple(
        UnsuccessSme(_fitting(entry.destination), entry.status)
        for entry in job.entries
        if entry.status != OK and isinstance(entry.destination, SmeAddress)
    )
    answer = SubmitMultiResp(message_id=good[0].message_id, unsuccess_sme=unsuccess)
    return Reply(job.request.sequence_number, answer)


def _fitting(destination: SmeAddress) -> SmeAddress:
    """Return a destination as an answer can name it: more is received than may be sent."""
    return replace(destination, destination_addr=destination.destination_addr[:ADDRESS_LENGTH_MAX])
