"""The one INSERT … ON CONFLICT that compiles for both databases."""

# SQLite took this clause over from PostgreSQL, so PostgreSQL's construct is in both dialects'
# words; SQLite's own lacks the name of a constraint, which PostgreSQL's compiler asks for.
from sqlalchemy.dialects.postgresql import insert as upsert

__all__ = ["upsert"]
