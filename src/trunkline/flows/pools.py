"""What follows when a sender, or a whole Messaging Service, goes: nobody knows it any more."""

from collections.abc import Iterable
from functools import partial

from trunkline.domain.service import ServiceSender
from trunkline.flows.platform import Platform
from trunkline.store.pools import forget_known
from trunkline.store.records import SERVICES, child_records


async def forget_senders(platform: Platform, left: Iterable[ServiceSender | None]) -> None:
    """Forget which recipients know the senders that left their pools; None left none."""
    for member in left:
        if member is not None:
            await forget_recipients(
                platform, member.account_sid, member.service_sid, sender=member.sender
            )


async def forget_account(platform: Platform, account_sid: str) -> None:
    """Forget whom the services of an account that was closed wrote to."""
    found = await platform.store.read(lambda db: child_records(db, SERVICES, account_sid))
    for service in found:
        await forget_recipients(platform, account_sid, service.sid)


async def forget_recipients(
    platform: Platform, account_sid: str, service_sid: str, *, sender: str | None = None
) -> None:
    """Forget which recipients know one sender of a service, or any of its senders.

    They may be millions, so they go in many commits. What a crash leaves is never looked at: only
    senders of the pool are chosen.
    """
    after: str | None = ""
    while after is not None:
        work = partial(
            forget_known,
            account_sid=account_sid,
            service_sid=service_sid,
            sender=sender,
            after=after,
        )
        after = await platform.store.write(work)
