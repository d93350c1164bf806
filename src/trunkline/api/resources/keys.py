"""API keys, and signing keys as they were called before: https://www.twilio.com/docs/iam/api-keys"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from trunkline.api.resource import V2010, Call, Op, Resource
from trunkline.api.wire import Sid
from trunkline.domain.account import Key
from trunkline.flows import accounts
from trunkline.flows.accounts import NewKey
from trunkline.store.paging import Found, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """A key; its secret is told once, when the key is made."""

    sid: Annotated[str, Sid("SK")]
    friendly_name: str
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKeyView:
    """A key with its secret."""

    sid: Annotated[str, Sid("SK")]
    friendly_name: str
    date_created: datetime
    date_updated: datetime
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyName:
    """The name of a key."""

    friendly_name: str | None = None


def _view(_: Call, key: Key) -> KeyView:
    return KeyView(
        sid=key.sid,
        friendly_name=key.friendly_name,
        date_created=key.created_at,
        date_updated=key.updated_at,
    )


def _new_view(_: Call, new: NewKey) -> NewKeyView:
    return NewKeyView(
        sid=new.key.sid,
        friendly_name=new.key.friendly_name,
        date_created=new.key.created_at,
        date_updated=new.key.updated_at,
        secret=new.secret,
    )


async def create(call: Call, params: KeyName) -> NewKey:
    """Make a key and tell its secret."""
    return await accounts.create_key(
        call.platform, call.account.sid, friendly_name=params.friendly_name or ""
    )


async def page(call: Call, page: Page) -> Found[Key]:
    """List the keys, newest first."""
    return await accounts.page_keys(call.platform, call.account.sid, page=page)


async def fetch(call: Call) -> Key | None:
    """Return a key, without its secret."""
    return await accounts.find_key(call.platform, call.account.sid, call.path["Sid"])


async def update(call: Call, params: KeyName) -> Key | None:
    """Give a key another name."""
    return await accounts.rename_key(
        call.platform,
        call.account.sid,
        sid=call.path["Sid"],
        friendly_name=params.friendly_name,
    )


async def delete(call: Call) -> bool:
    """Revoke a key."""
    return await accounts.delete_key(call.platform, call.account.sid, sid=call.path["Sid"])


def _resource(name: str, path: str, *, list_key: str) -> Resource:
    return Resource(
        name=name,
        path=path,
        dialect=V2010,
        open_to_keys=False,
        view=_view,
        list_key=list_key,
        create=Op(run=create, params=KeyName, view=_new_view),
        page=Op(run=page),
        fetch=Op(run=fetch),
        update=Op(run=update, params=KeyName),
        delete=Op(run=delete),
    )


KEYS = _resource("key", "/Keys", list_key="keys")
SIGNING_KEYS = _resource("signing key", "/SigningKeys", list_key="signing_keys")
