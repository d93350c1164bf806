"""An inbound text is told to its application, and the TwiML that comes back is obeyed."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from msgspec.structs import replace

from trunkline.domain.account import Account
from trunkline.domain.errors import Refusal
from trunkline.domain.message import IN_REPLY_TO, Direction, Message, Status
from trunkline.domain.sending import Draft, SendRequest, check_parties
from trunkline.flows import mms
from trunkline.flows.callbacks import Delivery, Warned, call
from trunkline.flows.consent import check_terms
from trunkline.flows.inbound import geography
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
BAD_STATUS_CALLBACK = 14105
# What the API says of an address, as it is said of a <Message>.
_IN_TWIML = {
    **dict.fromkeys((21211, 21265, 21266, 63031), 14101),
    **dict.fromkeys((21212, 21659, 21660, 63007), 14102),
    21606: 14108,
}


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

    When a document cannot be had or read, the fallback URL is asked instead, with ErrorCode and
    ErrorUrl; what documents before it said stays said.
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
        reason = f"{delivery.reason}; the fallback URL was asked"
        delivery.warnings.append(Warned(delivery.error_code, reason, delivery.error_url))
        delivery.error_code = None
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
            following = await self._obey(document, url)
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

    async def _obey(self, document: Document, url: str) -> tuple[str, str, dict[str, str]] | None:
        """Do what the document at *url* says.

        Return URL, method and parameters of the next one, if any.
        """
        warned = [Warned(warning.code, warning.reason, url) for warning in document.warnings]
        self.delivery.warnings += warned
        for action in document.actions:
            match action:
                case FetchNext(following, method):
                    return following, method, {}
                case Reply():
                    reply = await self._reply(action, url)
                    if reply is not None and action.action is not None:
                        return action.action, action.method, _action_parameters(reply)
        return None

    async def _reply(self, reply: Reply, url: str) -> Message | None:
        """Add the message that a document asks for; what cannot be sent is noted and left out."""
        try:
            draft = await self._draft(reply, url)
        except Refusal as refusal:
            code = _IN_TWIML.get(refusal.code, refusal.code)
            self._warn(refusal if code == refusal.code else Refusal(code), url)
            return None
        self.delivery.replies.append(draft)
        return draft.message

    def _warn(self, refusal: Refusal, url: str) -> None:
        self.delivery.warnings.append(Warned(refusal.code, refusal.message, url))

    async def _draft(self, reply: Reply, url: str) -> Draft:
        asked = SendRequest(
            to=reply.to or self.message.sender, from_=reply.from_ or self.message.recipient
        )
        parties = check_parties(asked)
        sender, recipient = parties.sender, parties.recipient
        await check_ownership(self.platform, self.account, parties)
        await check_reply(self.platform, self.account, recipient=recipient, sender=sender)
        callback = reply.status_callback and resolve(url, reply.status_callback)
        if callback and not is_webhook_url(callback):
            self._warn(Refusal(BAD_STATUS_CALLBACK), url)
            callback = None
        media = tuple(resolve(url, each) for each in reply.media)
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
        **geography(reply),
        "SmsMessageSid": reply.sid,
        "MessageSid": reply.sid,
        "SmsSid": reply.sid,
        "MessageStatus": reply.status.value,
        "SmsStatus": reply.status.value,
        "From": reply.sender or "",
        "To": reply.recipient,
        "Body": reply.body,
    }
