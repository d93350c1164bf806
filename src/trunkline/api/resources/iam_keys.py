"""API keys as the newer API has them: https://www.twilio.com/docs/iam/api-keys/key-resource-v1

They are the same keys as those of the 2010 API. There the account stands in the path, here in the
form; and here alone among newer products times are written as in 2010.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from trunkline.api.auth import reach
from trunkline.api.resource import Call, Op, Resource, rfc_2822, v1
from trunkline.api.resources.keys import KeyView, NewKeyView
from trunkline.api.wire import Sid, refused
from trunkline.domain.account import AccountStatus, Key
from trunkline.domain.errors import Refusal
from trunkline.flows import accounts
from trunkline.flows.accounts import NewKey
from trunkline.store.paging import Found, Page

_WHOLE = "a key may do everything but manage accounts and keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyView(KeyView):
    """A key; it has no policy, for it is not restricted."""

    policy: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedApiKeyView(KeyView):
    """A key in the list of an account's keys."""

    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKeyView(NewKeyView):
    """A key with its secret, which is told once."""

    policy: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListApiKeys:
    """Whose keys are wanted."""

    account_sid: Annotated[str, Sid("AC")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApiKey:
    """Whose key it is to be, and what it is called."""

    account_sid: Annotated[str, Sid("AC")]
    friendly_name: str | None = None
    key_type: Annotated[str | None, refused(_WHOLE)] = None
    policy: Annotated[str | None, refused(_WHOLE)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateApiKey:
    """What a key is called."""

    friendly_name: str | None = None
    policy: Annotated[str | None, refused(_WHOLE)] = None


def _view(_: Call, key: Key) -> ApiKeyView:
    return ApiKeyView(
        sid=key.sid,
        friendly_name=key.friendly_name,
        date_created=key.created_at,
        date_updated=key.updated_at,
    )


def _listed_view(_: Call, key: Key) -> ListedApiKeyView:
    return ListedApiKeyView(
        sid=key.sid,
        friendly_name=key.friendly_name,
        date_created=key.created_at,
        date_updated=key.updated_at,
    )


def _new_view(_: Call, new: NewKey) -> NewApiKeyView:
    return NewApiKeyView(
        sid=new.key.sid,
        friendly_name=new.key.friendly_name,
        date_created=new.key.created_at,
        date_updated=new.key.updated_at,
        secret=new.secret,
    )


async def create(call: Call, params: CreateApiKey) -> NewKey:
    """Make a key of an account and tell its secret."""
    account = await reach(call.platform, call.actor, account_sid=params.account_sid)
    if account.status is not AccountStatus.ACTIVE:
        raise Refusal(20005)
    return await accounts.create_key(
        call.platform, account.sid, friendly_name=params.friendly_name or ""
    )


async def page(call: Call, params: ListApiKeys, page: Page) -> Found[Key]:
    """List the keys of an account, newest first."""
    account = await reach(call.platform, call.actor, account_sid=params.account_sid)
    return await accounts.page_keys(call.platform, account.sid, page=page)


async def fetch(call: Call) -> Key | None:
    """Return a key, without its secret."""
    return await _own(call)


async def update(call: Call, params: UpdateApiKey) -> Key | None:
    """Give a key another name."""
    key = await _own(call)
    return key and await accounts.rename_key(
        call.platform, key.account_sid, sid=key.sid, friendly_name=params.friendly_name
    )


async def delete(call: Call) -> bool:
    """Revoke a key."""
    key = await _own(call)
    return key is not None and await accounts.delete_key(
        call.platform, key.account_sid, sid=key.sid
    )


async def _own(call: Call) -> Key | None:
    """Return the key of the path, if it is of the account that asks or of one that it owns."""
    key = await call.platform.directory.key(call.path["Sid"])
    account = await call.platform.directory.account(key.account_sid) if key else None
    is_own = account is not None and call.actor.account.sid in (account.sid, account.owner_sid)
    return key if is_own else None


API_KEYS = Resource(
    name="API key",
    path="/Keys",
    dialect=replace(v1("iam"), render_time=rfc_2822, time_format="date-time-rfc-2822"),
    open_to_keys=False,
    view=_view,
    list_key="keys",
    create=Op(run=create, params=CreateApiKey, view=_new_view),
    page=Op(run=page, params=ListApiKeys, view=_listed_view),
    fetch=Op(run=fetch),
    update=Op(run=update, params=UpdateApiKey),
    delete=Op(run=delete),
)
