"""Texts that stop or start others, or ask for help: what they change, and what answers them.

Rules: the change and its evidence commit with the text; a text that was brought before changes
nothing; a change is answered once, from the number that was texted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace
from sqlalchemy import Connection

from trunkline.domain.account import AccountStatus, Number
from trunkline.domain.address import AddressKind, country_of, is_tollfree, parse_recipient
from trunkline.domain.consent import Consent, Effect, Pair, Source, Statement
from trunkline.domain.errors import Refusal
from trunkline.domain.keywords import Action, Keyword, bare_word, find_keyword
from trunkline.domain.message import (
    CONSENT_ANSWER,
    IN_REPLY_TO,
    OPT_OUT_TYPE,
    Direction,
    Message,
)
from trunkline.domain.sending import Draft
from trunkline.domain.service import MessagingService
from trunkline.flows.consent import spoken_for
from trunkline.flows.outbound import new_message
from trunkline.flows.platform import Platform
from trunkline.flows.statuses import event
from trunkline.store.consents import declare, states
from trunkline.store.messages import Event
from trunkline.store.records import (
    ACCOUNTS,
    OPT_OUT_RULES,
    find_record,
    find_unique,
)

# Carriers that keep opt-outs of their own: they have answered already.
ANSWERS_ITSELF = frozenset({"twilio"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A text that is a keyword, as it is kept, with what it did; *draft* is what answers it."""

    message: Message
    trace: Event
    draft: Draft | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """A keyword that was texted to a number, and what its sender said before."""

    message: Message
    keyword: Keyword
    number: str
    service: MessagingService | None
    said: Mapping[Pair, Consent]

    @property
    def recipient(self) -> str:
        """Who texted us, to whom we would send."""
        return self.message.sender or ""

    @property
    def scopes(self) -> set[str]:
        """What a keyword is about: the number, and the service that it is in.

        Whoever stops a service's texts stops those of the number as well, wherever that goes.
        """
        return {self.number, self.service.sid if self.service else self.number}


def hear(
    platform: Platform,
    db: Connection,
    message: Message,
    *,
    number: Number,
    service: MessagingService | None,
) -> Heard | None:
    """Do what an inbound text says about others, if it says anything."""
    sender = parse_recipient(message.sender or "")
    if sender is None or sender.kind is not AddressKind.NUMBER or ":" in message.recipient:
        return None
    if not bare_word(message.body):
        return None
    rules = find_unique(db, OPT_OUT_RULES, service.sid) if service else None
    keyword = find_keyword(
        message.body,
        is_short_code=not number.phone_number.startswith("+"),
        is_tollfree=is_tollfree(number.phone_number),
        country=country_of(sender.text),
        rules=rules,
    )
    if keyword is None:
        return None
    text = _Text(
        message=message,
        keyword=keyword,
        number=number.phone_number,
        service=service,
        said=states(db, message.account_sid, [sender.text]),
    )
    trace, draft = _obey(platform, db, text)
    if rules is not None:
        message = replace(message, options={OPT_OUT_TYPE: keyword.action.value})
    return Heard(message=message, trace=trace, draft=draft)


def _obey(platform: Platform, db: Connection, text: _Text) -> tuple[Event, Draft | None]:
    """Change what a keyword changes; return what the trace says of it, and what answers it."""
    keyword, out = text.keyword, _scopes_out(db, text)
    changed = _change(platform, db, text, out=out)
    detail: dict[str, object] = {"keyword": keyword.word, "action": keyword.action.value}
    detail["scopes"] = sorted(changed)
    draft = None
    # A change is answered once, and a call for help of somebody who is not out.
    if changed or (keyword.action is Action.HELP and not out):
        try:
            draft = _answer(platform, db, text)
            detail["answer"] = draft.message.sid
        except Refusal as refusal:
            detail["not_answered"] = refusal.message
    return event(platform, text.message, "consent", detail=detail), draft


def _scopes_out(db: Connection, text: _Text) -> set[str]:
    """Return what the sender of a text opted out of that the number speaks for.

    That is the number itself, its service, and all numbers that are in the service by now.
    """
    out = (scope for (_, scope), status in text.said.items() if status is Consent.OUT)
    return spoken_for(db, text.scopes, out)


def _change(platform: Platform, db: Connection, text: _Text, *, out: set[str]) -> list[str]:
    """Keep what a text says, and return the scopes of which it is something new."""
    message = text.message
    match text.keyword.action:
        case Action.STOP:
            scopes, status, source = text.scopes, Consent.OUT, Source.OPT_OUT_MESSAGE
        case Action.START if out or _is_missing(text):
            scopes, status, source = text.scopes | out, Consent.IN, Source.OPT_IN_MESSAGE
        case _:  # YES of somebody who never stopped anything answers a question.
            return []
    evidence = {
        "keyword": text.keyword.word,
        "message_sid": message.sid,
        "to": message.recipient,
        "carrier": message.carrier,
    }
    statements = [
        Statement(
            recipient=text.recipient, scope=scope, status=status, source=source, evidence=evidence
        )
        for scope in sorted(scopes)
    ]
    declared = declare(db, message.account_sid, statements, at=platform.clock.now())
    return [
        said.scope
        for said, each in zip(statements, declared, strict=True)
        if each.effect is Effect.CHANGED
    ]


def _is_missing(text: _Text) -> bool:
    """Tell whether a service needs the consent that somebody has not given."""
    service = text.service
    if service is None or not service.requires_consent:
        return False
    return text.said.get((text.recipient, service.sid)) is not Consent.IN


def _answer(platform: Platform, db: Connection, text: _Text) -> Draft:
    """Return what answers a text, or refuse."""
    message = text.message
    carrier = platform.switchboard.accounts.get(message.carrier)
    if carrier is not None and carrier.type in ANSWERS_ITSELF:
        raise Refusal(20409, reason="the carrier answers keywords itself")
    account = find_record(db, ACCOUNTS, message.account_sid)
    if account is None or account.status is not AccountStatus.ACTIVE:
        raise Refusal(20005)
    return Draft(
        new_message(
            platform,
            message.account_sid,
            direction=Direction.OUTBOUND_REPLY,
            sender=message.recipient,
            recipient=text.recipient,
            body=text.keyword.answer,
            options={IN_REPLY_TO: message.sid, CONSENT_ANSWER: text.keyword.action.value},
        )
    )
