"""Rotation of auth tokens: https://www.twilio.com/docs/iam/api/authtoken"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from trunkline.api.resource import Call, Op, Resource, v1
from trunkline.api.wire import Sid, Url, accepted
from trunkline.domain.account import Account
from trunkline.flows import tokens

_SECONDARY = "/AuthTokens/Secondary"
_PROMOTE = "/AuthTokens/Promote"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondaryAuthTokenView:
    """A second token, which works beside the first."""

    account_sid: Annotated[str, Sid("AC")]
    date_created: datetime
    date_updated: datetime
    secondary_auth_token: str
    url: Url


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthTokenPromotionView:
    """The token that is now the account's own."""

    account_sid: Annotated[str, Sid("AC")]
    auth_token: str
    date_created: datetime
    date_updated: datetime
    url: Url


@dataclass(frozen=True, slots=True, kw_only=True)
class Quietly:
    """Whether anybody is told of the change."""

    suppress_email_notification: Annotated[
        bool | None, accepted("nobody is sent an e-mail in any case")
    ] = None


def _secondary_view(call: Call, account: Account) -> SecondaryAuthTokenView:
    return SecondaryAuthTokenView(
        account_sid=account.sid,
        date_created=account.secondary_at or account.updated_at,
        date_updated=account.updated_at,
        secondary_auth_token=call.platform.directory.auth_tokens(account)[-1],
        url=Url(f"{call.base_url}/v1{_SECONDARY}"),
    )


def _promotion_view(call: Call, account: Account) -> AuthTokenPromotionView:
    return AuthTokenPromotionView(
        account_sid=account.sid,
        auth_token=call.platform.directory.auth_token(account),
        date_created=account.created_at,
        date_updated=account.updated_at,
        url=Url(f"{call.base_url}/v1{_PROMOTE}"),
    )


async def create(call: Call, _: Quietly) -> Account:
    """Give the account a secondary auth token; both prove who calls, the first one signs."""
    return await tokens.add_secondary(call.platform, call.account.sid)


async def delete(call: Call, _: Quietly) -> bool:
    """Take the secondary auth token away."""
    await tokens.remove_secondary(call.platform, call.account.sid)
    return True


async def promote(call: Call, _: Quietly) -> Account:
    """Put the secondary auth token in the primary one's place, which is void from now on."""
    return await tokens.promote(call.platform, call.account.sid)


SECONDARY_AUTH_TOKEN = Resource(
    name="secondary auth token",
    path=_SECONDARY,
    dialect=v1("accounts"),
    one="",
    open_to_keys=False,
    view=_secondary_view,
    create=Op(run=create, params=Quietly),
    delete=Op(run=delete, params=Quietly),
)
AUTH_TOKEN_PROMOTION = Resource(
    name="auth token promotion",
    path=_PROMOTE,
    dialect=v1("accounts"),
    one="",
    open_to_keys=False,
    view=_promotion_view,
    update=Op(run=promote, params=Quietly),
)
