"""An upstream Twilio account that the environment, or a `.env` file, offers as a carrier.

Rules: nothing in a file is run or expanded; the environment wins; the incomplete offers nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NAME = "twilio"
TYPE = "twilio"
PREFIX = "TWILIO_"
FILE = ".env"
# Nobody writes a longer one by hand; a larger file is some other file.
FILE_SIZE_MAX = 100_000

# The variables that may hold a setting, the first that is set wins; Twilio's own pages use both.
VARIABLES = {
    "account_sid": ("TWILIO_ACCOUNT_SID",),
    "api_key_sid": ("TWILIO_API_KEY_SID", "TWILIO_API_KEY"),
    "api_key_secret": ("TWILIO_API_KEY_SECRET", "TWILIO_API_SECRET"),
    "auth_token": ("TWILIO_AUTH_TOKEN",),
    "from_number": ("TWILIO_FROM_NUMBER", "TWILIO_PHONE_NUMBER"),
    "messaging_service_sid": ("TWILIO_MESSAGING_SERVICE_SID",),
    "base_url": ("TWILIO_BASE_URL",),
}
SECRETS = frozenset({"api_key_secret", "auth_token"})

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_SINGLE = re.compile(r"'([^']*)'\s*(?:#.*)?")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedCarrier:
    """A carrier account as the environment describes it; secrets never show."""

    name: str = NAME
    type: str = TYPE
    settings: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)


def offered(environ: Mapping[str, str], directory: Path = Path()) -> OfferedCarrier | None:
    """Return the carrier that the variables describe, those of *directory*'s `.env` included.

    None without an account and something to sign in with.
    """
    variables = {**read_dotenv(directory / FILE), **{k: v for k, v in environ.items() if v}}
    found = {
        name: value
        for name, names in VARIABLES.items()
        if (value := next((variables[n] for n in names if variables.get(n)), ""))
    }
    has_key = bool(found.get("api_key_sid") and found.get("api_key_secret"))
    if not found.get("account_sid") or not (has_key or found.get("auth_token")):
        return None
    if not has_key:
        found.pop("api_key_sid", None)
        found.pop("api_key_secret", None)
    if "messaging_service_sid" in found:
        # A service chooses the sender; a number beside it is one of the service's.
        found.pop("from_number", None)
    return OfferedCarrier(
        settings={name: value for name, value in found.items() if name not in SECRETS},
        secrets={name: value for name, value in found.items() if name in SECRETS},
    )


def read_dotenv(path: Path) -> dict[str, str]:
    """Return Twilio's variables of a `.env` file; a file that is none of ours holds nothing."""
    try:
        # Opening something that is no file, a pipe for example, could wait for ever.
        if not path.is_file() or path.stat().st_size > FILE_SIZE_MAX:
            return {}
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: v for name, v in parse_dotenv(text).items() if name.startswith(PREFIX)}


def parse_dotenv(text: str) -> dict[str, str]:
    """Return the variables of a text with lines like `export NAME="value"  # why`.

    Values are literal but for the escapes within double quotes; lines that cannot be read are left
    out, and of a name that stands twice the last counts.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        value = None if match is None else _value(match[2])
        if match is not None and value is not None:
            found[match[1]] = value
    return found


def _value(text: str) -> str | None:
    """Read what stands behind the equals sign; None where a quote is not closed."""
    if text.startswith("'"):
        single = _SINGLE.fullmatch(text)
        return single[1] if single else None
    if text.startswith('"'):
        double = _DOUBLE.fullmatch(text)
        return _ESCAPE.sub(_unescaped, double[1]) if double else None
    # A comment begins at a number sign that stands at the beginning or behind a space.
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].rstrip()


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[1], match[1])
