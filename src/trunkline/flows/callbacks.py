"""Webhooks: what is due is sent, every attempt is kept, and what answers say is done.

Rule 1: a webhook leaves the queue in the commit that holds what came of it.
Rule 2: the network is never waited for inside a transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import Connection

from trunkline.domain.alert import Level
from trunkline.domain.message import Message, blame
from trunkline.domain.sending import Draft
from trunkline.flows import reports
from trunkline.flows.alerts import note, of_webhook
from trunkline.flows.outbound import Added, add_drafts, announce_accepted
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import event, tell
from trunkline.runtime import News, next_attempt
from trunkline.store.callbacks import (
    AttemptRow,
    CallbackRow,
    finish_callbacks,
    following_callbacks,
    insert_attempts,
    postpone_callbacks,
    save_cookies,
)
from trunkline.store.messages import insert_events, messages_by_sid, update_messages
from trunkline.webhooks.answer import BLOCKED, Answer
from trunkline.webhooks.request import is_webhook_url, parse_target, render_request
from trunkline.webhooks.requester import Requester

URL_INVALID = 11100
OUR_FAULT = 20500
# Answers after which asking again later may help; everything else is the receiver's last word.
RETRIED_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
# The connection could not be made or was lost; a wrong certificate or a refused address stays so.
RETRIED_CODES = frozenset({11200, 11201, 11202, 11203, 11205, 11206, 11210, 11220})


class Warned(NamedTuple):
    """Something that was skipped or went wrong and did not end a delivery; where that was."""

    code: int
    reason: str
    url: str


class Delivery(Struct, kw_only=True):
    """What came of one webhook so far; finished in one commit."""

    row: CallbackRow
    attempts: list[AttemptRow] = []
    answer: Answer | None = None
    error_code: int | None = None
    error_url: str = ""
    reason: str = ""
    warnings: list[Warned] = []
    replies: list[Draft] = []
    jars: dict[str, dict[str, str]] = {}
    message: Message | None = None
    is_broken: bool = False

    def fail(self, error_code: int, reason: str, *, url: str) -> None:
        """Note the error that ends this delivery, or this try of it."""
        self.error_code, self.reason, self.error_url = error_code, reason, url

    def last_attempt_at(self, url: str) -> AttemptRow | None:
        """Return the last request that was made to a URL, if one was."""
        return next((each for each in reversed(self.attempts) if each.url == url), None)

    @property
    def may_help_to_retry(self) -> bool:
        """Whether the same request may fare better later.

        Not where a document was obeyed before a later one failed: its replies go out, once.
        """
        if self.is_broken:
            return True
        if self.error_code is None or self.answer is None or self.replies:
            return False
        if self.attempts and self.attempts[-1].reason == BLOCKED.reason:
            return False
        status = self.answer.status
        if status is not None and self.answer.error_code is not None:
            return status in RETRIED_STATUSES or self.answer.error_code == 11203
        return self.answer.error_code in RETRIED_CODES


async def call(
    platform: Platform,
    sender: Requester,
    delivery: Delivery,
    *,
    url: str,
    method: str,
    parameters: Mapping[str, str],
) -> Answer | None:
    """Make one signed request and keep its attempts; None when the URL is unusable."""
    row = delivery.row
    account = await platform.directory.account(row.account_sid)
    if account is None or not is_webhook_url(url):
        delivery.fail(URL_INVALID, "the URL is not one that can be called", url=url)
        return None
    target = parse_target(url)
    for code in target.warnings:
        delivery.warnings.append(Warned(code, "the URL's fragment is not valid", url))
    request = render_request(
        target,
        method,
        parameters=parameters,
        auth_token=platform.directory.auth_token(account),
        token=row.token,
    )
    host = target.url.split("/", 3)[2]
    answer = await sender.send(request, target, cookies=delivery.jars.get(host, {}))
    delivery.answer = answer
    if answer.cookies or host in delivery.jars:
        delivery.jars[host] = dict(answer.cookies)
    for attempt in answer.attempts:
        now = platform.clock.now()
        delivery.attempts.append(
            AttemptRow(
                sid=platform.chance.sid("WA", now),
                callback_sid=row.sid,
                account_sid=row.account_sid,
                message_sid=row.message_sid,
                kind=row.kind,
                url=url,
                method=method,
                label=row.label,
                at=attempt.started_at,
                duration_ms=attempt.duration_ms,
                http_status=attempt.status,
                error_code=attempt.error_code,
                reason=attempt.reason,
                head=attempt.head.decode("utf-8", errors="replace").replace("\0", "\ufffd"),
            )
        )
    if answer.error_code is not None:
        reason = answer.attempts[-1].reason if answer.attempts else ""
        delivery.fail(answer.error_code, reason, url=url)
    return answer


async def deliver_status(platform: Platform, sender: Requester, row: CallbackRow) -> Delivery:
    """Tell a status; the answer's body means nothing."""
    delivery = Delivery(row=row)
    await call(
        platform, sender, delivery, url=row.url, method=row.method, parameters=row.parameters
    )
    return delivery


