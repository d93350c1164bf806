"""Media in the database, for nodes that share it; the marks of its commits; who may use it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# Their rows live for moments. A fifth of the table, which is when PostgreSQL looks at others, is
# of a table that is nearly empty nothing, and of one that is full far too much.
QUEUES = ("outbox", "callbacks", "deliveries", "media_fetches", "commits")
VACUUM = (
    "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,"
    " autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 2000"
)


def upgrade() -> None:
    """Make the new tables."""
    op.create_table(
        "media_bytes",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "number"),
    )
    op.create_table(
        "commits",
        sa.Column("writer", sa.String(length=16), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("writer", "number"),
    )
    compatibility = op.create_table(
        "compatibility",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("oldest", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    # A later migration that takes something away names itself here; one that only adds does not.
    op.bulk_insert(compatibility, [{"id": 1, "oldest": revision}])
    if op.get_bind().dialect.name == "postgresql":
        for name in QUEUES:
            op.execute(f"ALTER TABLE {name} SET ({VACUUM})")


def downgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "postgresql":
        names = ", ".join(assignment.split(" = ")[0] for assignment in VACUUM.split(", "))
        for name in set(QUEUES) - {"commits"}:
            op.execute(f"ALTER TABLE {name} RESET ({names})")
    for name in ("media_bytes", "commits", "compatibility"):
        op.drop_table(name)
