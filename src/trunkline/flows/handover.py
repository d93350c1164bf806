"""Messages are handed over to their carrier, and what the carrier says of them is recorded.

Rule 1: that bytes are about to leave is on disk before they leave.
Rule 2: a receipt is on disk before it is acknowledged.
Rule 3: of a message that a carrier took a segment of, no other carrier gets any.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace
from sqlalchemy import Connection

from trunkline.carriers.port import (
    Deferred,
    InDoubt,
    LateTaken,
    Refused,
    Submission,
    SubmitResult,
    Taken,
)
from trunkline.domain.account import Account, AccountStatus, Media
from trunkline.domain.carrier import PRIORITY_MAX, InDoubtRule, Route
from trunkline.domain.media import carries_media
from trunkline.domain.message import TLV_OPTION, VIA, Fact, Message, Status
from trunkline.domain.text import Encoding, split
from trunkline.flows import reports
from trunkline.flows.consent import services_of, unwanted
from trunkline.flows.lanes import ask_of, outbox_row, routed
from trunkline.flows.links import public_url
from trunkline.flows.platform import Platform
from trunkline.flows.receipts import match_strays, meet_refs
from trunkline.flows.rerouting import EXPIRED, UNKNOWN, moved_event
from trunkline.flows.statuses import (
    Changes,
    Observation,
    advance,
    announce_changes,
    event,
    observation,
)
from trunkline.store.leases import Lease
from trunkline.store.messages import (
    Event,
    events_of,
    insert_events,
    messages_by_sid,
    reroute_messages,
)
from trunkline.store.outbox import (
    CarrierRef,
    Doubt,
    OutboxRow,
    delete_outbox,
    find_outbox,
    insert_refs,
    mark_in_doubt,
    move_outbox,
    postpone_outbox,
    refs_of,
)
from trunkline.store.records import MEDIA, child_records

# What may have left is submitted again after this: an answer that is only late comes first.
IN_DOUBT_SECONDS = 5.0
# It doubles each time: who never answers may deliver every one of them. The last wait is 320 s.
IN_DOUBT_DOUBLINGS_MAX = 6
SUSPENDED = 30002
LOST = "in doubt"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Load:
    """One batch of a lane: what to submit, and the message and outbox row of each."""

    carrier: str
    rows: dict[str, OutboxRow] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    submissions: list[Submission] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doubtful:
    """A message of which so many segments may have left, and whether they are submitted again."""

    row: OutboxRow
    segments: int
    goes_again: bool


async def claim(
    platform: Platform, carrier: str, rows: Sequence[OutboxRow], *, lease: Lease
) -> Load:
    """Return what of *rows* is to be submitted now, its state written down as in doubt.

    Messages whose time ran out fail here (30036); so do those of a suspended account (30002), and
    those that may have left before a crash where the carrier's setting says so (30008), and those
    whose recipients opted out (21610).
    """
    accounts = {sid: await platform.directory.account(sid) for sid in {r.account_sid for r in rows}}
    services = await services_of(platform, {row.sender for row in rows})

    def work(db: Connection) -> tuple[Load, Changes, list[_Doubtful]]:
        lease.hold(db)
        return _claim(platform, db, carrier, rows=rows, accounts=accounts, services=services)

    load, changed, doubtful = await platform.store.write(work)
    announce_changes(platform, changed)
    if doubtful:
        _tell_doubtful(platform, carrier, doubtful)
    return load


@dataclass(slots=True)
class Handed:
    """One message that was handed over, with what was answered to each of its segments."""

    row: OutboxRow
    message: Message
    answers: tuple[tuple[Submission, SubmitResult], ...]


async def submitted(
    platform: Platform, carrier: str, handed: Sequence[Handed], *, lease: Lease
) -> dict[str, tuple[datetime, OutboxRow]]:
    """Record what the carrier answered; return what it put off, and until when.

    The rows that are returned keep their place: they were due before what came after them.
    """
    ends = [_end(platform, carrier, each) for each in handed]
    namespace = platform.switchboard.namespace(carrier)
    refs = [
        _ref(namespace, submission, ref=result.carrier_ref)
        for each in handed
        for submission, result in each.answers
        if isinstance(result, Taken)
    ]

    def work(db: Connection) -> Changes:
        lease.hold(db)
        return _settle(platform, db, namespace, ends=ends, refs=refs)

    changes = await platform.store.write(work)
    platform.recent.keep_refs(refs)
    announce_changes(platform, changes)
    if refs and not platform.tenure.is_alone:
        await meet_refs(platform, namespace, [ref.ref for ref in refs])
    platform.recent.forget(end.message.sid for end in ends if end.message)
    reports.handed_over(platform, carrier, ((each.message, each.answers) for each in handed))
    for lane in {end.moved.lane for end in ends if end.moved}:
        platform.switchboard.ring(lane)
    return {
        end.row.message_sid: (
            end.due_at,
            replace(end.row, attempts=end.row.attempts + 1, in_doubt=end.in_doubt),
        )
        for end in ends
        if end.due_at
    }


async def record_late(platform: Platform, carrier: str, late: Sequence[LateTaken]) -> None:
    """Record answers to submissions that had been given up as in doubt."""
    refs = [_ref(carrier, each.submission, ref=each.carrier_ref) for each in late]

    def work(db: Connection) -> Changes:
        return _record_late(platform, db, carrier, refs=refs)

    announce_changes(platform, await platform.store.write(work))


def _claim(
    platform: Platform,
    db: Connection,
    carrier: str,
    *,
    rows: Sequence[OutboxRow],
    accounts: Mapping[str, Account | None],
    services: Mapping[str, str],
) -> tuple[Load, Changes, list[_Doubtful]]:
    now = platform.clock.now()
    if not mark_in_doubt(db, rows):
        there = find_outbox(db, [(r.account_sid, r.message_sid) for r in rows])
        rows = [r for r in rows if r.message_sid in there and there[r.message_sid].lane == r.lane]
    rule = platform.switchboard.policy(carrier).in_doubt
    facts = [_start(row, now, account=accounts[row.account_sid], rule=rule) for row in rows]
    changes = advance(platform, db, facts)
    messages = {message.sid: message for message in changes.messages}
    # What was tried before is not changed by another try, and so was not looked at.
    unseen = {(r.account_sid, r.message_sid) for r in rows if r.message_sid not in messages}
    messages |= messages_by_sid(db, unseen)
    started = {fact.message_sid for fact in facts if fact.fact is Fact.SUBMITTED}
    going = [
        row
        for row in rows
        if row.message_sid in started
        and (m := messages.get(row.message_sid))
        and m.status is Status.SENDING
    ]
    if out := unwanted(db, [messages[row.message_sid] for row in going], services):
        changes += _withhold(platform, db, going, errors=out)
        going = [row for row in going if row.message_sid not in out]
    staying = {row.message_sid for row in going}
    delete_outbox(db, [r for r in rows if r.message_sid not in staying])
    tried = [r for r in rows if r.in_doubt or (r.attempts and r.message_sid in staying)]
    done = _taken_of(db, tried) if tried else {}
    load = Load(carrier)
    for row in going:
        message = messages[row.message_sid]
        load.rows[message.sid], load.messages[message.sid] = row, message
        taken = done.get(message.sid, ())
        load.submissions.extend(
            s for s in _submissions(platform, db, message, row=row) if s.segment_index not in taken
        )
    found = [
        _Doubtful(row=row, segments=left, goes_again=row.message_sid in staying)
        for row in tried
        if row.in_doubt and (left := row.segments - len(done.get(row.message_sid, ()))) > 0
    ]
    return load, changes, _note_doubtful(platform, db, carrier, found) if found else []


def _taken_of(db: Connection, rows: Sequence[OutboxRow]) -> dict[str, Collection[int]]:
    """Return which segments of messages a carrier has taken."""
    refs = refs_of(db, [(row.account_sid, row.message_sid) for row in rows])
    return {sid: {ref.segment_index for ref in known} for sid, known in refs.items()}


def _note_doubtful(
    platform: Platform, db: Connection, carrier: str, found: Sequence[_Doubtful]
) -> list[_Doubtful]:
    """Write into the traces what becomes of these; return those whose doubt nobody recorded."""
    fresh = [each for each in found if not _is_recorded(db, each.row)]
    details = [
        (each, {"carrier": carrier, "segments": each.segments, "submitted_again": each.goes_again})
        for each in found
    ]
    insert_events(
        db, [event(platform, each.row, "in_doubt", detail=detail) for each, detail in details]
    )
    return fresh


def _is_recorded(db: Connection, row: OutboxRow) -> bool:
    """Tell whether what made this row doubtful is in its trace: a crash, unlike a carrier, is not.

    A lane gives up what an earlier one awaited, and then both look the same in the outbox.
    """
    if row.in_doubt is Doubt.UNDER_WAY:
        return False
    trace = events_of(db, row.account_sid, row.message_sid)
    ends = [each for each in trace if each.kind in ("handed_over", "in_doubt")]
    # Whoever was handed over since, and answered, is as doubtful as before, and no more.
    is_answered = bool(ends) and ends[-1].kind == "handed_over"
    return is_answered and any(map(_tells_of_doubt, ends))


def _tells_of_doubt(entry: Event) -> bool:
    if entry.kind == "in_doubt":
        return True
    segments = entry.detail.get("segments")
    return isinstance(segments, list) and any(s.get("result") == LOST for s in segments)


def _tell_doubtful(platform: Platform, carrier: str, found: Sequence[_Doubtful]) -> None:
    """Tell the operator of what was submitted before, and not answered to anybody who lives."""
    segments = sum(each.segments for each in found)
    platform.meter.count("segments_submitted", segments, carrier=carrier, outcome="in_doubt")
    facts = {"messages": len(found), "segments": segments}
    facts["submitted_again"] = sum(each.goes_again for each in found)
    _log.warning("found in doubt", extra={"lane": found[0].row.lane, **facts})


def _withhold(
    platform: Platform, db: Connection, rows: Sequence[OutboxRow], *, errors: Mapping[str, int]
) -> Changes:
    """Fail messages that nobody wants any more."""
    now = platform.clock.now()
    facts = [
        observation(row, Fact.UNSENDABLE, at=now, error_code=errors[row.message_sid])
        for row in rows
        if row.message_sid in errors
    ]
    return advance(platform, db, facts)


def _start(
    row: OutboxRow, now: datetime, *, account: Account | None, rule: InDoubtRule
) -> Observation:
    fact, error_code = Fact.SUBMITTED, None
    if row.in_doubt and rule is InDoubtRule.FAIL:
        fact, error_code = Fact.UNSENDABLE, UNKNOWN
    elif row.expires_at <= now:
        fact, error_code = Fact.EXPIRED, EXPIRED
    elif account is None or account.status is not AccountStatus.ACTIVE:
        fact, error_code = Fact.UNSENDABLE, SUSPENDED
    return observation(row, fact, at=now, error_code=error_code)


def _submissions(
    platform: Platform, db: Connection, message: Message, *, row: OutboxRow
) -> list[Submission]:
    media: Sequence[Media] = ()
    texts: tuple[str, ...] = (message.body,)
    if carries_media(message):
        media = child_records(db, MEDIA, message.sid)
    elif message.num_segments > 1:
        texts = split(message.body).segments
    return [
        Submission(
            account_sid=message.account_sid,
            message_sid=message.sid,
            segment_index=index,
            segment_count=len(texts),
            sender=message.sender or "",
            recipient=message.recipient,
            text=text,
            encoding=Encoding(message.encoding).value,
            media=tuple(platform.media_url(m) for m in media),
            media_sources=tuple(public_url(platform, m) for m in media),
            priority=PRIORITY_MAX - int(row.flow[0]),
            tlvs=_tlvs(message),
            is_repeat=bool(row.in_doubt),
            attempts=row.attempts,
        )
        for index, text in enumerate(texts)
    ]


def _tlvs(message: Message) -> tuple[tuple[int, bytes], ...]:
    return tuple(
        (int(name.removeprefix(TLV_OPTION), 16), bytes.fromhex(value))
        for name, value in message.options.items()
        if name.startswith(TLV_OPTION)
    )


@dataclass(slots=True, kw_only=True)
class _End:
    """What the answers to one message's segments make of its row."""

    row: OutboxRow
    trace: Event
    fact: Observation | None = None
    due_at: datetime | None = None
    in_doubt: Doubt = Doubt.NONE
    moved: OutboxRow | None = None
    message: Message | None = None


