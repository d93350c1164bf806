"""X-Twilio-Signature, as the official SDKs validate it.

Rules: https://www.twilio.com/docs/usage/webhooks/webhooks-security.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable


def sign(auth_token: str, url: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
    """Return the signature of a request: the URL, then every form field by name and value.

    A pair that occurs twice counts once, as in the validators of the SDKs. For GET, and for
    bodies that are not forms, only the URL is signed.
    """
    text = url + "".join(name + value for name, value in sorted(set(parameters)))
    # SHA-1 is what the protocol names; as an HMAC it is still sound.
    digest = hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def sign_body(url: str, body: bytes) -> str:
    """Return *url* with the bodySHA256 of a body that is no form; the result is what is signed."""
    separator = "&" if "?" in url else "?"
    return f"{url}{separator}bodySHA256={hashlib.sha256(body).hexdigest()}"
