"""Who is calling, and which account he may act for.

Rules: a secret is compared by its digest and in constant time. Nobody learns whether an account
that is not his exists: each one out of reach, there or not, is answered with 401 and 20003.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, replace

from trunkline.domain.account import Account, AccountStatus, Key
from trunkline.domain.errors import Refusal
from trunkline.domain.ids import is_sid
from trunkline.flows.platform import Platform

# The longest pair of ours, SK and 64 digits, takes 139 characters in Base64.
AUTHORIZATION_LENGTH_MAX = 1024


@dataclass(slots=True)
class Actor:
    """Who proved his identity: an account by its token, or one of its API keys.

    is_test: by its test credentials, for which nothing is done; the account has their SID then.
    """

    account: Account
    key: Key | None = None
    is_test: bool = False


async def authenticate(platform: Platform, authorization: str | None) -> Actor | None:
    """Return who sent an Authorization header, or None when it proves nothing.

    Basic only: AC… with an auth token, or SK… with the key's secret. A closed account has no
    credentials any more; a suspended one still has.
    """
    credentials = parse_basic(authorization)
    if credentials is None:
        return None
    username, password = credentials
    actor = None
    if is_sid(username, "AC"):
        actor = await _by_token(platform, username, password=password)
    elif is_sid(username, "SK"):
        actor = await _by_key(platform, username, password=password)
    if actor is None or actor.account.status is AccountStatus.CLOSED:
        return None
    return actor


async def authenticate_test(platform: Platform, authorization: str | None) -> Actor | None:
    """Return whose test credentials an Authorization header holds; None: nobody's.

    They stand apart from `authenticate`, so that they open nothing that does not ask for them.
    """
    username, password = parse_basic(authorization) or ("", "")
    known = await platform.directory.test_credential(username) if is_sid(username, "AC") else None
    if known is None:
        return None
    token = platform.directory.test_token(known)
    if not hmac.compare_digest(password.encode(), token.encode()):
        return None
    account = await platform.directory.account(known.account_sid)
    if account is None or account.status is AccountStatus.CLOSED:
        return None
    shown = replace(account, sid=known.sid, account_sid=known.sid, owner_sid=known.sid)
    return Actor(shown, is_test=True)


def parse_basic(authorization: str | None) -> tuple[str, str] | None:
    """Return user name and password of a Basic header; None when it is not a whole one."""
    if authorization is None or len(authorization) > AUTHORIZATION_LENGTH_MAX:
        return None
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon else None


async def reach(platform: Platform, actor: Actor, *, account_sid: str) -> Account:
    """Return the account that an actor may act for, or refuse (20003).

    That is his own one, and for the owner of subaccounts each of those.
    """
    if account_sid == actor.account.sid:
        return actor.account
    account = await platform.directory.account(account_sid) if is_sid(account_sid, "AC") else None
    if account is None or account.owner_sid != actor.account.sid:
        raise Refusal(20003)
    return account


async def _by_token(platform: Platform, sid: str, *, password: str) -> Actor | None:
    account = await platform.directory.account(sid)
    if account is None:
        return None
    given = password.encode()
    proves = [
        hmac.compare_digest(given, token.encode())
        for token in platform.directory.auth_tokens(account)
    ]
    return Actor(account) if any(proves) else None


async def _by_key(platform: Platform, sid: str, *, password: str) -> Actor | None:
    key = await platform.directory.key(sid)
    if key is None or not hmac.compare_digest(_digest(password), key.secret_digest):
        return None
    account = await platform.directory.account(key.account_sid)
    return None if account is None else Actor(account, key)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
