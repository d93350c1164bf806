"""What the admin API answers with, as JSON objects."""

from datetime import UTC, datetime
from typing import Any

from trunkline.domain.handset import Handset, HandsetText
from trunkline.domain.message import REQUEST_ID, Message
from trunkline.flows.messages import Trace

View = dict[str, Any]


def iso(at: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with a Z."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def phone_view(handset: Handset) -> View:
    """Return a phone."""
    return {
        "number": handset.number,
        "name": handset.name,
        "behaviour": handset.behaviour,
        "texts": handset.texts,
        "updated_at": iso(handset.updated_at),
    }


def received_view(text: HandsetText) -> View:
    """Return a text that a phone received."""
    return {
        "from": text.peer,
        "to": text.handset,
        "body": text.body,
        "media": list(text.media),
        "segments": len(text.segments),
        "encoding": text.encoding,
        "received_at": iso(text.arrived_at or text.created_at),
    }


def sent_view(text: HandsetText) -> View:
    """Return a text that a phone sent."""
    return {
        "sid": text.sid,
        "from": text.handset,
        "to": text.peer,
        "body": text.body,
        "media": list(text.media),
        "segments": len(text.segments),
        "encoding": text.encoding,
        "sent_at": iso(text.created_at),
    }


def trace_view(trace: Trace) -> View:
    """Return everything that is known of a message."""
    return {
        "message": _message_view(trace.message),
        "media": [
            {"sid": m.sid, "content_type": m.content_type, "size": m.size, "url": m.source_url}
            for m in trace.media
        ],
        "events": [{"at": iso(e.at), "kind": e.kind, "detail": e.detail} for e in trace.events],
        "attempts": [
            {
                "at": iso(attempt.at),
                "label": attempt.label,
                "method": attempt.method,
                "url": attempt.url,
                "http_status": attempt.http_status,
                "duration_ms": attempt.duration_ms,
                "error_code": attempt.error_code,
                "reason": attempt.reason,
                "head": attempt.head,
            }
            for attempt in trace.attempts
        ],
        "waiting": [
            {
                "kind": row.kind,
                "label": row.label,
                "url": row.url,
                "due_at": iso(row.next_at),
                "attempts": row.attempts,
            }
            for row in trace.waiting
        ],
    }


def _message_view(message: Message) -> View:
    return {
        "sid": message.sid,
        "account_sid": message.account_sid,
        "status": message.status.value,
        "direction": message.direction.value,
        "from": message.sender,
        "to": message.recipient,
        "body": message.body,
        "encoding": message.encoding,
        "num_segments": message.num_segments,
        "num_media": message.num_media,
        "price": None if message.price is None else str(message.price),
        "error_code": message.error_code,
        "error_message": message.error_message,
        "created_at": iso(message.created_at),
        "updated_at": iso(message.updated_at),
        "sent_at": iso(message.sent_at),
        "request_id": message.options.get(REQUEST_ID),
    }
