"""Verified numbers: their holders answered a code, so that a trial account may text them.

There are no calls here that could read a code out. It is texted to the number instead, and whoever
holds that texts it back to where it came from.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection

from trunkline.domain.account import Account, CallerId, Number, Validation
from trunkline.domain.address import AddressKind, country_of, national_format, parse_recipient
from trunkline.domain.errors import Refusal
from trunkline.domain.message import Direction, Message
from trunkline.domain.sending import Draft
from trunkline.flows.accounts import checked_name
from trunkline.flows.consent import with_terms
from trunkline.flows.outbound import accept, check_queue, new_message
from trunkline.flows.permissions import is_open
from trunkline.flows.platform import Platform
from trunkline.store.paging import Found, Page
from trunkline.store.records import (
    CALLER_IDS,
    NUMBERS,
    VALIDATIONS,
    alone,
    child_records,
    delete_record,
    find_record,
    find_unique,
    insert_record,
    page_records,
    update_record,
)

CODE_DIGITS = 6
VALID_FOR = timedelta(minutes=10)
# A code is guessed in half a million tries; five are enough for who mistypes it.
TRIES_MAX = 5
# Each is a text to somebody who may not want it.
CODES_A_DAY_MAX = 50
CALLER_IDS_MAX = 1000  # Of one account: more testers than a trial has.
NUMBERS_LOOKED_AT_MAX = 100  # The first that can text is nearly always the first.

_TEXT = "{code} is your code. Reply with it if you agree to be sent texts by {name}."
_DAY = timedelta(days=1)


async def ask(
    platform: Platform, account: Account, *, phone_number: str, friendly_name: str | None
) -> tuple[Validation, str]:
    """Text a code to a number and return what is waited for, with the code.

    Refuses what is no number (21401), a verified one (21450), one that nobody may send to (21408),
    one whose holder opted out (21610), and more codes than an account may send in a day (20429).
    """
    address = parse_recipient(phone_number)
    if address is None or address.kind is not AddressKind.NUMBER:
        raise Refusal(21401, number=phone_number)
    if not is_open(platform, account, country_of(address.text)):
        raise Refusal(21408, number=address.text)
    sender = await platform.store.read(lambda db: _sender(db, platform, account))
    now = platform.clock.now()
    code = f"{int(platform.chance.fraction() * 10**CODE_DIGITS):0{CODE_DIGITS}}"
    validation = Validation(
        sid=platform.chance.sid("VR", now),
        account_sid=account.sid,
        phone_number=address.text,
        friendly_name=checked_name(friendly_name or national_format(address.text)),
        sender=sender.phone_number,
        code_digest=_digest(code),
        created_at=now,
        updated_at=now,
    )
    message = new_message(
        platform,
        sender.account_sid,
        direction=Direction.OUTBOUND_API,
        sender=sender.phone_number,
        recipient=address.text,
        body=_TEXT.format(code=code, name=account.friendly_name),
    )
    await check_queue(platform, message)
    draft = await with_terms(platform, Draft(message))
    # In front of the text: the answer may come before this returns.
    await platform.store.write(lambda db: _expect(db, validation))
    await accept(platform, [draft])
    if draft.error_code is not None:
        raise Refusal(draft.error_code)
    return validation, code


async def find(platform: Platform, account_sid: str, sid: str) -> CallerId | None:
    """Return a verified number of an account."""
    return await platform.store.read(lambda db: _caller_id(db, account_sid, sid=sid))


async def page(
    platform: Platform, account_sid: str, *, where: Callable[[CallerId], bool], page: Page
) -> Found[CallerId]:
    """Return a page of an account's verified numbers, newest first."""
    return await platform.store.read(
        lambda db: page_records(db, CALLER_IDS, page, account_sid=account_sid, where=where)
    )


async def rename(
    platform: Platform, account_sid: str, *, sid: str, friendly_name: str | None
) -> CallerId | None:
    """Give a verified number another name; None when there is no such number."""

    def work(db: Connection) -> CallerId | None:
        alone(db)
        before = _caller_id(db, account_sid, sid=sid)
        if before is None or friendly_name is None:
            return before
        name = checked_name(friendly_name)
        after = replace(before, friendly_name=name, updated_at=platform.clock.now())
        update_record(db, CALLER_IDS, after)
        return after

    return await platform.store.write(work)


