"""What a PostgreSQL server tells of itself: its settings, its standbys, its dead rows.

Rule: nothing here writes, and nothing needs more than the rights of an ordinary user.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from trunkline.store.postgres_engine import open_engine, parse_address

ROUND_TRIPS = 21  # An odd number has a median that was measured.
STATEMENT_SECONDS_MAX = 20  # Reading a queue of a million rows takes one of them.
_READ = f"BEGIN READ ONLY; SET LOCAL statement_timeout = {STATEMENT_SECONDS_MAX * 1000};"

# Of other users' sessions their kind is hidden, and since when they are in a transaction, unless
# ours is a member of pg_monitor.
_FACTS = text(
    """
    SELECT current_setting('server_version') AS version,
           current_setting('server_version_num')::int AS version_number,
           current_setting('synchronous_commit') AS synchronous_commit,
           current_setting('fsync') = 'on' AS syncs,
           current_setting('full_page_writes') = 'on' AS writes_full_pages,
           current_setting('max_connections')::int
               - current_setting('superuser_reserved_connections')::int AS connections_max,
           current_setting('synchronous_standby_names') <> '' AS waits_for_standby,
           (SELECT count(*) FROM pg_stat_activity
             WHERE usename IS NOT NULL AND datname IS NOT NULL) AS connections,
           pg_is_in_recovery() AS is_standby,
           (SELECT pg_encoding_to_char(encoding) FROM pg_database
             WHERE datname = current_database()) AS encoding,
           (SELECT datcollate FROM pg_database WHERE datname = current_database()) AS collation,
           (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8
              FROM pg_stat_activity WHERE backend_type = 'client backend')
               AS oldest_transaction_seconds
    """
)
# All but its name is hidden in the same way.
_STANDBYS = text(
    """
    SELECT coalesce(application_name, '') AS name,
           coalesce(state, '') AS state,
           sync_state IN ('sync', 'quorum') AS is_synchronous,
           pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::int8 AS behind_bytes,
           extract(epoch FROM replay_lag)::float8 AS behind_seconds
      FROM pg_stat_replication
    """
)
_DEAD_ROWS = text(
    """
    SELECT relname AS table, n_live_tup AS live, n_dead_tup AS dead,
           pg_table_size(relid) AS bytes
      FROM pg_stat_user_tables
     WHERE relname IN ('outbox', 'callbacks') AND schemaname = current_schema()
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What the server says of itself; settings are those that a new session has."""

    version: str
    version_number: int
    synchronous_commit: str
    syncs: bool
    writes_full_pages: bool
    waits_for_standby: bool
    connections_max: int
    connections: int
    is_standby: bool
    encoding: str
    collation: str
    oldest_transaction_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standby:
    """A standby that follows the server; None for what our user may not see."""

    name: str
    state: str
    is_synchronous: bool | None
    behind_bytes: int | None
    behind_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRows:
    """How much of a queue's table is dead rows that nobody has swept yet."""

    table: str
    live: int
    dead: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """How long the server takes to answer, and how far its clock is behind ours; medians."""

    seconds: float
    clock_seconds: float


def open_server(url: str) -> Engine:
    """Return an engine that only reads; raises ValueError for what is no URL of a database."""
    return open_engine(parse_address(url), opening=_READ)


def server_facts(db: Connection) -> ServerFacts:
    """Return what the server says of itself."""
    return ServerFacts(**db.execute(_FACTS).one()._mapping)


def standbys(db: Connection) -> list[Standby]:
    """Return the standbys that follow the server; a standby itself has none to tell of."""
    return [Standby(**row._mapping) for row in db.execute(_STANDBYS)]


def dead_rows(db: Connection) -> list[DeadRows]:
    """Return how the tables of the queues are doing."""
    return [DeadRows(**row._mapping) for row in db.execute(_DEAD_ROWS)]


def round_trips(db: Connection, now: Callable[[], datetime]) -> RoundTrips:
    """Ask the server for its time, often enough that one slow answer means nothing."""
    seconds, ahead = [], []
    for _ in range(ROUND_TRIPS):
        began, began_at = time.perf_counter(), now()
        theirs: datetime = db.execute(text("SELECT clock_timestamp()")).scalar_one()
        took = time.perf_counter() - began
        seconds.append(took)
        # They looked at their clock half-way, as far as anybody knows.
        ahead.append((began_at - theirs).total_seconds() + took / 2)
    return RoundTrips(statistics.median(seconds), statistics.median(ahead))
