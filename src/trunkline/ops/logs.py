"""The log: lines with a name and facts, ours and the libraries', to standard error.

Rule 1: no line holds a number, a text, a secret or a URL's query, whoever wrote it.
Rule 2: a line that cannot be written, as on a full disk, is no trouble of who wrote it.
"""

import contextlib
import io
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

OURS = "trunkline"
HIDDEN = "***"
# What facts of these names hold is nobody's business, whoever logs them.
SECRET_NAMES = frozenset(
    {
        *("body", "text", "texts", "short_message", "head", "media"),
        *("password", "token", "auth_token", "secret", "authorization", "cookie", "key"),
        *("sender", "recipient", "number", "phone_number", "from", "to"),
    }
)
# Seven digits and more that stand alone, as in E.164; those in a SID or a time do not.
_NUMBER = re.compile(r"(?<![0-9A-Za-z.])(?:\+|%2[Bb])?[1-9][0-9]{6,14}(?![0-9A-Za-z])")
_SPACED = re.compile(r"\+[1-9](?:[ ().-]{0,2}[0-9]){6,14}(?![0-9A-Za-z])")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"(?<=[\w/])\?[^\s\"'<>]+=[^\s\"'<>]*")
# Levels of libraries below this say what they do all day.
_LIBRARIES = logging.WARNING


class _Unfailing(io.TextIOBase):
    """A stream that takes whatever it is given; what the one behind it refuses is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what is held back, if that is possible."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Say whether a person looks on."""
        return self._stream.isatty()


def configure_log(level: str, *, is_json: bool, stream: TextIO | None = None) -> None:
    """Send lines of at least *level* to standard error; may be called again at any time."""
    target = cast(TextIO, _Unfailing(stream or sys.stderr))
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.format_exc_info,
        redact,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Processor = (
        structlog.processors.JSONRenderer()
        if is_json
        # Plain tracebacks: the pretty ones print local variables, which hold texts and numbers.
        else structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(target),
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(least, _LIBRARIES), force=True)
    logging.getLogger(OURS).setLevel(least)


def redact(logger: WrappedLogger, method_name: str, event_dict: EventDict) -> EventDict:
    """Hide what no line may hold: facts by their names, numbers and queries wherever they stand."""
    _redact(event_dict)
    return event_dict


def clean(text: str) -> str:
    """Return a text without phone numbers, logins and queries."""
    text = _LOGIN.sub(HIDDEN + "@", text)
    text = _QUERY.sub("?" + HIDDEN, text)
    return _NUMBER.sub(HIDDEN, _SPACED.sub(HIDDEN, text))


def _redact(facts: MutableMapping[str, object]) -> None:
    for name, value in facts.items():
        if name.startswith("_"):
            continue  # What the formatter keeps for itself.
        if name in SECRET_NAMES:
            facts[name] = HIDDEN
        elif isinstance(value, list | tuple):
            facts[name] = [clean(str(each)) for each in value]
        elif not isinstance(value, int | float | None):
            facts[name] = clean(value if isinstance(value, str) else str(value))
