"""Who consents to what, and the evidence of it, over the admin API."""

from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.admin.ask import Ask
from trunkline.admin.views import View, iso
from trunkline.api.answers import Answer, json_answer
from trunkline.domain.consent import Consent, Entry
from trunkline.domain.errors import Refusal
from trunkline.domain.keywords import Action, OptOutRules, Wording
from trunkline.domain.quiet import QuietHours, QuietRule, parse_quiet_hours
from trunkline.domain.service import MessagingService
from trunkline.flows import optout, proof, services
from trunkline.flows.proof import PAGE_MAX, Item
from trunkline.flows.services import Changes
from trunkline.store.consents import State
from trunkline.store.paging import Page

LIMIT = 50
OFF = "off"
_NUMBER_DIGITS_MAX = 18
_TRUTH = {"true": True, "false": False}


async def list_consents(ask: Ask) -> Answer:
    """Answer with what recipients want, in the order of their addresses.

    The filters are `account`, `status` and `recipient`; `after` is the last pair of the page
    before, `recipient,scope`.
    """
    query = ask.request.query_params
    status = query.get("status")
    if status and status not in set(Consent):
        raise Refusal(20422, name="`status`", reason=f"must be one of {', '.join(Consent)}")
    recipient, comma, scope = query.get("after", "").partition(",")
    found = await proof.states(
        ask.platform,
        await ask.account_sid(query.get("account")),
        status=Consent(status) if status else None,
        recipient=query.get("recipient") or None,
        after=(recipient, scope) if comma else None,
        limit=ask.limit(LIMIT, most=PAGE_MAX),
    )
    return json_answer({"consents": [_state(each) for each in found]})


async def list_history(ask: Ask) -> Answer:
    """Answer with what was said: the newest first, or with `after` in the order of its numbers.

    The filters are `account` and `recipient`; `before` and `after` are numbers of entries.
    """
    query = ask.request.query_params
    account_sid = await ask.account_sid(query.get("account"))
    limit = ask.limit(LIMIT, most=PAGE_MAX)
    after, before = _number(ask, "after"), _number(ask, "before")
    if after is not None:
        found = await proof.history_after(ask.platform, account_sid, after, limit=limit)
    else:
        recipient = query.get("recipient") or None
        found = await proof.history(
            ask.platform, account_sid, recipient=recipient, before=before, limit=limit
        )
    return json_answer({"history": [entry_view(each) for each in found]})


async def record_consents(ask: Ask) -> Answer:
    """Keep statements: `Items`, each a JSON object with Twilio's names, and `evidence`, an object.

    Those that can be read are kept in one commit; the answer says of each what became of it.
    """
    account_sid = await ask.account_sid(ask.value("Account"))
    items = [_item(text) for text in ask.form.get("Items", ())]
    if not items:
        raise Refusal(20422, name="`Items`", reason="required")
    done = await proof.record(ask.platform, account_sid, items, by="admin", needs_dates=True)
    return json_answer(
        {
            "items": [
                {
                    "effect": outcome.effect.value if outcome.effect else None,
                    "errors": list(outcome.errors),
                }
                for outcome in done
            ]
        },
        status=201,
    )


async def list_services(ask: Ask) -> Answer:
    """Answer with the newest Messaging Services of an account, and whether they require consent."""
    account_sid = await ask.account_sid(ask.request.query_params.get("account"))
    size = ask.limit(LIMIT, most=PAGE_MAX)
    found = await services.page(ask.platform, account_sid, page=Page(size=size))
    return json_answer({"services": [_service(each) for each in found.items]})


async def change_service(ask: Ask) -> Answer:
    """Say whom a Messaging Service leaves alone.

    RequiresConsent: it sends only to those who opted in. QuietHours: from when to when it sends to
    nobody, by the recipient's clock, as `21:00-08:00`, or `off`; QuietRule: `hold` or `refuse`.
    """
    requires, quiet = ask.value("RequiresConsent"), ask.value("QuietHours")
    if requires is None and quiet is None:
        raise Refusal(20422, name="`RequiresConsent`", reason="required, or QuietHours")
    if requires is not None and requires.lower() not in _TRUTH:
        raise Refusal(20422, name="`RequiresConsent`", reason="must be true or false")
    service = await optout.find_service(ask.platform, ask.path("sid"))
    changed = await services.update(
        ask.platform,
        service.account_sid,
        sid=service.sid,
        changes=Changes(
            requires_consent=_TRUTH[requires.lower()] if requires is not None else None,
            quiet_hours=_quiet_hours(quiet, ask.value("QuietRule") or QuietRule.HOLD),
            without_quiet_hours=quiet == OFF,
        ),
    )
    return json_answer(_service(changed or service))


