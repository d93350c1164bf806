"""Short addresses of media, each for the media of one message, until it expires."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from trunkline.store.rows import values_of
from trunkline.store.sending_tables import short_links

_column = short_links.c


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortLink:
    """An address short enough for a text."""

    token: str
    account_sid: str
    message_sid: str
    expires_at: datetime


def insert_links(db: Connection, links: Iterable[ShortLink]) -> None:
    """Add addresses."""
    db.execute(insert(short_links), [values_of(link) for link in links])


def find_link(db: Connection, token: str, *, at: datetime) -> ShortLink | None:
    """Return an address that has not expired."""
    query = select(short_links).where(_column.token == token, _column.expires_at > at)
    row = db.execute(query).first()
    return None if row is None else ShortLink(**row._mapping)


def delete_links(db: Connection, account_sid: str, message_sids: Sequence[str]) -> None:
    """Remove the addresses of the media of messages of an account."""
    here = (_column.account_sid == account_sid) & _column.message_sid.in_(message_sids)
    db.execute(delete(short_links).where(here))


def delete_expired_links(db: Connection, before: datetime, *, limit: int) -> int:
    """Remove addresses whose time was up before another; return how many."""
    old = (
        select(_column.token)
        .where(_column.expires_at <= before)
        .order_by(_column.expires_at)
        .limit(limit)
    )
    return db.execute(delete(short_links).where(_column.token.in_(old.scalar_subquery()))).rowcount
