"""Small HTTP requests of the examination: one question, one answer, or why there is none."""

import base64
import http.client
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

# A server that takes longer is in trouble, and the examination is not to hang with it.
ANSWER_SECONDS_MAX = 5
ANSWER_SIZE_MAX = 4_000_000  # A thousand carriers with all their connections.


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered; trouble says why it did not."""

    status: int = 0
    body: bytes = b""
    trouble: str = ""
    is_refused: bool = False

    @property
    def document(self) -> dict[str, object]:
        """The body as a JSON object; empty for anything else."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {}


def ask(url: str, *, user: str = "", password: str = "") -> Reply:
    """Return what a GET request to *url* is answered with."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Accept": "application/json"}
    if user:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    try:
        # Without a proxy: http.client asks the environment for none.
        connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS_MAX)
        try:
            connection.request("GET", parts.path or "/", headers=headers)
            answer = connection.getresponse()
            return Reply(status=answer.status, body=answer.read(ANSWER_SIZE_MAX))
        finally:
            connection.close()
    except ConnectionRefusedError:
        return Reply(trouble="nothing listens there", is_refused=True)
    except ssl.SSLCertVerificationError as error:
        return Reply(trouble=f"its certificate is not trusted: {error.verify_message}")
    except TimeoutError:
        return Reply(trouble=f"no answer within {ANSWER_SECONDS_MAX} seconds")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Reply(trouble=str(error) or type(error).__name__)


def certificate_end(url: str) -> tuple[datetime | None, str]:
    """Return when the certificate of an https server ends; None, and why, when it is not trusted.

    A certificate that is not trusted is not read: what is wrong with it is what matters.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), timeout=ANSWER_SECONDS_MAX) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            ends = str((encrypted.getpeercert() or {}).get("notAfter", ""))
            return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC), ""
    except ssl.SSLCertVerificationError as error:
        return None, error.verify_message
    except (OSError, ValueError) as error:
        return None, str(error) or type(error).__name__
