"""A message on its way out: accepted, handed over, and what its carrier said of it.

Rule 1: a message and the work it causes commit together, before anybody is told.
Rule 2: a status change and the webhook it owes commit together.
Rule 3: functions that end in a commit take lists.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from zlib import crc32

from sqlalchemy import Connection

from trunkline.carriers.port import (
    Deferred,
    Receipt,
    Refused,
    Submission,
    SubmitResult,
    Taken,
)
from trunkline.domain.account import Account, AccountStatus
from trunkline.domain.address import AddressKind
from trunkline.domain.errors import Refusal
from trunkline.domain.message import (
    CALLED_BACK,
    VALIDITY_SECONDS_MAX,
    Direction,
    Fact,
    Message,
    Status,
    observe,
)
from trunkline.domain.sending import (
    Draft,
    Parties,
    SendRequest,
    check_content,
    check_parties,
    check_presence,
    check_timing,
)
from trunkline.domain.text import Encoding, encoding_of, smart_encode, split
from trunkline.flows.money import cost, usage_of
from trunkline.flows.platform import Platform
from trunkline.runtime import News
from trunkline.store.callbacks import CallbackRow, insert_callbacks
from trunkline.store.media import MediaFetch, insert_fetches
from trunkline.store.messages import (
    Event,
    insert_events,
    insert_messages,
    messages_by_sid,
    update_messages,
)
from trunkline.store.outbox import (
    CarrierRef,
    OutboxRow,
    delete_outbox,
    find_refs,
    insert_outbox,
    insert_refs,
    load_due,
    mark_in_doubt,
    postpone_outbox,
    refs_of,
    settle_refs,
)
from trunkline.store.records import MEDIA, child_records
from trunkline.store.usage import add_usage
from trunkline.webhooks.request import is_webhook_url

__all__ = ["SendRequest", "accept", "prepare", "send"]

MESSAGING_SERVICE = "MG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A fact about one message."""

    account_sid: str
    message_sid: str
    fact: Fact
    at: datetime
    error_code: int | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """One batch of a lane: what to submit, and the outbox row of each message in it."""

    rows: dict[str, OutboxRow]
    submissions: list[Submission]


async def send(platform: Platform, account: Account, request: SendRequest) -> Message:
    """Accept the message that *request* asks for, or refuse it; when this returns it is on disk."""
    draft = await prepare(platform, account, request)
    await platform.accepting.add(draft, partial(accept, platform))
    return draft.message


async def prepare(platform: Platform, account: Account, request: SendRequest) -> Draft:
    """Return the message that *request* asks for, or refuse, in Twilio's order of checks."""
    check_presence(request)
    check_content(request)
    for url in request.media_url:
        if not is_webhook_url(url):
            raise Refusal(21620, name=url)
    if request.status_callback and not is_webhook_url(request.status_callback):
        raise Refusal(21609, name=request.status_callback)
    check_timing(request)
    service = request.messaging_service_sid
    if not service and request.from_ and request.from_.startswith(MESSAGING_SERVICE):
        service = request.from_ if len(request.from_) == len(account.sid) else None
    if service:
        raise Refusal(21701, name=service, number=service)
    if request.content_sid:
        raise Refusal(21655, name=request.content_sid)
    if request.application_sid and not request.status_callback:
        raise Refusal(21420, name=request.application_sid)
    parties = check_parties(request)
    await check_ownership(platform, account, parties)
    return Draft(_message(platform, account, request, parties=parties), request.media_url)


async def check_ownership(platform: Platform, account: Account, parties: Parties) -> None:
    """Refuse a sender that this account may not use."""
    sender = parties.sender
    if sender.kind is AddressKind.ALPHANUMERIC:
        return
    if sender.kind is AddressKind.CHANNEL:
        raise Refusal(63007, sender=sender.text)
    number = await platform.directory.number(sender.text)
    if number is None:
        raise Refusal(21659, number=sender.text, sender=sender.text)
    if number.account_sid != account.sid:
        raise Refusal(21660, number=sender.text, sender=sender.text, account=account.sid)
    if not number.capabilities.sms:
        raise Refusal(21606, number=sender.text, sender=sender.text)


