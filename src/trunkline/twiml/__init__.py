"""TwiML for messaging: an answer in, the actions it asks for out; fetching is the caller's."""

from trunkline.twiml.actions import Action, Document, FetchNext, Remark, Reply, interpret, plain
from trunkline.twiml.content import Kind, charset_of, document_kind, read_answer
from trunkline.twiml.document import DOCUMENT_SIZE_MAX, TwimlError

__all__ = [
    "DOCUMENT_SIZE_MAX",
    "Action",
    "Document",
    "FetchNext",
    "Kind",
    "Remark",
    "Reply",
    "TwimlError",
    "charset_of",
    "document_kind",
    "interpret",
    "plain",
    "read_answer",
]
