"""The schema's versions: every database, new or old, comes to the newest by the same migrations."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, inspect, select

from trunkline.store.ahead import make_indexes
from trunkline.store.tables import compatibility, messages

MIGRATIONS = Path(__file__).parent / "migrations"
TURN = 0x7472756E6B  # "trunk": other programs in the database have other numbers.


def upgrade(engine: Engine) -> None:
    """Bring the schema to our newest version; of several programs at once one does it."""
    with engine.connect() as db:
        if _is_enough(current_version(db)):
            return
    make_indexes(engine, messages)
    with engine.connect() as db, db.begin():
        take_turns(db)
        if _is_enough(current_version(db)):  # Somebody else's turn was before ours.
            return
        config = _config()
        config.attributes["connection"] = db
        command.upgrade(config, "head")


def take_turns(db: Connection) -> None:
    """Wait until no other program prepares this database; until the transaction ends it is ours."""
    if db.dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(TURN)))


def is_newer(engine: Engine) -> bool:
    """Tell whether a newer version of this program changed the schema so that we cannot use it.

    Each version leaves word of the oldest one whose program goes on working.
    """
    with engine.connect() as db, db.begin():
        if current_version(db) in {None, *known_versions()}:
            return False
        if not inspect(db).has_table(compatibility.name):
            return True
        return db.execute(select(compatibility.c.oldest)).scalar() not in known_versions()


def _is_enough(version: str | None) -> bool:
    known = known_versions()
    return version is not None and (version == known[0] or version not in known)


def current_version(db: Connection) -> str | None:
    """Return the version of the schema, or None for an empty database."""
    return MigrationContext.configure(db).get_current_revision()


@cache
def known_versions() -> tuple[str, ...]:
    """Return the versions that this program knows, newest first."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(script.revision for script in scripts)


def _config() -> Config:
    config = Config()
    # A '%' in the path would be read as an interpolation.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
