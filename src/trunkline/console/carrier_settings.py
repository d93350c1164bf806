"""The forms that make a carrier and change its settings; secrets are typed and never shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import Response

from trunkline.console.carriers import KINDS, chosen_carrier
from trunkline.console.mistakes import mistakes_of
from trunkline.console.pages import page
from trunkline.console.visit import SETTINGS_BYTES_MAX, SETTINGS_FIELDS_MAX, Visit
from trunkline.domain.carrier import CarrierAccount, Setting
from trunkline.domain.errors import Refusal
from trunkline.flows import carriers
from trunkline.flows.carriers import ShownSetting

# A setting's field and the box that takes a secret away, so that neither is a name of its own.
FIELD, CLEAR = "set.", "clear."

# What an account cannot do without, or what most of them have: this much is asked at once.
ESSENTIALS = {
    "smpp": ("host", "port", "system_id", "password"),
    "twilio": ("account_sid", "api_key_sid", "api_key_secret"),
}
# The rest, by what it is about. What stands in no group comes last.
GROUPS = {
    "Connection": (
        *("hosts", "system_type", "bind_type", "interface_version", "address_range"),
        *("base_url", "auth_token"),
    ),
    "Encryption": tuple(
        f"tls{part}" for part in ("", "_verify", "_server_name", "_ca", "_cert", "_key", "_minimum")
    ),
    "Speed and queue": (
        *("lanes", "window", "messages_per_second", "sender_rates", "failover_seconds"),
        *("in_doubt", "doubt_seconds"),
    ),
    "Addresses": (
        *("source_ton_npi", "recipient_ton_npi", "number_format"),
        *("messaging_service_sid", "from_number"),
    ),
    "Texts": (
        *("default_charset", "gsm_data_coding", "ucs2_data_coding", "segmentation"),
        *("service_type", "validity_period", "tlvs"),
    ),
    "Receipts and inbound texts": (
        *("registered_delivery", "receipt_zone", "id_style", "trusts_text", "error_map"),
        *("network_error_map", "callbacks", "inbound", "inbound_hours", "reassembly_seconds"),
    ),
    "Timers": (
        *("connect_seconds", "response_seconds", "enquire_seconds", "inactivity_seconds"),
        *("reconnect_seconds", "reconnect_seconds_max", "request_seconds", "poll_seconds"),
    ),
}
OTHERS = "Other"
# What has many lines: PEM.
MULTILINE = ("tls_ca", "tls_cert", "tls_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One setting as a form asks for it."""

    setting: Setting
    text: str
    is_set: bool
    mistake: str

    @property
    def is_multiline(self) -> bool:
        """Whether one line is too little for it."""
        return self.setting.name in MULTILINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Settings that stand together; open where something is wrong or somebody set something."""

    title: str
    fields: Sequence[Field]

    @property
    def is_open(self) -> bool:
        """Whether its fields are shown without a click."""
        return any(field.mistake for field in self.fields)

    @property
    def changed(self) -> int:
        """How many of its settings are not the default."""
        return sum(field.is_set for field in self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """All settings of a carrier: those that are asked at once, and groups of others."""

    essentials: Sequence[Field]
    groups: Sequence[Group]


async def show_add(visit: Visit) -> Response:
    """Let somebody choose a type, and then ask for what is needed."""
    visit.require_main_account()
    carrier_type = visit.request.query_params.get("type", "")
    known = visit.platform.switchboard.connectors
    if carrier_type not in known:
        offered = {name: KINDS.get(name, (name, "")) for name in known}
        return page(visit, "carrier_types.html", kinds=offered)
    return _add_page(visit, carrier_type)


async def add_carrier(visit: Visit) -> Response:
    """Make a carrier and show it."""
    visit.require_main_account()
    form = await _settings_form(visit)
    carrier_type = form.get("type", "")
    if carrier_type not in visit.platform.switchboard.connectors:
        raise HTTPException(400, "There is no such type of carrier.")
    known = carriers.known_settings(visit.platform, carrier_type)
    # What is the default needs no saying: it may change with a version, and then should.
    settings = {
        name: text
        for name, setting in known.items()
        if (text := _typed(form, setting)) not in ("", setting.default)
    }
    try:
        account = await carriers.add(
            visit.platform,
            name=form.get("name", "").strip(),
            carrier_type=carrier_type,
            settings=settings,
        )
    except Refusal as refusal:
        shown = _add_page(visit, carrier_type, typed=form, mistakes=mistakes_of(refusal))
        return visit.declined(refusal.message, page=shown)
    return visit.done(f"/carriers/{account.name}")


async def show_settings(visit: Visit) -> Response:
    """Show the settings of a carrier."""
    return _settings_page(visit, await chosen_carrier(visit))


async def change_settings(visit: Visit) -> Response:
    """Set what was changed; an empty field means the default again, but for a secret."""
    account = await chosen_carrier(visit)
    form = await _settings_form(visit)
    shown = carriers.shown_settings(visit.platform, account)
    try:
        await carriers.change(visit.platform, account.name, settings=_changes(form, shown))
    except Refusal as refusal:
        again = _settings_page(visit, account, typed=form, mistakes=mistakes_of(refusal))
        return visit.declined(refusal.message, page=again)
    return visit.done(f"/carriers/{account.name}")


async def remove_carrier(visit: Visit) -> Response:
    """Forget a carrier, and the routes to it where that was asked for."""
    account = await chosen_carrier(visit)
    forced = (await visit.form()).get("routes") == "too"
    try:
        await carriers.remove(visit.platform, account.name, forced=forced)
    except Refusal as refusal:
        again = _settings_page(visit, account, mistakes={"remove": refusal.message})
        return visit.declined(refusal.message, page=again)
    return visit.done("/carriers")


def draw_form(
    carrier_type: str,
    shown: Iterable[ShownSetting],
    *,
    typed: Mapping[str, str],
    mistakes: Mapping[str, str],
) -> Form:
    """Return the form of a type; what was typed stands before what is set, secrets stay empty."""
    fields = {each.setting.name: _field(each, typed, mistakes=mistakes) for each in shown}
    essentials = [fields.pop(name) for name in ESSENTIALS.get(carrier_type, ()) if name in fields]
    groups = [
        Group(title=title, fields=[fields.pop(name) for name in names if name in fields])
        for title, names in GROUPS.items()
    ]
    groups.append(Group(title=OTHERS, fields=list(fields.values())))
    return Form(essentials=essentials, groups=[group for group in groups if group.fields])


def _field(shown: ShownSetting, typed: Mapping[str, str], *, mistakes: Mapping[str, str]) -> Field:
    setting = shown.setting
    text = "" if setting.is_secret else typed.get(FIELD + setting.name, shown.value)
    mistake = mistakes.get(setting.name, "")
    return Field(setting=setting, text=text, is_set=shown.is_set, mistake=mistake)


def _changes(form: Mapping[str, str], shown: Iterable[ShownSetting]) -> dict[str, str]:
    changes: dict[str, str] = {}
    for each in shown:
        setting = each.setting
        text = _typed(form, setting)
        if setting.is_secret:
            # Nothing typed: it stays what it is, unless it is to be forgotten.
            if text or form.get(CLEAR + setting.name):
                changes[setting.name] = text
        elif FIELD + setting.name in form and text != each.value:
            changes[setting.name] = "" if text == setting.default else text
    return changes


def _typed(form: Mapping[str, str], setting: Setting) -> str:
    text = form.get(FIELD + setting.name, "")
    return text if setting.is_secret else text.strip()


async def _settings_form(visit: Visit) -> Mapping[str, str]:
    return await visit.form(bytes_max=SETTINGS_BYTES_MAX, fields_max=SETTINGS_FIELDS_MAX)


def _add_page(
    visit: Visit,
    carrier_type: str,
    *,
    typed: Mapping[str, str] | None = None,
    mistakes: Mapping[str, str] | None = None,
) -> Response:
    known = carriers.known_settings(visit.platform, carrier_type).values()
    defaults = [ShownSetting(setting, setting.default, False) for setting in known]
    typed, mistakes = typed or {}, mistakes or {}
    return page(
        visit,
        "carrier_new.html",
        status_code=400 if mistakes else 200,
        carrier_type=carrier_type,
        kind=KINDS.get(carrier_type, (carrier_type, "")),
        name=typed.get("name", ""),
        form=draw_form(carrier_type, defaults, typed=typed, mistakes=mistakes),
        mistakes=mistakes,
    )


def _settings_page(
    visit: Visit,
    account: CarrierAccount,
    *,
    typed: Mapping[str, str] | None = None,
    mistakes: Mapping[str, str] | None = None,
) -> Response:
    shown = carriers.shown_settings(visit.platform, account)
    mistakes = mistakes or {}
    return page(
        visit,
        "carrier_settings.html",
        status_code=400 if mistakes else 200,
        account=account,
        kind=KINDS.get(account.type, (account.type, "")),
        form=draw_form(account.type, shown, typed=typed or {}, mistakes=mistakes),
        mistakes=mistakes,
    )
