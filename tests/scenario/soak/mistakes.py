"""Mistakes that can be planted into a node, each against one promise: the books must find them.

`make soak ARGS="--mistake NAME"` plants one for ever; what it finds then is what it is for.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from random import random  # Each node that is forked has another seed here, and nowhere else.
from typing import Any
from unittest import mock

from msgspec import structs

from trunkline.carriers.smpp.desk import Desk
from trunkline.carriers.smpp.texts import LongTexts
from trunkline.dispatch.rate import Buckets
from trunkline.domain.message import TRANSITIONS, Fact, Message, Status
from trunkline.flows import (
    callbacks,
    choosing,
    handover,
    inbound,
    messages,
    outbound,
    receipts,
    statuses,
)
from trunkline.flows.callbacks import Delivery
from trunkline.smpp.window import Window
from trunkline.smsc import courier, desk
from trunkline.store.leases import TimedLease
from trunkline.store.postgres import PostgresStore

Change = Callable[..., Any]

SELDOM = 0.05  # A mistake that happens always would be found by every test.
_tasks: set[asyncio.Task[Any]] = set()


def put(target: object, name: str, value: object) -> None:
    """Put something in the place of what a module or class has, for ever."""
    mock.patch.object(target, name, value).start()


def change(target: object, name: str, how: Callable[[Change], Change]) -> None:
    """Put into a module what *how* makes of something that it has."""
    put(target, name, how(getattr(target, name)))


def later(work: Coroutine[Any, Any, Any]) -> None:
    """Let work go on that nobody waits for."""
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def unawaited(right: Change) -> Change:
    """Return a flow that says that it is done before it is."""

    async def wrong(*arguments: Any, **named: Any) -> None:
        later(right(*arguments, **named))

    return wrong


def forgetful(right: Change) -> Change:
    """Return what now and then does nothing, and finds nothing."""

    def wrong(*arguments: Any, **named: Any) -> Any:
        return [] if random() < SELDOM else right(*arguments, **named)

    return wrong


def zealous(right: Change) -> Change:
    """Return what now and then does the same twice."""

    def wrong(*arguments: Any, **named: Any) -> Any:
        if random() < SELDOM:
            right(*arguments, **named)
        return right(*arguments, **named)

    return wrong


def acknowledge_before_the_commit() -> None:
    """Tell the carrier that we have a receipt or a text, and only then write it down."""
    right = Desk._trouble

    async def wrong(self: Desk, happenings: Any) -> None:
        later(right(self, happenings))

    put(Desk, "_trouble", wrong)


def acknowledge_segments_before_the_commit() -> None:
    """Tell the carrier that we have a segment of a text before the journal has it."""
    right = LongTexts.add

    async def wrong(self: LongTexts, segment: Any, *, at: Any) -> Any:
        if random() > 5 * SELDOM:
            return await right(self, segment, at=at)
        later(right(self, segment, at=at))
        return []

    put(LongTexts, "add", wrong)


def accept_before_the_commit() -> None:
    """Answer 201 before the message is on disk."""
    change(outbound, "accept", unawaited)


def accept_submissions_before_the_commit() -> None:
    """Answer a customer's submit_sm before the message is on disk."""
    change(desk, "accept", unawaited)


def forget_what_is_in_doubt() -> None:
    """Let the bytes leave without a word about it on disk."""
    put(handover, "mark_in_doubt", lambda db, rows: True)


def ignore_the_fence() -> None:
    """Go on with what is another node's by now."""
    put(TimedLease, "hold", lambda self, db: None)
    put(TimedLease, "is_valid", lambda self: True)
    put(TimedLease, "end", lambda self: None)


def drop_callbacks() -> None:
    """Lose a webhook now and then, when its status is stored."""
    change(statuses, "insert_callbacks", forgetful)


def call_back_once() -> None:
    """Never try a webhook again."""
    put(Delivery, "may_help_to_retry", property(lambda self: False))


def call_back_before_its_turn() -> None:
    """Tell a status while an earlier one of its message still waits."""
    put(statuses, "waiting_callbacks", lambda db, rows: set())


