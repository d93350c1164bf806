"""The database: whether it opens, is whole, is of our version, and keeps what it is given."""

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from trunkline.ops.doctor.finding import Finding, doubtful, fine, wrong
from trunkline.store.condition import LOOK_SECONDS_MAX, newest_at, quick_check, sqlite_facts
from trunkline.store.schema import current_version, known_versions
from trunkline.store.server import (
    DeadRows,
    ServerFacts,
    Standby,
    dead_rows,
    server_facts,
    standbys,
)
from trunkline.store.store import LOG_BYTES_MAX

# Twice the size at which the server begins it anew: something keeps it from that.
LOG_BYTES_MOST = 2 * LOG_BYTES_MAX
# https://www.sqlite.org/wal.html#walresetbug
SQLITE_SOUND = (3, 51, 3)
POSTGRES_LEAST = 140_000
LATENCY_SECONDS_MOST = 0.005
CONNECTIONS_SHARE_MOST = 0.8
TRANSACTION_SECONDS_MOST = 300.0  # Ours end within seconds; what is older keeps dead rows alive.
BEHIND_BYTES_MOST = 64_000_000
BEHIND_SECONDS_MOST = 10.0
DEAD_LEAST = 100_000  # Fewer dead rows cost nothing, whatever their share is.
DEAD_PER_LIVE_MOST = 5
# What two machines' clocks, or SIDs made in one microsecond, may differ by.
AHEAD_MOST = timedelta(seconds=5)


def sqlite_file(db: Connection, path: Path) -> Iterator[Finding]:
    """Look at SQLite's file, and at its log."""
    facts = sqlite_facts(db, path)
    note = ""
    if tuple(map(int, facts.version.split("."))) < SQLITE_SOUND:
        note = "; before 3.51.3 two writers at once could damage it, and the server is the only one"
    yield fine("database", f"SQLite {facts.version}, {facts.file_bytes / 1e6:,.1f} MB{note}")
    if facts.journal_mode != "wal":
        # A file that was restored from a backup is like that.
        yield doubtful(
            "journal",
            f"the journal mode is {facts.journal_mode}",
            advice="The next start of the server sets it to WAL.",
        )
    elif facts.log_bytes > LOG_BYTES_MOST:
        yield doubtful(
            "journal",
            f"the write-ahead log has {facts.log_bytes / 1e6:,.0f} MB",
            advice="Something reads the database for very long: an open sqlite3 shell, a backup?",
        )
    else:
        yield fine("journal", f"WAL, {facts.log_bytes / 1e6:,.1f} MB")


def sqlite_whole(db: Connection, *, seconds: float = LOOK_SECONDS_MAX) -> Finding:
    """Look for damage, as far as there is time to read."""
    try:
        trouble = quick_check(db, seconds=seconds)
    except sqlite3.DatabaseError as error:
        trouble = [str(error)]
    if trouble is None:
        return fine(
            "integrity",
            f"no damage in what could be read within {seconds:.0f} seconds;"
            " `trunkline db check` reads everything",
        )
    if trouble:
        return wrong(
            "integrity",
            f"damaged: {'; '.join(trouble)}",
            advice="Stop the server, keep a copy of the whole directory, restore the last backup.",
        )
    return fine("integrity", "no damage")


def schema(db: Connection) -> Finding:
    """Look whether the schema is of our version."""
    known, found = known_versions(), current_version(db)
    if found == known[0]:
        return fine("schema", f"version {found}, the newest")
    if found is None:
        return doubtful(
            "schema", "the database is empty", advice="`trunkline up` or `trunkline db migrate`."
        )
    if found in known:
        return doubtful(
            "schema",
            f"version {found}; this program makes {known[0]} of it",
            advice="`trunkline db migrate`, or start a server of this version.",
        )
    return wrong(
        "schema",
        f"version {found}, which this program does not know",
        advice="A newer version wrote it: use that one, also for this command.",
    )


def newest_row(db: Connection, now: datetime) -> Finding:
    """Look whether the clock was set back since something was written."""
    newest = newest_at(db)
    if newest is not None and newest > now + AHEAD_MOST:
        return wrong(
            "clock and history",
            f"the newest row was made {newest - now} in the future",
            advice="A clock was wrong then or is wrong now; new rows go behind it until it is"
            " reached.",
        )
    shown = "nothing was written yet" if newest is None else f"last written {newest:%Y-%m-%d %H:%M}"
    return fine("clock and history", shown)


def postgres(db: Connection) -> Iterator[Finding]:
    """Look at the server, as far as an ordinary user may see."""
    facts = server_facts(db)
    yield server(facts)
    yield durability(facts)
    yield connections(facts)
    yield transactions(facts)
    if not facts.is_standby:
        is_waited_for = facts.waits_for_standby and facts.synchronous_commit != "local"
        yield replication(standbys(db), is_waited_for=is_waited_for)
    for rows in dead_rows(db):
        yield sweeping(rows)


