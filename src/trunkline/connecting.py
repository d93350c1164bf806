"""The official SDK's client, pointed at Trunkline instead of Twilio."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from twilio.rest import Client

from trunkline.datadir import find_data_dir, read_credentials

# The variables that may hold a value, the first that is set wins: ours say more than Twilio's,
# which may be there for the real service.
VARIABLES = {
    "base_url": ("TRUNKLINE_BASE_URL", "TRUNKLINE_URL"),
    "account_sid": ("TRUNKLINE_ACCOUNT_SID", "TWILIO_ACCOUNT_SID"),
    "auth_token": ("TRUNKLINE_AUTH_TOKEN", "TWILIO_AUTH_TOKEN"),
    "api_key": (
        *("TRUNKLINE_API_KEY", "TRUNKLINE_API_KEY_SID"),
        *("TWILIO_API_KEY", "TWILIO_API_KEY_SID"),
    ),
    "api_secret": (
        *("TRUNKLINE_API_SECRET", "TRUNKLINE_API_KEY_SECRET"),
        *("TWILIO_API_SECRET", "TWILIO_API_KEY_SECRET"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """As whom a client signs in: an account with its token, or one of its API keys."""

    account_sid: str
    username: str
    password: str


def connect(
    *,
    account_sid: str | None = None,
    auth_token: str | None = None,
    api_key: str | None = None,
    api_secret: str | None = None,
    base_url: str | None = None,
    data_dir: str | Path | None = None,
) -> Client:
    """Return the official client for a Trunkline server.

    What is not given is taken from the environment (VARIABLES), and what is not there from the
    server's data directory. Twilio's own hosts are never called, whatever TWILIO_REGION and
    TWILIO_EDGE say. Raises ValueError with a sentence that says what to set.
    """
    given = {"account_sid": account_sid, "auth_token": auth_token, "base_url": base_url}
    given |= {"api_key": api_key, "api_secret": api_secret}
    # A pair that is given beats one that happens to be in the environment.
    hidden = ("api_key", "api_secret") if auth_token else ()
    values = {
        name: value or ("" if name in hidden else _variable(name)) for name, value in given.items()
    }
    identity = _identity(values)
    if identity is None or not values["base_url"]:
        left = read_credentials(find_data_dir(None if data_dir is None else str(data_dir)))
        values["base_url"] = values["base_url"] or left.base_url
        identity = identity or _Identity(
            account_sid=left.account_sid, username=left.account_sid, password=left.auth_token
        )
    client = Client(identity.username, identity.password, identity.account_sid)
    _point(client, values["base_url"])
    return client


def reachable(base_url: str) -> str:
    """Return the URL under which a server that listens on every address is reached from here."""
    everywhere = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - nothing is bound.
    parts = urlsplit(base_url.rstrip("/"))
    host, colon, port = parts.netloc.rpartition(":")
    if not colon or not port.isdigit():
        host, colon, port = parts.netloc, "", ""
    return parts._replace(netloc=everywhere.get(host, host) + colon + port).geturl()


def _variable(name: str) -> str:
    return next((os.environ[v] for v in VARIABLES[name] if os.environ.get(v)), "")


def _identity(values: Mapping[str, str]) -> _Identity | None:
    account, token, key, secret = (
        values[name] for name in ("account_sid", "auth_token", "api_key", "api_secret")
    )
    if account and key and secret:
        return _Identity(account_sid=account, username=key, password=secret)
    if account and token:
        return _Identity(account_sid=account, username=account, password=token)
    if not (account or token or key or secret):
        return None
    missing = "auth_token" if account else "account_sid"
    raise ValueError(
        f"{missing} is missing: give it to connect() or set {VARIABLES[missing][0]},"
        " or give nothing of the account at all to use the data directory's credentials."
    )


def _point(client: Client, base_url: str) -> None:
    """Send every product of *client* to *base_url*: the main API bare, others under their name."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"base_url is {base_url!r}: it must be like http://127.0.0.1:8800.")
    origin = reachable(base_url)
    # Either of them would rewrite the host of every URL.
    client.region = client.edge = None
    for name in list(vars(client)):
        product = name.removeprefix("_")
        if name.startswith("_") and hasattr(type(client), product):
            domain = getattr(client, product)
            label = urlsplit(domain.base_url).netloc.split(".")[0]
            domain.base_url = origin if label == "api" else f"{origin}/{label}"
