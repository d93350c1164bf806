"""The schema's versions: every database, new or old, comes to the newest by the same migrations."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest version."""
    with engine.connect() as db, db.begin():
        config = _config()
        config.attributes["connection"] = db
        command.upgrade(config, "head")


def is_newer(engine: Engine) -> bool:
    """Tell whether the database was written by a version of this program that we do not know."""
    with engine.connect() as db:
        return current_version(db) not in {None, *known_versions()}


def current_version(db: Connection) -> str | None:
    """Return the version of the schema, or None for an empty database."""
    return MigrationContext.configure(db).get_current_revision()


def known_versions() -> list[str]:
    """Return the versions that this program knows, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def _config() -> Config:
    config = Config()
    # A '%' in the path would be read as an interpolation.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
