"""Status callbacks and inbound webhooks of the upstream account: their address, and who made them.

Rules: https://www.twilio.com/docs/usage/webhooks/webhooks-security. The address holds a token that
nobody else knows; where there is an auth token, the signature must be right as well.
"""

import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, quote, urlsplit

from trunkline.carriers.twilio.settings import TwilioSettings, is_loopback, is_private
from trunkline.webhooks.signature import sign

TOKEN_DIGITS = 32
MEDIA_MAX = 10
# 1,600 characters in segments of 67, the most a message can have.
SEGMENTS_MAX = 24


class Address:
    """Where the upstream account calls us for one carrier."""

    def __init__(self, name: str, settings: TwilioSettings, *, callback_url: str) -> None:
        self._auth_token = settings.auth_token
        # Who has the credentials may know it, and after a restart it is the same.
        secret = settings.auth_token or settings.password
        digest = hmac.new(secret.encode(), f"{settings.account_sid}/{name}".encode(), "sha256")
        self._token = digest.hexdigest()[:TOKEN_DIGITS]
        self.url = f"{callback_url.rstrip('/')}/{quote(name, safe='')}/told/{self._token}"
        self.is_used = settings.callbacks == "auto" and _can_reach(settings.base_url, callback_url)

    def status_url(self, segment_count: int) -> str:
        """Return the StatusCallback of a message: its segments, which no callback names, go along.

        Each segment has a reference of its own, and a status speaks of all of them.
        """
        return self.url if segment_count == 1 else f"{self.url}?segments={segment_count}"

    def segments(self, url: str) -> int:
        """Return how many segments the message has that a callback to *url* speaks of."""
        text = parse_qs(urlsplit(url).query).get("segments", ["1"])[0]
        is_number = text.isascii() and text.isdigit() and len(text) < 3
        return min(max(int(text), 1), SEGMENTS_MAX) if is_number else 1

    def is_genuine(self, url: str, signature: str, *, form: Mapping[str, str]) -> bool:
        """Say whether a request came from the upstream account, by way of whatever proxy."""
        parts = urlsplit(url)
        token = parts.path.rpartition("/")[2]
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return False
        if not self._auth_token:
            return True
        signed = self.url + (f"?{parts.query}" if parts.query else "")
        expected = sign(self._auth_token, signed, form.items())
        return hmac.compare_digest(expected.encode(), signature.encode())

    def hidden(self, text: str) -> str:
        """Return a text without the token."""
        return text.replace(self._token, "…")


def segment_refs(sid: str, count: int) -> tuple[str, ...]:
    """Return the references of a message's segments: the SID, then SID#2 and so on."""
    return (sid, *(f"{sid}#{number}" for number in range(2, count + 1)))


def media_of(form: Mapping[str, str]) -> Sequence[str]:
    """Return the addresses of the media of an inbound webhook."""
    names = (f"MediaUrl{index}" for index in range(MEDIA_MAX))
    return tuple(form[name] for name in names if name in form)


def _can_reach(base_url: str, callback_url: str) -> bool:
    """Say whether the upstream API can call our address: from here, or from the internet."""
    there, here = urlsplit(base_url).hostname or "", urlsplit(callback_url).hostname or ""
    if not here:
        return False
    return is_loopback(there) or not is_private(here)
