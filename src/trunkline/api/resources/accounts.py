"""Accounts and subaccounts: https://www.twilio.com/docs/iam/api/account"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from trunkline.api.resource import JSON_SUFFIX, V2010, Call, Op, Resource
from trunkline.api.wire import Sid
from trunkline.domain.account import Account, AccountStatus
from trunkline.domain.errors import Refusal
from trunkline.flows import accounts
from trunkline.store.paging import Found, Page

_SUBRESOURCES = {
    "available_phone_numbers": "AvailablePhoneNumbers",
    "balance": "Balance",
    "incoming_phone_numbers": "IncomingPhoneNumbers",
    "keys": "Keys",
    "messages": "Messages",
    "outgoing_caller_ids": "OutgoingCallerIds",
    "signing_keys": "SigningKeys",
}


class AccountType(StrEnum):
    """Whether an account may text everybody, or only numbers whose holders agreed."""

    TRIAL = "Trial"
    FULL = "Full"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """An account."""

    auth_token: str
    date_created: datetime
    date_updated: datetime
    friendly_name: str
    owner_account_sid: Annotated[str, Sid("AC")]
    sid: Annotated[str, Sid("AC")]
    status: AccountStatus
    subresource_uris: dict[str, Any]
    type: AccountType
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAccount:
    """A new subaccount."""

    friendly_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateAccount:
    """A change of an account."""

    friendly_name: str | None = None
    status: AccountStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAccounts:
    """Which accounts are wanted."""

    friendly_name: str | None = None
    status: AccountStatus | None = None


def _view(call: Call, account: Account) -> AccountView:
    root = f"/2010-04-01/Accounts/{account.sid}"
    return AccountView(
        auth_token=call.platform.directory.auth_token(account),
        date_created=account.created_at,
        date_updated=account.updated_at,
        friendly_name=account.friendly_name,
        owner_account_sid=account.owner_sid,
        sid=account.sid,
        status=account.status,
        subresource_uris={
            name: f"{root}/{path}{JSON_SUFFIX}" for name, path in _SUBRESOURCES.items()
        },
        type=AccountType.TRIAL if account.is_trial else AccountType.FULL,
        uri=f"{root}{JSON_SUFFIX}",
    )


async def create(call: Call, params: CreateAccount) -> Account:
    """Make a subaccount of the account that asks."""
    return await accounts.create(call.platform, call.account, friendly_name=params.friendly_name)


async def page(call: Call, params: ListAccounts, page: Page) -> Found[Account]:
    """List the account that asks and its subaccounts, newest first."""

    def is_wanted(account: Account) -> bool:
        return params.friendly_name in (None, "", account.friendly_name) and (
            params.status in (None, account.status)
        )

    return await accounts.page(call.platform, call.account, where=is_wanted, page=page)


async def fetch(call: Call) -> Account:
    """Return an account; the usual way to check credentials."""
    return call.account


async def update(call: Call, params: UpdateAccount) -> Account | None:
    """Rename, suspend, wake or close an account; a subaccount's status is its owner's business."""
    is_owner = call.actor.account.sid == call.account.owner_sid
    if params.status not in (None, call.account.status) and not is_owner:
        raise Refusal(20003)
    return await accounts.update(
        call.platform,
        call.account.sid,
        friendly_name=params.friendly_name,
        status=params.status,
    )


ACCOUNTS = Resource(
    name="account",
    path="/Accounts",
    # The accounts themselves stand beside, not under, an account.
    dialect=replace(V2010, prefix="/2010-04-01"),
    account="Sid",
    open_to_keys=False,
    open_when_inactive=True,
    view=_view,
    list_key="accounts",
    create=Op(run=create, params=CreateAccount),
    page=Op(run=page, params=ListAccounts),
    fetch=Op(run=fetch),
    update=Op(run=update, params=UpdateAccount),
)
