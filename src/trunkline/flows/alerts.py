"""What goes wrong with an account's resources is noted for its people, as Twilio's debugger does.

Rule 1: an alert is on disk in the commit that does what it tells of.
Rule 2: it holds no text of a message and no whole number; what is redacted or deleted takes what
        else its alerts say with it.
"""

import asyncio
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from trunkline.domain.alert import (
    Alert,
    AlertFilter,
    Level,
    reason_of,
    url_of,
    variables_of,
)
from trunkline.domain.errors import Refusal, delivery_error
from trunkline.domain.message import Message, Status
from trunkline.flows.platform import Platform
from trunkline.runtime import News
from trunkline.store.alerts import PREFIX, answer_to, find_alert, insert_alerts, page_alerts
from trunkline.store.callbacks import AttemptRow, CallbackRow
from trunkline.store.paging import Found, Page

REASON_LENGTH_MAX = 500
URL_LENGTH_MAX = 2048

_BAD_ENDS = frozenset({Status.FAILED, Status.UNDELIVERED})
_OVERLOAD = 429  # Whoever is asked to slow down must not cost a commit.


async def page(
    platform: Platform, account_sid: str, wanted: AlertFilter, page: Page
) -> Found[Alert]:
    """Return one page of an account's alerts, newest first."""
    return await platform.store.read(lambda db: page_alerts(db, account_sid, wanted, page))


async def find(platform: Platform, account_sid: str, sid: str) -> tuple[Alert, str] | None:
    """Return one alert of an account, and the beginning of what the webhook answered."""

    def query(db: Connection) -> tuple[Alert, str] | None:
        alert = find_alert(db, account_sid, sid)
        return None if alert is None else (alert, answer_to(db, alert))

    return await platform.store.read(query)


def ended_badly(platform: Platform, db: Connection, messages: Iterable[Message]) -> None:
    """Note which of *messages* failed."""
    failed = [message for message in messages if message.status in _BAD_ENDS]
    note(platform, db, [_of_message(platform, message) for message in failed])


def of_webhook(
    platform: Platform,
    message: Message,
    row: CallbackRow,
    *,
    level: Level,
    error: tuple[int, str],
    url: str,
    attempt: AttemptRow | None,
) -> Alert:
    """Return the alert that tells of an error of a webhook: its code and the reason."""
    now = platform.clock.now()
    return Alert(
        sid=platform.chance.sid(PREFIX, now),
        account_sid=row.account_sid,
        level=level,
        error_code=error[0],
        resource_sid=row.message_sid,
        service_sid=message.messaging_service_sid or "",
        at=now,
        reason=reason_of(error[1])[:REASON_LENGTH_MAX],
        method=attempt.method if attempt else row.method,
        url=url_of(url)[:URL_LENGTH_MAX],
        variables=variables_of(row.parameters.items()),
        http_status=attempt.http_status if attempt else None,
        attempt_sid=attempt.sid if attempt else "",
    )


async def rejected(
    platform: Platform,
    account_sid: str,
    refusal: Refusal,
    *,
    url: str,
    pairs: Sequence[tuple[str, str]],
) -> None:
    """Note that a request was refused, in a commit of its own; a rush of them only in part.

    The answer stays the refusal, whether or not that can be noted.
    """
    if not 400 <= refusal.status < 500 or refusal.status == _OVERLOAD:
        return
    now = platform.clock.now()
    alert = Alert(
        sid=platform.chance.sid(PREFIX, now),
        account_sid=account_sid,
        level=Level.ERROR,
        error_code=refusal.code,
        at=now,
        method="POST",
        url=url[:URL_LENGTH_MAX],
        variables=variables_of(pairs),
        http_status=refusal.status,
    )
    if allowed := _allowed(platform, [alert]):
        writing = platform.store.write(lambda db: insert_alerts(db, allowed))
        (trouble,) = await asyncio.gather(writing, return_exceptions=True)
        if trouble is not None:
            platform.meter.count("alerts_left_out", len(allowed))
        elif platform.feed.is_watched:
            platform.feed.publish(News("alert", account_sid, alert.sid))


def note(platform: Platform, db: Connection, found: Sequence[Alert]) -> None:
    """Store alerts, as many as their accounts may have at this time."""
    if found:
        insert_alerts(db, _allowed(platform, found))


def _of_message(platform: Platform, message: Message) -> Alert:
    now = platform.clock.now()
    return Alert(
        sid=platform.chance.sid(PREFIX, now),
        account_sid=message.account_sid,
        level=Level.ERROR,
        error_code=message.error_code or 0,
        resource_sid=message.sid,
        service_sid=message.messaging_service_sid or "",
        at=now,
    )


def _allowed(platform: Platform, found: Sequence[Alert]) -> list[Alert]:
    kept: list[Alert] = []
    for account_sid in dict.fromkeys(alert.account_sid for alert in found):
        own = [alert for alert in found if alert.account_sid == account_sid]
        count = platform.allowance.take(account_sid, len(own), now=platform.clock.now())
        kept += own[:count]
    if left_out := len(found) - len(kept):
        platform.meter.count("alerts_left_out", left_out)
    return kept


def text_of(alert: Alert) -> str:
    """Return in words what went wrong."""
    return alert.reason or delivery_error(alert.error_code)
