"""Customers who bind to our SMPP server: their credentials, and what they submit.

Rule: what a simulator submits goes to the simulated network, whatever the routes say.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import TypeVar

from msgspec import structs
from sqlalchemy import Connection

from trunkline.domain.account import AccountStatus
from trunkline.domain.address import AddressKind, parse_recipient, parse_sender
from trunkline.domain.carrier import SmppCredential
from trunkline.domain.errors import Refusal
from trunkline.domain.message import VALIDITY_SECONDS_MAX, Direction, Message
from trunkline.domain.sending import Draft, SendRequest, check_content
from trunkline.flows.deliveries import CREDENTIALS_MAX
from trunkline.flows.outbound import new_message, prepare
from trunkline.flows.platform import Platform
from trunkline.flows.switchboard import SIMULATED
from trunkline.store.deliveries import count_deliveries, forget_customer
from trunkline.store.records import (
    ACCOUNTS,
    SMPP_CREDENTIALS,
    all_records,
    alone,
    delete_record,
    find_record,
    find_unique,
    insert_record,
    update_record,
)
from trunkline.store.segments import forget_source

SIMULATOR = "simulator"  # The system_id that is there from the start on a machine of one's own.
SENDER_LENGTH_MAX = 20  # What source_addr has room for (SMPP 3.4 §5.2.8).
# SMPP 3.4 §5.2.2 has room for eight characters; clients that send more are taken at their word.
PASSWORD_LENGTH_MAX = 64
BINDS_MAX = 50  # Carriers grant a handful; each costs a connection and a window.
PER_SECOND_MAX = 100_000
ADDRESSES_MAX = 1000
HOSTS_MAX = 100
LOOPBACK = ("127.0.0.0/8", "::1/128")

_SYSTEM_ID = re.compile(r"[!-~]{1,15}").fullmatch  # SMPP 3.4 §5.2.1.
_PASSWORD = re.compile(rf"[!-~]{{1,{PASSWORD_LENGTH_MAX}}}").fullmatch
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # Of passwords; none that is taken for another.
_MADE_UP_LENGTH = 8

T = TypeVar("T")


class BindTrouble(StrEnum):
    """Why somebody may not bind."""

    UNKNOWN = "unknown system_id"
    PASSWORD = "wrong password"  # noqa: S105 - This is no password.
    NOT_ALLOWED = "not allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be set of a credential; None: as it is, or as it usually is."""

    password: str | None = None
    addresses: tuple[str, ...] | None = None
    is_simulator: bool | None = None
    binds_max: int | None = None
    per_second_max: int | None = None
    allowed_hosts: tuple[str, ...] | None = None
    is_enabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A whole text as a customer submitted it; sid is the one that its message is to have."""

    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    body: str = field(repr=False)
    validity_seconds: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    sid: str | None = None


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential that was just made, with its password."""

    credential: SmppCredential
    password: str


async def add(
    platform: Platform, account_sid: str, *, system_id: str, wishes: Wishes
) -> NewCredential:
    """Let somebody bind for an account; a password is made up unless one is given.

    Refuses (20422) what cannot be, (20404) an unknown account and (20409) a system_id in use.
    """
    if not _SYSTEM_ID(system_id):
        raise _bad("SystemId", "must be 1 to 15 printable ASCII characters without spaces")
    password = wishes.password or _made_up(platform)
    now = platform.clock.now()
    blank = SmppCredential(
        sid=platform.chance.sid("SC", now),
        account_sid=account_sid,
        system_id=system_id,
        sealed_password="",
        created_at=now,
        updated_at=now,
    )
    credential = _changed(platform, blank, replace(wishes, password=password))

    def work(db: Connection) -> None:
        alone(db)
        if find_record(db, ACCOUNTS, account_sid) is None:
            raise Refusal(20404, path=f"/2010-04-01/Accounts/{account_sid}.json")
        if find_unique(db, SMPP_CREDENTIALS, system_id) is not None:
            raise Refusal(20409, reason=f"the system_id {system_id} is in use")
        if len(all_records(db, SMPP_CREDENTIALS, limit=CREDENTIALS_MAX)) >= CREDENTIALS_MAX:
            raise Refusal(20409, reason=f"there are {CREDENTIALS_MAX} credentials already")
        insert_record(db, SMPP_CREDENTIALS, credential)

    await platform.store.write(work)
    return NewCredential(credential, password)


