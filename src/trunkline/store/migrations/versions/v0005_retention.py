"""Retention: what was erased, how far it came, and indexes that find what is old."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new tables and indexes; nothing that was there changes."""
    op.create_table(
        "erasures",
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", "kind"),
    )
    op.create_index("erasures_due", "erasures", ["due_at"])
    op.create_table(
        "retention_marks",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("position", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "kind"),
    )
    op.create_index("cookies_by_use", "cookies", ["used_at"])
    op.create_index("deliveries_by_message", "deliveries", ["message_sid"])


def downgrade() -> None:
    """Drop them again."""
    op.drop_index("deliveries_by_message", "deliveries")
    op.drop_index("cookies_by_use", "cookies")
    op.drop_table("retention_marks")
    op.drop_table("erasures")
