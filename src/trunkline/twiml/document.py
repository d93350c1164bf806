"""TwiML text as a small tree of elements; document types, entities and deep nesting are refused."""

import codecs
import re
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

# Twilio reports 11750 above 64 kB (https://www.twilio.com/docs/errors/11750).
DOCUMENT_SIZE_MAX: Final = 64 * 1024
# <Response><Message><Body> is three deep; voice markup that we skip reaches about ten.
DEPTH_MAX: Final = 32

NOT_XML: Final = 12100
TOO_LARGE: Final = 11750

# Codecs whose decoding is linear and means text; punycode, idna and the escape codecs are neither.
_ENCODING = re.compile(
    r"ascii|utf-8|utf-16(-[bl]e)?|iso8859-\d+|cp\d+|koi8-[rtu]|mac-roman|tis-620"
    r"|shift_jis|iso2022_jp|euc_jp|euc_kr|gb2312|gbk|gb18030|big5|big5hkscs"
)
_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)


class TwimlError(Exception):
    """Say why an answer cannot be obeyed; *code* is Twilio's error code for it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(slots=True)
class Element:
    """One element; *content* holds its texts and child elements in document order."""

    name: str
    attributes: dict[str, str]
    content: list["str | Element"] = field(default_factory=list)


def parse_document(document: bytes | str, *, charset: str | None = None) -> Element:
    """Return the root element, or raise TwimlError 12100 or 11750.

    *charset* is the one the transport named; it wins over the document's own declaration
    (RFC 7303 §3), and a byte order mark wins over both.
    """
    text = document if isinstance(document, str) else decode_document(document, charset)
    try:
        data = text.lstrip("\ufeff \t\r\n").encode()
    except UnicodeEncodeError:
        raise TwimlError(NOT_XML, "the document holds half of a surrogate pair") from None
    _check_size(len(data))
    tree = _Tree()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as broken:
        raise TwimlError(NOT_XML, f"the document is not XML: {broken}") from None
    return tree.root


def decode_document(document: bytes, charset: str | None = None) -> str:
    """Return XML bytes as text by byte order mark, *charset*, declaration or else UTF-8."""
    _check_size(len(document))
    for mark, encoding in _BYTE_ORDER_MARKS:
        if document.startswith(mark):
            return _decode(document, encoding)
    declared = _DECLARED.match(document.lstrip())
    name = charset or (declared.group(1).decode("ascii") if declared else "utf-8")
    return _decode(document, name)


def decode_text(body: bytes, charset: str | None = None) -> str:
    """Return plain-text bytes as text; bytes that the encoding does not know become U+FFFD."""
    _check_size(len(body))
    return body.decode(_known_encoding(charset or "utf-8"), errors="replace").lstrip("\ufeff")


def _decode(document: bytes, name: str) -> str:
    encoding = _known_encoding(name)
    try:
        return document.decode(encoding)
    except UnicodeDecodeError as broken:
        raise TwimlError(NOT_XML, f"the document is not {name}: {broken.reason}") from None


def _known_encoding(name: str) -> str:
    try:
        encoding = codecs.lookup(name).name
    except (LookupError, ValueError):
        encoding = ""
    if not _ENCODING.fullmatch(encoding):
        raise TwimlError(NOT_XML, "the encoding of the document is not supported")
    return encoding


def _check_size(size: int) -> None:
    if size > DOCUMENT_SIZE_MAX:
        raise TwimlError(TOO_LARGE, f"the document is larger than {DOCUMENT_SIZE_MAX} bytes")


def _refuse_doctype(
    name: str, system_id: str | None, public_id: str | None, has_internal_subset: int
) -> None:
    # Entities can only be declared in a document type, so expansion attacks end here.
    raise TwimlError(NOT_XML, "a document type declaration is not accepted")


class _Tree:
    """Gather expat's events into elements."""

    def __init__(self) -> None:
        self._top = Element("", {})
        self._open = [self._top]

    @property
    def root(self) -> Element:
        """Return the document's one root; only meaningful after a parse without an error."""
        (root,) = (item for item in self._top.content if isinstance(item, Element))
        return root

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) > DEPTH_MAX:
            raise TwimlError(NOT_XML, f"elements are nested more than {DEPTH_MAX} deep")
        element = Element(name, attributes)
        self._open[-1].content.append(element)
        self._open.append(element)

    def end(self, name: str) -> None:
        assert self._open.pop().name == name

    def text(self, data: str) -> None:
        self._open[-1].content.append(data)
