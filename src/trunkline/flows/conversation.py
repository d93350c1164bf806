"""An inbound text is told to its application, and the TwiML that comes back is obeyed."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from msgspec.structs import replace

from trunkline.domain.account import Account
from trunkline.domain.address import parse_recipient, parse_sender
from trunkline.domain.errors import Refusal
from trunkline.domain.message import IN_REPLY_TO, Direction, Message, Status
from trunkline.domain.sending import Draft, Parties
from trunkline.flows import mms
from trunkline.flows.callbacks import Delivery, call
from trunkline.flows.consent import check_terms
from trunkline.flows.messages import find
from trunkline.flows.outbound import check_ownership, check_queue, new_message
from trunkline.flows.permissions import check_reply, said
from trunkline.flows.platform import Platform
from trunkline.store.callbacks import CallbackRow, find_cookies
from trunkline.store.erasure import without_text
from trunkline.twiml import Document, FetchNext, Reply, TwimlError, read_answer
from trunkline.webhooks.request import is_webhook_url, resolve
from trunkline.webhooks.requester import Requester

FETCHES_MAX = (
    10  # Documents one inbound text may lead through; Twilio's limit has no number (14106).
)
# Twilio: more than 15 replies between two numbers within 30 s are a loop (14107).
LOOP_REPLIES_MAX = 15
LOOP_SECONDS = 30
PAIRS_MAX = 10_000  # Pairs the loop guard remembers; about 3 MB.

RETRIEVAL_LIMIT = 14106
LOOP = 14107
BAD_TO, BAD_FROM, BAD_STATUS_CALLBACK, NOT_CAPABLE = 14101, 14102, 14105, 14108


class LoopGuard:
    """Counts replies between pairs of numbers."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], list[datetime]] = {}

    def is_looping(self, sender: str, recipient: str, *, now: datetime) -> bool:
        """Count one reply, and tell whether there are too many lately."""
        pair = (sender, recipient)
        lately = [
            at for at in self._sent.pop(pair, ()) if at > now - timedelta(seconds=LOOP_SECONDS)
        ]
        if len(self._sent) >= PAIRS_MAX:
            self._sent.pop(next(iter(self._sent)))
        looping = len(lately) >= LOOP_REPLIES_MAX
        self._sent[pair] = lately if looping else [*lately, now]
        return looping


async def deliver_inbound(
    platform: Platform, sender: Requester, row: CallbackRow, *, guard: LoopGuard
) -> Delivery:
    """Tell an application of an inbound text and collect the replies it wants sent.

    When its URL fails in any way the fallback URL is asked instead, with ErrorCode and ErrorUrl.
    Of a text that was redacted or deleted meanwhile it is still told, without the text; what it
    answers to a deleted one has nobody to go to.
    """
    message = await find(platform, row.account_sid, row.message_sid)
    if message is None or not message.body:
        row = replace(row, parameters=without_text(row.parameters))
    delivery = Delivery(row=row, message=message)
    account = await platform.directory.account(row.account_sid)
    if message is None or account is None:
        await call(
            platform, sender, delivery, url=row.url, method=row.method, parameters=row.parameters
        )
        return delivery
    talk = _Talk(platform, sender, delivery, account=account, message=message, guard=guard)
    await talk.follow(row.url, row.method, parameters=row.parameters)
    if delivery.error_code is not None and row.fallback_url:
        failed = {"ErrorCode": str(delivery.error_code), "ErrorUrl": delivery.error_url}
        delivery.warnings.append(
            (delivery.error_code, f"{delivery.reason}; the fallback URL was asked")
        )
        delivery.error_code, delivery.replies = None, []
        await talk.follow(
            row.fallback_url, row.fallback_method, parameters={**row.parameters, **failed}
        )
    return delivery