async def remove(platform: Platform, account_sid: str, *, sid: str) -> bool:
    """Let a number be verified no longer; say whether it was."""

    def work(db: Connection) -> bool:
        known = _caller_id(db, account_sid, sid=sid)
        return known is not None and delete_record(db, CALLER_IDS, sid)

    return await platform.store.write(work)


def take_answers(platform: Platform, db: Connection, texts: Sequence[Message]) -> None:
    """Verify the numbers whose texts are the codes that are waited for; count the wrong ones."""
    for text in texts:
        given = text.body.strip()
        if len(given) == CODE_DIGITS and given.isascii() and given.isdigit():
            _take_answer(platform, db, text, given=given)


def _take_answer(platform: Platform, db: Connection, text: Message, *, given: str) -> None:
    now = platform.clock.now()
    waiting = [
        validation
        for validation in child_records(db, VALIDATIONS, text.sender or "", limit=CODES_A_DAY_MAX)
        if validation.sender == text.recipient
        and validation.created_at > now - VALID_FOR
        and validation.tries < TRIES_MAX
    ]
    for validation in waiting:
        if hmac.compare_digest(validation.code_digest, _digest(given)):
            _verify(platform, db, validation)
        else:
            tried = replace(validation, tries=validation.tries + 1, updated_at=now)
            update_record(db, VALIDATIONS, tried)


def _verify(platform: Platform, db: Connection, validation: Validation) -> None:
    alone(db)
    # Used up; its record stays for a day, so that it counts among the codes of the day.
    used = replace(validation, tries=TRIES_MAX, updated_at=platform.clock.now())
    update_record(db, VALIDATIONS, used)
    if find_unique(db, CALLER_IDS, _key(validation)) is not None:
        return
    caller_id = CallerId(
        sid=platform.chance.sid("PN", used.updated_at),
        account_sid=validation.account_sid,
        phone_number=validation.phone_number,
        friendly_name=validation.friendly_name,
        created_at=used.updated_at,
        updated_at=used.updated_at,
    )
    insert_record(db, CALLER_IDS, caller_id)


def _expect(db: Connection, validation: Validation) -> None:
    """Keep what is waited for, or refuse; what is older than a day goes."""
    alone(db)
    account_sid, number = validation.account_sid, validation.phone_number
    if find_unique(db, CALLER_IDS, _key(validation)) is not None:
        raise Refusal(21450, number=number)
    if len(child_records(db, CALLER_IDS, account_sid, limit=CALLER_IDS_MAX)) == CALLER_IDS_MAX:
        raise Refusal(20409, reason=f"there are {CALLER_IDS_MAX} verified numbers already")
    newest = Page(size=CODES_A_DAY_MAX)
    sent = page_records(db, VALIDATIONS, newest, account_sid=account_sid).items
    old = [each for each in sent if each.created_at <= validation.created_at - _DAY]
    if len(sent) - len(old) >= CODES_A_DAY_MAX:
        raise Refusal(20429)
    for each in old:
        delete_record(db, VALIDATIONS, each.sid)
    insert_record(db, VALIDATIONS, validation)


def _sender(db: Connection, platform: Platform, account: Account) -> Number:
    """Return the number that codes come from: the account's first, else the main account's."""
    for sid in (account.sid, platform.rules.main_account_sid):
        for number in child_records(db, NUMBERS, sid, limit=NUMBERS_LOOKED_AT_MAX):
            if number.capabilities.sms:
                return number
    raise Refusal(21606, number="")


def _key(validation: Validation) -> str:
    return f"{validation.account_sid}:{validation.phone_number}"


def _caller_id(db: Connection, account_sid: str, *, sid: str) -> CallerId | None:
    known = find_record(db, CALLER_IDS, sid)
    return known if known is not None and known.account_sid == account_sid else None


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
