"""The phones of the simulated network: list them, read them, let them speak and behave."""

from trunkline.admin.ask import Ask
from trunkline.admin.views import phone_view, received_view, sent_view
from trunkline.api.answers import Answer, json_answer
from trunkline.domain.address import parse_recipient
from trunkline.domain.errors import Refusal

LIMIT = 50
LIMIT_MAX = 1000  # What the network returns of one phone at most.


async def list_phones(ask: Ask) -> Answer:
    """Answer with the phones, the most recently active first."""
    handsets = await ask.network.handsets(ask.limit(LIMIT, most=LIMIT_MAX))
    return json_answer({"phones": [phone_view(handset) for handset in handsets]})


async def read_inbox(ask: Ask) -> Answer:
    """Answer with the newest texts of a phone, newest last; an unknown phone has none."""
    texts = await ask.network.inbox(_number(ask), ask.limit(LIMIT, most=LIMIT_MAX))
    return json_answer({"inbox": [received_view(text) for text in texts]})


async def send_text(ask: Ask) -> Answer:
    """Let a phone, new or known, send a text."""
    text = await ask.network.send_from(
        ask.path("number"),
        ask.value("To") or "",
        body=ask.value("Body") or "",
        media=ask.form.get("MediaUrl", ()),
    )
    return json_answer(sent_view(text), status=201)


async def change_phone(ask: Ask) -> Answer:
    """Set a phone's behaviour, its name, or both; a new number becomes a phone."""
    number, behaviour, name = _number(ask), ask.value("Behaviour"), ask.value("Name")
    handset = await ask.network.handset(number)
    if behaviour is not None:
        handset = await ask.network.set_behaviour(number, behaviour)
    if name is not None or handset is None:
        handset = await ask.network.add_handset(number, name or "")
    return json_answer(phone_view(handset))


def _number(ask: Ask) -> str:
    address = parse_recipient(ask.path("number"))
    if address is None:
        raise Refusal(21211, number=ask.path("number"))
    return address.text