def _end(platform: Platform, carrier: str, handed: Handed) -> _End:
    now, row, message = platform.clock.now(), handed.row, handed.message
    trace = event(platform, row, "handed_over", detail=_hand_over(carrier, handed.answers))
    results = [result for _, result in handed.answers]
    refusal = next((r for r in results if isinstance(r, Refused)), None)
    waits = [r for r in results if isinstance(r, Deferred)]
    is_lost = any(isinstance(r, InDoubt) for r in results)
    route = None
    if _may_move(handed, refusal=refusal, waits=waits):
        route = _other_route(platform, row, message, carrier=carrier)
    if route is not None:
        target = routed(message, route)
        moved = replace(outbox_row(platform, target), tried=(*row.tried, carrier))
        return _End(row=row, trace=trace, moved=moved, message=target)
    if refusal is not None:
        fact = observation(row, Fact.CARRIER_REFUSED, at=now, error_code=refusal.error_code)
        return _End(row=row, trace=trace, fact=fact)
    if is_lost and platform.switchboard.policy(carrier).in_doubt is InDoubtRule.FAIL:
        fact = observation(row, Fact.CARRIER_REFUSED, at=now, error_code=UNKNOWN)
        return _End(row=row, trace=trace, fact=fact)
    if is_lost or waits:
        again = [_in_doubt_seconds(row)] if is_lost else []
        seconds = max([r.after_seconds for r in waits] + again)
        # What was in doubt before is so still: this time nothing was taken, last time perhaps.
        doubt = Doubt.WAITING if is_lost or row.in_doubt else Doubt.NONE
        return _End(row=row, trace=trace, due_at=now + timedelta(seconds=seconds), in_doubt=doubt)
    return _End(row=row, trace=trace, fact=observation(row, Fact.CARRIER_ACCEPTED, at=now))