async def change(platform: Platform, system_id: str, wishes: Wishes) -> SmppCredential:
    """Change a credential; who is bound with it follows within a second. Refuses as `add` does."""

    def work(db: Connection) -> SmppCredential:
        alone(db)
        credential = _changed(platform, _required(db, system_id), wishes)
        credential = replace(credential, updated_at=platform.clock.now())
        update_record(db, SMPP_CREDENTIALS, credential)
        return credential

    return await platform.store.write(work)


async def remove(platform: Platform, system_id: str) -> None:
    """Remove a credential with what waits for it, or refuse (20404); who is bound is unbound."""

    def work(db: Connection) -> None:
        credential = _required(db, system_id)
        delete_record(db, SMPP_CREDENTIALS, credential.sid)
        forget_customer(db, credential.account_sid, system_id)
        forget_source(db, journal_of(credential))

    await platform.store.write(work)


async def listed(platform: Platform) -> list[tuple[SmppCredential, int]]:
    """Return all credentials, oldest first, each with how much waits for it."""

    def query(db: Connection) -> list[tuple[SmppCredential, int]]:
        found = all_records(db, SMPP_CREDENTIALS, limit=CREDENTIALS_MAX)
        return [(each, count_deliveries(db, each.account_sid, each.system_id)) for each in found]

    return await platform.store.read(query)


async def find(platform: Platform, system_id: str) -> SmppCredential:
    """Return a credential, or refuse (20404)."""
    return await platform.store.read(lambda db: _required(db, system_id))


async def in_force(platform: Platform) -> dict[str, SmppCredential]:
    """Return, by system_id, the credentials with which somebody may bind at present."""

    def query(db: Connection) -> dict[str, SmppCredential]:
        found = all_records(db, SMPP_CREDENTIALS, limit=CREDENTIALS_MAX)
        return {c.system_id: c for c in found if c.is_enabled}

    found = await platform.store.read(query)
    return {name: c for name, c in found.items() if await _is_active(platform, c.account_sid)}


async def sign_in(
    platform: Platform, system_id: str, password: str, *, host: str
) -> SmppCredential | BindTrouble:
    """Return the credential of who wants to bind from *host*, or why he may not."""
    credential = await platform.store.read(lambda db: find_unique(db, SMPP_CREDENTIALS, system_id))
    # The comparison is made in any case, so that its time tells nothing.
    expected = platform.vault.open(credential.sealed_password) if credential else ""
    is_right = hmac.compare_digest(expected.encode(), password.encode())
    if credential is None:
        return BindTrouble.UNKNOWN
    is_allowed = credential.is_enabled and _is_among(host, credential.allowed_hosts)
    # Whether the password is right is told to nobody who may not bind anyway.
    if not is_allowed or not await _is_active(platform, credential.account_sid):
        return BindTrouble.NOT_ALLOWED
    return credential if is_right else BindTrouble.PASSWORD


def may_stay(bound: SmppCredential, present: SmppCredential, *, host: str) -> bool:
    """Tell whether who bound from *host* with a credential as it was could do so now."""
    is_same = (bound.sid, bound.sealed_password) == (present.sid, present.sealed_password)
    return is_same and _is_among(host, present.allowed_hosts)


def journal_of(credential: SmppCredential) -> str:
    """Return under what a customer's segments are kept; nobody else ever has it."""
    return f"smsc/{credential.sid}"


