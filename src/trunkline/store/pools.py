"""Senders that leave the pools of Messaging Services, and what recipients knew of them."""

from sqlalchemy import Connection, delete, select

from trunkline.domain.service import POOL_MAX, ServiceSender
from trunkline.store.records import SERVICE_SENDERS, child_records, delete_record, find_record
from trunkline.store.sending_tables import sticky_senders

STICKY_AT_ONCE = 5_000  # Looked through in one commit, which takes some 30 ms then.


def leave_pool(db: Connection, number_sid: str) -> ServiceSender | None:
    """Take a number out of the service that it is in; return what it was there."""
    member = find_record(db, SERVICE_SENDERS, number_sid)
    if member is not None:
        delete_record(db, SERVICE_SENDERS, member.sid)
    return member


def empty_pool(db: Connection, service_sid: str) -> None:
    """Take every sender out of a service."""
    for member in child_records(db, SERVICE_SENDERS, service_sid, limit=POOL_MAX):
        delete_record(db, SERVICE_SENDERS, member.sid)


def forget_known(
    db: Connection, account_sid: str, service_sid: str, *, sender: str | None, after: str
) -> str | None:
    """Forget which recipients know a sender, or any sender, of a service.

    Looks through some of them behind the recipient *after*; returns the last one, or None when
    there are no more.
    """
    of_service = (sticky_senders.c.account_sid == account_sid) & (
        sticky_senders.c.service_sid == service_sid
    )
    query = (
        select(sticky_senders.c.recipient)
        .where(of_service, sticky_senders.c.recipient > after)
        .order_by(sticky_senders.c.recipient)
        .limit(STICKY_AT_ONCE)
    )
    recipients = db.execute(query).scalars().all()
    if not recipients:
        return None
    there = sticky_senders.c.recipient.between(recipients[0], recipients[-1])
    gone = delete(sticky_senders).where(of_service, there)
    db.execute(gone if sender is None else gone.where(sticky_senders.c.sender == sender))
    return recipients[-1] if len(recipients) == STICKY_AT_ONCE else None
