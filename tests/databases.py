"""Which database a data directory of the tests has: a file in it, or one on PostgreSQL.

Rule: a test does not choose; what it starts has what the whole run has been told to use.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from tests.postgres import EMPTY, Cluster
from trunkline.store.opening import unopened_store
from trunkline.store.postgres_engine import open_engine, parse_address
from trunkline.store.schema import upgrade
from trunkline.store.store import SqliteStore

SQLITE, POSTGRESQL = KINDS = "sqlite", "postgresql"
FILE = "trunkline.db"
TEMPLATE = "template_with_schema"


@dataclass
class Databases:
    """The databases of a run, by their data directories.

    A directory that is opened again has its database still. Unless a test is about the first
    start, it begins with a copy of an empty schema, which migrations take 40 ms to make.
    """

    kind: str = SQLITE
    # What a test that gets none is to declare, so that it runs once only.
    refusal: str = ""
    _names: dict[Path, str] = field(default_factory=dict)
    _number: int = 0
    _cluster: Cluster | None = None
    _template: Path | None = None

    @property
    def cluster(self) -> Cluster:
        """The run's own server; it is started when the first test asks for it."""
        if self._cluster is None:
            self._cluster = Cluster()
            self._cluster.create(TEMPLATE)
            engine = open_engine(parse_address(self._cluster.url(TEMPLATE)))
            upgrade(engine)
            engine.dispose()
        return self._cluster

    def prepare(self) -> None:
        """Have the server that is needed started by this thread, with which it would end."""
        if self.kind == POSTGRESQL and not self.refusal:
            assert self.cluster.port

    def settings(self, data_dir: Path, *, has_schema: bool = True) -> dict[str, str]:
        """Return the settings that a Trunkline on this directory is started with."""
        assert not self.refusal, self.refusal
        if self.kind == POSTGRESQL:
            return {"database": self.cluster.url(self._database(data_dir, has_schema=has_schema))}
        if has_schema and not (data_dir / FILE).exists():
            data_dir.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._file(), data_dir / FILE)
        return {}

    @contextlib.contextmanager
    def connected(self, data_dir: Path) -> Iterator[Connection]:
        """Yield a transaction such as another program on the same database begins."""
        engine = unopened_store(data_dir, self.settings(data_dir).get("database")).engine
        with engine.connect() as db, db.begin():
            yield db
        engine.dispose()

    def copy(self, source: Path, target: Path) -> Path:
        """Return a copy of a data directory that nobody uses, which has a copy of its database."""
        if self.kind == POSTGRESQL:
            self._make(target, template=self._names[source])
        return Path(shutil.copytree(source, target))

    def release(self, directory: Path) -> None:
        """Drop the databases of everything below a directory."""
        for data_dir in [path for path in self._names if path.is_relative_to(directory)]:
            self.cluster.drop(self._names.pop(data_dir))

    def close(self) -> None:
        """Leave nothing running."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None
        if self._template is not None:
            shutil.rmtree(self._template.parent)
            self._template = None

    def _database(self, data_dir: Path, *, has_schema: bool) -> str:
        if data_dir not in self._names:
            self._make(data_dir, template=TEMPLATE if has_schema else EMPTY)
        return self._names[data_dir]

    def _make(self, data_dir: Path, *, template: str) -> None:
        self._number += 1
        self._names[data_dir] = f"test_{self._number}"
        self.cluster.create(self._names[data_dir], template=template)

    def _file(self) -> Path:
        if self._template is None:
            self._template = Path(tempfile.mkdtemp(prefix="trunkline-")) / FILE
            engine = SqliteStore(self._template).engine
            upgrade(engine)
            engine.dispose()
        return self._template


DATABASES = Databases()
