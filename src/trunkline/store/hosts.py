"""Which host a URL goes to, so that what is due can be chosen by it."""

import re

HOST_MAX = 255  # RFC 1035 §2.3.4 allows 253 octets; with a port a few more, which may be cut.

_AUTHORITY = re.compile(r"[a-z]+://(?:[^/?#]*@)?([^/?#]*)", re.IGNORECASE)


def host_of(url: str) -> str:
    """Return host and port of *url* in lower case; nothing for what is no URL."""
    found = _AUTHORITY.match(url)
    return found[1].lower()[:HOST_MAX] if found else ""
