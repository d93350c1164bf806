"""What customers who bind to us are owed: the receipts of their messages, and texts to them.

Rule: a receipt or text is on disk in the commit that makes it owed, and stays until it is taken.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection

from trunkline.carriers.port import Incoming
from trunkline.domain.carrier import SmppCredential
from trunkline.domain.ids import AT_ONCE
from trunkline.domain.message import FINAL, Message, Status
from trunkline.flows.platform import Platform
from trunkline.runtime import next_attempt
from trunkline.store.deliveries import (
    PREFIX,
    RECEIPT,
    TEXT,
    DeliveryRow,
    delay_deliveries,
    delete_deliveries,
    load_deliveries,
    postpone_deliveries,
    sweep_deliveries,
)
from trunkline.store.messages import MessageFilter
from trunkline.store.paging import Page
from trunkline.store.records import SMPP_CREDENTIALS, all_records, child_records
from trunkline.store.search import page_messages

# The option of a message that came over SMPP: who sent it, and which receipts are wanted.
SMPP_OPTION = "smpp"
# Each has a handful of binds; all of them are read once a second while anybody is bound.
CREDENTIALS_MAX = 1000
# Longer than a long weekend that nobody works through.
KEPT_FOR = timedelta(days=7)
# Of the text; a receipt gives its first twenty characters (SMPP 3.4 Appendix B).
TEXT_MAX = 20
# What was not taken is offered again after these, then hourly for as long as it is kept.
BACKOFF_SECONDS = (5.0, 30.0, 120.0, 600.0, *(3600.0,) * 170)

# What connections are lost over waits so long: what is behind it comes through meanwhile.
SUSPECT_SECONDS = 30.0

Address = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message id that a customer was given, and when its receipt is wanted.

    when is `final`, `failure`, `success`, or empty for never.
    """

    message_id: str
    when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who submitted a message, with the addresses as they were written: TON, NPI and digits."""

    system_id: str
    wanted: tuple[Wanted, ...]
    source: Address = field(repr=False)
    destination: Address = field(repr=False)
    reference: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptNote:
    """What a receipt says, in our own words."""

    message_id: str
    status: str
    error_code: int | None
    submitted_at: datetime
    done_at: datetime
    text: str = field(repr=False)
    source: Address = field(repr=False)
    destination: Address = field(repr=False)
    reference: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextNote:
    """A text for a customer."""

    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    body: str = field(repr=False)


# Works on several threads read them: see records.Kind.
_ORIGIN = msgspec.json.Decoder(Origin)


def origin_option(origin: Origin) -> str:
    """Return an origin as the option of a message."""
    return msgspec.json.encode(origin).decode()


def origin_of(message: Message) -> Origin | None:
    """Return who submitted a message over SMPP; None when nobody did."""
    option = message.options.get(SMPP_OPTION)
    return None if option is None else _ORIGIN.decode(option)


def note_of(row: DeliveryRow) -> ReceiptNote | TextNote:
    """Return what a row says."""
    if row.kind == RECEIPT:
        return msgspec.convert(row.doc, ReceiptNote)
    return msgspec.convert(row.doc, TextNote)


def receipts_owed(platform: Platform, changed: Iterable[Message]) -> list[DeliveryRow]:
    """Return the receipts that the new statuses of messages make due."""
    rows: list[DeliveryRow] = []
    for message in changed:
        # Hardly any message comes over SMPP on most platforms, so that is asked first.
        if SMPP_OPTION not in message.options or message.status not in FINAL:
            continue
        origin = origin_of(message)
        if origin is not None:
            rows += _receipts(platform, message, origin)
    return rows


def is_wanted(when: str, *, delivered: bool) -> bool:
    """Tell whether a receipt is wanted of what ended so."""
    return when in ("final", "success" if delivered else "failure")


def receipt_row(
    platform: Platform, account_sid: str, system_id: str, *, message_sid: str, note: ReceiptNote
) -> DeliveryRow:
    """Return the row of one receipt."""
    return _row(platform, account_sid, system_id, message_sid=message_sid, kind=RECEIPT, note=note)


def texts_owed(
    platform: Platform, db: Connection, message: Message, *, guests: Sequence[SmppCredential]
) -> list[DeliveryRow]:
    """Return what an inbound text makes due: for *guests*, and for who listed the number."""
    if message.num_media and not message.body:
        return []
    own = child_records(db, SMPP_CREDENTIALS, message.account_sid, limit=CREDENTIALS_MAX)
    takers = {c.system_id: c for c in own if c.is_enabled and message.recipient in c.addresses}
    if message.carrier == platform.rules.carrier:
        takers |= {c.system_id: c for c in guests or _last_writer(db, message, own)}
    note = TextNote(sender=message.sender or "", recipient=message.recipient, body=message.body)
    return [
        _row(
            platform,
            credential.account_sid,
            credential.system_id,
            message_sid=message.sid,
            kind=TEXT,
            note=note,
        )
        for credential in takers.values()
    ]


def guests_of(
    platform: Platform, db: Connection, carrier: str, *, incoming: Incoming
) -> list[SmppCredential]:
    """Return the simulators that a text to nobody's number is for.

    That is the one which last wrote from this number to that phone, or else all of them.
    """
    if carrier != platform.rules.carrier or incoming.media:
        return []
    found = all_records(db, SMPP_CREDENTIALS, limit=CREDENTIALS_MAX)
    simulators = [c for c in found if c.is_simulator and c.is_enabled]
    accounts = dict.fromkeys(c.account_sid for c in simulators)
    lasts = [
        last
        for account_sid in accounts
        if (last := _last_of(db, account_sid, incoming.recipient, recipient=incoming.sender))
    ]
    if not lasts:
        return simulators
    writer, _ = max(lasts, key=lambda last: last[1])
    return [c for c in simulators if (c.account_sid, c.system_id) == writer]


async def due(
    platform: Platform, account_sid: str, system_id: str, *, limit: int
) -> list[DeliveryRow]:
    """Return what can be delivered to a customer now; not what another once had by that name."""
    now = platform.clock.now()
    return await platform.store.read(
        lambda db: load_deliveries(db, account_sid, system_id, now=now, limit=limit)
    )


async def settle(
    platform: Platform,
    taken: Sequence[str],
    missed: Sequence[DeliveryRow],
    *,
    suspects: Sequence[str] = (),
) -> None:
    """Remove the rows that were taken, by SID, and let those that were not wait.

    *suspects*, SIDs as well, wait for SUSPECT_SECONDS.
    """
    now, chance = platform.clock.now(), platform.chance.fraction()
    # One chance for all, so that those that were missed together keep their order.
    dues = [(row.sid, at) for row in missed if (at := _next_at(row, now, chance=chance))]
    lost = {row.sid for row in missed} - {sid for sid, _ in dues}

    def work(db: Connection) -> None:
        delete_deliveries(db, [*taken, *lost])
        postpone_deliveries(db, dues)
        delay_deliveries(db, suspects, now + timedelta(seconds=SUSPECT_SECONDS))

    await platform.store.write(work)


async def sweep(platform: Platform) -> int:
    """Remove what nobody took in time; return how much that was."""
    before = platform.clock.now() - KEPT_FOR
    return await platform.store.write(lambda db: sweep_deliveries(db, before))


def _next_at(row: DeliveryRow, now: datetime, *, chance: float) -> datetime | None:
    return next_attempt(row.attempts + 1, now, backoff_seconds=BACKOFF_SECONDS, chance=chance)


def _receipts(platform: Platform, message: Message, origin: Origin) -> list[DeliveryRow]:
    delivered = message.status in (Status.DELIVERED, Status.READ)
    return [
        receipt_row(
            platform,
            message.account_sid,
            origin.system_id,
            message_sid=message.sid,
            note=ReceiptNote(
                message_id=wanted.message_id,
                status=message.status.value,
                error_code=message.error_code,
                submitted_at=message.created_at,
                done_at=message.updated_at,
                text=message.body[:TEXT_MAX],
                source=origin.source,
                destination=origin.destination,
                reference=origin.reference,
            ),
        )
        for wanted in origin.wanted
        if is_wanted(wanted.when, delivered=delivered)
    ]


def _row(
    platform: Platform,
    account_sid: str,
    system_id: str,
    *,
    message_sid: str,
    kind: str,
    note: ReceiptNote | TextNote,
) -> DeliveryRow:
    now = platform.clock.now()
    doc: Mapping[str, object] = msgspec.to_builtins(note)
    return DeliveryRow(
        sid=platform.chance.sid(PREFIX, now),
        account_sid=account_sid,
        message_sid=message_sid,
        system_id=system_id,
        kind=kind,
        doc=doc,
        due_at=AT_ONCE,
        created_at=now,
    )


def _last_writer(
    db: Connection, message: Message, credentials: Sequence[SmppCredential]
) -> list[SmppCredential]:
    simulators = [c for c in credentials if c.is_simulator and c.is_enabled]
    if not simulators:
        return []
    last = _last_of(db, message.account_sid, message.recipient, recipient=message.sender or "")
    return [c for c in simulators if last and (c.account_sid, c.system_id) == last[0]]


def _last_of(
    db: Connection, account_sid: str, sender: str, *, recipient: str
) -> tuple[tuple[str, str], datetime] | None:
    """Return who submitted the last message of a pair of addresses, and when.

    That is an account and a system_id; None where the message did not come over SMPP.
    """
    wanted = MessageFilter(sender=sender, recipient=recipient)
    found = page_messages(db, account_sid, wanted, Page(size=1))
    origin = origin_of(found.items[0]) if found.items else None
    return ((account_sid, origin.system_id), found.items[0].created_at) if origin else None
