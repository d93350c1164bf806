"""Configuration: many kinds of record in one table, each a JSON document beside its keys."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from trunkline.domain.account import (
    Account,
    CallerId,
    Feedback,
    Key,
    Media,
    Number,
    TestCredential,
    Validation,
)
from trunkline.domain.carrier import CarrierAccount, Route, SmppCredential
from trunkline.domain.keywords import OptOutRules
from trunkline.domain.service import MessagingService, ServiceSender
from trunkline.store.nodes import raise_version
from trunkline.store.paging import Found, Page, fetch_page
from trunkline.store.tables import records


class Record(Protocol):
    """What every record has."""

    @property
    def sid(self) -> str:
        """The record's SID."""

    @property
    def account_sid(self) -> str:
        """The account it belongs to."""

    @property
    def created_at(self) -> datetime:
        """When it was made."""

    @property
    def updated_at(self) -> datetime:
        """When it last changed."""


R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """One kind of record: its name, its type, and which values are its keys.

    The decoder is made with it. msgspec looks at a type when it is first asked to read one, and
    two threads that ask at the same moment end the process.
    """

    name: str
    type: type[R]
    unique_key: Callable[[R], str | None]
    parent_sid: Callable[[R], str]
    decoder: msgspec.json.Decoder[R] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder", msgspec.json.Decoder(self.type))


CHANGING = 0x7265636F7264  # "record": the number of the lock.
MAIN = "main"
ACCOUNTS = Kind("account", Account, lambda a: MAIN if a.is_main else None, lambda a: a.owner_sid)
KEYS = Kind("key", Key, lambda k: None, lambda k: k.account_sid)
NUMBERS = Kind("number", Number, lambda n: n.phone_number, lambda n: n.account_sid)
# By the digest it is found which media still need the bytes of one that goes.
MEDIA = Kind("media", Media, lambda m: f"{m.digest}:{m.sid}", lambda m: m.message_sid)
CARRIERS = Kind("carrier", CarrierAccount, lambda c: c.name, lambda c: c.account_sid)
ROUTES = Kind("route", Route, lambda r: None, lambda r: r.account_sid)
SMPP_CREDENTIALS = Kind(
    "smpp_credential", SmppCredential, lambda c: c.system_id, lambda c: c.account_sid
)
CALLER_IDS = Kind(
    "caller_id", CallerId, lambda c: f"{c.account_sid}:{c.phone_number}", lambda c: c.account_sid
)
TEST_CREDENTIALS = Kind(
    "test_credential", TestCredential, lambda t: t.account_sid, lambda t: t.account_sid
)
# By the number it is found what a text from there may be the answer to.
VALIDATIONS = Kind("validation", Validation, lambda v: None, lambda v: v.phone_number)
FEEDBACK = Kind("feedback", Feedback, lambda f: f.message_sid, lambda f: f.message_sid)
SERVICES = Kind("service", MessagingService, lambda s: None, lambda s: s.account_sid)
# A number is in one service at most; an alphanumeric sender may be in any.
SERVICE_SENDERS = Kind(
    "service_sender",
    ServiceSender,
    lambda s: f"{s.service_sid}:{s.country}:{s.sender}" if s.sid.startswith("AI") else s.sender,
    lambda s: s.service_sid,
)
OPT_OUT_RULES = Kind("opt_out_rules", OptOutRules, lambda r: r.service_sid, lambda r: r.service_sid)
# What nodes keep in memory; a change of one is told to all of them by the commit that makes it.
REMEMBERED = frozenset(
    kind.name
    for kind in (
        ACCOUNTS,
        KEYS,
        TEST_CREDENTIALS,
        NUMBERS,
        CARRIERS,
        ROUTES,
        SMPP_CREDENTIALS,
        SERVICES,
        SERVICE_SENDERS,
    )
)


def alone(db: Connection) -> None:
    """Let nobody else change records until the commit: for works that decide on what they read.

    One file has one writer in any case; of several nodes the others wait here.
    """
    if db.dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(CHANGING)))


