"""An index by which each account's webhooks at a host are found, whatever others have there."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_IS_DUE = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        "callbacks_by_turn",
        "callbacks",
        ["host", "account_sid", "due_at", "sid"],
        sqlite_where=_IS_DUE,
        postgresql_where=_IS_DUE,
    )


def downgrade() -> None:
    """Drop it again."""
    op.drop_index("callbacks_by_turn", "callbacks")