class _Talk:
    """One conversation: which documents were fetched, and what they asked for."""

    def __init__(
        self,
        platform: Platform,
        sender: Requester,
        delivery: Delivery,
        *,
        account: Account,
        message: Message,
        guard: LoopGuard,
    ) -> None:
        self.platform = platform
        self.sender = sender
        self.delivery = delivery
        self.account = account
        self.message = message
        self.guard = guard

    async def follow(self, url: str, method: str, *, parameters: Mapping[str, str]) -> None:
        """Fetch a document and those it leads to, until one ends the conversation or fails."""
        for _ in range(FETCHES_MAX):
            document = await self._fetch(url, method, parameters=parameters)
            if document is None:
                return
            following = await self._obey(document)
            if following is None:
                return
            url = resolve(url, following[0])
            method, extra = following[1], following[2]
            parameters = {**parameters, **extra}
        self.delivery.fail(RETRIEVAL_LIMIT, f"more than {FETCHES_MAX} documents", url=url)

    async def _fetch(
        self, url: str, method: str, *, parameters: Mapping[str, str]
    ) -> Document | None:
        await self._remember_cookies(url)
        delivery = self.delivery
        answer = await call(
            self.platform, self.sender, delivery, url=url, method=method, parameters=parameters
        )
        if answer is None or answer.error_code is not None:
            return None
        try:
            if answer.is_cut:
                raise TwimlError(11750, "the answer is larger than 64 kB")
            return read_answer(answer.content_type, answer.body)
        except TwimlError as error:
            delivery.fail(error.code, error.reason, url=url)
            return None

    async def _remember_cookies(self, url: str) -> None:
        if not is_webhook_url(url):
            return
        host = urlsplit(url).netloc.rpartition("@")[2]
        if host in self.delivery.jars:
            return
        message, now = self.message, self.platform.clock.now()
        jar = await self.platform.store.read(
            lambda db: find_cookies(
                db,
                message.account_sid,
                message.sender or "",
                message.recipient,
                host=host,
                now=now,
            )
        )
        if jar:
            self.delivery.jars[host] = jar

    async def _obey(self, document: Document) -> tuple[str, str, dict[str, str]] | None:
        """Do what a document says; return the URL, method and parameters of the next, if any."""
        self.delivery.warnings += [(warning.code, warning.reason) for warning in document.warnings]
        for action in document.actions:
            match action:
                case FetchNext(url, method):
                    return url, method, {}
                case Reply():
                    reply = await self._reply(action)
                    if reply is not None and action.action is not None:
                        return action.action, action.method, _action_parameters(reply)
        return None

    async def _reply(self, reply: Reply) -> Message | None:
        """Add the message that *reply* asks for; what cannot be sent is noted and left out."""
        try:
            draft = await self._draft(reply)
        except Refusal as refusal:
            self.delivery.warnings.append((refusal.code, refusal.message))
            return None
        self.delivery.replies.append(draft)
        return draft.message

    async def _draft(self, reply: Reply) -> Draft:
        sender = parse_sender(reply.from_ or self.message.recipient)
        recipient = parse_recipient(reply.to or self.message.sender or "")
        if sender is None:
            raise Refusal(BAD_FROM, number=reply.from_ or "")
        if recipient is None or recipient.text == sender.text:
            raise Refusal(BAD_TO, number=reply.to or "")
        await check_ownership(self.platform, self.account, Parties(sender, recipient))
        await check_reply(self.platform, self.account, recipient=recipient, sender=sender)
        callback = reply.status_callback
        if callback is not None:
            callback = resolve(self.delivery.row.url, callback)
            if not is_webhook_url(callback):
                raise Refusal(BAD_STATUS_CALLBACK, name=callback)
        media = tuple(resolve(self.delivery.row.url, url) for url in reply.media)
        message = new_message(
            self.platform,
            self.account.sid,
            direction=Direction.OUTBOUND_REPLY,
            sender=sender.text,
            recipient=recipient.text,
            body=said(self.account, reply.body, recipient=recipient.text),
            num_media=len(media),
            status_callback=callback,
            options={IN_REPLY_TO: self.message.sid},
        )
        await mms.check_sender(self.platform, message)
        if recipient.text != self.message.sender:  # Who texted us wants to be answered.
            await check_terms(self.platform, Draft(message))
        await check_queue(self.platform, message)
        if self.guard.is_looping(sender.text, recipient.text, now=message.created_at):
            message = replace(message, status=Status.FAILED, error_code=LOOP)
        return Draft(message, media)


def _action_parameters(reply: Message) -> dict[str, str]:
    """Return what the document at a reply's action URL is asked with."""
    return {
        "MessageSid": reply.sid,
        "SmsSid": reply.sid,
        "MessageStatus": reply.status.value,
        "SmsStatus": reply.status.value,
        "From": reply.sender or "",
        "To": reply.recipient,
        "Body": reply.body,
    }
