"""What is scheduled, who is sent to from where and consents to it, alerts, and keys of requests."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TABLES = (
    "schedule",
    "sticky_senders",
    "consents",
    "consent_history",
    "alerts",
    "idempotency_keys",
    "short_links",
)


# What was said of consent is evidence: whoever has the database's password cannot change it by
# mistake, and who does it on purpose has to remove these first.
_SEAL_SQLITE = """
CREATE TRIGGER consent_history_no_{verb} BEFORE {verb} ON consent_history
BEGIN SELECT RAISE(ABORT, 'consent_history is evidence: rows are only added'); END
"""
_REFUSE_POSTGRESQL = """
CREATE FUNCTION consent_history_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'consent_history is evidence: rows are only added'; END $$
"""
_SEAL_POSTGRESQL = """
CREATE TRIGGER consent_history_sealed BEFORE UPDATE OR DELETE ON consent_history
FOR EACH ROW EXECUTE FUNCTION consent_history_refuse()
"""


def upgrade() -> None:
    """Make the new tables."""
    _make_schedule()
    _make_consents()
    _seal_history()
    _make_alerts()
    _make_keys()


def downgrade() -> None:
    """Drop them again."""
    for name in reversed(TABLES):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION consent_history_refuse()")


def _make_schedule() -> None:
    op.create_table(
        "schedule",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("media_urls", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "message_sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("schedule_due", "schedule", ["due_at", "message_sid"])
    op.create_index("schedule_of_account", "schedule", ["account_sid", "due_at", "message_sid"])
    op.create_table(
        "sticky_senders",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("recipient", sa.String(length=128), nullable=False),
        sa.Column("sender", sa.String(length=128), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "service_sid", "recipient"),
        sqlite_with_rowid=False,
    )


def _make_consents() -> None:
    op.create_table(
        "consents",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("recipient", sa.String(length=128), nullable=False),
        sa.Column("scope", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "recipient", "scope"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "consents_by_status", "consents", ["account_sid", "status", "recipient", "scope", "since"]
    )
    op.create_table(
        "consent_history",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.String(length=128), nullable=False),
        sa.Column("scope", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("source", sa.String(length=24), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("consented_at", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "number"),
    )
    op.create_index(
        "consent_history_by_recipient", "consent_history", ["account_sid", "recipient", "number"]
    )


def _seal_history() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_REFUSE_POSTGRESQL)
        op.execute(_SEAL_POSTGRESQL)
        return
    for verb in ("update", "delete"):
        op.execute(_SEAL_SQLITE.format(verb=verb))


def _make_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("log_level", sa.String(length=8), nullable=False),
        sa.Column("error_code", sa.Integer(), nullable=False),
        sa.Column("resource_sid", sa.String(length=34), nullable=False),
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("doc", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "sid"),
        sqlite_with_rowid=False,
    )
    op.create_index("alerts_by_level", "alerts", ["account_sid", "log_level", "sid"])
    op.create_index("alerts_by_resource", "alerts", ["account_sid", "resource_sid", "sid"])


def _make_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_at"])
    op.create_table(
        "short_links",
        sa.Column("token", sa.String(length=16), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token"),
        sqlite_with_rowid=False,
    )
    op.create_index("short_links_by_expiry", "short_links", ["expires_at"])
    op.create_index("short_links_by_message", "short_links", ["account_sid", "message_sid"])