def insert_record(db: Connection, kind: Kind[R], value: R) -> None:
    """Add *value*; a second one with the same unique key is an IntegrityError."""
    db.execute(
        insert(records).values(kind=kind.name, created_at=value.created_at, **_row(kind, value))
    )
    _tell(db, kind)


def update_record(db: Connection, kind: Kind[R], value: R) -> None:
    """Replace the record that has the SID of *value*."""
    found = (records.c.kind == kind.name) & (records.c.sid == value.sid)
    db.execute(update(records).where(found).values(**_row(kind, value)))
    _tell(db, kind)


def delete_record(db: Connection, kind: Kind[Any], sid: str) -> bool:
    """Remove a record; tell whether there was one."""
    found = (records.c.kind == kind.name) & (records.c.sid == sid)
    _tell(db, kind)
    return db.execute(delete(records).where(found)).rowcount > 0


def find_record(db: Connection, kind: Kind[R], sid: str) -> R | None:
    """Return the record with this SID, of any account."""
    query = select(records.c.doc).where(records.c.kind == kind.name, records.c.sid == sid)
    return _one(db.execute(query).first(), kind)


def find_unique(db: Connection, kind: Kind[R], unique_key: str) -> R | None:
    """Return the record with this unique key, of any account."""
    query = select(records.c.doc).where(
        records.c.kind == kind.name, records.c.unique_key == unique_key
    )
    return _one(db.execute(query).first(), kind)


def known_keys(db: Connection, kind: Kind[Any], keys: Collection[str]) -> set[str]:
    """Return which of these unique keys there are records with, of whatever account."""
    query = select(records.c.unique_key).where(
        records.c.kind == kind.name, records.c.unique_key.in_(list(keys))
    )
    return set(db.execute(query).scalars())


def child_records(db: Connection, kind: Kind[R], parent_sid: str, *, limit: int = 1000) -> list[R]:
    """Return the records under *parent_sid*, oldest first."""
    query = (
        select(records.c.doc)
        .where(records.c.kind == kind.name, records.c.parent_sid == parent_sid)
        .order_by(records.c.sid)
        .limit(limit)
    )
    return [_build(row, kind) for row in db.execute(query)]


def all_records(db: Connection, kind: Kind[R], *, limit: int) -> list[R]:
    """Return the records of a kind, of all accounts, oldest first."""
    query = (
        select(records.c.doc)
        .where(records.c.kind == kind.name)
        .order_by(records.c.sid)
        .limit(limit)
    )
    return [_build(row, kind) for row in db.execute(query)]


def page_records(
    db: Connection,
    kind: Kind[R],
    page: Page,
    *,
    account_sid: str | None = None,
    parent_sid: str | None = None,
    where: Callable[[R], bool] | None = None,
) -> Found[R]:
    """Return one page of the records of an account or under a parent, newest first."""
    query = select(records.c.doc).where(records.c.kind == kind.name)
    if account_sid is not None:
        query = query.where(records.c.account_sid == account_sid)
    if parent_sid is not None:
        query = query.where(records.c.parent_sid == parent_sid)
    return fetch_page(
        db, query, page, key=records.c.sid, build=lambda row: _build(row, kind), where=where
    )


def _tell(db: Connection, kind: Kind[Any]) -> None:
    if kind.name in REMEMBERED:
        raise_version(db)


def _row(kind: Kind[R], value: R) -> dict[str, Any]:
    return {
        "sid": value.sid,
        "account_sid": value.account_sid,
        "parent_sid": kind.parent_sid(value),
        "unique_key": kind.unique_key(value),
        "doc": msgspec.json.encode(value).decode(),
        "updated_at": value.updated_at,
    }


def _one(row: Row[Any] | None, kind: Kind[R]) -> R | None:
    return None if row is None else _build(row, kind)


def _build(row: Row[Any], kind: Kind[R]) -> R:
    return kind.decoder.decode(row.doc)
