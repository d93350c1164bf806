"""Cookies of one conversation: Set-Cookie headers in, the next request's Cookie header out.

Domain and path are left aside: the caller sends a conversation's cookies to one host only.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookies import CookieError, Morsel
from typing import Final

# Per host, what RFC 6265 §6.1 asks of browsers.
COOKIES_MAX: Final = 50
COOKIE_SIZE_MAX: Final = 4096
# All of them together must fit the 8 kB that servers commonly accept for a header.
COOKIES_SIZE_MAX: Final = 4096

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Printable ASCII without the semicolon that ends a cookie.
_VALUE = re.compile(r"[ -:<-~]*")
_SET_COOKIE = re.compile(r"""\s*([^=;\s]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)""")
_LIFETIME = re.compile(r";\s*(max-age|expires)\s*=\s*([^;]*)", re.IGNORECASE)


def parse_set_cookies(headers: Iterable[str]) -> list[Morsel[str]]:
    """Return what Set-Cookie headers set, with the two attributes that say for how long.

    More forgiving than http.cookies, as browsers are; what is no cookie at all is left out.
    """
    return [morsel for header in headers if (morsel := _parse_set_cookie(header)) is not None]


def _parse_set_cookie(header: str) -> Morsel[str] | None:
    pair = _SET_COOKIE.match(header)
    if pair is None:
        return None
    morsel: Morsel[str] = Morsel()
    value = pair[2].strip()
    try:
        morsel.set(pair[1], value, value)
    except CookieError:
        return None
    for name, text in _LIFETIME.findall(header, pair.end()):
        morsel[name.lower()] = text.strip().strip('"')
    return morsel


def merge_cookies(
    cookies: Mapping[str, str], received: Iterable[Morsel[str]], *, now: datetime
) -> dict[str, str]:
    """Return *cookies* as they are after an answer: set ones added, expired ones removed.

    Cookies that cannot be sent safely, or are beyond the limits, are left out.
    """
    merged = dict(cookies)
    for morsel in received:
        merged.pop(morsel.key, None)
        if not _has_expired(morsel, now):
            merged[morsel.key] = morsel.coded_value
    merged = {name: value for name, value in merged.items() if _is_sendable(name, value)}
    while merged and (len(merged) > COOKIES_MAX or len(render_cookies(merged)) > COOKIES_SIZE_MAX):
        del merged[next(iter(merged))]
    return merged


def render_cookies(cookies: Mapping[str, str]) -> str:
    """Return the Cookie header's value; what could break out of the header is left out."""
    sendable = (pair for pair in cookies.items() if _is_sendable(*pair))
    return "; ".join(f"{name}={value}" for name, value in sendable)


def _is_sendable(name: str, value: str) -> bool:
    is_clean = _NAME.fullmatch(name) and _VALUE.fullmatch(value)
    return bool(is_clean) and len(name) + len(value) <= COOKIE_SIZE_MAX


def _has_expired(morsel: Morsel[str], now: datetime) -> bool:
    """Say whether a cookie is over; Max-Age wins (RFC 6265 §5.3), and nonsense is no end."""
    max_age = re.fullmatch(r"(-?)([0-9]+)", str(morsel["max-age"]).strip())
    if max_age is not None:
        return max_age[1] == "-" or not max_age[2].strip("0")
    try:
        expires = parsedate_to_datetime(str(morsel["expires"]))
    except (ValueError, OverflowError):
        return False
    return (expires if expires.tzinfo else expires.replace(tzinfo=UTC)) <= now
