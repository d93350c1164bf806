"""Messages are handed over to their carrier, and what the carrier says of them is recorded.

Rule 1: that bytes are about to leave is on disk before they leave.
Rule 2: a receipt is on disk before it is acknowledged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from trunkline.carriers.port import Deferred, Receipt, Refused, Submission, SubmitResult, Taken
from trunkline.domain.account import Account, AccountStatus
from trunkline.domain.message import Fact, Message, Status
from trunkline.domain.text import Encoding, split
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import Observation, advance, announce_changes, event
from trunkline.store.messages import Event, insert_events, messages_by_sid
from trunkline.store.outbox import (
    CarrierRef,
    OutboxRow,
    delete_outbox,
    find_refs,
    insert_refs,
    load_due,
    mark_in_doubt,
    postpone_outbox,
    refs_of,
    settle_refs,
)
from trunkline.store.records import MEDIA, child_records


@dataclass(frozen=True, slots=True)
class Load:
    """One batch of a lane: what to submit, and the outbox row of each message in it."""

    rows: dict[str, OutboxRow]
    submissions: list[Submission]


async def load(platform: Platform, lane: str, *, limit: int) -> Load | None:
    """Return the next batch of a lane with its state written down as in doubt, or None.

    Messages whose time ran out fail here (30036); those of a suspended account fail (30002).
    """
    now = platform.clock.now()
    rows = await platform.store.read(lambda db: load_due(db, lane, now, limit=limit))
    if not rows:
        return None
    accounts = {sid: await platform.directory.account(sid) for sid in {r.account_sid for r in rows}}

    def work(db: Connection) -> tuple[Load, list[Message]]:
        return _claim(platform, db, rows, accounts=accounts)

    load, changed = await platform.store.write(work)
    announce_changes(platform, changed)
    return load


async def submitted(platform: Platform, load: Load, results: Sequence[SubmitResult]) -> None:
    """Record what the carrier answered to a batch."""
    answers: dict[str, list[tuple[Submission, SubmitResult]]] = {}
    for submission, result in zip(load.submissions, results, strict=True):
        answers.setdefault(submission.message_sid, []).append((submission, result))

    def work(db: Connection) -> list[Message]:
        return _settle(platform, db, load, answers=answers)

    announce_changes(platform, await platform.store.write(work))


async def record(platform: Platform, carrier: str, receipts: Sequence[Receipt]) -> None:
    """Record receipts; when this returns they may be acknowledged.

    A receipt that matches nothing, comes twice or comes late changes no status.
    """

    def work(db: Connection) -> list[Message]:
        return _record(platform, db, carrier, receipts=receipts)

    announce_changes(platform, await platform.store.write(work))


def _claim(
    platform: Platform,
    db: Connection,
    rows: Sequence[OutboxRow],
    *,
    accounts: dict[str, Account | None],
) -> tuple[Load, list[Message]]:
    now = platform.clock.now()
    expired = {r.message_sid for r in rows if r.expires_at <= now}
    facts = []
    for row in rows:
        account = accounts[row.account_sid]
        fact, error_code = Fact.SUBMITTED, None
        if row.message_sid in expired:
            fact, error_code = Fact.EXPIRED, 30036
        elif account is None or account.status is not AccountStatus.ACTIVE:
            fact, error_code = Fact.UNSENDABLE, 30002
        facts.append(
            Observation(
                account_sid=row.account_sid,
                message_sid=row.message_sid,
                fact=fact,
                at=now,
                error_code=error_code,
            )
        )
    changed = advance(platform, db, facts)
    messages = messages_by_sid(db, {(r.account_sid, r.message_sid) for r in rows})
    going = [r for r in rows if (m := messages.get(r.message_sid)) and m.status is Status.SENDING]
    staying = {r.message_sid for r in going}
    delete_outbox(db, [r for r in rows if r.message_sid not in staying])
    mark_in_doubt(db, going)
    taken = refs_of(db, [r.message_sid for r in going if r.attempts or r.in_doubt])
    submissions = [
        submission
        for row in going
        for submission in _submissions(platform, db, messages[row.message_sid])
        if submission.segment_index not in {t.segment_index for t in taken.get(row.message_sid, ())}
    ]
    return Load({r.message_sid: r for r in going}, submissions), changed


def _submissions(platform: Platform, db: Connection, message: Message) -> list[Submission]:
    media: tuple[str, ...] = ()
    texts: tuple[str, ...] = (message.body,)
    if message.num_media:
        media = tuple(platform.media_url(m) for m in child_records(db, MEDIA, message.sid))
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
            media=media,
        )
        for index, text in enumerate(texts)
    ]


def _settle(
    platform: Platform,
    db: Connection,
    load: Load,
    *,
    answers: dict[str, list[tuple[Submission, SubmitResult]]],
) -> list[Message]:
    now = platform.clock.now()
    refs: list[CarrierRef] = []
    facts: list[Observation] = []
    trace: list[Event] = []
    finished: list[OutboxRow] = []
    postponed: list[tuple[OutboxRow, datetime]] = []
    for sid, row in load.rows.items():
        mine = answers.get(sid, [])
        refs += [_ref(platform, s, r) for s, r in mine if isinstance(r, Taken)]
        refusals = [r.error_code for _, r in mine if isinstance(r, Refused)]
        waits = [r.after_seconds for _, r in mine if isinstance(r, Deferred)]
        trace.append(event(platform, row, "handed_over", detail=_hand_over(platform, mine)))
        if waits and not refusals:
            postponed.append((row, now + timedelta(seconds=max(waits))))
            continue
        finished.append(row)
        facts.append(
            Observation(
                account_sid=row.account_sid,
                message_sid=sid,
                fact=Fact.CARRIER_REFUSED if refusals else Fact.CARRIER_ACCEPTED,
                at=now,
                error_code=refusals[0] if refusals else None,
            )
        )
    insert_refs(db, refs)
    insert_events(db, trace)
    delete_outbox(db, finished)
    postpone_outbox(db, postponed)
    return advance(platform, db, facts)


def _hand_over(
    platform: Platform, answers: Sequence[tuple[Submission, SubmitResult]]
) -> dict[str, object]:
    segments: list[dict[str, object]] = []
    for submission, result in answers:
        entry: dict[str, object] = {"segment": submission.segment_index + 1}
        match result:
            case Taken(carrier_ref):
                entry |= {"result": "taken", "ref": carrier_ref}
            case Refused(error_code):
                entry |= {"result": "refused", "error_code": error_code}
            case Deferred(after_seconds):
                entry |= {"result": "deferred", "after_seconds": after_seconds}
        segments.append(entry)
    return {"carrier": platform.rules.carrier, "segments": segments}


def _ref(platform: Platform, submission: Submission, taken: Taken) -> CarrierRef:
    return CarrierRef(
        carrier=platform.rules.carrier,
        ref=taken.carrier_ref,
        account_sid=submission.account_sid,
        message_sid=submission.message_sid,
        segment_index=submission.segment_index,
        segment_count=submission.segment_count,
    )


def _record(
    platform: Platform, db: Connection, carrier: str, *, receipts: Sequence[Receipt]
) -> list[Message]:
    refs = find_refs(db, carrier, {r.carrier_ref for r in receipts})
    matched = [(refs[r.carrier_ref], r) for r in receipts if r.carrier_ref in refs]
    settled = [replace(ref, delivered=receipt.delivered) for ref, receipt in matched]
    settle_refs(db, settled)
    long = {ref.message_sid for ref in settled if ref.segment_count > 1}
    siblings = refs_of(db, long) if long else {}
    insert_events(
        db,
        [
            event(
                platform,
                ref,
                "receipt",
                detail={
                    "carrier": carrier,
                    "ref": ref.ref,
                    "segment": ref.segment_index + 1,
                    "delivered": receipt.delivered,
                    "error_code": receipt.error_code,
                },
            )
            for ref, receipt in matched
        ],
    )
    facts = [
        fact
        for ref, r in matched
        if (fact := _verdict(ref, r, siblings=siblings.get(ref.message_sid)))
    ]
    return advance(platform, db, facts)


def _verdict(
    ref: CarrierRef, receipt: Receipt, *, siblings: Sequence[CarrierRef] | None
) -> Observation | None:
    """Return what a receipt means for its message: undelivered when one segment is, delivered
    when every segment is, nothing yet otherwise."""
    if receipt.delivered and siblings is not None:
        arrived = sum(1 for sibling in siblings if sibling.delivered)
        if arrived < ref.segment_count:
            return None
    return Observation(
        account_sid=ref.account_sid,
        message_sid=ref.message_sid,
        fact=Fact.HANDSET_REACHED if receipt.delivered else Fact.HANDSET_MISSED,
        at=receipt.at,
        error_code=receipt.error_code,
    )
