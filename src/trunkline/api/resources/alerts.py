"""Alerts of the debugger: https://www.twilio.com/docs/usage/monitor-alert"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from trunkline.api.answers import MORE_INFO
from trunkline.api.resource import Call, Op, Resource, v1
from trunkline.api.wire import Period, Sid
from trunkline.domain.alert import Alert, AlertFilter, Level
from trunkline.domain.errors import Refusal
from trunkline.flows import alerts
from trunkline.store.paging import Found, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """Something that went wrong. What the webhook answered stands in a single one only."""

    account_sid: Annotated[str, Sid("AC")]
    alert_text: str
    api_version: str
    date_created: datetime
    date_generated: datetime
    date_updated: datetime
    error_code: str
    log_level: str
    more_info: str
    request_method: str | None
    request_url: str | None
    request_variables: str | None
    resource_sid: str | None
    response_body: str | None
    response_headers: str | None
    sid: Annotated[str, Sid("NO")]
    url: str
    request_headers: str | None
    service_sid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAlerts:
    """Which alerts are wanted."""

    log_level: str | None = None
    start_date: Period | None = None
    end_date: Period | None = None


def _view(call: Call, alert: Alert) -> AlertView:
    return _shown(call, alert)


def _whole_view(call: Call, found: tuple[Alert, str]) -> AlertView:
    alert, answer = found
    return _shown(call, alert, variables=alert.variables or None, answer=answer or None)


def _shown(
    call: Call, alert: Alert, *, variables: str | None = None, answer: str | None = None
) -> AlertView:
    return AlertView(
        account_sid=alert.account_sid,
        alert_text=_text(alert),
        api_version="2010-04-01",
        date_created=alert.at,
        date_generated=alert.at,
        date_updated=alert.at,
        error_code=str(alert.error_code),
        log_level=alert.level.value,
        more_info=f"{MORE_INFO}{alert.error_code}",
        request_method=alert.method or None,
        request_url=alert.url or None,
        request_variables=variables,
        resource_sid=alert.resource_sid or None,
        response_body=answer,
        response_headers=None,
        sid=alert.sid,
        url=f"{call.base_url}/v1/Alerts/{alert.sid}",
        request_headers=None,
        service_sid=alert.service_sid or None,
    )


def _text(alert: Alert) -> str:
    """Write what happened as Twilio does: as the pairs of a form."""
    pairs = {
        "ErrorCode": str(alert.error_code),
        "LogLevel": alert.level.value.upper(),
        "Msg": alerts.text_of(alert),
        "httpResponse": str(alert.http_status or ""),
        "url": alert.url,
    }
    return urlencode({name: value for name, value in pairs.items() if value})


async def page(call: Call, params: ListAlerts, page: Page) -> Found[Alert]:
    """List what went wrong, newest first."""
    wanted = AlertFilter(
        level=_level(params.log_level) if params.log_level else None,
        raised_from=params.start_date.start if params.start_date else None,
        raised_before=params.end_date.end if params.end_date else None,
    )
    return await alerts.page(call.platform, call.account.sid, wanted, page)


def _level(text: str) -> Level:
    try:
        return Level(text.lower())
    except ValueError:
        raise Refusal(20422, name="`LogLevel`", reason=f"one of {', '.join(Level)}") from None


async def fetch(call: Call) -> tuple[Alert, str] | None:
    """Return an alert, with what the webhook answered."""
    return await alerts.find(call.platform, call.account.sid, call.path["Sid"])


ALERTS = Resource(
    name="alert",
    path="/Alerts",
    dialect=v1("monitor"),
    view=_view,
    list_key="alerts",
    page=Op(run=page, params=ListAlerts),
    fetch=Op(run=fetch, view=_whole_view),
)
