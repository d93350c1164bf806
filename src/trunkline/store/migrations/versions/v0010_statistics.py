"""Nothing that PostgreSQL notes of columns to plan with holds texts: redaction reaches it not."""

from alembic import op

revision = "0010"
down_revision = "0009"

TEXTS = {
    "messages": ("body", "status_callback"),
    "callbacks": ("url", "fallback_url"),
    "callback_attempts": ("url", "reason", "head"),
}


def upgrade() -> None:
    """Have nothing noted of these columns any more, and forget what was."""
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in TEXTS.items():
            for column in columns:
                # The type is the one it has, so no row is touched; what was noted is dropped.
                op.execute(f'ALTER TABLE {table} ALTER COLUMN {column} TYPE TEXT COLLATE "C"')
                op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")


def downgrade() -> None:
    """Have it noted again."""
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in TEXTS.items():
            for column in columns:
                op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS -1")