def _may_move(handed: Handed, *, refusal: Refused | None, waits: Sequence[Deferred]) -> bool:
    """Tell whether another carrier may be asked: nothing is with this one, and it said so."""
    results = [result for _, result in handed.answers]
    is_whole = len(results) == handed.message.num_segments and not handed.row.in_doubt
    word = refusal or (waits[0] if waits else None)
    is_free = all(isinstance(result, Refused | Deferred) for result in results)
    return word is not None and word.may_fail_over and is_whole and is_free


def _in_doubt_seconds(row: OutboxRow) -> float:
    return IN_DOUBT_SECONDS * 2.0 ** min(row.attempts, IN_DOUBT_DOUBLINGS_MAX)


def _other_route(
    platform: Platform, row: OutboxRow, message: Message, *, carrier: str
) -> Route | None:
    if VIA in message.options:
        return None
    switchboard = platform.switchboard
    avoid = {carrier, *row.tried, *switchboard.down(platform.clock.now())}
    return switchboard.choose_other(ask_of(message), carrier, avoid=avoid)


def _hand_over(
    carrier: str, answers: Sequence[tuple[Submission, SubmitResult]]
) -> dict[str, object]:
    segments: list[dict[str, object]] = []
    for submission, result in answers:
        entry: dict[str, object] = {"segment": submission.segment_index + 1}
        match result:
            case Taken(carrier_ref):
                entry |= {"result": "taken", "ref": carrier_ref}
            case Refused(error_code):
                entry |= {"result": "refused", "error_code": error_code, "reason": result.reason}
            case Deferred(after_seconds):
                entry |= {"result": "deferred", "after_seconds": after_seconds}
                entry |= {"reason": result.reason}
            case InDoubt(reason):
                entry |= {"result": LOST, "reason": reason}
        segments.append(entry)
    return {"carrier": carrier, "segments": segments}