def server(facts: ServerFacts) -> Finding:
    """Judge its version, its role and how it stores text."""
    found = f"PostgreSQL {facts.version}, {facts.encoding}, collation {facts.collation}"
    if facts.version_number < POSTGRES_LEAST:
        return wrong("database", found, advice="Use PostgreSQL 14 or newer.")
    if facts.encoding != "UTF8":
        return wrong(
            "database", found, advice="Make a database with ENCODING 'UTF8', and move there."
        )
    if facts.is_standby:
        return wrong(
            "database",
            f"{found}; it is a standby and takes no writes",
            advice="Name the primary, or both with target_session_attrs=read-write.",
        )
    return fine("database", found)


def durability(facts: ServerFacts) -> Finding:
    """Judge whether a commit is on its disk when it says so."""
    off = [
        name
        for name, is_on in (("fsync", facts.syncs), ("full_page_writes", facts.writes_full_pages))
        if not is_on
    ]
    if off:
        return wrong(
            "durability",
            f"{' and '.join(off)} of the server: off; a power failure destroys what was promised",
            advice="Switch them on in postgresql.conf and reload it.",
        )
    if facts.synchronous_commit == "off":
        return doubtful(
            "durability",
            "synchronous_commit is off by default here; the server's own commits set it",
            advice="Leave it on for this database: ALTER DATABASE … SET synchronous_commit = on.",
        )
    return fine(
        "durability",
        f"fsync and full_page_writes are on, synchronous_commit is {facts.synchronous_commit}",
    )


def connections(facts: ServerFacts) -> Finding:
    """Judge how many connections are left."""
    found = f"{facts.connections} of {facts.connections_max} connections are in use"
    if facts.connections > CONNECTIONS_SHARE_MOST * facts.connections_max:
        return doubtful(
            "connections",
            found,
            advice="Raise max_connections, or put PgBouncer in front (docs: scale out).",
        )
    return fine("connections", found)


def transactions(facts: ServerFacts) -> Finding:
    """Judge whether somebody keeps a transaction open."""
    age = facts.oldest_transaction_seconds
    if age > TRANSACTION_SECONDS_MOST:
        return doubtful(
            "transactions",
            f"one has been open for {age / 60:,.0f} minutes; dead rows stay until it ends",
            advice="Find it in pg_stat_activity by xact_start, and end it.",
        )
    return fine("transactions", "none is old that our user may see")


def replication(found: list[Standby], *, is_waited_for: bool) -> Finding:
    """Judge how far behind the standbys are, and whether commits wait for one of them."""
    shown = ", ".join(map(_standby, found)) or "no standby"
    if is_waited_for and all(each.is_synchronous is False for each in found):
        return wrong(
            "replication",
            f"{shown}; commits wait for what synchronous_standby_names says, which is not there",
            advice="Start that standby; or take it out of synchronous_standby_names and reload the"
            " server, and commits go on.",
        )
    if not found:
        return fine("replication", shown)
    behind = [
        each
        for each in found
        if (each.behind_bytes or 0) > BEHIND_BYTES_MOST
        or (each.behind_seconds or 0) > BEHIND_SECONDS_MOST
    ]
    if behind:
        return doubtful(
            "replication",
            shown,
            advice="After a failover to it now, what it lacks would be lost: look at its disk and"
            " its network.",
        )
    if is_waited_for and all(each.is_synchronous is None for each in found):
        return fine(
            "replication",
            f"{shown}; commits wait for what synchronous_standby_names says, and how far it is our"
            " user may not see: GRANT pg_monitor",
        )
    if not any(each.is_synchronous for each in found):
        return doubtful(
            "replication",
            f"{shown}; none is synchronous",
            advice="A failover may lose what was answered with 201: set synchronous_standby_names.",
        )
    return fine("replication", shown)


def _standby(each: Standby) -> str:
    name = each.name or "a standby"
    if each.is_synchronous is None:
        return f"{name} (hidden)"
    how = "synchronous" if each.is_synchronous else "asynchronous"
    lag = "" if each.behind_bytes is None else f", {each.behind_bytes / 1e6:,.1f} MB behind"
    return f"{name} ({each.state}, {how}{lag})"


def sweeping(rows: DeadRows) -> Finding:
    """Judge whether autovacuum keeps up with a queue."""
    found = f"{rows.live:,} live and {rows.dead:,} dead rows, {rows.bytes / 1e6:,.1f} MB"
    check = f"table {rows.table}"
    if rows.dead > DEAD_LEAST and rows.dead > DEAD_PER_LIVE_MOST * rows.live:
        return doubtful(
            check, found, advice=f"VACUUM {rows.table}; and see what the row transactions says."
        )
    return fine(check, found)


def latency(seconds: float) -> Finding:
    """Judge how long the server takes to answer."""
    found = f"{seconds * 1000:.2f} ms for a round trip"
    if seconds > LATENCY_SECONDS_MOST:
        return doubtful(
            "latency", found, advice="Put the nodes into the database server's own network."
        )
    return fine("latency", found)
