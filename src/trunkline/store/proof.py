"""A write that changes nothing, to find out whether the database can be written at all."""

from sqlalchemy import Connection, update

from trunkline.store.records import ACCOUNTS
from trunkline.store.tables import records


def rewrite_account(db: Connection, account_sid: str) -> bool:
    """Write the row of an account as it is; tell whether there was one.

    An empty transaction would commit on a disk that is full, and on a standby.
    """
    here = (records.c.kind == ACCOUNTS.name) & (records.c.sid == account_sid)
    return db.execute(update(records).where(here).values(kind=records.c.kind)).rowcount == 1
