"""What recipients agreed to, many at once: Twilio's Consents API, /v1/Consents/Bulk of accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trunkline.api.resource import Call, Op, Resource, v1
from trunkline.flows import proof
from trunkline.flows.proof import Item, Outcome

INVALID = 30647
CORRELATION_LENGTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkConsentsView:
    """What became of each item, by its correlation id."""

    items: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkConsents:
    """Statements: each a JSON object with contact_id, correlation_id, sender_id, status, source.

    date_of_consent may be given; without it the statement is of now.
    """

    items: tuple[dict[str, Any], ...]


def _view(_: Call, done: Sequence[tuple[str, Outcome]]) -> BulkConsentsView:
    return BulkConsentsView(
        items=tuple(
            {
                "correlation_id": correlation_id,
                "error_code": INVALID if outcome.errors else 0,
                "error_messages": list(outcome.errors),
            }
            for correlation_id, outcome in done
        )
    )


async def create(call: Call, params: BulkConsents) -> list[tuple[str, Outcome]]:
    """Keep statements of consent as evidence, and have the last of each recipient count."""
    by = call.actor.key.sid if call.actor.key else call.actor.account.sid
    values = [_texts(item) for item in params.items]
    named = [len(each.get("correlation_id", "")) == CORRELATION_LENGTH for each in values]
    good = [each for each, is_named in zip(values, named, strict=True) if is_named]
    items = [Item(each, {"correlation_id": each["correlation_id"]}) for each in good]
    recorded = iter(await proof.record(call.platform, call.account.sid, items, by=by))
    unnamed = Outcome(errors=["INVALID_CORRELATION_ID"])
    return [
        (each.get("correlation_id", ""), next(recorded) if is_named else unnamed)
        for each, is_named in zip(values, named, strict=True)
    ]


def _texts(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of an item; what is none of them counts as missing."""
    return {name: value for name, value in item.items() if isinstance(value, str)}


CONSENTS = Resource(
    name="consents in bulk",
    path="/Consents/Bulk",
    dialect=v1("accounts"),
    view=_view,
    create=Op(run=create, params=BulkConsents),
)