async def keep_simulator(platform: Platform, password: str | None) -> None:
    """Make the simulator that is there from the start, with *password*; None: there is to be none.

    One that somebody opened to other machines is no longer ours to change.
    """

    def work(db: Connection) -> None:
        alone(db)
        known = find_unique(db, SMPP_CREDENTIALS, SIMULATOR)
        if known is not None and (known.allowed_hosts != LOOPBACK or not known.is_simulator):
            return
        kept = None if known is None else platform.vault.open(known.sealed_password)
        if kept == password:
            return
        if known is None and password is not None:
            insert_record(db, SMPP_CREDENTIALS, _simulator(platform, password))
        elif known is not None and password is not None:
            update_record(
                db, SMPP_CREDENTIALS, _changed(platform, known, Wishes(password=password))
            )
        elif known is not None:
            delete_record(db, SMPP_CREDENTIALS, known.sid)

    await platform.store.write(work)


async def draft_of(platform: Platform, credential: SmppCredential, submitted: Submitted) -> Draft:
    """Return the message that a customer asks for, or refuse as the API does.

    An empty sender is the customer's first address; one that is not listed is refused (21660).
    """
    if credential.is_simulator:
        draft = Draft(_simulated(platform, credential, submitted))
    else:
        draft = await _ordinary(platform, credential, submitted)
    if submitted.sid is None:
        return draft
    return replace(draft, message=structs.replace(draft.message, sid=submitted.sid))


async def _ordinary(platform: Platform, credential: SmppCredential, submitted: Submitted) -> Draft:
    account = await platform.directory.account(credential.account_sid)
    if account is None or account.status is not AccountStatus.ACTIVE:
        raise Refusal(20005)
    request = SendRequest(
        from_=allowed_sender(credential, submitted.sender),
        to=submitted.recipient,
        body=submitted.body,
        validity_period=submitted.validity_seconds,
        options=submitted.options,
    )
    return await prepare(platform, account, request)


def allowed_sender(credential: SmppCredential, text: str) -> str:
    """Return the sender that a customer may use for *text*, or refuse (21603, 21212, 21660)."""
    if credential.is_simulator:
        if not text or len(text) > SENDER_LENGTH_MAX:
            raise Refusal(21603 if not text else 21212, number=text)
        address = parse_sender(text)
        return address.text if address else text
    if not text and credential.addresses:
        return credential.addresses[0]
    if not text:
        raise Refusal(21603)
    address = parse_sender(text)
    if address is None:
        raise Refusal(21212, number=text, sender=text)
    if address.text not in credential.addresses:
        raise Refusal(21660, number=text, sender=text, account=credential.account_sid)
    return address.text


def _simulated(platform: Platform, credential: SmppCredential, submitted: Submitted) -> Message:
    """Return a message for the simulated network, from whatever sender, or refuse."""
    recipient = parse_recipient(submitted.recipient)
    if recipient is None or recipient.kind is not AddressKind.NUMBER:
        raise Refusal(21211, number=submitted.recipient)
    sender = allowed_sender(credential, submitted.sender)
    if sender == recipient.text:
        raise Refusal(21266)
    check_content(SendRequest(body=submitted.body))
    carrier = platform.rules.carrier
    account = platform.switchboard.accounts.get(carrier)
    is_simulated = account is not None and account.type == SIMULATED
    if not is_simulated or not platform.switchboard.is_usable(carrier):
        raise Refusal(21612, recipient=recipient.text, sender=sender)
    return new_message(
        platform,
        credential.account_sid,
        direction=Direction.OUTBOUND_API,
        sender=sender,
        recipient=recipient.text,
        body=submitted.body,
        validity_seconds=submitted.validity_seconds or VALIDITY_SECONDS_MAX,
        options=dict(submitted.options),
        via=carrier,
    )


