"""Which host a URL goes to, so that what is due can be chosen by it."""

import re
from functools import lru_cache
from typing import NamedTuple

HOST_MAX = 255  # RFC 1035 §2.3.4 allows 253 octets; with a port a few more, which may be cut.

URLS_KEPT_MAX = 1024  # Those of the applications that are busy at one time; 200 kB.

_AUTHORITY = re.compile(r"[a-z]+://(?:[^/?#]*@)?([^/?#]*)", re.IGNORECASE)


class Turn(NamedTuple):
    """A host, and an account that has something for it."""

    host: str
    account_sid: str


def host_of(url: str) -> str:
    """Return host and port of *url* in lower case; nothing for what is no URL."""
    # URLs of one application differ behind the question mark.
    return _host_of(url.partition("?")[0])


@lru_cache(URLS_KEPT_MAX)
def _host_of(url: str) -> str:
    found = _AUTHORITY.match(url)
    return found[1].lower()[:HOST_MAX] if found else ""
