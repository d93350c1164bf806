"""How long things are kept, over the admin API."""

from collections.abc import Mapping

from trunkline.admin.ask import Ask
from trunkline.admin.views import View
from trunkline.api.answers import Answer, json_answer
from trunkline.domain.errors import Refusal
from trunkline.domain.retention import DAYS_MAX, KINDS, OF_ACCOUNTS
from trunkline.flows import periods

_DIGITS_MAX = len(str(DAYS_MAX))


async def show_retention(ask: Ask) -> Answer:
    """Answer with the platform's periods, and with those of accounts that differ."""
    rules = ask.platform.rules.retention
    found = await periods.listed(ask.platform)
    views = [_view(ask, each.account_sid, each.days) for each in found]
    platform = {f"{kind}_days": rules.days(kind) for kind in KINDS}
    return json_answer({"retention": platform, "accounts": views})


async def show_account_retention(ask: Ask) -> Answer:
    """Answer with the periods of one account."""
    account_sid = ask.path("account")
    return json_answer(_view(ask, account_sid, await periods.find(ask.platform, account_sid)))


async def change_account_retention(ask: Ask) -> Answer:
    """Set periods of an account: MessagesDays and the like; an empty one is as for everybody."""
    account_sid = ask.path("account")
    days = {kind: _days(ask, name) for kind in OF_ACCOUNTS if (name := _name(kind)) in ask.form}
    if not days:
        names = ", ".join(map(_name, OF_ACCOUNTS))
        raise Refusal(20422, name="of the form", reason=f"needs one of {names}")
    return json_answer(
        _view(ask, account_sid, await periods.change(ask.platform, account_sid, days))
    )


async def reset_account_retention(ask: Ask) -> Answer:
    """Let the platform's periods hold for an account again."""
    await periods.reset(ask.platform, ask.path("account"))
    return Answer(204)


def _name(kind: str) -> str:
    return f"{kind.title()}Days"


def _days(ask: Ask, name: str) -> int | None:
    text = ask.value(name) or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise Refusal(20422, name=f"`{name}`", reason=f"a whole number from 0 to {DAYS_MAX}")
    return int(text)


def _view(ask: Ask, account_sid: str, days: Mapping[str, int]) -> View:
    kept = periods.periods_for(ask.platform, days)
    return {
        "account_sid": account_sid,
        **{f"{kind}_days": kept.days(kind) for kind in OF_ACCOUNTS},
        "own": sorted(days),
    }