async def show_keywords(ask: Ask) -> Answer:
    """Answer with the words and answers of a Messaging Service; none: the usual ones hold."""
    return json_answer(_rules(await optout.rules_of(ask.platform, ask.path("sid"))))


async def change_keywords(ask: Ask) -> Answer:
    """Give a Messaging Service words and answers of its own: `Wordings`, a JSON list."""
    wordings = _wordings(ask.value("Wordings") or "")
    return json_answer(_rules(await optout.set_rules(ask.platform, ask.path("sid"), wordings)))


async def reset_keywords(ask: Ask) -> Answer:
    """Let the usual words hold for a Messaging Service again."""
    await optout.reset_rules(ask.platform, ask.path("sid"))
    return Answer(204)


def entry_view(entry: Entry) -> View:
    """Return an entry of the history."""
    return {
        "account_sid": entry.account_sid,
        "number": entry.number,
        "recipient": entry.recipient,
        "scope": entry.scope,
        "status": entry.status.value,
        "source": entry.source.value,
        "consented_at": iso(entry.consented_at),
        "recorded_at": iso(entry.at),
        "evidence": dict(entry.evidence),
        "digest": entry.digest,
    }


def _service(service: MessagingService) -> View:
    hours = service.quiet_hours
    return {
        "sid": service.sid,
        "friendly_name": service.friendly_name,
        "requires_consent": service.requires_consent,
        "quiet_hours": f"{hours.start}-{hours.end}" if hours else None,
        "quiet_rule": hours.rule.value if hours else None,
    }


def _quiet_hours(text: str | None, rule: str) -> QuietHours | None:
    if text is None or text == OFF:
        return None
    if rule not in set(QuietRule):
        raise Refusal(20422, name="`QuietRule`", reason="must be hold or refuse")
    try:
        return parse_quiet_hours(text, QuietRule(rule))
    except ValueError as error:
        raise Refusal(20422, name="`QuietHours`", reason=f"{error}, or {OFF}") from None


def _state(state: State) -> View:
    return {
        "recipient": state.recipient,
        "scope": state.scope,
        "status": state.status.value,
        "since": iso(state.since),
    }


def _number(ask: Ask, name: str) -> int | None:
    text = ask.request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX):
        raise Refusal(20422, name=f"`{name}`", reason="must be the number of an entry")
    return int(text)


def _item(text: str) -> Item:
    try:
        values = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise Refusal(20422, name="`Items`", reason="each must be a JSON object") from None
    evidence = values.pop("evidence", {})
    if not isinstance(evidence, dict):
        raise Refusal(20422, name="`Items`", reason="evidence must be a JSON object")
    return Item(_texts(values), _texts(evidence))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in values.items() if isinstance(value, str)}


class _Words(msgspec.Struct, forbid_unknown_fields=True):
    """A wording as it is written in JSON."""

    language: str
    country: str = ""
    stop: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    stop_text: str = ""
    start_text: str = ""
    help_text: str = ""


def _wordings(text: str) -> list[Wording]:
    try:
        read = msgspec.json.decode(text, type=list[_Words])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Refusal(20422, name="`Wordings`", reason=str(error)) from None
    return [
        Wording(
            language=each.language,
            country=each.country,
            words={
                Action.STOP: each.stop,
                Action.START: each.start,
                Action.HELP: each.help,
            },
            texts={
                Action.STOP: each.stop_text,
                Action.START: each.start_text,
                Action.HELP: each.help_text,
            },
        )
        for each in read
    ]


def _rules(rules: OptOutRules | None) -> View:
    wordings = [
        {
            "language": each.language,
            "country": each.country,
            **{action.lower(): list(each.words.get(action, ())) for action in Action},
            **{f"{action.lower()}_text": each.texts.get(action, "") for action in Action},
        }
        for each in (rules.wordings if rules else ())
    ]
    return {"wordings": wordings}
