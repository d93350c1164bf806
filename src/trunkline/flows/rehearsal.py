"""Test credentials: requests that are answered as if they were carried out, and leave no trace.

What fails, and how, is said by numbers that Twilio chose for it:
https://www.twilio.com/docs/iam/test-credentials
"""

from collections.abc import Mapping

from sqlalchemy import Connection

from trunkline.domain.account import Account, AccountStatus, Number, TestCredential
from trunkline.domain.address import AddressKind, parse_recipient, parse_sender
from trunkline.domain.errors import Refusal
from trunkline.domain.message import VALIDITY_SECONDS_MAX, Direction, Message
from trunkline.domain.sending import SendRequest, check_content, check_timing
from trunkline.domain.text import smart_encode
from trunkline.flows.accounts import TOKEN_BYTES
from trunkline.flows.numbers import Changes, drafted
from trunkline.flows.outbound import new_message
from trunkline.flows.platform import Platform
from trunkline.store.records import (
    TEST_CREDENTIALS,
    alone,
    find_unique,
    insert_record,
)
from trunkline.webhooks.request import is_webhook_url, may_be_configured

SENDER = "+15005550006"
SENDERS_REFUSED: Mapping[str, int] = {
    "+15005550001": 21212,
    "+15005550007": 21606,
    "+15005550008": 21611,
}
RECIPIENTS_REFUSED: Mapping[str, int] = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
# Of any other number, and of an area code, Twilio says nothing; these are as if sold out.
FOR_SALE = "+15005550006"
NOT_FOR_SALE: Mapping[str, int] = {"+15005550001": 21421}
AREA_CODE = "500"
# The name of no carrier: nothing is handed over.
NOWHERE = ""


async def credentials(platform: Platform, account_sid: str) -> TestCredential:
    """Return an account's test credentials, made when they are asked for first, or refuse."""
    account = await platform.directory.account(account_sid)
    if account is None or account.status is AccountStatus.CLOSED:
        raise Refusal(20404)

    def work(db: Connection) -> TestCredential:
        alone(db)
        known = find_unique(db, TEST_CREDENTIALS, account_sid)
        if known is not None:
            return known
        now = platform.clock.now()
        made = TestCredential(
            sid=platform.chance.sid("AC", now),
            account_sid=account_sid,
            sealed_token=platform.vault.seal(platform.chance.token_hex(TOKEN_BYTES)),
            created_at=now,
            updated_at=now,
        )
        insert_record(db, TEST_CREDENTIALS, made)
        return made

    found = await platform.store.write(work)
    platform.directory.forget()
    return found


def message(platform: Platform, account_sid: str, request: SendRequest) -> Message:
    """Return the message that would be sent, or refuse as the numbers say; nothing is stored."""
    _check_presence(request)
    check_content(request)
    for url in request.media_url:
        if not is_webhook_url(url):
            raise Refusal(21620, name=url)
    if request.status_callback and not may_be_configured(request.status_callback):
        raise Refusal(21609, name=request.status_callback)
    check_timing(request, platform.clock.now())
    sender = _sender(request.from_ or "")
    recipient = _recipient(request.to or "", sender=sender)
    body = request.body or ""
    return new_message(
        platform,
        account_sid,
        direction=Direction.OUTBOUND_API,
        sender=sender,
        recipient=recipient,
        body=smart_encode(body) if request.smart_encoded else body,
        num_media=len(request.media_url),
        status_callback=request.status_callback,
        validity_seconds=request.validity_period or VALIDITY_SECONDS_MAX,
        options=dict(request.options),
        via=NOWHERE,
    )


def number(
    platform: Platform,
    account: Account,
    *,
    phone_number: str | None,
    area_code: str | None,
    changes: Changes,
) -> Number:
    """Return the number that would be bought, or refuse as the numbers say; nobody has it."""
    if phone_number:
        address = parse_recipient(phone_number)
        if address is None or address.kind is not AddressKind.NUMBER:
            raise Refusal(21421, number=phone_number)
        if address.text != FOR_SALE:
            raise Refusal(NOT_FOR_SALE.get(address.text, 21422), number=address.text)
    elif area_code != AREA_CODE:
        raise Refusal(21452 if area_code else 21421, number=area_code or "")
    return drafted(platform, account, phone_number=FOR_SALE, changes=changes)


def _check_presence(request: SendRequest) -> None:
    """Refuse a request that lacks something, in the words that test credentials have for it."""
    if request.service_sid:
        raise Refusal(20008)
    if not request.from_:
        raise Refusal(21603)
    if not request.to:
        raise Refusal(21604)
    if request.content_sid:
        raise Refusal(21655, name=request.content_sid)
    if not (request.body or request.media_url):
        raise Refusal(21602)


def _sender(text: str) -> str:
    address = parse_sender(text)
    if address is None:
        raise Refusal(21212, number=text, sender=text)
    if address.text != SENDER:
        code = SENDERS_REFUSED.get(address.text, 21606)
        raise Refusal(code, number=address.text, sender=address.text)
    return address.text


def _recipient(text: str, *, sender: str) -> str:
    address = parse_recipient(text)
    if address is None:
        raise Refusal(21211, number=text)
    if address.kind is AddressKind.SHORT_CODE:
        raise Refusal(21265, number=text)
    if code := RECIPIENTS_REFUSED.get(address.text):
        raise Refusal(code, number=address.text, recipient=address.text, sender=sender)
    return address.text
