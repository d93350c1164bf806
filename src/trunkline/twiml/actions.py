"""What a messaging TwiML document asks for: replies to send, then perhaps another document."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from trunkline.domain.text import BODY_MAX, body_length
from trunkline.twiml.document import Element, TwimlError, parse_document

# https://www.twilio.com/docs/errors/14109 and the limits of <Message> and <Media>.
REPLIES_MAX: Final = 10
MEDIA_MAX: Final = 10
# A document of 64 kB can hold thousands of unknown names; the first few say what is wrong.
WARNINGS_MAX: Final = 20

METHODS: Final = ("GET", "POST")
MESSAGE_VERBS: Final = ("Message", "Sms")
MESSAGE_ATTRIBUTES: Final = frozenset({"to", "from", "action", "method", "statusCallback"})
VOICE_VERBS: Final = frozenset(
    "Connect Dial Echo Enqueue Gather Hangup Leave Pause Pay Play Prompt Queue Record Refer Reject"
    " Say Start Stop".split()
)

BAD_URL: Final = 11100
NOT_A_RESPONSE: Final = 12102
UNKNOWN_MARKUP: Final = 12200
BAD_TO: Final = 14101
BAD_FROM: Final = 14102
BAD_BODY: Final = 14103
BAD_METHOD: Final = 14104
TOO_MANY_REPLIES: Final = 14109
NOT_FOR_MESSAGES: Final = 14110


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Send one message; absent addresses mean the inbound message's own, turned round.

    With an *action*, the document found there replaces all that would follow this reply.
    """

    body: str
    media: tuple[str, ...] = ()
    to: str | None = None
    from_: str | None = None
    action: str | None = None
    method: str = "POST"
    status_callback: str | None = None


@dataclass(frozen=True, slots=True)
class FetchNext:
    """Continue with the document at *url*, which may be relative to the present one."""

    url: str
    method: str = "POST"


Action = Reply | FetchNext


