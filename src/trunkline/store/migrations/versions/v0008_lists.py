"""Indexes from which lists of messages are read in their order, however many there are."""

from alembic import op

revision = "0008"
down_revision = "0007"

DIALECTS = ("sqlite", "postgresql")
IS_LOST = dict.fromkeys(DIALECTS, "status IN ('failed', 'undelivered', 'canceled')")
IS_SENT = dict.fromkeys(DIALECTS, "sent_at IS NOT NULL")
OUT_OF_STEP = {
    "sqlite": (
        "(position > printf('%014x', sent_at + 1000000)"
        " OR position < printf('%014x', sent_at - 43200000000))"
    ),
    "postgresql": (
        "(position > lpad(to_hex(sent_at + 1000000), 14, '0')"
        " OR position < lpad(to_hex(sent_at - 43200000000), 14, '0'))"
    ),
}
NEW: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("messages_to", ("account_sid", "recipient", "direction", "position"), {}),
    ("messages_from", ("account_sid", "sender", "direction", "position"), {}),
    ("messages_in_status", ("account_sid", "status", "direction", "position"), {}),
    ("messages_lost", ("account_sid", "sender", "status", "direction", "position"), IS_LOST),
    ("messages_by_time_sent", ("account_sid", "sent_at", "position"), IS_SENT),
    ("messages_sent", ("account_sid", "direction", "position", "sent_at"), IS_SENT),
    ("messages_out_of_step", ("account_sid", "sent_at", "created_at"), OUT_OF_STEP),
)
OLD = ("recipient", "sender", "sent_at", "status", "direction")


def upgrade() -> None:
    """Make the new indexes, and drop those whose place they take."""
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        _drop_old()  # The new ones take their room in the file.
    for name, columns, condition in NEW:
        where = f" WHERE {condition[dialect]}" if condition else ""
        keys = ", ".join(columns)
        if dialect == "postgresql":
            keys = keys.replace("position", "position NULLS FIRST")
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON messages ({keys}){where}")
    if dialect != "sqlite":
        _drop_old()


def downgrade() -> None:
    """Make the old indexes again."""
    for column in OLD:
        op.create_index(f"messages_by_{column}", "messages", ["account_sid", column, "position"])
    for name, _, _ in NEW:
        op.drop_index(name, "messages")


def _drop_old() -> None:
    for column in OLD:
        op.drop_index(f"messages_by_{column}", "messages")
