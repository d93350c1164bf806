"""What a webhook's answer is by its content type: TwiML, plain text, or nothing to do."""

from email.message import Message
from enum import Enum
from typing import Final

from trunkline.twiml.actions import Document, interpret, plain
from trunkline.twiml.document import TwimlError, decode_text

BAD_CONTENT_TYPE: Final = 12300
# text/html is what web frameworks say when a handler returns str(response).
XML_TYPES: Final = frozenset({"text/xml", "application/xml", "text/html"})


class Kind(Enum):
    """How an answer is to be read."""

    TWIML = "twiml"
    TEXT = "text"
    EMPTY = "empty"


def document_kind(content_type: str | None, body: bytes) -> Kind:
    """Return how to read *body*; blank bodies are EMPTY whatever their type.

    Raises TwimlError 12300 for a type that is neither XML nor plain text, or for none.
    """
    if not body.strip():
        return Kind.EMPTY
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type in XML_TYPES or media_type.endswith("+xml"):
        return Kind.TWIML
    if media_type == "text/plain":
        return Kind.TEXT
    raise TwimlError(BAD_CONTENT_TYPE, "the content type is neither XML nor text/plain")


def charset_of(content_type: str | None) -> str | None:
    """Return the charset parameter of a content type, or None."""
    header = Message()
    header["Content-Type"] = content_type or ""
    charset = header.get_param("charset", None)
    return charset.strip() or None if isinstance(charset, str) else None


def read_answer(content_type: str | None, body: bytes) -> Document:
    """Return what a webhook's answer asks for, or raise TwimlError as the readers do."""
    match document_kind(content_type, body):
        case Kind.TWIML:
            return interpret(body, charset=charset_of(content_type))
        case Kind.TEXT:
            return Document((plain(decode_text(body, charset_of(content_type))),))
        case Kind.EMPTY:
            return Document()
