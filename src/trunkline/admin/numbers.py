"""Numbers that the operator brings along, over the admin API."""

from trunkline.admin.ask import Ask
from trunkline.admin.views import View, iso
from trunkline.api.answers import Answer, json_answer
from trunkline.domain.account import Number
from trunkline.domain.errors import Refusal
from trunkline.flows import numbers
from trunkline.flows.numbers import Changes

LIMIT = 1000
LIMIT_MAX = 10_000  # Some 300 bytes each.


async def list_numbers(ask: Ask) -> Answer:
    """Answer with the numbers of all accounts, oldest first."""
    found = await numbers.of_all_accounts(ask.platform, limit=ask.limit(LIMIT, most=LIMIT_MAX))
    return json_answer({"numbers": [_number_view(number) for number in found]})


async def add_number(ask: Ask) -> Answer:
    """Let an account, by default the main one, use a number or short code."""
    changes = Changes(
        friendly_name=ask.value("FriendlyName"),
        sms_url=ask.value("SmsUrl"),
        sms_method=_method(ask),
    )
    number = await numbers.adopt(
        ask.platform,
        ask.value("Account") or ask.account.sid,
        phone_number=ask.value("PhoneNumber") or "",
        country=ask.value("Country"),
        changes=changes,
    )
    return json_answer(_number_view(number), status=201)


async def remove_number(ask: Ask) -> Answer:
    """Take a number from whoever holds it."""
    if not await numbers.disown(ask.platform, ask.path("number")):
        raise Refusal(20404)
    return Answer(204)


def _method(ask: Ask) -> str | None:
    method = (ask.value("SmsMethod") or "").upper() or None
    if method not in (None, "GET", "POST"):
        raise Refusal(21403, name="SmsMethod")
    return method


def _number_view(number: Number) -> View:
    return {
        "sid": number.sid,
        "account_sid": number.account_sid,
        "phone_number": number.phone_number,
        "friendly_name": number.friendly_name,
        "kind": number.kind,
        "country": number.country,
        "sms_url": number.sms_url,
        "created_at": iso(number.created_at),
        "updated_at": iso(number.updated_at),
    }
