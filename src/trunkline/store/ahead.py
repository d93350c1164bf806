"""Indexes that are there before a migration asks for them, made while other nodes go on writing.

PostgreSQL makes an index so only outside of transactions, and a migration is in one: there, writers
would have to wait until an index on millions of rows is finished.
"""

import psycopg
from sqlalchemy import Engine, Index, Table
from sqlalchemy.schema import CreateIndex

_INVALID = """
    SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
     WHERE NOT indisvalid AND indrelid = to_regclass(%s)
"""


def make_indexes(engine: Engine, table: Table) -> None:
    """Make those indexes of a table that are missing; what is no table yet gets none.

    Several programs may do this at once: the server lets one after the other make an index, and who
    comes later finds it made. What a program left half made, because it ended, is made anew.
    """
    if engine.dialect.name != "postgresql":
        return
    connection = engine.raw_connection()
    try:
        server = connection.driver_connection
        assert isinstance(server, psycopg.Connection)
        if server.execute("SELECT to_regclass(%s)", (table.name,)).fetchone() == (None,):
            return
        statements = {str(index.name): _creation(index, engine) for index in table.indexes}
        for statement in statements.values():
            server.execute(statement)
        for (name,) in server.execute(_INVALID, (table.name,)).fetchall():
            if name in statements:
                server.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}".encode())
                server.execute(statements[name])
    finally:
        connection.close()


def _creation(index: Index, engine: Engine) -> bytes:
    said = str(CreateIndex(index, if_not_exists=True).compile(dialect=engine.dialect))
    return said.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1).encode()
