"""Who may bind to the SMPP server, over the admin API."""

from collections.abc import Callable
from typing import TypeVar

from trunkline.admin.ask import Ask
from trunkline.admin.views import View, iso
from trunkline.api.answers import Answer, json_answer
from trunkline.domain.carrier import SmppCredential
from trunkline.domain.errors import Refusal
from trunkline.flows import customers
from trunkline.flows.customers import Wishes

T = TypeVar("T")

_WORDS = {"true": True, "false": False}
_DIGITS_MAX = 9  # More digits are no number that anybody means.


async def list_credentials(ask: Ask) -> Answer:
    """Answer with all credentials, oldest first, and how much waits for each."""
    found = await customers.listed(ask.platform)
    views = [{**_view(credential), "waiting": waiting} for credential, waiting in found]
    return json_answer({"smpp_credentials": views})


async def add_credential(ask: Ask) -> Answer:
    """Let somebody bind; the password is told here and never again."""
    made = await customers.add(
        ask.platform,
        ask.value("Account") or ask.account.sid,
        system_id=ask.value("SystemId") or "",
        wishes=_wishes(ask),
    )
    return json_answer({**_view(made.credential), "password": made.password}, status=201)


async def show_credential(ask: Ask) -> Answer:
    """Answer with one credential."""
    return json_answer(_view(await customers.find(ask.platform, ask.path("system_id"))))


async def change_credential(ask: Ask) -> Answer:
    """Change what is given of a credential."""
    changed = await customers.change(ask.platform, ask.path("system_id"), _wishes(ask))
    return json_answer(_view(changed))


async def remove_credential(ask: Ask) -> Answer:
    """Remove a credential; who is bound with it is unbound."""
    await customers.remove(ask.platform, ask.path("system_id"))
    return Answer(204)


def _wishes(ask: Ask) -> Wishes:
    return Wishes(
        password=ask.value("Password") or None,
        addresses=_several(ask, "Address"),
        is_simulator=_read(ask, "Simulator", parse=_word, must="true or false"),
        binds_max=_read(ask, "BindsMax", parse=_number, must="a whole number"),
        per_second_max=_read(ask, "PerSecondMax", parse=_number, must="a whole number"),
        allowed_hosts=_several(ask, "AllowedHost"),
        is_enabled=_read(ask, "Enabled", parse=_word, must="true or false"),
    )


def _several(ask: Ask, name: str) -> tuple[str, ...] | None:
    """Return a repeated parameter; given once and empty, it stands for none."""
    values = ask.form.get(name)
    return None if values is None else tuple(value for value in values if value)


def _read(ask: Ask, name: str, *, parse: Callable[[str], T | None], must: str) -> T | None:
    text = ask.value(name)
    if text is None:
        return None
    value = parse(text)
    if value is None:
        raise Refusal(20422, name=f"`{name}`", reason=f"must be {must}")
    return value


def _word(text: str) -> bool | None:
    return _WORDS.get(text.lower())


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
    return int(text) if is_number else None


def _view(credential: SmppCredential) -> View:
    return {
        "sid": credential.sid,
        "account_sid": credential.account_sid,
        "system_id": credential.system_id,
        "addresses": list(credential.addresses),
        "is_simulator": credential.is_simulator,
        "binds_max": credential.binds_max,
        "per_second_max": credential.per_second_max,
        "allowed_hosts": list(credential.allowed_hosts),
        "is_enabled": credential.is_enabled,
        "created_at": iso(credential.created_at),
        "updated_at": iso(credential.updated_at),
    }
