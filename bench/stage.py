"""What every scenario stands on: both ends of the way, the contenders, and how much is asked."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from bench import gateways, jasmin
from bench.ends import End, Load, build, running_end, running_smsc
from bench.gateways import CORES, Gateway, Surroundings
from bench.postgres import Cluster, find_server, running_cluster
from bench.site import Site, can

Start = Callable[[Surroundings], contextlib.AbstractContextManager[Gateway]]

ON_SQLITE = "trunkline"
ON_POSTGRESQL = "trunkline_postgresql"
ON_CORES = "trunkline_workers"
KANNEL = "kannel"
JASMIN = "jasmin"
PROBE = "probe"
CONTENDERS = (ON_SQLITE, ON_POSTGRESQL, ON_CORES, KANNEL, JASMIN, PROBE)
QUICK_CONTENDERS = (ON_SQLITE, KANNEL, PROBE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is asked; QUICK shows that all works, FULL is for figures to be compared."""

    messages: int
    rounds: int
    stored: int
    queued: int
    backlog: int
    singles: int
    pages: int
    works: int
    connections: int = 64
    window: int = 200
    warm_up: int = 500


QUICK = Sizes(
    messages=2_000,
    rounds=1,
    stored=20_000,
    queued=20_000,
    backlog=5_000,
    singles=20,
    pages=3,
    works=2_000,
)
FULL = Sizes(
    messages=20_000,
    rounds=5,
    stored=1_000_000,
    queued=1_000_000,
    backlog=500_000,
    singles=200,
    pages=100,
    works=20_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The processes at both ends, the database server if there is one, and where data may lie."""

    load: Load
    smsc: End
    smsc_program: Path
    directory: Path
    cluster: Cluster | None
    sizes: Sizes
    wanted: Sequence[str] = CONTENDERS
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def end_pids(self) -> list[int]:
        """The processes at both ends."""
        return [self.load.pid, self.smsc.process.pid]

    def new_directory(self, name: str) -> Path:
        """Return a place for a contender's data, which is not there yet."""
        return self.directory / f"{name}-{next(self._numbers)}"

    def new_site(self, name: str) -> Site:
        """Return a place and, for a Trunkline on PostgreSQL, a database for a new installation."""
        database = ""
        if name == ON_POSTGRESQL:
            assert self.cluster is not None
            database = self.cluster.new_database()
        return Site(directory=self.new_directory(name), database=database)

    def around(self, name: str) -> Surroundings:
        """Return what a contender finds."""
        is_served = name in (ON_POSTGRESQL, ON_CORES) and self.cluster is not None
        database = self.cluster.new_database() if is_served and self.cluster else ""
        return Surroundings(
            smsc_port=self.smsc.port,
            callback_port=self.load.port,
            window=self.sizes.window,
            directory=self.new_directory(name),
            database=database,
            database_pids=self.database_pids if is_served else (),
        )

    @property
    def database_pids(self) -> list[int]:
        """The database server's process."""
        return [] if self.cluster is None else [self.cluster.pid]

    def contenders(self) -> dict[str, Start]:
        """Return all that can be measured here, by name."""
        missing = self.missing()
        starts: Mapping[str, Start] = {
            ON_SQLITE: gateways.trunkline,
            ON_POSTGRESQL: gateways.trunkline,
            ON_CORES: partial(gateways.trunkline, workers=CORES),
            KANNEL: gateways.kannel,
            JASMIN: jasmin.jasmin,
            PROBE: gateways.probed,
        }
        return {name: starts[name] for name in self.wanted if name not in missing}

    def trunklines(self) -> list[str]:
        """Return on which databases a Trunkline of one process can be measured."""
        return [name for name in self.contenders() if name in (ON_SQLITE, ON_POSTGRESQL)]

    def missing(self) -> dict[str, str]:
        """Return why some contenders cannot be measured here."""
        found = {}
        no_database = _no_database(self.cluster)
        if no_database:
            found[ON_POSTGRESQL] = no_database
        if not can("workers"):
            found[ON_CORES] = "this version of Trunkline has no setting `workers`"
        elif no_database:
            found[ON_CORES] = no_database
        if programs := gateways.missing_programs():
            found[KANNEL] = f"not installed: {', '.join(programs)}"
        if reason := jasmin.missing():
            found[JASMIN] = reason
        return {name: why for name, why in found.items() if name in self.wanted}


def _no_database(cluster: Cluster | None) -> str:
    if not can("database"):
        return "this version of Trunkline has no setting `database`"
    return "" if cluster else "PostgreSQL is not installed"


@contextlib.contextmanager
def running_stage(directory: Path, sizes: Sizes, *, wanted: Sequence[str]) -> Iterator[Stage]:
    """Yield a stage with its processes; they end with it."""
    needs_database = find_server() is not None and can("database")
    smsc_program = build("smsc", directory)
    with contextlib.ExitStack() as stack:
        load = stack.enter_context(running_end([str(build("load", directory))]))
        smsc = stack.enter_context(running_smsc(smsc_program))
        cluster = None
        if needs_database:
            # Its files belong to another user, who has to come by here.
            directory.chmod(0o711)
            cluster = stack.enter_context(running_cluster(directory / "postgresql"))
        yield Stage(
            load=Load(load, directory),
            smsc=smsc,
            smsc_program=smsc_program,
            directory=directory,
            cluster=cluster,
            sizes=sizes,
            wanted=wanted,
        )