@dataclass(frozen=True, slots=True)
class Remark:
    """Report something that was skipped; *code* is Twilio's warning code."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Document:
    """The actions of one document in their order, and what was skipped on the way."""

    actions: tuple[Action, ...] = ()
    warnings: tuple[Remark, ...] = ()


def interpret(document: bytes | str, *, charset: str | None = None) -> Document:
    """Return what *document* asks for; unknown verbs and attributes are skipped with a warning.

    Raises TwimlError 11750, 12100, 12102, 11100 or 14101 to 14109; then nothing of it is obeyed.
    Rules: https://www.twilio.com/docs/messaging/twiml.
    """
    root = parse_document(document, charset=charset)
    if root.name != "Response":
        raise TwimlError(NOT_A_RESPONSE, f"the root element is <{root.name}>, not <Response>")
    reader = _Reader()
    actions = tuple(reader.actions(root))
    return Document(actions, tuple(reader.warnings))


def plain(text: str) -> Reply:
    """Return the reply that a text/plain answer stands for; raise TwimlError 14103 if too long."""
    return Reply(body=_checked_body(text.strip()))


@dataclass(slots=True)
class _Reader:
    """Walk one document and collect its warnings."""

    warnings: list[Remark] = field(default_factory=list)

    def actions(self, root: Element) -> Iterator[Action]:
        """Yield actions until the document ends or hands over to another one."""
        self._check_attributes(root, frozenset())
        replies = 0
        for verb in self._children(root):
            if verb.name == "Redirect":
                yield self._redirect(verb)
                return
            if verb.name not in MESSAGE_VERBS:
                self._skip_verb(verb.name)
                continue
            replies += 1
            if replies > REPLIES_MAX:
                raise TwimlError(TOO_MANY_REPLIES, f"more than {REPLIES_MAX} replies")
            reply = self._reply(verb)
            yield reply
            if reply.action is not None:
                return

    def _redirect(self, verb: Element) -> FetchNext:
        self._check_attributes(verb, frozenset({"method"}))
        url = self._only_text(verb)
        if not url:
            raise TwimlError(BAD_URL, "<Redirect> holds no URL")
        return FetchNext(url, _method(verb))

    def _reply(self, verb: Element) -> Reply:
        self._check_attributes(verb, MESSAGE_ATTRIBUTES)
        body, media = self._message_content(verb)
        return Reply(
            body=_checked_body(body, may_be_empty=bool(media)),
            media=media,
            to=_address(verb, "to", code=BAD_TO),
            from_=_address(verb, "from", code=BAD_FROM),
            action=_optional(verb, "action"),
            method=_method(verb),
            status_callback=_optional(verb, "statusCallback"),
        )

    def _message_content(self, verb: Element) -> tuple[str, tuple[str, ...]]:
        """Return the joined text of a <Message>, bare or in <Body>, and its media URLs."""
        texts: list[str] = []
        media: list[str] = []
        for item in verb.content:
            if isinstance(item, str):
                texts.append(item)
            elif item.name == "Body":
                self._check_attributes(item, frozenset())
                texts.append(self._only_text(item))
            elif item.name == "Media":
                self._check_attributes(item, frozenset())
                media.append(self._only_text(item))
            else:
                self._warn(UNKNOWN_MARKUP, f"<{item.name}> does not belong in <{verb.name}>")
        if len(media) > MEDIA_MAX:
            raise TwimlError(BAD_BODY, f"more than {MEDIA_MAX} <Media> in one message")
        if "" in media:
            self._warn(UNKNOWN_MARKUP, "<Media> holds no URL")
        return _joined(texts), tuple(url for url in media if url)

    def _children(self, root: Element) -> Iterator[Element]:
        for item in root.content:
            if isinstance(item, Element):
                yield item
            elif item.strip():
                self._warn(UNKNOWN_MARKUP, f"text directly inside <{root.name}>")

    def _only_text(self, element: Element) -> str:
        for item in element.content:
            if isinstance(item, Element):
                self._warn(UNKNOWN_MARKUP, f"<{item.name}> does not belong in <{element.name}>")
        return "".join(item for item in element.content if isinstance(item, str)).strip()

    def _check_attributes(self, element: Element, known: frozenset[str]) -> None:
        for name in element.attributes:
            # Namespace declarations and schema locations are part of XML, not of TwiML.
            if name not in known and name != "xmlns" and ":" not in name:
                self._warn(UNKNOWN_MARKUP, f"<{element.name}> has no attribute {name}")

    def _skip_verb(self, name: str) -> None:
        if name in VOICE_VERBS:
            self._warn(NOT_FOR_MESSAGES, f"<{name}> is a verb for calls")
        else:
            self._warn(UNKNOWN_MARKUP, f"<{name}> is not a messaging verb")

    def _warn(self, code: int, reason: str) -> None:
        if len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(Remark(code, reason))


def _joined(texts: list[str]) -> str:
    """Join pieces as they stand, except that mere indentation between elements says nothing."""
    return "".join(text for text in texts if text.strip()).strip()


def _checked_body(body: str, *, may_be_empty: bool = False) -> str:
    if not body and not may_be_empty:
        raise TwimlError(BAD_BODY, "a reply has neither text nor media")
    if body_length(body) > BODY_MAX:
        raise TwimlError(BAD_BODY, f"the text of a reply exceeds {BODY_MAX} characters")
    return body


def _method(verb: Element) -> str:
    method = verb.attributes.get("method", "POST").strip().upper()
    if method not in METHODS:
        raise TwimlError(BAD_METHOD, f"the method of <{verb.name}> is neither GET nor POST")
    return method


def _address(verb: Element, name: str, *, code: int) -> str | None:
    """Return an address attribute; a blank one is an error, for it was meant to say something."""
    if name not in verb.attributes:
        return None
    address = verb.attributes[name].strip()
    if not address:
        raise TwimlError(code, f"the attribute {name} of <{verb.name}> is empty")
    return address


def _optional(verb: Element, name: str) -> str | None:
    return verb.attributes.get(name, "").strip() or None
