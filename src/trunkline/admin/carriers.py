"""Carrier accounts over the admin API: what there is, what can be set, how the connections do."""

from dataclasses import asdict

from trunkline.admin.ask import Ask
from trunkline.admin.views import View, iso
from trunkline.api.answers import Answer, json_answer
from trunkline.domain.carrier import CarrierAccount, CarrierState, Setting
from trunkline.domain.errors import Refusal
from trunkline.flows import carriers, numbers
from trunkline.flows.carriers import ShownSetting
from trunkline.flows.platform import Platform
from trunkline.store.strays import RECEIPT, TEXT, Stray

BOUND = "bound"
STRAYS = 50
STRAYS_MAX = 1000  # Some 500 bytes each.


async def list_carriers(ask: Ask) -> Answer:
    """Answer with all carriers, oldest first."""
    found = await carriers.listed(ask.platform)
    return json_answer({"carriers": [_carrier_view(ask.platform, account) for account in found]})


async def list_types(ask: Ask) -> Answer:
    """Answer with the types of carriers and everything that can be set of each."""
    types = [
        {"type": name, "settings": [_setting_view(s) for s in _settings(ask.platform, name)]}
        for name in ask.platform.switchboard.connectors
    ]
    return json_answer({"carrier_types": types})


async def add_carrier(ask: Ask) -> Answer:
    """Make a carrier from Name, Type and any number of Set=name=value."""
    account = await carriers.add(
        ask.platform,
        name=ask.value("Name") or "",
        carrier_type=ask.value("Type") or "",
        settings=_given_settings(ask),
        state=ask.value("State") or CarrierState.ENABLED,
    )
    return json_answer(_whole_view(ask.platform, account), status=201)


async def show_carrier(ask: Ask) -> Answer:
    """Answer with a carrier, its settings and its connections."""
    account = await carriers.find(ask.platform, ask.path("name"))
    if account is None:
        raise Refusal(20404)
    return json_answer(_whole_view(ask.platform, account))


async def change_carrier(ask: Ask) -> Answer:
    """Set settings, the state, or both."""
    account = await carriers.change(
        ask.platform,
        ask.path("name"),
        settings=_given_settings(ask) or None,
        state=ask.value("State") or None,
    )
    return json_answer(_whole_view(ask.platform, account))


async def remove_carrier(ask: Ask) -> Answer:
    """Forget a carrier; with Force=true the routes to it as well."""
    forced = ask.request.query_params.get("Force", ask.value("Force") or "")
    await carriers.remove(ask.platform, ask.path("name"), forced=forced.lower() == "true")
    return Answer(204)


async def try_carrier(ask: Ask) -> Answer:
    """Try the connection, or send a message to To; without From, from the first number."""
    name, recipient = ask.path("name"), ask.value("To")
    if recipient is None:
        tried = await carriers.probe(ask.platform, name)
        return json_answer(asdict(tried))
    sender = ask.value("From") or await numbers.first(ask.platform, ask.account.sid)
    message = await carriers.send_test(
        ask.platform, name, sender=sender, recipient=recipient, body=ask.value("Body") or ""
    )
    view = {"message_sid": message.sid, "status": message.status.value, "carrier": message.carrier}
    return json_answer(view | {"from": message.sender, "to": message.recipient}, status=201)


async def list_binds(ask: Ask) -> Answer:
    """Answer with the state of every connection of a carrier."""
    found = await carriers.binds(ask.platform, ask.path("name"))
    return json_answer({"binds": [_bind_view(asdict(bind)) for bind in found]})


async def list_pdus(ask: Ask) -> Answer:
    """Answer with what passed between a carrier and us lately, oldest first."""
    found = await carriers.pdus(ask.platform, ask.path("name"))
    return json_answer({"pdus": [_pdu_view(asdict(pdu)) for pdu in found]})


async def list_strays(ask: Ask) -> Answer:
    """Answer with receipts and texts that match nothing of ours, newest first."""
    query = ask.request.query_params
    kind = query.get("kind") or None
    if kind not in (None, RECEIPT, TEXT):
        raise Refusal(20422, name="`kind`", reason=f"must be {RECEIPT} or {TEXT}")
    found = await carriers.strays(
        ask.platform,
        kind=kind,
        limit=ask.limit(STRAYS, most=STRAYS_MAX),
        before=query.get("before") or None,
    )
    return json_answer({"strays": [_stray_view(stray) for stray in found]})


def _given_settings(ask: Ask) -> dict[str, str]:
    settings: dict[str, str] = {}
    for pair in ask.form.get("Set", ()):
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise Refusal(20422, name="`Set`", reason="must be a name, = and a value")
        settings[name] = value
    return settings


def _settings(platform: Platform, carrier_type: str) -> list[Setting]:
    return list(carriers.known_settings(platform, carrier_type).values())


def _carrier_view(platform: Platform, account: CarrierAccount) -> View:
    live = platform.switchboard.live.get(account.name)
    found = () if live is None else live.binds()
    return {
        "sid": account.sid,
        "name": account.name,
        "type": account.type,
        "state": account.state.value,
        "connections": len(found),
        "bound": sum(bind.phase.value == BOUND for bind in found),
        "down_since": iso(None if live is None else live.down_since),
        "created_at": iso(account.created_at),
        "updated_at": iso(account.updated_at),
    }


def _whole_view(platform: Platform, account: CarrierAccount) -> View:
    live = platform.switchboard.live.get(account.name)
    settings = carriers.shown_settings(platform, account)
    return _carrier_view(platform, account) | {
        "settings": [_shown_view(shown) for shown in settings],
        "binds": [] if live is None else [_bind_view(asdict(b)) for b in live.binds()],
    }


def _shown_view(shown: ShownSetting) -> View:
    return {**_setting_view(shown.setting), "value": shown.value, "is_set": shown.is_set}


def _setting_view(setting: Setting) -> View:
    return {
        "name": setting.name,
        "default": setting.default,
        "must": setting.must,
        "meaning": setting.meaning,
        "is_secret": setting.is_secret,
        "choices": list(setting.choices),
    }


def _bind_view(bind: View) -> View:
    return bind | {name: iso(bind[name]) for name in ("since", "last_receipt_at")}


def _pdu_view(pdu: View) -> View:
    kept = {name: pdu[name] for name in ("lane", "name", "sequence_number", "status", "fields")}
    direction = "out" if pdu["is_outgoing"] else "in"
    return {"at": iso(pdu["at"]), "direction": direction} | kept


def _stray_view(stray: Stray) -> View:
    return {
        "sid": stray.sid,
        "carrier": stray.carrier,
        "kind": stray.kind,
        "refs": list(stray.refs),
        "at": iso(stray.at),
        "detail": dict(stray.doc),
    }
