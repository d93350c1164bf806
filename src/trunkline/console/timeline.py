"""The trace of one message as a timeline: what happened, when, and what is still to come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from trunkline.console.pages import spoken, tone
from trunkline.domain.errors import delivery_error
from trunkline.domain.message import FINAL, Message, Status
from trunkline.flows.deliveries import SMPP_OPTION
from trunkline.flows.messages import Trace
from trunkline.store.callbacks import AttemptRow, CallbackRow
from trunkline.store.messages import Event

GOOD, BAD, MOVING, WAITING = "is-good", "is-bad", "is-moving", "is-waiting"
HTTP_ERROR = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One entry: a title, a sentence, facts, and a text that somebody else wrote."""

    key: str
    at: datetime | None
    title: str
    tone: str = ""
    note: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    excerpt: str = ""


def draw_timeline(trace: Trace) -> list[Moment]:
    """Return all moments of a message in the order of time; what is still due stands last."""
    # What an attempt tells, its event need not tell again.
    told = {(attempt.error_code, attempt.url) for attempt in trace.attempts}
    past = [
        _begin(trace.message),
        *(
            _event(event, trace.message)
            for event in trace.events
            if event.kind != "received"
            and (event.detail.get("error_code"), event.detail.get("url")) not in told
        ),
        *(_attempt(attempt) for attempt in trace.attempts),
        *_end(trace.message, trace.events),
    ]
    # A Python sort is stable: what happened in the same instant stays in the order of causes.
    past.sort(key=lambda moment: moment.at or trace.message.created_at)
    return [*past, *(_waiting(row) for row in trace.waiting)]


def _begin(message: Message) -> Moment:
    if not message.is_outbound:
        return Moment(
            key="begin",
            at=message.created_at,
            title="Received",
            tone=GOOD,
            note=f"From {spoken(message.sender)} over the carrier “{message.carrier}”.",
        )
    by = "by a reply to a text" if message.direction == "outbound-reply" else "through the API"
    if SMPP_OPTION in message.options:
        by = "over SMPP"
    return Moment(
        key="begin",
        at=message.created_at,
        title="Accepted",
        tone=MOVING,
        note=f"Asked for {by}, and on disk.",
        facts=tuple(
            (name, str(value))
            for name, value in sorted(message.options.items())
            if name != SMPP_OPTION
        ),
    )


def _end(message: Message, events: Sequence[Event]) -> list[Moment]:
    """Say how a message ended, where no event of its trace says so."""
    told = any(event.kind in ("receipt", "received") for event in events)
    if message.status not in FINAL or (told and message.status is not Status.FAILED):
        return []
    return [
        Moment(
            key="end",
            at=message.updated_at,
            title=message.status.value.capitalize(),
            tone=tone(message.status),
            note=_meaning(message.error_code),
        )
    ]


def _event(event: Event, message: Message) -> Moment:
    if event.kind == "receipt":
        return _receipt(event, event.detail, is_one_of_many=message.num_segments > 1)
    draw = _EVENTS.get(event.kind, _other)
    return draw(event, event.detail)


def _handed_over(event: Event, detail: Mapping[str, object]) -> Moment:
    answers = detail.get("segments")
    segments = [s for s in answers if isinstance(s, dict)] if isinstance(answers, list) else []
    results = {str(segment.get("result")) for segment in segments}
    refused = "refused" in results
    deferred = "deferred" in results and not refused
    title = "Refused by the carrier" if refused else "Handed over"
    return Moment(
        key=event.sid,
        at=event.at,
        title="Carrier said: later" if deferred else title,
        tone=BAD if refused else MOVING,
        note=f"To the carrier “{detail.get('carrier', '')}”.",
        facts=tuple((f"Segment {s.get('segment', '')}", _answer(s)) for s in segments),
    )


def _in_doubt(event: Event, detail: Mapping[str, object]) -> Moment:
    again = "It was handed over again." if detail.get("submitted_again") else "It was given up."
    return Moment(
        key=event.sid,
        at=event.at,
        title="In doubt",
        tone=WAITING,
        note=f"Handed over before a crash, without an answer on record. {again}",
        facts=(("Carrier", str(detail.get("carrier", ""))),),
    )


def _answer(segment: Mapping[str, object]) -> str:
    match segment.get("result"):
        case "taken":
            return f"taken as {segment.get('ref', '')}"
        case "refused":
            return f"refused: {_meaning(segment.get('error_code'))}"
        case _:
            return f"again in {segment.get('after_seconds', '?')} s"


def _receipt(event: Event, detail: Mapping[str, object], *, is_one_of_many: bool) -> Moment:
    delivered = bool(detail.get("delivered"))
    outcome = "delivered" if delivered else "not delivered"
    segment = f"Segment {detail.get('segment', 1)} {outcome}"
    return Moment(
        key=event.sid,
        at=event.at,
        title=segment if is_one_of_many else outcome.capitalize(),
        tone=GOOD if delivered else BAD,
        note="The carrier’s receipt came.",
        facts=(
            ("Reference", str(detail.get("ref", ""))),
            *(() if delivered else (("Reason", _meaning(detail.get("error_code"))),)),
        ),
    )


def _trouble(event: Event, detail: Mapping[str, object]) -> Moment:
    of_media = event.kind == "media_error"
    return Moment(
        key=event.sid,
        at=event.at,
        title="Media could not be fetched" if of_media else "Webhook trouble",
        tone=BAD,
        note=_meaning(detail.get("error_code")),
        facts=tuple(
            (label, str(detail[name]))
            for name, label in (("webhook", "Webhook"), ("reason", "Reason"), ("url", "URL"))
            if detail.get(name)
        ),
    )


def _other(event: Event, detail: Mapping[str, object]) -> Moment:
    return Moment(
        key=event.sid,
        at=event.at,
        title=event.kind.replace("_", " ").capitalize(),
        facts=tuple((name, str(value)) for name, value in detail.items()),
    )


def _attempt(attempt: AttemptRow) -> Moment:
    failed = attempt.error_code is not None or (attempt.http_status or 0) >= HTTP_ERROR
    outcome = "no answer" if attempt.http_status is None else f"HTTP {attempt.http_status}"
    return Moment(
        key=attempt.sid,
        at=attempt.at,
        title=f"Webhook “{attempt.label}”",
        tone=BAD if failed else GOOD,
        note=f"{outcome} in {attempt.duration_ms} ms",
        facts=(
            (attempt.method, attempt.url),
            *((("Error", _meaning(attempt.error_code)),) if attempt.error_code else ()),
            *((("Reason", attempt.reason),) if attempt.reason else ()),
        ),
        excerpt=attempt.head,
    )


def _waiting(row: CallbackRow) -> Moment:
    given_up = row.due_at is None
    tries = f"{row.attempts} {'try' if row.attempts == 1 else 'tries'} so far."
    return Moment(
        key=row.sid,
        at=row.next_at,
        title=f"Webhook “{row.label}” " + ("was given up" if given_up else "is due"),
        tone=BAD if given_up else WAITING,
        note=tries if row.attempts else "",
        facts=((row.method, row.url),),
    )


def _meaning(code: object) -> str:
    return f"{code} {delivery_error(code)}" if isinstance(code, int) else ""


_EVENTS: Mapping[str, Callable[[Event, Mapping[str, object]], Moment]] = {
    "handed_over": _handed_over,
    "in_doubt": _in_doubt,
    "webhook_error": _trouble,
    "media_error": _trouble,
}
