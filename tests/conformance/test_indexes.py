"""The indexes that migrations make are those that are declared, down to their conditions."""

from pathlib import Path

from sqlalchemy import Connection, text

from tests.databases import DATABASES
from trunkline.store.opening import unopened_store
from trunkline.store.schema import upgrade
from trunkline.store.store import Database
from trunkline.store.tables import metadata

_QUERIES = {
    "sqlite": "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}


def empty(data_dir: Path) -> Database:
    """Return a store whose database has nothing in it."""
    data_dir.mkdir()
    return unopened_store(data_dir, DATABASES.settings(data_dir, has_schema=False).get("database"))


def indexes(db: Connection) -> dict[str, str]:
    """Return how each index would be made again."""
    made = db.execute(text(_QUERIES[db.dialect.name]))
    return {name: " ".join(said.replace('"', "").split()) for name, said in made}


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