async def accept(platform: Platform, drafts: Sequence[Draft]) -> None:
    """Take responsibility: when this returns, the messages and the work they cause are on disk."""

    def work(db: Connection) -> None:
        add_drafts(platform, db, drafts)

    await platform.store.write(work)
    announce(platform, [draft.message for draft in drafts])


def add_drafts(platform: Platform, db: Connection, drafts: Sequence[Draft]) -> None:
    """Store messages with the work they cause; one that failed already causes but a webhook."""
    if not drafts:
        return
    insert_messages(db, [draft.message for draft in drafts])
    live = [draft for draft in drafts if draft.message.status is Status.QUEUED]
    insert_outbox(db, [outbox_row(platform, d.message) for d in live if not d.media_urls])
    insert_fetches(
        db,
        [
            MediaFetch(
                message_sid=draft.message.sid,
                account_sid=draft.message.account_sid,
                urls=draft.media_urls,
                due_at=draft.message.created_at,
            )
            for draft in live
            if draft.media_urls
        ],
    )
    failed = [d.message for d in drafts if d.message.status is Status.FAILED]
    insert_callbacks(db, [row for m in failed if (row := status_callback(platform, m))])


def announce(platform: Platform, messages: Iterable[Message]) -> None:
    """Wake the workers and tell watching pages, after the commit."""
    bells = platform.bells
    for bell in (bells.outbox, bells.media, bells.webhooks):
        bell.ring()
    if platform.feed.is_watched:
        for message in messages:
            platform.feed.publish(News("message", message.account_sid, message.sid))


def outbox_row(platform: Platform, message: Message) -> OutboxRow:
    """Return the row that makes a lane hand *message* over."""
    return OutboxRow(
        lane=lane_of(message, platform.rules.lanes),
        message_sid=message.sid,
        account_sid=message.account_sid,
        due_at=message.created_at,
        expires_at=message.created_at + timedelta(seconds=message.validity_seconds),
    )


def lane_of(message: Message, lanes: int) -> str:
    """Return the lane of a message: one sender always has the same, so its order is kept."""
    return f"{message.carrier}/{crc32((message.sender or '').encode()) % lanes}"


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


def advance(platform: Platform, db: Connection, facts: Sequence[Observation]) -> list[Message]:
    """Store what *facts* make of their messages and queue the webhooks owed; return the changed."""
    known = messages_by_sid(db, {(f.account_sid, f.message_sid) for f in facts})
    changed: dict[str, Message] = {}
    owed: list[CallbackRow] = []
    used = []
    for fact in facts:
        before = known.get(fact.message_sid)
        if before is None:
            continue
        after = observe(before, fact.fact, at=fact.at, error_code=fact.error_code)
        if after is before:
            continue
        if after.sent_at is not None and before.sent_at is None:
            after = after.priced(cost(platform.prices, after))
            used.append(usage_of(after))
        known[after.sid] = changed[after.sid] = after
        if row := status_callback(platform, after):
            owed.append(row)
    update_messages(db, changed.values())
    insert_callbacks(db, owed)
    add_usage(db, used)
    return list(changed.values())


def announce_changes(platform: Platform, changed: Iterable[Message]) -> None:
    """Tell those who wait for status changes, after the commit."""
    platform.bells.webhooks.ring()
    if platform.feed.is_watched:
        for message in changed:
            platform.feed.publish(News("message", message.account_sid, message.sid))


def status_callback(platform: Platform, message: Message) -> CallbackRow | None:
    """Return the webhook that tells of the message's present status, if one is owed."""
    if not message.status_callback or message.status not in CALLED_BACK:
        return None
    now = platform.clock.now()
    return CallbackRow(
        sid=platform.chance.sid("CB", now),
        account_sid=message.account_sid,
        message_sid=message.sid,
        kind="status",
        url=message.status_callback,
        parameters=status_parameters(message),
        token=platform.chance.uuid(),
        due_at=now,
        created_at=now,
    )