def _ref(carrier: str, submission: Submission, *, ref: str) -> CarrierRef:
    return CarrierRef(
        carrier=carrier,
        ref=ref,
        account_sid=submission.account_sid,
        message_sid=submission.message_sid,
        segment_index=submission.segment_index,
        segment_count=submission.segment_count,
    )


def _settle(
    platform: Platform,
    db: Connection,
    carrier: str,
    *,
    ends: Sequence[_End],
    refs: Sequence[CarrierRef],
) -> Changes:
    insert_refs(db, refs)
    insert_events(db, [end.trace for end in ends])
    insert_events(db, [moved_event(platform, end.row, end.moved) for end in ends if end.moved])
    delete_outbox(db, [end.row for end in ends if end.fact])
    move_outbox(db, [(end.row, end.moved) for end in ends if end.moved])
    reroute_messages(db, [end.message for end in ends if end.message])
    postpone_outbox(db, [(end.row, end.due_at, end.in_doubt) for end in ends if end.due_at])
    changed = advance(platform, db, [end.fact for end in ends if end.fact])
    return changed + match_strays(platform, db, carrier, refs=refs)


def _record_late(
    platform: Platform, db: Connection, carrier: str, *, refs: Sequence[CarrierRef]
) -> Changes:
    now = platform.clock.now()
    insert_refs(db, refs)
    insert_events(
        db,
        [
            event(
                platform,
                ref,
                "answered_late",
                detail={"carrier": carrier, "ref": ref.ref, "segment": ref.segment_index + 1},
            )
            for ref in refs
        ],
    )
    keys = {(ref.account_sid, ref.message_sid) for ref in refs}
    waiting, taken = find_outbox(db, keys, to_change=True), refs_of(db, keys)
    # These as well: the carrier may have used their names again since.
    segments = {(ref.message_sid, ref.segment_index) for ref in refs}
    segments |= {(sid, ref.segment_index) for sid, known in taken.items() for ref in known}
    count = Counter(sid for sid, _ in segments)
    whole = {r.message_sid: r for r in refs if count[r.message_sid] >= r.segment_count}
    # What still waits to be submitted again no longer needs to be.
    delete_outbox(db, [row for sid, row in waiting.items() if sid in whole])
    facts = [observation(ref, Fact.CARRIER_ACCEPTED, at=now) for ref in whole.values()]
    changed = advance(platform, db, facts)
    return changed + match_strays(platform, db, carrier, refs=refs)
