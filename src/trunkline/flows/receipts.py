"""What carriers say became of segments, and what that makes of their messages.

Rule: a receipt is on disk before it is acknowledged, also one that matches nothing yet.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace
from sqlalchemy import Connection

from trunkline.carriers.port import DERIVED, Receipt
from trunkline.domain.ids import position_of, sid_micros
from trunkline.domain.message import Fact
from trunkline.flows import reports
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import Changes, Observation, advance, announce_changes, event
from trunkline.runtime import BATCH_MAX
from trunkline.store.messages import Event, insert_events, messages_by_sid
from trunkline.store.outbox import CarrierRef, find_refs, refs_of, settle_refs
from trunkline.store.strays import (
    RECEIPT,
    Stray,
    insert_strays,
    known_strays,
    page_met,
    take_strays,
)

# How far the clocks of nodes may be apart, with no time server for a while. Carriers that use their
# references again do so after days.
CLOCKS_APART_MICROS_MAX = 300_000_000

Matched = tuple[CarrierRef, Receipt]


async def record(platform: Platform, carrier: str, receipts: Sequence[Receipt]) -> None:
    """Record receipts; when this returns they may be acknowledged.

    One that comes twice or late changes no status. One that matches nothing is kept: the answer to
    its submission may come after it.
    """

    def work(db: Connection) -> tuple[Changes, list[Stray]]:
        return _record(platform, db, carrier, receipts=receipts)

    changes, strays = await platform.store.write(work)
    announce_changes(platform, changes)
    if strays and not platform.tenure.is_alone:
        await meet_refs(platform, carrier, [name for stray in strays for name in stray.refs])
    platform.recent.forget_refs(carrier, (name for r in receipts for name in _names(r)))
    reports.receipts(platform, carrier, receipts, changed=changes.messages)


def match_strays(
    platform: Platform, db: Connection, carrier: str, *, refs: Sequence[CarrierRef]
) -> Changes:
    """Record the receipts that came before their references were known; return what changed.

    One that came before its message was made is another's, and stays a stray: the carrier uses
    references again. Nodes have clocks of their own, so that there it must be older by far.
    """
    if not refs:
        return Changes()
    apart = 0 if platform.tenure.is_alone else CLOCKS_APART_MICROS_MAX
    by_ref = {ref.ref: ref for ref in refs}
    found = take_strays(db, carrier, list(by_ref))
    matched: list[Matched] = []
    older: dict[str, Stray] = {}
    for ref, group in found.items():
        for stray in group:
            if _is_later(stray.sid, by_ref[ref].message_sid, apart=apart):
                matched.append((by_ref[ref], _receipt(ref, stray)))
            else:
                older[stray.sid] = stray
    insert_strays(db, older.values())
    return _apply(platform, db, carrier, matched=matched)


def _record(
    platform: Platform, db: Connection, carrier: str, *, receipts: Sequence[Receipt]
) -> tuple[Changes, list[Stray]]:
    refs = platform.recent.refs(carrier, (r.carrier_ref for r in receipts))
    # An alias counts only where the name itself is unknown.
    unsure = [receipt for receipt in receipts if receipt.carrier_ref not in refs]
    if unsure:
        names = {name for r in unsure for name in _names(r)}
        refs |= find_refs(db, carrier, names - refs.keys())
    matched: list[Matched] = []
    strays: list[Stray] = []
    for receipt in receipts:
        ref = _match(refs, receipt)
        if ref is not None and not _is_anothers(platform, carrier, ref, names=_names(receipt)):
            matched.append((ref, receipt))
        elif DERIVED not in receipt.detail:
            strays.append(_stray(platform, carrier, receipt))
    insert_strays(db, strays)
    return _apply(platform, db, carrier, matched=matched), strays


async def meet_refs(platform: Platform, carrier: str, names: Sequence[str]) -> None:
    """Match receipts with references that another node committed at the same moment.

    Neither commit saw the other. Both sides look once more after theirs, and the later one finds;
    where it died before it looked, `meet_again` does.
    """

    def query(db: Connection) -> list[CarrierRef]:
        found = find_refs(db, carrier, names).items()
        refs = {n: r for n, r in found if not _is_anothers(platform, carrier, r, names=[n])}
        waiting = known_strays(db, carrier, refs) if refs else set()
        return [refs[name] for name in waiting]

    refs = await platform.store.read(query)
    if refs:
        matching = platform.store.write(lambda db: match_strays(platform, db, carrier, refs=refs))
        announce_changes(platform, await matching)


async def meet_again(platform: Platform, after: tuple[str, str]) -> tuple[str, str] | None:
    """Match the next receipts with what they name by now; return where to go on, None at the end.

    They are told by their SIDs and names, and begin behind *after*.
    """
    page = await platform.store.read(lambda db: page_met(db, after=after, limit=BATCH_MAX))
    names: dict[str, list[str]] = {}
    for met in page:
        if met.message_sid and _is_later(met.sid, met.message_sid, apart=CLOCKS_APART_MICROS_MAX):
            names.setdefault(met.carrier, []).append(met.ref)
    for carrier, refs in names.items():
        await meet_refs(platform, carrier, refs)
    return (page[-1].sid, page[-1].ref) if len(page) == BATCH_MAX else None


def _is_later(stray_sid: str, message_sid: str, *, apart: int) -> bool:
    if apart:
        return sid_micros(stray_sid) + apart > sid_micros(message_sid)
    return position_of(stray_sid) > position_of(message_sid)


def _match(refs: Mapping[str, CarrierRef], receipt: Receipt) -> CarrierRef | None:
    return next((refs[name] for name in _names(receipt) if name in refs), None)


def _is_anothers(
    platform: Platform, carrier: str, ref: CarrierRef, *, names: Iterable[str]
) -> bool:
    """Tell whether one of these names was given to another message, and is not recorded yet.

    A carrier that begins to count anew uses its names again; what it says means the newer message.
    """
    owners = {platform.recent.coming(carrier, name) for name in names} - {None}
    return bool(owners) and ref.message_sid not in owners


def _names(receipt: Receipt) -> tuple[str, ...]:
    return (receipt.carrier_ref, *receipt.aliases)


def _apply(
    platform: Platform, db: Connection, carrier: str, *, matched: Sequence[Matched]
) -> Changes:
    if not matched:
        return Changes()
    news = [(ref, r) for ref, r in matched if r.delivered is None or ref.delivered != r.delivered]
    insert_events(db, [_event(platform, carrier, ref, receipt=r) for ref, r in news])
    final = [(ref, r) for ref, r in news if r.delivered is not None]
    long = {(r.account_sid, r.message_sid) for r, _ in final if r.segment_count > 1}
    # Whoever settles another segment of them at this moment waits, and then sees ours.
    messages_by_sid(db, long, to_change=True)
    settle_refs(db, [replace(ref, delivered=r.delivered) for ref, r in final])
    siblings = refs_of(db, long) if long else {}
    facts = [
        fact
        for ref, r in final
        if (fact := _verdict(ref, r, siblings=siblings.get(ref.message_sid)))
    ]
    return advance(platform, db, facts)


def _verdict(
    ref: CarrierRef, receipt: Receipt, *, siblings: Sequence[CarrierRef] | None
) -> Observation | None:
    """Return what a receipt means for its message: undelivered when one segment is, delivered
    when every segment is, nothing yet otherwise."""
    if receipt.delivered and siblings is not None:
        # A segment that was submitted twice has two names and counts once.
        arrived = {sibling.segment_index for sibling in siblings if sibling.delivered}
        if len(arrived) < ref.segment_count:
            return None
    return Observation(
        account_sid=ref.account_sid,
        message_sid=ref.message_sid,
        fact=Fact.HANDSET_REACHED if receipt.delivered else Fact.HANDSET_MISSED,
        at=receipt.at,
        error_code=receipt.error_code,
    )


def _event(platform: Platform, carrier: str, ref: CarrierRef, *, receipt: Receipt) -> Event:
    detail: dict[str, object] = {
        "carrier": carrier,
        "ref": ref.ref,
        "segment": ref.segment_index + 1,
        "delivered": receipt.delivered,
        "error_code": receipt.error_code,
    }
    return event(platform, ref, "receipt", detail=detail | dict(receipt.detail))


def _stray(platform: Platform, carrier: str, receipt: Receipt) -> Stray:
    now = platform.clock.now()
    doc = {
        "delivered": receipt.delivered,
        "error_code": receipt.error_code,
        "detail": dict(receipt.detail),
    }
    return Stray(
        sid=platform.chance.sid("SY", now),
        carrier=carrier,
        kind=RECEIPT,
        refs=tuple(dict.fromkeys(_names(receipt))),
        at=receipt.at,
        doc=doc,
    )


def _receipt(ref: str, stray: Stray) -> Receipt:
    return Receipt(
        carrier_ref=ref,
        delivered=stray.doc["delivered"],
        error_code=stray.doc["error_code"],
        at=stray.at,
        detail=stray.doc["detail"],
    )