def status_parameters(message: Message) -> dict[str, str]:
    """Return the form of a status callback."""
    form = {
        "AccountSid": message.account_sid,
        "ApiVersion": "2010-04-01",
        "From": message.sender or "",
        "MessageSid": message.sid,
        "MessageStatus": message.status.value,
        "SmsSid": message.sid,
        "SmsStatus": message.status.value,
        "To": message.recipient,
    }
    if message.messaging_service_sid:
        form["MessagingServiceSid"] = message.messaging_service_sid
    if message.error_code is not None:
        form["ErrorCode"] = str(message.error_code)
        form["ErrorMessage"] = message.error_message or ""
    if message.status in (Status.DELIVERED, Status.UNDELIVERED):
        form["RawDlrDoneDate"] = message.updated_at.strftime("%y%m%d%H%M")
    return form


def event(
    platform: Platform,
    message: Message | OutboxRow | CarrierRef,
    kind: str,
    detail: dict[str, object],
) -> Event:
    """Return an entry for the trace of a message."""
    now = platform.clock.now()
    sid = message.sid if isinstance(message, Message) else message.message_sid
    return Event(
        sid=platform.chance.sid("EV", now),
        account_sid=message.account_sid,
        message_sid=sid,
        at=now,
        kind=kind,
        detail=detail,
    )


def _message(
    platform: Platform, account: Account, request: SendRequest, *, parties: Parties
) -> Message:
    return new_message(
        platform,
        account.sid,
        direction=Direction.OUTBOUND_API,
        sender=parties.sender.text,
        recipient=parties.recipient.text,
        body=smart_encode(request.body or "") if request.smart_encoded else request.body or "",
        num_media=len(request.media_url),
        status_callback=request.status_callback,
        validity_seconds=request.validity_period or VALIDITY_SECONDS_MAX,
        options=dict(request.options),
    )


def new_message(
    platform: Platform,
    account_sid: str,
    *,
    direction: Direction,
    sender: str,
    recipient: str,
    body: str,
    num_media: int = 0,
    status_callback: str | None = None,
    validity_seconds: int = VALIDITY_SECONDS_MAX,
    options: dict[str, str] | None = None,
) -> Message:
    """Return a message that is to leave."""
    now = platform.clock.now()
    parts = split(body) if not num_media else None
    return Message(
        account_sid=account_sid,
        sid=platform.chance.sid("MM" if num_media else "SM", now),
        direction=direction,
        status=Status.QUEUED,
        sender=sender,
        recipient=recipient,
        body=body,
        encoding=parts.encoding.value if parts else encoding_of(body).value,
        num_segments=len(parts.segments) if parts else 1,
        num_media=num_media,
        carrier=platform.rules.carrier,
        status_callback=status_callback,
        validity_seconds=validity_seconds,
        created_at=now,
        updated_at=now,
        options=options or {},
    )


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
        media = tuple(
            media_url(platform, m.account_sid, m.message_sid, m.sid)
            for m in child_records(db, MEDIA, message.sid)
        )
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


def media_url(platform: Platform, account_sid: str, message_sid: str, media_sid: str) -> str:
    """Return the address at which our own API serves the bytes of a medium."""
    path = f"/2010-04-01/Accounts/{account_sid}/Messages/{message_sid}/Media/{media_sid}"
    return platform.rules.base_url + path


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
        trace.append(event(platform, row, "handed_over", _hand_over(platform, mine)))
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
                {
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
        fact for ref, r in matched if (fact := _verdict(ref, r, siblings.get(ref.message_sid)))
    ]
    return advance(platform, db, facts)


def _verdict(
    ref: CarrierRef, receipt: Receipt, siblings: Sequence[CarrierRef] | None
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
