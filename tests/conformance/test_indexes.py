"""The indexes that migrations make are those that are declared, down to their conditions."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from tests.databases import DATABASES
from tests.processes import wait_until
from trunkline.store.opening import unopened_store
from trunkline.store.schema import MIGRATIONS, upgrade
from trunkline.store.store import Database
from trunkline.store.tables import metadata

_QUERIES = {
    "sqlite": "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
)


def empty(data_dir: Path) -> Database:
    """Return a store whose database has nothing in it."""
    data_dir.mkdir()
    return unopened_store(data_dir, DATABASES.settings(data_dir, has_schema=False).get("database"))


def indexes(db: Connection) -> dict[str, str]:
    """Return how each index would be made again."""
    made = db.execute(text(_QUERIES[db.dialect.name]))
    return {name: " ".join(said.replace('"', "").split()) for name, said in made}


def migrate(engine: Engine, version: str, *, back: bool = False) -> None:
    """Bring a database to a version of its schema."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as db, db.begin():
        config.attributes["connection"] = db
        (command.downgrade if back else command.upgrade)(config, version)


async def test_migrations_make_the_indexes_that_are_declared(tmp_path: Path) -> None:
    """What is compared otherwise are names and columns only."""
    migrated, declared = empty(tmp_path / "migrated"), empty(tmp_path / "declared")
    upgrade(migrated.engine)
    with declared.engine.connect() as db, db.begin():
        metadata.create_all(db)
        expected = indexes(db)
    with migrated.engine.connect() as db, db.begin():
        found = indexes(db)
    # The names of keys are of no account: those of tables that were made anew are others.
    expected = {name: said for name, said in expected.items() if not name.endswith("_pkey")}
    assert {name: found.get(name) for name in expected} == expected
    await migrated.close()
    await declared.close()


async def test_indexes_of_lists_come_and_go(tmp_path: Path) -> None:
    """What was there before is there again for those who go back."""
    store = empty(tmp_path / "data")
    migrate(store.engine, "0007")
    with store.engine.connect() as db, db.begin():
        before = indexes(db)
    upgrade(store.engine)
    migrate(store.engine, "0007", back=True)
    with store.engine.connect() as db, db.begin():
        assert indexes(db) == before
    await store.close()


@pytest.mark.postgresql
async def test_writers_do_not_wait_for_an_index(tmp_path: Path) -> None:
    """An index waits for those who write already, and nobody waits for the index."""
    store = empty(tmp_path / "data")
    migrate(store.engine, "0007")
    url = DATABASES.settings(tmp_path / "data")["database"]
    with (
        ThreadPoolExecutor(1) as threads,
        psycopg.connect(url) as first,
        psycopg.connect(url, autocommit=True) as second,
    ):
        first.execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        upgrading = threads.submit(upgrade, store.engine)
        wait_until(lambda: second.execute(_WAITING).fetchone() == (1,), what="the index waits")
        with second.transaction():
            second.execute("SET LOCAL lock_timeout = '5s'")
            second.execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        first.rollback()
        upgrading.result()
    with store.engine.connect() as db, db.begin():
        assert "messages_to" in indexes(db)
    await store.close()


@pytest.mark.postgresql
async def test_an_index_that_was_left_half_made_is_made_anew(tmp_path: Path) -> None:
    """As the server says of it after whoever made it has died."""
    store = empty(tmp_path / "data")
    migrate(store.engine, "0007")
    url = DATABASES.settings(tmp_path / "data")["database"]
    with psycopg.connect(url) as first, psycopg.connect(url, autocommit=True) as second:
        first.execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        second.execute("SET statement_timeout = '100ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            second.execute("CREATE INDEX CONCURRENTLY messages_to ON messages (recipient)")
        first.rollback()
    upgrade(store.engine)
    with store.engine.connect() as db, db.begin():
        assert "direction" in indexes(db)["messages_to"]
        assert list(db.execute(text("SELECT 1 FROM pg_index WHERE NOT indisvalid"))) == []
    await store.close()
