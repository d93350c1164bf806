"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    "callback_attempts",
    "callbacks",
    "carrier_refs",
    "cookies",
    "events",
    "handset_texts",
    "handsets",
    "media_fetches",
    "messages",
    "outbox",
    "records",
    "usage",
)


def upgrade() -> None:
    """Make the tables."""
    _callback_attempts()
    _callbacks()
    _carrier_refs()
    _cookies()
    _events()
    _handset_texts()
    _handsets()
    _media_fetches()
    _messages()
    _outbox()
    _records()
    _usage()


def downgrade() -> None:
    """Drop the tables."""
    for name in TABLES:
        op.drop_table(name)


def _callback_attempts() -> None:
    op.create_table(
        "callback_attempts",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("callback_sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("method", sa.String(length=4), nullable=False),
        sa.Column("label", sa.String(length=24), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error_code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
    )
    op.create_index(
        "callback_attempts_by_message", "callback_attempts", ["message_sid", "sid"], unique=False
    )


def _callbacks() -> None:
    op.create_table(
        "callbacks",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("method", sa.String(length=4), nullable=False),
        sa.Column("fallback_url", sa.Text(), nullable=False),
        sa.Column("fallback_method", sa.String(length=4), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("token", sa.String(length=36), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
    )
    op.create_index("callbacks_by_message", "callbacks", ["message_sid", "sid"], unique=False)
    op.create_index("callbacks_due", "callbacks", ["due_at", "sid", "host"], unique=False)


def _carrier_refs() -> None:
    op.create_table(
        "carrier_refs",
        sa.Column("carrier", sa.String(length=64), nullable=False),
        sa.Column("ref", sa.String(length=80), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("segment_index", sa.Integer(), nullable=False),
        sa.Column("segment_count", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("carrier", "ref"),
    )
    op.create_index("carrier_refs_by_message", "carrier_refs", ["message_sid"], unique=False)


def _cookies() -> None:
    op.create_table(
        "cookies",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("sender", sa.String(length=128), nullable=False),
        sa.Column("recipient", sa.String(length=128), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("jar", sa.JSON(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "sender", "recipient", "host"),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
    )
    op.create_index("events_by_message", "events", ["message_sid", "sid"], unique=False)


def _handset_texts() -> None:
    op.create_table(
        "handset_texts",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("handset", sa.String(length=128), nullable=False),
        sa.Column("peer", sa.String(length=128), nullable=False),
        sa.Column("is_outgoing", sa.Integer(), nullable=False),
        sa.Column("message_ref", sa.String(length=34), nullable=True),
        sa.Column("encoding", sa.String(length=8), nullable=False),
        sa.Column("segments", sa.JSON(), nullable=False),
        sa.Column("media", sa.JSON(), nullable=False),
        sa.Column("behaviour", sa.String(length=24), nullable=False),
        sa.Column("step", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("arrived_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
    )
    op.create_index("handset_texts_by_handset", "handset_texts", ["handset", "sid"], unique=False)
    op.create_index("handset_texts_by_message", "handset_texts", ["message_ref"], unique=True)
    op.create_index(
        "handset_texts_due",
        "handset_texts",
        ["due_at", "sid"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )


def _handsets() -> None:
    op.create_table(
        "handsets",
        sa.Column("number", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("behaviour", sa.String(length=24), nullable=False),
        sa.Column("texts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("handsets_by_update", "handsets", ["updated_at"], unique=False)


def _media_fetches() -> None:
    op.create_table(
        "media_fetches",
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("urls", sa.JSON(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("message_sid"),
    )
    op.create_index(
        "media_fetches_due", "media_fetches", ["due_at", "message_sid", "host"], unique=False
    )


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("position", sa.String(length=32), nullable=False),
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("sender", sa.String(length=128), nullable=True),
        sa.Column("recipient", sa.String(length=128), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("encoding", sa.String(length=8), nullable=False),
        sa.Column("num_segments", sa.Integer(), nullable=False),
        sa.Column("num_media", sa.Integer(), nullable=False),
        sa.Column("messaging_service_sid", sa.String(length=34), nullable=True),
        sa.Column("carrier", sa.String(length=64), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=True),
        sa.Column("error_code", sa.Integer(), nullable=True),
        sa.Column("status_callback", sa.Text(), nullable=True),
        sa.Column("validity_seconds", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "position"),
    )
    op.create_index(
        "messages_by_direction", "messages", ["account_sid", "direction", "position"], unique=False
    )
    op.create_index(
        "messages_by_recipient", "messages", ["account_sid", "recipient", "position"], unique=False
    )
    op.create_index(
        "messages_by_sender", "messages", ["account_sid", "sender", "position"], unique=False
    )
    op.create_index(
        "messages_by_sent_at", "messages", ["account_sid", "sent_at", "position"], unique=False
    )
    op.create_index(
        "messages_by_status", "messages", ["account_sid", "status", "position"], unique=False
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("lane", sa.String(length=80), nullable=False),
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("in_doubt", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("position", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("lane", "message_sid"),
    )
    op.create_index("outbox_due", "outbox", ["lane", "due_at", "position"], unique=False)


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("parent_sid", sa.String(length=34), nullable=False),
        sa.Column("unique_key", sa.String(length=160), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "sid"),
    )
    op.create_index("records_by_account", "records", ["kind", "account_sid", "sid"], unique=False)
    op.create_index("records_by_parent", "records", ["kind", "parent_sid", "sid"], unique=False)
    op.create_index("records_unique", "records", ["kind", "unique_key"], unique=True)


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("category", sa.String(length=40), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "day", "category"),
    )
    # ### end Alembic commands ###
