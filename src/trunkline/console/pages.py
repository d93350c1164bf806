"""Pages from templates: escaping, visible control characters, words for times and prices."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from trunkline.console.visit import PREFIX, Visit
from trunkline.domain.address import national_format
from trunkline.domain.message import Message, Status

HERE = Path(__file__).parent

# A control character changes what stands beside it, or hides; its picture (U+2400 …) does neither.
# Of the marks for direction only the overrides (U+202D, U+202E) go: they make text read as another.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e\ud800-\udfff]")
_QUOTED = re.compile(r"`([^`]*)`")
_PICTURES = 0x2400
_DELETE, _DELETE_PICTURE = 0x7F, "\u2421"
_REPLACEMENT = "\ufffd"

_TONES = {
    Status.SENT: "is-moving",
    Status.RECEIVED: "is-moving",
    Status.DELIVERED: "is-good",
    Status.READ: "is-good",
    Status.FAILED: "is-bad",
    Status.UNDELIVERED: "is-bad",
}


def visible(text: str) -> str:
    """Return *text* with pictures in place of control characters; line ends and tabs stay."""
    return _CONTROL.sub(lambda found: _picture(ord(found[0])), text)


def tone(status: Status) -> str:
    """Return the class that colours a status."""
    return _TONES.get(status, "")


def spoken(number: str | None) -> str:
    """Return a number as people write it; what is no E.164 number stays as it is."""
    if not number:
        return "—"
    return national_format(number) if number.startswith("+1") else number


def price(amount: Decimal | None) -> str:
    """Return a cost in dollars, or nothing while it is not known."""
    return "" if amount is None else f"${amount.normalize():f}"


def page(
    visit: Visit,
    template: str,
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: object,
) -> HTMLResponse:
    """Return a page; `visit` and `here` (the path within the console) are known to its template."""
    here = visit.request.url.path.removeprefix(PREFIX)
    text = _TEMPLATES.get_template(template).render(visit=visit, here=here, **values)
    return HTMLResponse(text, status_code=status_code, headers=headers)


def _picture(code: int) -> str:
    if code < ord(" "):
        return chr(_PICTURES + code)
    return _DELETE_PICTURE if code == _DELETE else _REPLACEMENT


def _finalize(value: object) -> object:
    # What a template itself writes is Markup and stays as it is.
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _clock(at: datetime) -> Markup:
    return Markup('<time datetime="{}" title="{}">{:%H:%M}</time>').format(
        at.isoformat(timespec="milliseconds"), at.strftime("%d %b %Y %H:%M:%S UTC"), at
    )


def _exact(at: datetime) -> Markup:
    return Markup('<time datetime="{}" data-exact>{} UTC</time>').format(
        at.isoformat(timespec="milliseconds"), at.strftime("%d %b, %H:%M:%S.%f")[:-3]
    )


def _marked(text: str) -> Markup:
    """Return a text with what stands between backticks as code."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(visible(text)))))  # noqa: S704 - escaped before.


def _error_code(message: Message) -> str:
    return "" if message.error_code is None else f"{message.error_code} {message.error_message}"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "clock": _clock,
        "exact": _exact,
        "spoken": spoken,
        "price": price,
        "tone": tone,
        "why": _error_code,
        "marked": _marked,
    }
    return made


_TEMPLATES = _environment()
