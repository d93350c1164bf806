"""What would come of texts if they were sent, over the admin API."""

from typing import Any

import msgspec

from trunkline.admin.ask import Ask
from trunkline.api.answers import Answer, json_answer
from trunkline.domain.errors import Refusal
from trunkline.domain.sending import SendRequest
from trunkline.flows.preview import Preview, previews

ITEMS_MAX = 150  # A form has at most 200 fields.


class Item(msgspec.Struct):
    """One text."""

    To: str
    Body: str


async def check_messages(ask: Ask) -> Answer:
    """Say what would come of texts: `Items`, each a JSON object of To and Body.

    They are from `From`, or from the Messaging Service `MessagingServiceSid`. Nothing is sent.
    """
    items = [_item(text) for text in ask.form.get("Items", ())]
    if not 1 <= len(items) <= ITEMS_MAX:
        raise Refusal(20422, name="`Items`", reason=f"1 to {ITEMS_MAX} of them")
    requests = [
        SendRequest(
            to=item.To,
            body=item.Body,
            from_=ask.value("From") or None,
            messaging_service_sid=ask.value("MessagingServiceSid") or None,
        )
        for item in items
    ]
    found = await previews(ask.platform, ask.account, requests)
    return json_answer({"items": [_view(each) for each in found]})


def _item(text: str) -> Item:
    try:
        return msgspec.json.decode(text, type=Item)
    except msgspec.DecodeError:
        raise Refusal(20422, name="`Items`", reason="each is an object of To and Body") from None


def _view(found: Preview) -> dict[str, Any]:
    return {
        "to": found.recipient,
        "num_segments": found.segments,
        "price": str(found.price),
        "error_code": found.error_code,
        "error_message": found.error_message or None,
    }