def broken(row: CallbackRow) -> Delivery:
    """Return the outcome of a webhook that met a bug of ours: it is put off, and given up later."""
    return Delivery(
        row=row, is_broken=True, error_code=OUR_FAULT, reason="an unexpected error of ours"
    )


async def finish(platform: Platform, deliveries: Sequence[Delivery]) -> None:
    """Commit what came of webhooks: attempts, errors, replies; and when to try again, if ever."""

    def work(db: Connection) -> _Outcome:
        return _finish(platform, db, deliveries)

    outcome = await platform.store.write(work)
    if outcome.following:
        platform.webhooks.offer(outcome.following)
    announce_accepted(platform, outcome.replies)
    tell(platform, outcome.changed)
    reports.called(platform, _called(deliveries), messages=outcome.told)
    if platform.feed.is_watched:
        for delivery in deliveries:
            row = delivery.row
            platform.feed.publish(News("webhook", row.account_sid, row.message_sid))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of webhooks: what waited for them, replies, blamed messages.

    told: messages that the log has something to tell of.
    """

    following: Sequence[CallbackRow]
    replies: Added
    changed: Sequence[Message]
    told: Mapping[str, Message]


def _finish(platform: Platform, db: Connection, deliveries: Sequence[Delivery]) -> _Outcome:
    now = platform.clock.now()
    insert_attempts(db, [attempt for d in deliveries for attempt in d.attempts])
    done: list[Delivery] = []
    waiting: list[tuple[CallbackRow, datetime | None]] = []
    for delivery in deliveries:
        if delivery.may_help_to_retry:
            waiting.append((delivery.row, _next(platform, delivery, now)))
        else:
            done.append(delivery)
    finish_callbacks(db, [d.row for d in done if not d.replies])
    # A node that was out of touch meanwhile brings what another has done: replies are sent once.
    first = [d for d in done if d.replies and finish_callbacks(db, [d.row])]
    postpone_callbacks(db, waiting)
    following = following_callbacks(db, [d.row for d in done], now=now)
    replies = add_drafts(platform, db, [draft for d in first for draft in d.replies])
    _keep_cookies(db, done, now)
    troubled = [d for d in deliveries if d.error_code is not None or d.warnings]
    changed = _blame(platform, db, troubled, now=now) if troubled else []
    changed += _forgive(db, [d for d in done if d.error_code is None], now=now)
    told = messages_by_sid(db, reports.worth_a_line(_called(deliveries)))
    return _Outcome(following, replies, changed, told)


def _called(deliveries: Sequence[Delivery]) -> list[tuple[CallbackRow, list[AttemptRow]]]:
    return [(each.row, each.attempts) for each in deliveries]


def _next(platform: Platform, delivery: Delivery, now: datetime) -> datetime | None:
    return next_attempt(
        delivery.row.attempts + 1,
        now,
        backoff_seconds=platform.rules.webhook_retry_seconds,
        chance=platform.chance.fraction(),
    )


def _keep_cookies(db: Connection, deliveries: Sequence[Delivery], now: datetime) -> None:
    for delivery in deliveries:
        if delivery.message is None:
            continue
        pair = (delivery.row.account_sid, delivery.message.sender or "", delivery.message.recipient)
        for host, jar in delivery.jars.items():
            save_cookies(db, (*pair, host), jar, now=now)


def _forgive(db: Connection, deliveries: Sequence[Delivery], *, now: datetime) -> list[Message]:
    """Take back what inbound messages were blamed for: their webhook arrived after all."""
    blamed = [d.message for d in deliveries if d.message and d.message.error_code]
    if not blamed:
        return []
    # Read anew: whoever redacted a text while its webhook was under way must not get it back.
    known = messages_by_sid(db, [(m.account_sid, m.sid) for m in blamed], to_change=True)
    forgiven = [blame(message, None, at=now) for message in known.values()]
    update_messages(db, forgiven)
    return forgiven


def _blame(
    platform: Platform, db: Connection, deliveries: Sequence[Delivery], *, now: datetime
) -> list[Message]:
    """Record errors in the trace of their messages, as alerts, and on inbound messages."""
    keys = {(d.row.account_sid, d.row.message_sid) for d in deliveries}
    messages = messages_by_sid(db, keys, to_change=True)
    trace, blamed, alerts = [], [], []
    for delivery in deliveries:
        message = messages.get(delivery.row.message_sid)
        if message is None:
            continue
        errors = [(Level.WARNING, *warned) for warned in delivery.warnings]
        if delivery.error_code is not None:
            url = delivery.error_url or delivery.row.url
            errors.append((Level.ERROR, delivery.error_code, delivery.reason, url))
            if not message.is_outbound:
                blamed.append(blame(message, delivery.error_code, at=now))
        for level, code, reason, url in errors:
            detail: dict[str, object] = {
                "error_code": code,
                "reason": reason,
                "webhook": delivery.row.label,
                "url": url,
            }
            trace.append(event(platform, message, "webhook_error", detail=detail))
            alerts.append(
                of_webhook(
                    platform,
                    message,
                    delivery.row,
                    level=level,
                    error=(code, reason),
                    url=url,
                    attempt=delivery.last_attempt_at(url),
                )
            )
    insert_events(db, trace)
    note(platform, db, alerts)
    update_messages(db, blamed)
    return blamed
