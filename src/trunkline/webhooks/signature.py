"""X-Twilio-Signature, as the official SDKs validate it.

Rules: https://www.twilio.com/docs/usage/webhooks/webhooks-security.
"""

import hashlib
import hmac
from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

# Keys that stay ready: those of the accounts that are busy at one time.
TOKENS_KEPT_MAX: Final = 256


def sign(auth_token: str, url: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
    """Return the signature of a request: the URL, then every form field by name and value.

    A pair that occurs twice counts once, as in the validators of the SDKs. For GET, and for
    bodies that are not forms, only the URL is signed.
    """
    return _seal(auth_token, url + "".join(name + value for name, value in sorted(set(parameters))))


def sign_form(auth_token: str, url: str, *, form: Mapping[str, str]) -> str:
    """Return what sign() does for the fields of *form*, of which none can occur twice."""
    return _seal(auth_token, url + "".join([name + form[name] for name in sorted(form)]))


def sign_body(url: str, body: bytes) -> str:
    """Return *url* with the bodySHA256 of a body that is no form; the result is what is signed."""
    separator = "&" if "?" in url else "?"
    return f"{url}{separator}bodySHA256={hashlib.sha256(body).hexdigest()}"


def _seal(auth_token: str, text: str) -> str:
    keyed = _keyed(auth_token).copy()
    keyed.update(text.encode())
    return b2a_base64(keyed.digest(), newline=False).decode("ascii")


@lru_cache(TOKENS_KEPT_MAX)
def _keyed(auth_token: str) -> hmac.HMAC:
    """Return an HMAC with nothing but its key in it, to be copied."""
    # SHA-1 is what the protocol names; as an HMAC it is still sound.
    return hmac.new(auth_token.encode(), digestmod=hashlib.sha1)
