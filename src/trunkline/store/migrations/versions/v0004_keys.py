"""The keys of the tables on a message's way begin with its account."""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# A column: its name, its type, and whether it may be null.
Declared = tuple[str, Any, bool]
SID = sa.String(length=34)
SHARDS = 16

OUTBOX = (
    ("account_sid", SID, False),
    ("message_sid", SID, False),
    ("lane", sa.String(length=80), False),
    ("flow", sa.String(length=9), False),
    ("sender", sa.String(length=128), False),
    ("recipient", sa.String(length=128), False),
    ("segments", sa.Integer(), False),
    ("tried", sa.Text(), False),
    ("due_at", sa.BigInteger(), False),
    ("expires_at", sa.BigInteger(), False),
    ("in_doubt", sa.Integer(), False),
    ("attempts", sa.Integer(), False),
    ("position", sa.String(length=32), False),
)
CARRIER_REFS = (
    ("carrier", sa.String(length=64), False),
    ("ref", sa.String(length=80), False),
    ("account_sid", SID, False),
    ("message_sid", SID, False),
    ("segment_index", sa.Integer(), False),
    ("segment_count", sa.Integer(), False),
    ("delivered", sa.Integer(), True),
)
CALLBACKS = (
    ("account_sid", SID, False),
    ("message_sid", SID, False),
    ("sid", SID, False),
    ("kind", sa.String(length=16), False),
    ("url", sa.Text(), False),
    ("method", sa.String(length=4), False),
    ("fallback_url", sa.Text(), False),
    ("fallback_method", sa.String(length=4), False),
    ("host", sa.String(length=255), False),
    ("parameters", sa.JSON(), False),
    ("token", sa.String(length=36), False),
    ("attempts", sa.Integer(), False),
    ("due_at", sa.BigInteger(), True),
    ("created_at", sa.BigInteger(), False),
    ("shard", sa.Integer(), False),
)
CALLBACK_ATTEMPTS = (
    ("account_sid", SID, False),
    ("message_sid", SID, False),
    ("sid", SID, False),
    ("callback_sid", SID, False),
    ("kind", sa.String(length=16), False),
    ("url", sa.Text(), False),
    ("method", sa.String(length=4), False),
    ("label", sa.String(length=24), False),
    ("at", sa.BigInteger(), False),
    ("duration_ms", sa.Integer(), False),
    ("http_status", sa.Integer(), True),
    ("error_code", sa.Integer(), True),
    ("reason", sa.Text(), False),
    ("head", sa.Text(), False),
)
EVENTS = (
    ("account_sid", SID, False),
    ("message_sid", SID, False),
    ("sid", SID, False),
    ("at", sa.BigInteger(), False),
    ("kind", sa.String(length=32), False),
    ("detail", sa.JSON(), False),
)
USAGE = (
    ("account_sid", SID, False),
    ("day", sa.String(length=10), False),
    ("category", sa.String(length=40), False),
    ("shard", sa.Integer(), False),
    ("count", sa.Integer(), False),
    ("units", sa.Integer(), False),
    ("price", sa.BigInteger(), False),
)

OLD_INDEX_COLUMNS = (
    ("outbox_due", "outbox", ["lane", "flow", "due_at", "position"]),
    ("outbox_by_expiry", "outbox", ["expires_at"]),
    ("carrier_refs_by_message", "carrier_refs", ["message_sid"]),
    ("callbacks_due", "callbacks", ["due_at", "sid", "host"]),
    ("callbacks_by_message", "callbacks", ["message_sid", "sid"]),
    ("callback_attempts_by_message", "callback_attempts", ["message_sid", "sid"]),
    ("events_by_message", "events", ["message_sid", "sid"]),
)
NEW_INDEXES = (
    ("outbox_due", "outbox", ["lane", "flow", "due_at", "position"]),
    ("outbox_by_expiry", "outbox", ["expires_at"]),
    ("carrier_refs_by_message", "carrier_refs", ["account_sid", "message_sid"]),
    ("callbacks_due", "callbacks", ["due_at", "sid", "host", "shard"]),
)


def upgrade() -> None:
    """Make the tables anew with their new keys, and put back what was in them."""
    for name, table, _ in OLD_INDEX_COLUMNS:
        op.drop_index(name, table)
    _rebuild("outbox", OUTBOX, key=("account_sid", "message_sid"))
    _rebuild("carrier_refs", CARRIER_REFS, key=("carrier", "ref"))
    _rebuild("callbacks", CALLBACKS, key=("account_sid", "message_sid", "sid"))
    _rebuild("callback_attempts", CALLBACK_ATTEMPTS, key=("account_sid", "message_sid", "sid"))
    _rebuild("events", EVENTS, key=("account_sid", "message_sid", "sid"))
    _rebuild("usage", USAGE, key=("account_sid", "day", "category", "shard"))
    _share_out()
    for name, table, columns in NEW_INDEXES:
        op.create_index(name, table, columns)


def downgrade() -> None:
    """Drop the column that older versions do not fill; the keys stay, which they can use."""
    op.execute("DELETE FROM usage WHERE shard <> 0")
    for name, table, _ in NEW_INDEXES:
        op.drop_index(name, table)
    _rebuild("usage", USAGE[:3] + USAGE[4:], key=("account_sid", "day", "category"))
    _rebuild("callbacks", CALLBACKS[:-1], key=("account_sid", "message_sid", "sid"))
    for name, table, columns in OLD_INDEX_COLUMNS:
        op.create_index(name, table, columns)


def _share_out() -> None:
    """Give the webhooks that wait to the shards of their accounts."""
    db = op.get_bind()
    for account_sid in db.scalars(sa.text("SELECT DISTINCT account_sid FROM callbacks")).all():
        shard = {"account_sid": account_sid, "shard": crc32(account_sid.encode()) % SHARDS}
        here = "UPDATE callbacks SET shard = :shard WHERE account_sid = :account_sid"
        db.execute(sa.text(here), shard)


def _rebuild(name: str, columns: Sequence[Declared], *, key: Sequence[str]) -> None:
    """Put the rows of a table into one with another key; a column that is new is 0."""
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(name)}
    new = f"{name}_new"
    op.create_table(
        new,
        *(sa.Column(column, kind, nullable=is_null) for column, kind, is_null in columns),
        sa.PrimaryKeyConstraint(*key),
        sqlite_with_rowid=name == "usage",
    )
    names = ", ".join(f'"{column}"' for column, _, _ in columns)
    values = ", ".join(f'"{column}"' if column in known else "0" for column, _, _ in columns)
    op.execute(f"INSERT INTO {new} ({names}) SELECT {values} FROM {name}")  # noqa: S608 - our own names
    op.drop_table(name)
    op.rename_table(new, name)
