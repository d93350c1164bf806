"""Accounts as the operator sees them, over the admin API: trials, and where each may send to."""

from dataclasses import replace

from trunkline.admin.ask import Ask
from trunkline.admin.views import View, iso
from trunkline.api.answers import Answer, json_answer
from trunkline.domain.account import Account
from trunkline.domain.errors import Refusal
from trunkline.flows import accounts, permissions, rehearsal, tokens
from trunkline.store.paging import Page

LIMIT_MAX = accounts.SUBACCOUNTS_MAX + 1
_TYPES = {"trial": True, "full": False}


async def list_accounts(ask: Ask) -> Answer:
    """Answer with the main account and its subaccounts, newest first."""
    page = Page(size=LIMIT_MAX)
    found = await accounts.page(ask.platform, ask.account, where=lambda _: True, page=page)
    return json_answer({"accounts": [_view(account) for account in found.items]})


async def add_account(ask: Ask) -> Answer:
    """Make a subaccount; its token is told as the API tells it."""
    ask.require_token()
    account = await accounts.create(
        ask.platform,
        ask.account,
        friendly_name=ask.value("FriendlyName") or None,
        is_trial=_is_trial(ask) or False,
    )
    token = ask.platform.directory.auth_token(account)
    return json_answer({**_view(account), "auth_token": token}, status=201)


async def show_account(ask: Ask) -> Answer:
    """Answer with one account."""
    account = await ask.platform.directory.account(ask.path("account"))
    if account is None:
        raise Refusal(20404)
    return json_answer(_view(account))


async def change_account(ask: Ask) -> Answer:
    """Make an account a trial or a full one (Type), or say where it may send to (Country).

    Country is repeated for each; given once and empty, it stands for every country. Within
    these the account may close some to itself, from anew.
    """
    ask.require_token()
    is_trial, countries = _is_trial(ask), ask.form.get("Country")
    if is_trial is None and countries is None:
        raise Refusal(20422, name="of the form", reason="needs Type or Country")
    codes = permissions.checked_countries(country for country in countries or () if country)

    def changed(before: Account) -> Account:
        after = before if is_trial is None else replace(before, is_trial=is_trial)
        if countries is None:
            return after
        return replace(after, allowed_countries=codes or None, countries=None)

    account = await accounts.rewrite(ask.platform, ask.path("account"), changed)
    return json_answer(_view(account))


async def show_test_credentials(ask: Ask) -> Answer:
    """Answer with an account's test credentials, for which nothing is done."""
    ask.require_token()
    found = await rehearsal.credentials(ask.platform, ask.path("account"))
    token = ask.platform.directory.test_token(found)
    return json_answer(
        {
            "account_sid": found.sid,
            "auth_token": token,
            "phone_number": rehearsal.SENDER,
            "of_account_sid": found.account_sid,
        }
    )


async def add_secondary_token(ask: Ask) -> Answer:
    """Give an account a second auth token."""
    ask.require_token()
    account = await tokens.add_secondary(ask.platform, ask.path("account"))
    token = ask.platform.directory.auth_tokens(account)[-1]
    return json_answer({**_view(account), "secondary_auth_token": token}, status=201)


async def remove_secondary_token(ask: Ask) -> Answer:
    """Take an account's second auth token away."""
    ask.require_token()
    await tokens.remove_secondary(ask.platform, ask.path("account"))
    return Answer(204)


async def promote_token(ask: Ask) -> Answer:
    """Put an account's second auth token in the first one's place."""
    ask.require_token()
    account = await tokens.promote(ask.platform, ask.path("account"))
    token = ask.platform.directory.auth_token(account)
    return json_answer({**_view(account), "auth_token": token})


def _is_trial(ask: Ask) -> bool | None:
    text = ask.value("Type")
    if text is None:
        return None
    if text.lower() not in _TYPES:
        raise Refusal(20422, name="`Type`", reason="must be Trial or Full")
    return _TYPES[text.lower()]


def _view(account: Account) -> View:
    limit = account.allowed_countries
    return {
        "sid": account.sid,
        "owner_account_sid": account.owner_sid,
        "friendly_name": account.friendly_name,
        "status": account.status.value,
        "type": "Trial" if account.is_trial else "Full",
        "countries": None if limit is None else list(limit),
        "is_rotating": bool(account.sealed_secondary),
        "created_at": iso(account.created_at),
        "updated_at": iso(account.updated_at),
    }
