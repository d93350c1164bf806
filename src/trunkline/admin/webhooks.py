"""Webhooks that wait or were given up, over the admin API: lists, replay, throwing away."""

from datetime import UTC, datetime

from trunkline.admin.ask import Ask
from trunkline.admin.views import View, iso
from trunkline.api.answers import Answer, json_answer
from trunkline.domain.errors import Refusal
from trunkline.flows import replay
from trunkline.flows.replay import Done, Host, Listed, WebhookFilter
from trunkline.store.callbacks import AttemptRow
from trunkline.store.parked import COUNTED_MAX

LIMIT = 50
LIMIT_MAX = 1000  # Some 600 bytes each.

_STATUSES = {"parked": True, "waiting": False}
_KINDS = ("status", "inbound")


async def list_webhooks(ask: Ask) -> Answer:
    """Answer with webhooks that were given up (`status=parked`) or wait (`waiting`), newest first.

    The filters are `host`, `account`, `message`, `kind` and `since`.
    """
    query = ask.request.query_params
    wanted = _wanted(dict(query))
    found = await replay.listed(
        ask.platform,
        wanted,
        limit=ask.limit(LIMIT, most=LIMIT_MAX),
        before=query.get("before") or None,
    )
    return json_answer({"webhooks": [_view(each) for each in found]})


async def count_webhooks(ask: Ask) -> Answer:
    """Answer with how many webhooks the same filters choose, as far as they are counted."""
    count = await replay.count(ask.platform, _wanted(dict(ask.request.query_params)))
    return json_answer({"count": count, "has_more": count >= COUNTED_MAX})


async def list_hosts(ask: Ask) -> Answer:
    """Answer with the hosts for which webhooks wait or were given up."""
    return json_answer({"hosts": [_host_view(host) for host in await replay.hosts(ask.platform)]})


async def replay_webhook(ask: Ask) -> Answer:
    """Make a parked webhook again, with the others of its message."""
    return json_answer({"replayed": await replay.replay(ask.platform, ask.path("sid"))})


async def discard_webhook(ask: Ask) -> Answer:
    """Throw a parked webhook away."""
    await replay.discard(ask.platform, ask.path("sid"))
    return Answer(204)


async def replay_webhooks(ask: Ask) -> Answer:
    """Make the parked webhooks again that Host, Account, Message, Kind and Since choose."""
    done = await replay.replay_all(ask.platform, _chosen(ask))
    return json_answer(_done_view("replayed", done))


async def discard_webhooks(ask: Ask) -> Answer:
    """Throw the parked webhooks away that the same parameters choose."""
    done = await replay.discard_all(ask.platform, _chosen(ask))
    return json_answer(_done_view("discarded", done))


def _chosen(ask: Ask) -> WebhookFilter:
    """Return what a form chooses, or refuse (20422) one that chooses nothing: All=true is needed.

    A misspelt parameter must not mean everything.
    """
    given = {name.lower(): values[-1] for name, values in ask.form.items()}
    wanted = _wanted(given)
    if wanted == WebhookFilter() and given.get("all", "").lower() != "true":
        raise Refusal(20422, name="`All`", reason="true, unless a filter is given")
    return wanted


def _wanted(given: dict[str, str]) -> WebhookFilter:
    status, kind = given.get("status") or "parked", given.get("kind") or None
    if status not in _STATUSES:
        raise Refusal(20422, name="`status`", reason="must be parked or waiting")
    if kind not in (None, *_KINDS):
        raise Refusal(20422, name="`kind`", reason="must be status or inbound")
    return WebhookFilter(
        is_parked=_STATUSES[status],
        host=(given.get("host") or "").lower() or None,
        account_sid=given.get("account") or None,
        message_sid=given.get("message") or None,
        kind=kind,
        since=_since(given.get("since") or ""),
    )


def _since(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        reason = "must be a time like 2026-11-20T12:00:00Z"
        raise Refusal(20422, name="`since`", reason=reason) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _done_view(verb: str, done: Done) -> View:
    return {verb: done.count, "has_more": done.has_more}


def _view(listed: Listed) -> View:
    row = listed.row
    return {
        "sid": row.sid,
        "status": "parked" if row.due_at is None else "waiting",
        "account_sid": row.account_sid,
        "message_sid": row.message_sid,
        "kind": row.kind,
        "label": row.label,
        "host": row.host,
        "url": row.url,
        "attempts": row.attempts,
        "due_at": iso(row.next_at),
        "created_at": iso(row.created_at),
        "last_attempt": _attempt_view(listed.last),
    }


def _attempt_view(attempt: AttemptRow | None) -> View | None:
    if attempt is None:
        return None
    return {
        "at": iso(attempt.at),
        "http_status": attempt.http_status,
        "error_code": attempt.error_code,
        "reason": attempt.reason,
    }


def _host_view(host: Host) -> View:
    return {
        "host": host.name,
        "waiting": host.waiting,
        "parked": host.parked,
        "last_attempt": _attempt_view(host.last),
    }
