"""What flows tell the operator: counts of every batch, and log lines joined by a message's SID.

Rule: no line holds a text, a number or a URL. Failures are told at INFO, everything else at DEBUG,
and nothing is put together for a level that is off.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from trunkline.carriers.port import (
    Deferred,
    InDoubt,
    Receipt,
    Refused,
    Submission,
    SubmitResult,
    Taken,
)
from trunkline.domain.message import REQUEST_ID, Message, Status
from trunkline.flows.platform import Platform
from trunkline.store.callbacks import AttemptRow, CallbackRow
from trunkline.webhooks.answer import (
    BLOCKED,
    CERTIFICATE_EXPIRED,
    CERTIFICATE_MISMATCH,
    CERTIFICATE_UNTRUSTED,
    NO_CONNECTION,
    TLS_FAILED,
    TOTAL_TIME,
    UNKNOWN_HOST,
)

Answers = Sequence[tuple[Submission, SubmitResult]]

_log = logging.getLogger(__name__)

_RESULTS: dict[type[SubmitResult], str] = {
    Taken: "taken",
    Refused: "refused",
    Deferred: "deferred",
    InDoubt: "in_doubt",
}
_RECEIPTS = {True: "delivered", False: "undelivered", None: "intermediate"}
_BAD_ENDS = frozenset({Status.FAILED, Status.UNDELIVERED})
_ATTEMPTS = {
    NO_CONNECTION: "connect",
    UNKNOWN_HOST: "connect",
    TOTAL_TIME: "timeout",
    TLS_FAILED: "tls",
    CERTIFICATE_MISMATCH: "tls",
    CERTIFICATE_EXPIRED: "tls",
    CERTIFICATE_UNTRUSTED: "tls",
}


def accepted(platform: Platform, messages: Sequence[Message]) -> None:
    """Tell that messages are on disk."""
    platform.meter.count("messages_accepted", len(messages))
    if _log.isEnabledFor(logging.DEBUG):
        for message in messages:
            _tell("accepted", message, level=logging.DEBUG, status=message.status.value)


def handed_over(
    platform: Platform, carrier: str, handed: Iterable[tuple[Message, Answers]]
) -> None:
    """Tell what a carrier answered to the segments of messages."""
    batch = list(handed)
    kinds = Counter(type(result) for _, answers in batch for _, result in answers)
    for kind, count in kinds.items():
        platform.meter.count("segments_submitted", count, carrier=carrier, outcome=_RESULTS[kind])
    has_failed = bool(kinds[Refused] or kinds[InDoubt])
    if not _log.isEnabledFor(logging.INFO if has_failed else logging.DEBUG):
        return
    for message, answers in batch:
        results = {_RESULTS[type(result)] for _, result in answers}
        level = logging.INFO if results & {"refused", "in_doubt"} else logging.DEBUG
        outcome = " ".join(sorted(results))
        _tell("handed over", message, level=level, carrier=carrier, outcome=outcome)


def receipts(
    platform: Platform, carrier: str, told: Sequence[Receipt], *, changed: Sequence[Message]
) -> None:
    """Tell of receipts, and what they made of messages."""
    for delivered, count in Counter(receipt.delivered for receipt in told).items():
        platform.meter.count("receipts", count, carrier=carrier, outcome=_RECEIPTS[delivered])
    if not _log.isEnabledFor(logging.INFO):
        return
    is_debug = _log.isEnabledFor(logging.DEBUG)
    for message in changed:
        is_bad = message.status in _BAD_ENDS
        if is_bad or is_debug:
            level = logging.INFO if is_bad else logging.DEBUG
            facts = {"status": message.status.value, "error_code": message.error_code}
            _tell("receipt", message, level=level, carrier=carrier, **facts)


def received(platform: Platform, carrier: str, messages: Sequence[Message]) -> None:
    """Tell of texts that came in."""
    platform.meter.count("inbound_messages", len(messages), carrier=carrier)
    if _log.isEnabledFor(logging.DEBUG):
        for message in messages:
            _tell("received", message, level=logging.DEBUG, carrier=carrier)


Called = Sequence[tuple[CallbackRow, Sequence[AttemptRow]]]


def called(platform: Platform, webhooks: Called, *, messages: Mapping[str, Message]) -> None:
    """Tell what came of requests to webhooks; *messages* has those that `worth_a_line` named."""
    outcomes: Counter[str] = Counter()
    for row, attempts in webhooks:
        for attempt in attempts:
            outcome = outcome_of(attempt)
            outcomes[outcome] += 1
            platform.meter.observe("webhook_seconds", attempt.duration_ms / 1000)
            if _log.isEnabledFor(_level_of(outcome)):
                _tell_attempt(row, attempt, outcome=outcome, message=messages.get(row.message_sid))
    for outcome, count in outcomes.items():
        platform.meter.count("webhook_attempts", count, outcome=outcome)


def worth_a_line(webhooks: Called) -> set[tuple[str, str]]:
    """Return of which accounts and messages there will be something in the log."""
    if not _log.isEnabledFor(logging.INFO):
        return set()
    return {
        (row.account_sid, row.message_sid)
        for row, attempts in webhooks
        if any(_log.isEnabledFor(_level_of(outcome_of(attempt))) for attempt in attempts)
    }


def _level_of(outcome: str) -> int:
    return logging.DEBUG if outcome == "ok" else logging.INFO


def outcome_of(attempt: AttemptRow) -> str:
    """Return in one word what came of a request to a webhook."""
    if attempt.error_code is None:
        return "ok"
    if attempt.reason == BLOCKED.reason:
        return "blocked"
    if attempt.error_code == NO_CONNECTION and "too long" in attempt.reason:
        return "timeout"
    if attempt.error_code in _ATTEMPTS:
        return _ATTEMPTS[attempt.error_code]
    return "invalid" if attempt.http_status is None else f"http_{attempt.http_status // 100}xx"


def _tell(event: str, message: Message, *, level: int, **facts: str | int | None) -> None:
    known = {name: value for name, value in facts.items() if value is not None}
    if asked := message.options.get(REQUEST_ID):
        known[REQUEST_ID] = asked
    extra = {"message_sid": message.sid, "account_sid": message.account_sid, **known}
    _log.log(level, event, extra=extra)


def _tell_attempt(
    row: CallbackRow, attempt: AttemptRow, *, outcome: str, message: Message | None
) -> None:
    extra = {
        "message_sid": row.message_sid,
        "account_sid": row.account_sid,
        "webhook": row.label,
        "attempt": row.attempts + 1,
        "outcome": outcome,
        "http_status": attempt.http_status,
        "error_code": attempt.error_code,
        "duration_ms": attempt.duration_ms,
        REQUEST_ID: None if message is None else message.options.get(REQUEST_ID),
    }
    extra = {name: value for name, value in extra.items() if value is not None}
    _log.log(_level_of(outcome), "webhook", extra=extra)