def _changed(platform: Platform, before: SmppCredential, wishes: Wishes) -> SmppCredential:
    """Return a credential as it is wished for, or refuse (20422) what cannot be."""
    after = replace(
        before,
        addresses=_either(wishes.addresses, before.addresses, check=_addresses),
        is_simulator=_either(wishes.is_simulator, before.is_simulator, check=bool),
        binds_max=_either(wishes.binds_max, before.binds_max, check=_binds_max),
        per_second_max=_either(wishes.per_second_max, before.per_second_max, check=_per_second_max),
        allowed_hosts=_either(wishes.allowed_hosts, before.allowed_hosts, check=_hosts),
        is_enabled=_either(wishes.is_enabled, before.is_enabled, check=bool),
    )
    if wishes.password is not None:
        if not _PASSWORD(wishes.password):
            must = f"must be 1 to {PASSWORD_LENGTH_MAX} printable ASCII characters without spaces"
            raise _bad("Password", must)
        after = replace(after, sealed_password=platform.vault.seal(wishes.password))
    if not after.is_simulator and not after.addresses:
        raise _bad("Address", "a customer needs at least one; a simulator needs none")
    return after


def _either(wish: T | None, before: T, *, check: Callable[[T], T]) -> T:
    return before if wish is None else check(wish)


def _addresses(texts: tuple[str, ...]) -> tuple[str, ...]:
    if len(texts) > ADDRESSES_MAX:
        raise _bad("Address", f"at most {ADDRESSES_MAX}")
    found = []
    for text in texts:
        address = parse_sender(text)
        if address is None or address.kind is AddressKind.CHANNEL:
            raise _bad("Address", "must be numbers, short codes or alphanumeric senders")
        found.append(address.text)
    return tuple(dict.fromkeys(found))


def _hosts(texts: tuple[str, ...]) -> tuple[str, ...]:
    if len(texts) > HOSTS_MAX:
        raise _bad("AllowedHost", f"at most {HOSTS_MAX}")
    try:
        return tuple(dict.fromkeys(str(ip_network(text, strict=False)) for text in texts))
    except ValueError as error:
        raise _bad("AllowedHost", "must be addresses or networks (10.0.0.0/8)") from error


def _binds_max(count: int) -> int:
    if not 1 <= count <= BINDS_MAX:
        raise _bad("BindsMax", f"must be a whole number from 1 to {BINDS_MAX}")
    return count


def _per_second_max(count: int) -> int:
    if not 0 <= count <= PER_SECOND_MAX:
        raise _bad("PerSecondMax", f"must be a whole number from 0 to {PER_SECOND_MAX}")
    return count


def _bad(name: str, reason: str) -> Refusal:
    return Refusal(20422, name=f"`{name}`", reason=reason)


def _required(db: Connection, system_id: str) -> SmppCredential:
    credential = find_unique(db, SMPP_CREDENTIALS, system_id)
    if credential is None:
        raise Refusal(20404, path=f"/trunkline/v1/smpp-credentials/{system_id}")
    return credential


def _simulator(platform: Platform, password: str) -> SmppCredential:
    now = platform.clock.now()
    return SmppCredential(
        sid=platform.chance.sid("SC", now),
        account_sid=platform.rules.main_account_sid,
        system_id=SIMULATOR,
        sealed_password=platform.vault.seal(password),
        is_simulator=True,
        binds_max=BINDS_MAX,
        allowed_hosts=LOOPBACK,
        created_at=now,
        updated_at=now,
    )


async def _is_active(platform: Platform, account_sid: str) -> bool:
    account = await platform.directory.account(account_sid)
    return account is not None and account.status is AccountStatus.ACTIVE


def _is_among(host: str, places: tuple[str, ...]) -> bool:
    if not places or not host:
        # Who is gone before it can be asked from where has no host.
        return not places
    address = ip_address(host)
    # A socket for both families shows IPv4 peers as ::ffff:192.0.2.1.
    plain = getattr(address, "ipv4_mapped", None) or address
    return any(plain in ip_network(place) for place in places)


def _made_up(platform: Platform) -> str:
    number = int(platform.chance.token_hex(_MADE_UP_LENGTH), 16)
    size = len(_LETTERS)
    return "".join(_LETTERS[number // size**place % size] for place in range(_MADE_UP_LENGTH))
