"""Alerts: what went wrong with an account's resources."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from trunkline.domain.alert import Alert, AlertFilter, Level
from trunkline.domain.ids import position_at
from trunkline.store.paging import Found, Page, fetch_page
from trunkline.store.sending_tables import alerts
from trunkline.store.tables import callback_attempts

PREFIX = "NO"

# What stands in the document; what is empty is left out of it.
_FACTS = ("reason", "method", "url", "variables", "http_status", "attempt_sid")


def insert_alerts(db: Connection, batch: Sequence[Alert]) -> None:
    """Add alerts."""
    if batch:
        db.execute(insert(alerts), [_row(alert) for alert in batch])


def find_alert(db: Connection, account_sid: str, sid: str) -> Alert | None:
    """Return one alert of an account."""
    query = select(alerts).where(alerts.c.account_sid == account_sid, alerts.c.sid == sid)
    row = db.execute(query).first()
    return None if row is None else _alert(row)


def page_alerts(db: Connection, account_sid: str, wanted: AlertFilter, page: Page) -> Found[Alert]:
    """Return one page of an account's alerts, newest first."""
    column = alerts.c
    query = select(alerts).where(column.account_sid == account_sid)
    if wanted.level is not None:
        query = query.where(column.log_level == wanted.level.value)
    if wanted.raised_from is not None:
        query = query.where(column.sid >= PREFIX + position_at(wanted.raised_from))
    if wanted.raised_before is not None:
        query = query.where(column.sid < PREFIX + position_at(wanted.raised_before))
    return fetch_page(db, query, page, key=column.sid, build=_alert)


def answer_to(db: Connection, alert: Alert) -> str:
    """Return the beginning of what the webhook answered; "" when that is not kept any more."""
    column = callback_attempts.c
    query = select(column.head).where(
        column.account_sid == alert.account_sid,
        column.message_sid == alert.resource_sid,
        column.sid == alert.attempt_sid,
    )
    return db.execute(query).scalar() or ""


def delete_alerts(db: Connection, account_sid: str, *, before: str, limit: int) -> int:
    """Remove an account's alerts from in front of a position; return how many."""
    column = alerts.c
    old = (
        select(column.sid)
        .where(column.account_sid == account_sid, column.sid < PREFIX + before)
        .order_by(column.sid)
        .limit(limit)
    )
    here = (column.account_sid == account_sid) & column.sid.in_(old.scalar_subquery())
    return db.execute(delete(alerts).where(here)).rowcount


def _row(alert: Alert) -> dict[str, Any]:
    return {
        "account_sid": alert.account_sid,
        "sid": alert.sid,
        "log_level": alert.level.value,
        "error_code": alert.error_code,
        "resource_sid": alert.resource_sid,
        "service_sid": alert.service_sid,
        "at": alert.at,
        "doc": {name: value for name in _FACTS if (value := getattr(alert, name))},
    }


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        sid=row.sid,
        account_sid=row.account_sid,
        level=Level(row.log_level),
        error_code=row.error_code,
        resource_sid=row.resource_sid,
        service_sid=row.service_sid,
        at=row.at,
        **row.doc,
    )
