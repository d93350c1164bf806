"""Messages know their way: flows in the outbox, strays, unfinished texts, bound customers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the new tables; what waits in the outbox goes on waiting."""
    _outbox()
    _strays()
    _inbound_segments()
    _deliveries()


def downgrade() -> None:
    """Drop the new tables and columns."""
    for name in ("deliveries", "inbound_segments", "strays"):
        op.drop_table(name)
    for name in ("outbox_due", "outbox_by_expiry"):
        op.drop_index(name, "outbox")
    with op.batch_alter_table("outbox") as outbox:
        for name in ("flow", "sender", "recipient", "segments", "tried"):
            outbox.drop_column(name)
    op.create_index("outbox_due", "outbox", ["lane", "due_at", "position"])


def _outbox() -> None:
    op.rename_table("outbox", "outbox_before")
    op.drop_index("outbox_due", "outbox_before")
    op.create_table(
        "outbox",
        sa.Column("lane", sa.String(length=80), nullable=False),
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("flow", sa.String(length=9), nullable=False),
        sa.Column("sender", sa.String(length=128), nullable=False),
        sa.Column("recipient", sa.String(length=128), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.Column("tried", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("in_doubt", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("position", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("lane", "message_sid"),
    )
    op.create_index("outbox_due", "outbox", ["lane", "flow", "due_at", "position"])
    op.create_index("outbox_by_expiry", "outbox", ["expires_at"])
    # One flow for all that waited: it leaves in the order in which it was accepted.
    op.execute(
        "INSERT INTO outbox (lane, message_sid, account_sid, flow, sender, recipient, segments,"
        " tried, due_at, expires_at, in_doubt, attempts, position)"
        " SELECT o.lane, o.message_sid, o.account_sid, '300000000', coalesce(m.sender, ''),"
        " m.recipient, m.num_segments, '', o.due_at, o.expires_at, o.in_doubt, o.attempts,"
        " o.position FROM outbox_before o JOIN messages m"
        " ON m.account_sid = o.account_sid AND m.position = o.position"
    )
    op.drop_table("outbox_before")


def _strays() -> None:
    op.create_table(
        "strays",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("ref", sa.String(length=80), nullable=False),
        sa.Column("carrier", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("doc", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("sid", "ref"),
    )
    op.create_index("strays_by_ref", "strays", ["carrier", "ref"])
    op.create_index("strays_by_kind", "strays", ["kind", "sid"])


def _inbound_segments() -> None:
    op.create_table(
        "inbound_segments",
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("doc", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source", "key", "number"),
    )
    op.create_index("inbound_segments_in_order", "inbound_segments", ["source", "sid"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("message_sid", sa.String(length=34), nullable=False),
        sa.Column("system_id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("doc", sa.JSON(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sid"),
    )
    op.create_index("deliveries_due", "deliveries", ["system_id", "due_at", "sid"])
