"""A small client of a running platform, for the commands."""

import base64
import http.client
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

import click
import msgspec

from trunkline.cli.show import visible
from trunkline.connecting import reachable
from trunkline.datadir import Credentials

# The server answers in milliseconds; one that takes so long is stuck.
ANSWER_SECONDS_MAX = 15
# A page holds at most 1,000 messages of some 7 kB.
ANSWER_SIZE_MAX = 16_000_000
NOT_FOUND = 20404

Document = dict[str, object]
Fields = Sequence[tuple[str, str]]
T = TypeVar("T")

# What is asked for by name, and the command that lists the names.
NAMED: Final = {
    "/trunkline/v1/carriers/": ("carrier", "trunkline carriers list"),
    "/trunkline/v1/routes/": ("route", "trunkline routes list"),
    "/trunkline/v1/accounts/": ("account", "trunkline accounts list"),
    "/trunkline/v1/services/": ("Messaging Service", "trunkline services list"),
    "/trunkline/v1/numbers/": ("number", "trunkline numbers list"),
    "/trunkline/v1/smpp-credentials/": ("SMPP client", "trunkline smpp list"),
    "/trunkline/v1/messages/": ("message", "trunkline messages"),
    "/trunkline/v1/webhooks/": ("webhook that was given up", "trunkline webhooks list"),
}

# What one of these may not have: that is not found either.
PARTS: Final = {"auth-token/": "or it has no second auth token"}

FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform as these credentials reach it; trouble ends the command with a sentence."""

    credentials: Credentials

    @property
    def base_url(self) -> str:
        """The URL that answers on this machine."""
        return reachable(self.credentials.local_url or self.credentials.base_url)

    def fetch(self, path: str, query: Fields = ()) -> Document:
        """Return the document at *path*, which starts with a slash."""
        return self._request("GET", path + (f"?{_encode(query)}" if query else ""))

    def post(self, path: str, form: Fields) -> Document:
        """Return what the platform answers to a form."""
        return self._request("POST", path, body=_encode(form))

    def delete(self, path: str) -> None:
        """Remove what is at *path*."""
        self._request("DELETE", path)

    def account_path(self, path: str) -> str:
        """Return the path of something in the Twilio API of the account."""
        return f"/2010-04-01/Accounts/{self.credentials.account_sid}/{path}"

    def _request(self, method: str, path: str, *, body: str | None = None) -> Document:
        try:
            status, content = self._exchange(method, path, body=body)
        except TimeoutError as error:
            raise click.ClickException(
                f"{self.base_url} did not answer within {ANSWER_SECONDS_MAX} seconds."
            ) from error
        except (ConnectionError, socket.gaierror) as error:
            raise click.ClickException(
                f"Nothing answers at {self.base_url}; start it with `trunkline up`."
            ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise click.ClickException(f"{self.base_url} cannot be asked: {error}.") from error
        document = {} if status == HTTPStatus.NO_CONTENT else self.document(content)
        if status >= 300:
            code = document.get("code", status)
            missing = _missing(path) if code == NOT_FOUND else ""
            text = missing or document.get("message", f"The answer has HTTP status {status}")
            raise click.ClickException(f"{visible(str(text))} (error {code})")
        return document

    def _exchange(self, method: str, path: str, *, body: str | None) -> tuple[int, bytes]:
        parts = urlsplit(self.base_url)
        headers = self.headers()
        if body is not None:
            headers["Content-Type"] = FORM
        connection = _connection(parts)
        try:
            connection.request(method, parts.path + path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(ANSWER_SIZE_MAX + 1)
        finally:
            connection.close()

    def headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        pair = f"{self.credentials.account_sid}:{self.credentials.auth_token}"
        token = base64.b64encode(pair.encode()).decode()
        return {"Authorization": f"Basic {token}", "Accept": "application/json"}

    def document(self, content: bytes) -> Document:
        """Return the document that an answer holds."""
        try:
            return msgspec.json.decode(content, type=Document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise click.ClickException(
                f"What answers at {self.base_url} is no Trunkline."
            ) from error


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it is: good or bad; one that is no JSON object has an empty document."""

    status: int
    headers: Mapping[str, str]
    document: Document


@dataclass(slots=True)
class Line:
    """A connection that is kept for many requests, and made anew where it was lost.

    Its trouble is an OSError or an HTTPException, for whoever knows what to do about it.
    """

    platform: Platform
    _connection: http.client.HTTPConnection | None = None

    def post(self, path: str, form: Fields, *, headers: Mapping[str, str]) -> Reply:
        """Return the answer to a form."""
        sent = {**self.platform.headers(), "Content-Type": FORM, **headers}
        if self._connection is None:
            self._connection = _connection(urlsplit(self.platform.base_url))
        try:
            prefix = urlsplit(self.platform.base_url).path
            self._connection.request("POST", prefix + path, body=_encode(form), headers=sent)
            answer = self._connection.getresponse()
            content = answer.read(ANSWER_SIZE_MAX + 1)
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, _document_or_none(content))

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def rows(document: Document, key: str) -> list[Document]:
    """Return a list of objects that the platform's document holds under *key*."""
    return _part(document, key, kind=list[Document])


def section(document: Document, key: str) -> Document:
    """Return an object that the platform's document holds under *key*."""
    return _part(document, key, kind=Document)


def _missing(path: str) -> str:
    """Return what is not there and where to look, if *path* names one thing."""
    for start, (kind, listing) in NAMED.items():
        if path.startswith(start):
            name, _, rest = path.removeprefix(start).partition("?")[0].partition("/")
            either = "".join(f", {say}" for part, say in PARTS.items() if rest.startswith(part))
            return f"There is no {kind} {unquote(name)}{either}; see `{listing}`"
    return ""


def _part(document: Document, key: str, *, kind: type[T]) -> T:
    try:
        return msgspec.convert(document.get(key), kind)
    except msgspec.ValidationError as error:
        raise click.ClickException(
            f"The platform's answer has no {key!r}: is it of another version?"
        ) from error


def _document_or_none(content: bytes) -> Document:
    try:
        return msgspec.json.decode(content, type=Document)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    # http.client, unlike urllib, never asks the environment for a proxy.
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS_MAX)


def _encode(fields: Fields) -> str:
    # Arguments that are not UTF-8 arrive as lone surrogates, which have no encoding.
    return urlencode(fields, errors="replace")
