"""Messages as their owners see and change them: lists, redaction, cancelling, media, the trace."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from trunkline.domain.account import Feedback, Media, Outcome
from trunkline.domain.errors import Refusal
from trunkline.domain.message import FINAL, Message, Status, cancel, redact
from trunkline.flows.erasure import erase, forget, forget_media
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import Changes, announce_changes, status_callback
from trunkline.store.callbacks import (
    AttemptRow,
    CallbackRow,
    attempts_of,
    callbacks_of,
    insert_callbacks,
)
from trunkline.store.messages import (
    Event,
    MessageFilter,
    events_of,
    find_message,
    messages_by_sid,
    update_messages,
)
from trunkline.store.paging import Found, Page
from trunkline.store.records import (
    FEEDBACK,
    MEDIA,
    alone,
    child_records,
    find_record,
    find_unique,
    insert_record,
    update_record,
)
from trunkline.store.schedule import delete_scheduled
from trunkline.store.search import page_messages

__all__ = ["MessageFilter", "Trace", "amend", "find", "page", "remove", "trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything that is known of one message."""

    message: Message
    media: list[Media]
    events: list[Event]
    attempts: list[AttemptRow]
    waiting: list[CallbackRow]


async def find(platform: Platform, account_sid: str, sid: str) -> Message | None:
    """Return one message of an account."""
    return await platform.store.read(lambda db: find_message(db, account_sid, sid))


async def page(
    platform: Platform, account_sid: str, wanted: MessageFilter, page: Page
) -> Found[Message]:
    """Return one page of an account's messages, newest first."""
    return await platform.store.read(lambda db: page_messages(db, account_sid, wanted, page))


async def amend(
    platform: Platform, account_sid: str, sid: str, *, body: str | None, status: str | None
) -> Message:
    """Redact (body is '') or cancel (status is 'canceled') a message, or refuse.

    What was redacted is empty wherever its text was copied to; webhooks that are due are still
    made, without it.
    """
    if body:
        raise Refusal(20422, name="Body", message="A message's Body can only be emptied.")
    if status is not None and status != Status.CANCELED:
        raise Refusal(20422, name="Status", message="A message's Status can only become canceled.")

    def work(db: Connection) -> Message:
        before = _required_to_change(db, account_sid, sid)
        now = platform.clock.now()
        after = before
        if status is not None:
            after = cancel(after, at=now)
            delete_scheduled(db, [(account_sid, sid)])
            if owed := status_callback(platform, after):
                insert_callbacks(db, [owed])
        if body is not None:  # What is canceled by the same request may be redacted.
            after = redact(after, at=now)
        if after is not before:
            update_messages(db, [after])
        if body is not None:
            erase(platform, db, account_sid, sid=sid)
        return after

    message = await platform.store.write(work)
    announce_changes(platform, Changes([message]))
    platform.recent.forget([sid])
    if status is not None:
        platform.webhooks.ring()
    return message


async def remove(platform: Platform, account_sid: str, sid: str) -> None:
    """Delete a message and its trace, or refuse (20009) while it is still on its way.

    Its media stay until they are deleted themselves, as Twilio does it. Webhooks that are due are
    still made, without its text.
    """

    def work(db: Connection) -> Message:
        message = _required_to_change(db, account_sid, sid)
        if message.status not in FINAL and message.status is not Status.SENT:
            raise Refusal(20009)
        forget(platform, db, account_sid, sid=sid)
        return message

    announce_changes(platform, Changes([await platform.store.write(work)]))
    platform.recent.forget([sid])


async def media_of(platform: Platform, account_sid: str, message_sid: str) -> list[Media]:
    """Return the media of a message, in their order."""
    found = await platform.store.read(lambda db: child_records(db, MEDIA, message_sid))
    return [media for media in found if media.account_sid == account_sid]


async def find_media(
    platform: Platform, account_sid: str, message_sid: str, sid: str
) -> Media | None:
    """Return one medium of a message of an account."""
    media = await platform.store.read(lambda db: find_record(db, MEDIA, sid))
    if media is None or (media.account_sid, media.message_sid) != (account_sid, message_sid):
        return None
    return media


async def remove_media(platform: Platform, media: Media) -> None:
    """Delete a medium; its bytes go with the last record that names them."""
    await platform.store.write(lambda db: forget_media(platform, db, [media]))


async def media_content(platform: Platform, media: Media) -> Path | bytes | None:
    """Return the file that holds the bytes of a medium, or the bytes; None where they are gone."""
    return await asyncio.to_thread(platform.media_files.find, media.digest)


async def give_feedback(
    platform: Platform, account_sid: str, message_sid: str, outcome: Outcome
) -> Feedback:
    """Keep the sender's word on a message; a second one replaces the first."""

    def work(db: Connection) -> Feedback:
        alone(db)
        _required(db, account_sid, message_sid)
        now = platform.clock.now()
        known = find_unique(db, FEEDBACK, message_sid)
        if known is not None:
            changed = replace(known, outcome=outcome, updated_at=now)
            update_record(db, FEEDBACK, changed)
            return changed
        feedback = Feedback(
            sid=platform.chance.sid("FB", now),
            account_sid=account_sid,
            message_sid=message_sid,
            outcome=outcome,
            created_at=now,
            updated_at=now,
        )
        insert_record(db, FEEDBACK, feedback)
        return feedback

    return await platform.store.write(work)


async def trace(platform: Platform, account_sid: str, sid: str) -> Trace | None:
    """Return everything that is known of a message, or None."""

    def query(db: Connection) -> Trace | None:
        message = find_message(db, account_sid, sid)
        if message is None:
            return None
        return Trace(
            message=message,
            media=child_records(db, MEDIA, sid),
            events=events_of(db, account_sid, sid),
            attempts=attempts_of(db, account_sid, sid),
            waiting=callbacks_of(db, account_sid, sid),
        )

    return await platform.store.read(query)


def _required(db: Connection, account_sid: str, sid: str) -> Message:
    return _found(find_message(db, account_sid, sid), account_sid, sid)


def _required_to_change(db: Connection, account_sid: str, sid: str) -> Message:
    """Return a message that nobody else changes before the commit."""
    found = messages_by_sid(db, [(account_sid, sid)], to_change=True)
    return _found(found.get(sid), account_sid, sid)


def _found(message: Message | None, account_sid: str, sid: str) -> Message:
    if message is None:
        raise Refusal(20404, path=f"/2010-04-01/Accounts/{account_sid}/Messages/{sid}.json")
    return message
