"""A webhook request as it will be sent: the configured URL taken apart, then method, headers, body.

What is signed is what is sent: the configured path and query are never encoded again.
"""

import ipaddress
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus, unquote, urljoin, urlsplit

from trunkline.webhooks.overrides import DEFAULT_OVERRIDES, Overrides, parse_overrides
from trunkline.webhooks.signature import sign, sign_form

# Half of the 8 kB that common servers accept for a request line; the rest is for GET parameters.
URL_LENGTH_MAX: Final = 4096
# URLs that stay taken apart: those of the applications that are busy at one time, in some 10 MB.
URLS_KEPT_MAX: Final = 1024
HOSTS_KEPT_MAX: Final = 4096  # Host names that are known to be such; about 1 MB.
# Names of form fields that stay encoded; there are some fifty.
NAMES_KEPT_MAX: Final = 256
# RFC 1035 §2.3.4.
HOST_LENGTH_MAX: Final = 253

FORM_TYPE: Final = "application/x-www-form-urlencoded; charset=UTF-8"
USER_AGENT: Final = "TwilioProxy/1.1"
SIGNATURE_HEADER: Final = "X-Twilio-Signature"
TOKEN_HEADER: Final = "I-Twilio-Idempotency-Token"  # noqa: S105 - a header's name

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:(?P<userinfo>[^/?#]*)@)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[^/?#:@\[\]]+)"
    r"(?P<port>:[0-9]{1,5})?"
    r"(?P<rest>[/?][^#]*)?"
    r"(?:#(?P<fragment>.*))?",
    re.IGNORECASE,
)
# Whitespace and control characters would end a request line; browsers read a backslash as a slash.
_NEVER = re.compile(r"[\s\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
# What RFC 3986 wants encoded, and strict programs that read a number's URLs, those in Java, too.
_UNENCODED = re.compile(r'["<>^`{|}]')
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# What a form leaves as it is; with a plus before it, that is all that phone numbers consist of.
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_ASCII: Final = string.ascii_letters + string.digits + string.punctuation


@dataclass(slots=True, kw_only=True)
class Target:
    """A configured URL: what is sent and signed, and what its user-info and fragment say."""

    url: str
    username: str | None = None
    password: str = field(default="", repr=False)
    overrides: Overrides = DEFAULT_OVERRIDES
    warnings: tuple[int, ...] = ()


@dataclass(slots=True)
class Rendered:
    """One request, ready to be sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Origin(NamedTuple):
    """Where a connection leads; an IPv6 address stands in brackets."""

    scheme: str
    host: str
    port: int


class _Place(NamedTuple):
    """What a request to a URL says about it; the path is without the query."""

    origin: Origin
    authority: str
    path: str


def is_webhook_url(text: str) -> bool:
    """Say whether *text* is an absolute http(s) URL with a host name that Twilio would accept.

    An underscore in the host is refused, as error 21609 does.
    """
    if len(text) > URL_LENGTH_MAX or _NEVER.search(text):
        return False
    base, _, query = text.partition("?")
    # URLs of one application differ behind the question mark, which any text may follow.
    return _is_webhook_url(text if "#" in query else base)


def may_be_configured(text: str) -> bool:
    """Say whether *text* may be set as the URL of a webhook: it can be called, and is encoded.

    What was set before is called all the same.
    """
    behind_host = text.partition("//")[2].partition("/")[2].partition("?")[0]
    is_encoded = not (_UNENCODED.search(text) or "[" in behind_host or "]" in behind_host)
    return is_encoded and is_webhook_url(text)


@lru_cache(URLS_KEPT_MAX)
def _is_webhook_url(text: str) -> bool:
    parts = _URL.fullmatch(text)
    if parts is None or _ascii_host(parts["host"]) is None or not _is_splittable(text):
        return False
    return parts["port"] is None or 1 <= int(parts["port"][1:]) <= 65535


def resolve(base: str, reference: str) -> str:
    """Return the URL that *reference* means in a document at *base*.

    What cannot be a URL comes back as it is; is_webhook_url() then refuses it.
    """
    try:
        return urljoin(base.partition("#")[0], reference)
    except ValueError:
        return reference


def parse_target(url: str) -> Target:
    """Take a configured URL apart; it must satisfy is_webhook_url().

    The result's url has no fragment and no user-info. An empty path becomes "/", an empty query
    goes, and letters beyond ASCII are encoded: a receiver rebuilds the signed URL like this.
    """
    if not is_webhook_url(url):
        raise ValueError("not a webhook URL")
    base, mark, query = url.partition("?")
    if "#" in url or not query.isascii():
        return _target(url)
    bare = _target(base)
    return Target(
        url=bare.url + mark + query if query else bare.url,
        username=bare.username,
        password=bare.password,
    )


@lru_cache(URLS_KEPT_MAX)
def _target(url: str) -> Target:
    parts = _URL.fullmatch(url)
    assert parts is not None, "the URL has not been judged before"
    overrides, warnings = parse_overrides(parts["fragment"] or "")
    path, mark, query = (parts["rest"] or "/").partition("?")
    rest = quote((path or "/") + (mark + query if query else ""), safe=_ASCII)
    host = _ascii_host(parts["host"])
    username, _, password = (parts["userinfo"] or "").partition(":")
    return Target(
        url=f"{parts['scheme'].lower()}://{host}{parts['port'] or ''}{rest}",
        username=unquote(username) if parts["userinfo"] is not None else None,
        password=unquote(password),
        overrides=overrides,
        warnings=warnings,
    )


def render_request(
    target: Target, method: str, *, parameters: Mapping[str, str], auth_token: str, token: str
) -> Rendered:
    """Return the signed request for *target*: a form for POST, a longer query for GET.

    *token* is the same for every retry of one event, so that receivers can spot a repetition.
    """
    if method == "GET":
        url = _with_query(target.url, _form(parameters))
        return Rendered(method, url, _headers(sign(auth_token, url), token), b"")
    headers = _headers(sign_form(auth_token, target.url, form=parameters), token)
    headers["Content-Type"] = FORM_TYPE
    return Rendered(method, target.url, headers, _form(parameters).encode("ascii"))


def redirected(request: Rendered, status: int, *, location: str) -> Rendered | None:
    """Return *request* as a redirect asks for it, or None where *location* leads nowhere.

    301, 302 and 303 become a GET without a body; 307 and 308 keep method and body. The headers,
    and so the signature of the original request, stay; credentials do not leave their origin.
    """
    url = resolve(request.url, location.strip())
    if not is_webhook_url(url):
        return None
    url = parse_target(url).url
    left = set() if is_same_place(request.url, url) else {"Authorization"}
    if status not in {307, 308}:
        left.add("Content-Type")
    headers = {name: text for name, text in request.headers.items() if name not in left}
    if status in {307, 308}:
        return Rendered(request.method, url, headers, request.body)
    return Rendered("GET", url, headers, b"")


def origin(url: str) -> Origin:
    """Return scheme, host and port of a URL that parse_target() has been through."""
    return _place(url.partition("?")[0]).origin


def authority(url: str) -> str:
    """Return what the Host header of a request to *url* says; the scheme's own port goes."""
    return _place(url.partition("?")[0]).authority


def is_same_place(home: str, url: str) -> bool:
    """Say whether *url* has the origin of *home*, or is its upgrade from http to https."""
    there, here = origin(url), origin(home)
    if there == here:
        return True
    is_upgrade = here[::2] == ("http", 80) and there[::2] == ("https", 443)
    return is_upgrade and there.host == here.host


def path_and_query(url: str) -> str:
    """Return what the request line of *url* says; for URLs that parse_target() has been through."""
    base, mark, query = url.partition("?")
    return _place(base).path + mark + query


@lru_cache(URLS_KEPT_MAX)
def _place(base: str) -> _Place:
    """Take apart what stands before the query: GET requests differ only behind it."""
    parts = _URL.fullmatch(base)
    assert parts is not None, "the URL has not been parsed before"
    scheme, host = parts["scheme"].lower(), parts["host"]
    port = int(parts["port"][1:]) if parts["port"] else _DEFAULT_PORTS[scheme]
    # RFC 9110 §4.2.3: the scheme's own port is left out; neither is the root's dot a receiver's.
    name = host.rstrip(".") + ("" if port == _DEFAULT_PORTS[scheme] else f":{port}")
    return _Place(Origin(scheme, host.lower(), port), name, parts["rest"] or "/")


def _form(parameters: Mapping[str, str]) -> str:
    """Return the url-encoded form of *parameters*, byte for byte as urlencode() has it."""
    return "&".join(
        [
            # SIDs and statuses go as they are; asking costs less than calling.
            f"{_quoted_name(n)}={text if text.isalnum() and text.isascii() else _quoted(text)}"
            for n, text in parameters.items()
        ]
    )


def _quoted(text: str) -> str:
    """Return quote_plus() of *text*, at once for what callbacks usually carry."""
    if _PLAIN.fullmatch(text):
        return text
    if text[0] == "+" and _PLAIN.fullmatch(text, 1):
        return "%2B" + text[1:]
    return quote_plus(text)


@lru_cache(NAMES_KEPT_MAX)
def _quoted_name(name: str) -> str:
    return quote_plus(name)


def _headers(signature: str, token: str) -> dict[str, str]:
    return {
        SIGNATURE_HEADER: signature,
        TOKEN_HEADER: token,
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
    }


def _with_query(url: str, query: str) -> str:
    if not query:
        return url
    if "?" not in url:
        return f"{url}?{query}"
    return f"{url}{query}" if url.endswith(("?", "&")) else f"{url}&{query}"


def _is_splittable(text: str) -> bool:
    """Say whether urlsplit() takes *text* apart: brackets and odd letters in user-info upset it."""
    if text.isascii() and "[" not in text and "]" not in text:
        return True
    try:
        return bool(urlsplit(text).netloc)
    except ValueError:
        return False


@lru_cache(HOSTS_KEPT_MAX)
def _ascii_host(host: str) -> str | None:
    """Return *host* as it is looked up, or None if it is no host name or address."""
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return None
        return host
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    labels = name.removesuffix(".").split(".")
    if len(name) > HOST_LENGTH_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    return name
