"""Authorization for a 401: HTTP Basic (RFC 7617) and Digest (RFC 7616), whichever is asked for."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

# Longer challenges than this are no challenges.
CHALLENGE_SIZE_MAX: Final = 4096

_HASHES: Final[dict[str, Callable[[bytes], str]]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}
_PARAMETER = r"""([A-Za-z][A-Za-z0-9_-]*)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+)"""
_CHALLENGE = re.compile(
    rf"""(?:^|,)\s*(Basic|Digest)(?=\s|,|$)((?:[\s,]+{_PARAMETER})*)""", re.IGNORECASE
)
_SAFE = re.compile(r'[^"\\\x00-\x1f\x7f]*')


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and password from a webhook URL."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(...)"


def answer_challenges(
    headers: Iterable[str], credentials: Credentials, *, method: str, uri: str, cnonce: str
) -> str | None:
    """Return the Authorization value for the strongest challenge among WWW-Authenticate headers.

    None when nothing is asked that can be answered. *uri* is the request's path and query.
    """
    challenges = [found for header in headers for found in parse_challenges(header)]
    digests = [parameters for scheme, parameters in challenges if scheme == "digest"]
    for algorithm in ("SHA-256", "MD5"):
        for parameters in digests:
            if parameters.get("algorithm", "MD5").upper() == algorithm:
                return _digest(parameters, credentials, method=method, uri=uri, cnonce=cnonce)
    if any(scheme == "basic" for scheme, _ in challenges):
        pair = f"{credentials.username}:{credentials.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    return None


def parse_challenges(header: str) -> list[tuple[str, dict[str, str]]]:
    """Return (scheme, parameters) for each Basic and Digest challenge; schemes in lower case."""
    if len(header) > CHALLENGE_SIZE_MAX:
        return []
    return [
        (
            found[1].lower(),
            {name.lower(): _unquoted(value) for name, value in re.findall(_PARAMETER, found[2])},
        )
        for found in _CHALLENGE.finditer(header)
    ]


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _digest(
    parameters: dict[str, str], credentials: Credentials, *, method: str, uri: str, cnonce: str
) -> str | None:
    """Return the Digest answer with qop=auth, or as RFC 2069 without; None if unanswerable."""
    realm, nonce = parameters.get("realm", ""), parameters.get("nonce", "")
    opaque, qops = parameters.get("opaque"), parameters.get("qop")
    algorithm = parameters.get("algorithm", "MD5").upper()
    echoed = (realm, nonce, opaque or "", credentials.username)
    if not all(_SAFE.fullmatch(text) for text in echoed):
        return None
    if qops is not None and "auth" not in re.split(r"[\s,]+", qops.lower()):
        return None

    def digest(*texts: str) -> str:
        return _HASHES[algorithm](":".join(texts).encode())

    secret = digest(credentials.username, realm, credentials.password)
    asked = digest(method, uri)
    fields = {"username": f'"{credentials.username}"', "realm": f'"{realm}"'}
    fields |= {"nonce": f'"{nonce}"', "uri": f'"{uri}"', "algorithm": algorithm}
    if qops is None:
        fields["response"] = f'"{digest(secret, nonce, asked)}"'
    else:
        response = digest(secret, nonce, "00000001", cnonce, "auth", asked)
        fields |= {"response": f'"{response}"', "qop": "auth", "nc": "00000001"}
        fields["cnonce"] = f'"{cnonce}"'
    if opaque is not None:
        fields["opaque"] = f'"{opaque}"'
    return "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items())