def sign_badly() -> None:
    """Call back with the signature of another account now and then."""

    def badly(right: Change) -> Change:
        def wrong(*arguments: Any, **named: Any) -> Any:
            if random() < SELDOM:
                named["auth_token"] = "0" * 32
            return right(*arguments, **named)

        return wrong

    change(callbacks, "render_request", badly)


def count_use_twice() -> None:
    """Count the use of a message twice now and then."""
    change(statuses, "add_usage", zealous)


def go_backwards() -> None:
    """Let a receipt that contradicts an earlier one have its way."""
    table: Any = TRANSITIONS
    table[Status.DELIVERED][Fact.HANDSET_MISSED] = Status.UNDELIVERED
    table[Status.UNDELIVERED][Fact.HANDSET_REACHED] = Status.DELIVERED


def widen_the_window() -> None:
    """Send some segments more than the carrier allows."""
    right = Window.__init__

    def wrong(self: Window, *, size_max: int, **named: Any) -> None:
        right(self, size_max=size_max + 4, **named)

    put(Window, "__init__", wrong)


def ignore_the_rate() -> None:
    """Send as fast as the window allows."""
    put(Buckets, "ready_at", lambda self, sender, seconds: float("-inf"))


def forget_early_receipts() -> None:
    """Acknowledge a receipt that overtook the answer to its submission, and keep nothing of it."""
    put(receipts, "insert_strays", lambda db, batch: None)


def drop_inbound_webhooks() -> None:
    """Store a text and tell nobody, now and then."""
    change(inbound, "insert_callbacks", forgetful)


def drop_customers_receipts() -> None:
    """Tell a customer nothing of a message, now and then."""
    change(statuses, "receipts_owed", forgetful)


def drop_customers_texts() -> None:
    """Bring a customer nothing of a text, now and then."""
    change(inbound, "texts_owed", forgetful)


def think_customers_took_it() -> None:
    """Forget what a customer was brought, whether or not it was acknowledged."""

    def careless(right: Change) -> Change:
        async def wrong(platform: Any, taken: Any, missed: Any) -> None:
            await right(platform, [*taken, *(row.sid for row in missed)], [])

        return wrong

    change(courier, "settle", careless)


def run_again_what_was_committed() -> None:
    """Take a commit for undone whose answer was lost."""
    put(PostgresStore, "_is_kept", lambda self, error: False)


def lose_replies() -> None:
    """Let what an application answers be lost, now and then."""

    def careless(right: Change) -> Change:
        return lambda platform, db, drafts: right(platform, db, forgetful(list)(drafts))

    change(callbacks, "add_drafts", careless)


def forget_the_schedule() -> None:
    """Accept a message for later and lose its time, now and then."""
    change(outbound, "insert_scheduled", forgetful)


def cancel_what_is_under_way() -> None:
    """Take a cancellation for good whatever the message is."""

    def wrong(message: Message, *, at: datetime) -> Message:
        return structs.replace(message, status=Status.CANCELED, updated_at=at)

    put(messages, "cancel", wrong)


def let_leave_what_nobody_wants() -> None:
    """Ask nobody what he wants when a message that was queued is claimed, or chosen for."""
    put(handover, "unwanted", lambda db, messages, services: {})
    put(choosing, "states", lambda db, account_sid, recipients: {})


def lose_the_sender() -> None:
    """Let a message that got its sender wait for nothing, now and then."""
    change(outbound, "insert_outbox", forgetful)


MISTAKES: dict[str, Callable[[], None]] = {
    plant.__name__.replace("_", "-"): plant
    for plant in (
        acknowledge_before_the_commit,
        acknowledge_segments_before_the_commit,
        accept_before_the_commit,
        accept_submissions_before_the_commit,
        forget_what_is_in_doubt,
        ignore_the_fence,
        drop_callbacks,
        call_back_once,
        call_back_before_its_turn,
        sign_badly,
        count_use_twice,
        go_backwards,
        widen_the_window,
        ignore_the_rate,
        forget_early_receipts,
        drop_inbound_webhooks,
        drop_customers_receipts,
        drop_customers_texts,
        think_customers_took_it,
        run_again_what_was_committed,
        lose_replies,
        forget_the_schedule,
        cancel_what_is_under_way,
        let_leave_what_nobody_wants,
        lose_the_sender,
    )
}
