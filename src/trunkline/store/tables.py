"""The tables. Streams have one each, made for their access path; configuration shares `records`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    TextClause,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.compiler import DDLCompiler

from trunkline.store import sending_tables
from trunkline.store.columns import (
    ADDRESS_LENGTH,
    FLOW_LENGTH,
    POSITION_LENGTH,
    SID_LENGTH,
    Instant,
    Money,
    sid_column,
)
from trunkline.store.hosts import HOST_MAX

# The tables of a schema in one place, these and those.
metadata = sending_tables.TABLES

# How far the time of a sending is from its message's own, in front of it and behind it, if they are
# in step: clocks are read one after the other, and a message is valid for ten hours at most.
SENT_AHEAD = timedelta(seconds=1)
SENT_BEHIND = timedelta(hours=12)

_SQLITE, _POSTGRESQL = "sqlite", "postgresql"
IS_SENT = dict.fromkeys((_SQLITE, _POSTGRESQL), text("sent_at IS NOT NULL"))
_ALL: Mapping[str, TextClause] = {}
# Few of many, mostly, and what is looked for then: those of a sender are to be at hand.
LOST = ("failed", "undelivered", "canceled")
IS_LOST = dict.fromkeys((_SQLITE, _POSTGRESQL), text(f"status IN {LOST}"))
# In words that an index may have; a position begins with a time in hexadecimal.
OUT_OF_STEP = {
    _SQLITE: text(
        "(position > printf('%014x', sent_at + 1000000)"
        " OR position < printf('%014x', sent_at - 43200000000))"
    ),
    _POSTGRESQL: text(
        "(position > lpad(to_hex(sent_at + 1000000), 14, '0')"
        " OR position < lpad(to_hex(sent_at - 43200000000), 14, '0'))"
    ),
}

# A message's key is the part of its SID that orders it: SM… and MM… are one sequence.
messages = Table(
    "messages",
    metadata,
    sid_column("account_sid", key=True),
    Column("position", String(POSITION_LENGTH), primary_key=True),
    sid_column("sid"),
    Column("direction", String(16), nullable=False),
    Column("status", String(20), nullable=False),
    Column("sender", String(ADDRESS_LENGTH)),
    Column("recipient", String(ADDRESS_LENGTH), nullable=False),
    Column("body", Text, nullable=False),
    Column("encoding", String(8), nullable=False),
    Column("num_segments", Integer, nullable=False),
    Column("num_media", Integer, nullable=False),
    sid_column("messaging_service_sid", nullable=True),
    Column("carrier", String(64), nullable=False),
    Column("price", Money),
    Column("error_code", Integer),
    Column("status_callback", Text),
    Column("validity_seconds", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Column("options", JSON, nullable=False),
)

# Nulls, of which there are none, come first in these and last in the primary key: so PostgreSQL
# knows by a list's order which one to follow. By itself it takes the primary key for whatever much
# of an account is, however old that may be.
_POSITION = messages.c.position.nulls_first()


def _list_index(name: str, *columns: str, only: Mapping[str, TextClause] = _ALL) -> Index:
    """Declare an index that lists of an account's messages follow."""
    options: dict[str, Any] = {f"{dialect}_where": said for dialect, said in only.items()}
    keys = [_POSITION if column == "position" else messages.c[column] for column in columns]
    return Index(name, messages.c.account_sid, *keys, **options)


@compiles(CreateIndex, "sqlite")
def _without_nulls(create: CreateIndex, compiler: DDLCompiler, **options: Any) -> str:
    """Leave out what is so in SQLite anyhow, which does not want to hear it."""
    said: str = compiler.visit_create_index(create, **options)  # type: ignore[no-untyped-call]
    return said.replace(" NULLS FIRST", "")


_list_index("messages_to", "recipient", "direction", "position")
_list_index("messages_from", "sender", "direction", "position")
_list_index("messages_in_status", "status", "direction", "position")
_list_index("messages_lost", "sender", "status", "direction", "position", only=IS_LOST)
_list_index("messages_sent", "direction", "position", "sent_at", only=IS_SENT)
_list_index("messages_by_time_sent", "sent_at", "position", only=IS_SENT)
_list_index("messages_out_of_step", "sent_at", "created_at", only=OUT_OF_STEP)

# What a lane has still to hand over. Narrow, because its rows live only for moments.
# in_doubt is set, and committed, before the bytes leave: a crash then leaves it behind.
# flow is what takes turns with others: the priority, urgent first, and one sender of one account.
outbox = Table(
    "outbox",
    metadata,
    sid_column("account_sid", key=True),
    sid_column("message_sid", key=True),
    Column("lane", String(80), nullable=False),
    Column("flow", String(FLOW_LENGTH), nullable=False),
    Column("sender", String(ADDRESS_LENGTH), nullable=False),
    Column("recipient", String(ADDRESS_LENGTH), nullable=False),
    Column("segments", Integer, nullable=False),
    Column("tried", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("in_doubt", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("position", String(POSITION_LENGTH), nullable=False),
    Index("outbox_due", "lane", "flow", "due_at", "position"),
    Index("outbox_by_expiry", "expires_at"),
    sqlite_with_rowid=False,
)

carrier_refs = Table(
    "carrier_refs",
    metadata,
    Column("carrier", String(64), primary_key=True),
    Column("ref", String(80), primary_key=True),
    sid_column("account_sid"),
    sid_column("message_sid"),
    Column("segment_index", Integer, nullable=False),
    Column("segment_count", Integer, nullable=False),
    Column("delivered", Integer),
    Index("carrier_refs_by_message", "account_sid", "message_sid"),
    sqlite_with_rowid=False,
)

# What carriers brought that matches nothing of ours: receipts for unknown references, texts to
# unknown numbers. A receipt has a row for each way in which its reference may have been written.
strays = Table(
    "strays",
    metadata,
    sid_column("sid", key=True),
    Column("ref", String(80), primary_key=True),
    Column("carrier", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("at", Instant, nullable=False),
    Column("doc", JSON, nullable=False),
    Index("strays_by_ref", "carrier", "ref"),
    Index("strays_by_kind", "kind", "sid"),
)

# Segments of texts that are not whole yet, by whom they came from and what they have in common.
inbound_segments = Table(
    "inbound_segments",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    sid_column("sid"),
    Column("doc", LargeBinary, nullable=False),
    Index("inbound_segments_in_order", "source", "sid"),
)

# Receipts and texts for customers who bind to us; they wait here until somebody takes them.
deliveries = Table(
    "deliveries",
    metadata,
    sid_column("sid", key=True),
    sid_column("account_sid"),
    sid_column("message_sid"),
    Column("system_id", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("doc", JSON, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("deliveries_due", "system_id", "due_at", "sid"),
    Index("deliveries_by_message", "message_sid"),
)

# Webhooks that are due; those of a message in the order of created_at.
# due_at is null when the attempts are used up (parked).
IS_DUE = text("due_at IS NOT NULL")

callbacks = Table(
    "callbacks",
    metadata,
    sid_column("account_sid", key=True),
    sid_column("message_sid", key=True),
    sid_column("sid", key=True),
    Column("kind", String(16), nullable=False),
    Column("url", Text, nullable=False),
    Column("method", String(4), nullable=False),
    Column("fallback_url", Text, nullable=False),
    Column("fallback_method", String(4), nullable=False),
    Column("host", String(HOST_MAX), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("token", String(36), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("shard", Integer, nullable=False),
    # When the next one will be.
    Index("callbacks_due", "due_at", "sid", "host", "shard"),
    # What is due of each turn, without what others have.
    Index(
        "callbacks_by_turn",
        "host",
        "account_sid",
        "due_at",
        "sid",
        sqlite_where=IS_DUE,
        postgresql_where=IS_DUE,
    ),
    sqlite_with_rowid=False,
)

callback_attempts = Table(
    "callback_attempts",
    metadata,
    sid_column("account_sid", key=True),
    sid_column("message_sid", key=True),
    sid_column("sid", key=True),
    sid_column("callback_sid"),
    Column("kind", String(16), nullable=False),
    Column("url", Text, nullable=False),
    Column("method", String(4), nullable=False),
    Column("label", String(24), nullable=False),
    Column("at", Instant, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("http_status", Integer),
    Column("error_code", Integer),
    Column("reason", Text, nullable=False),
    Column("head", Text, nullable=False),
    sqlite_with_rowid=False,
)

# The trace of one message: hand-overs, receipts, errors.
events = Table(
    "events",
    metadata,
    sid_column("account_sid", key=True),
    sid_column("message_sid", key=True),
    sid_column("sid", key=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("detail", JSON, nullable=False),
    sqlite_with_rowid=False,
)

# Media that must be fetched before their message goes on its way.
media_fetches = Table(
    "media_fetches",
    metadata,
    sid_column("message_sid", key=True),
    sid_column("account_sid"),
    Column("urls", JSON, nullable=False),
    Column("host", String(HOST_MAX), nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("media_fetches_due", "due_at", "message_sid", "host"),
)

# Cookies of webhook receivers, per pair of addresses; they lapse after four quiet hours.
cookies = Table(
    "cookies",
    metadata,
    sid_column("account_sid", key=True),
    Column("sender", String(ADDRESS_LENGTH), primary_key=True),
    Column("recipient", String(ADDRESS_LENGTH), primary_key=True),
    Column("host", String(HOST_MAX), primary_key=True),
    Column("jar", JSON, nullable=False),
    Column("used_at", Instant, nullable=False),
    Index("cookies_by_use", "used_at"),
)

# A day's use has a row for each shard of nodes: those that count in one row wait for each other.
usage = Table(
    "usage",
    metadata,
    sid_column("account_sid", key=True),
    Column("day", String(10), primary_key=True),
    Column("category", String(40), primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("units", Integer, nullable=False),
    Column("price", Money, nullable=False),
)

records = Table(
    "records",
    metadata,
    Column("kind", String(32), primary_key=True),
    sid_column("sid", key=True),
    sid_column("account_sid"),
    Column("parent_sid", String(SID_LENGTH), nullable=False),
    Column("unique_key", String(160)),
    Column("doc", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("records_by_account", "kind", "account_sid", "sid"),
    Index("records_by_parent", "kind", "parent_sid", "sid"),
    Index("records_unique", "kind", "unique_key", unique=True),
)

# Nearly all texts are finished, and those need not be found here.

# The simulated network's own memory: phones, and the texts on their way to or from them.
handsets = Table(
    "handsets",
    metadata,
    Column("number", String(ADDRESS_LENGTH), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("behaviour", String(24), nullable=False),
    Column("texts", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("handsets_by_update", "updated_at"),
)

handset_texts = Table(
    "handset_texts",
    metadata,
    sid_column("sid", key=True),
    Column("handset", String(ADDRESS_LENGTH), nullable=False),
    Column("peer", String(ADDRESS_LENGTH), nullable=False),
    Column("is_outgoing", Integer, nullable=False),
    Column("message_ref", String(SID_LENGTH)),
    Column("encoding", String(8), nullable=False),
    Column("segments", JSON, nullable=False),
    Column("media", JSON, nullable=False),
    Column("behaviour", String(24), nullable=False),
    Column("step", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Instant),
    Column("arrived_at", Instant),
    Column("created_at", Instant, nullable=False),
    Index("handset_texts_due", "due_at", "sid", sqlite_where=IS_DUE, postgresql_where=IS_DUE),
    Index("handset_texts_by_handset", "handset", "sid"),
    Index("handset_texts_by_message", "message_ref", unique=True),
)

# The processes that work on this database. seen_at is the database's time; carriers says which of
# them cannot submit, and since when; news is what a node stirred up that others have to look at.
nodes = Table(
    "nodes",
    metadata,
    sid_column("sid", key=True),
    Column("name", String(255), nullable=False),
    Column("version", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("lease_seconds", Integer, nullable=False),
    Column("carriers", JSON, nullable=False),
    Column("news", JSON, nullable=False),
)

# What one node at a time has to itself. A row stays when its lease is given back: fence, which
# tells one tenancy from the next, must never be used again. expires_at is the database's time.
leases = Table(
    "leases",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("node_sid", String(SID_LENGTH), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

# One row: it counts the changes of what nodes keep in memory of `records`.
config_version = Table(
    "config_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

# What was erased and is to be erased once more, when everything that was under way has ended.
# target is a message's SID, or the digest of bytes that nobody may need any more.
erasures = Table(
    "erasures",
    metadata,
    Column("target", String(64), primary_key=True),
    Column("kind", String(8), primary_key=True),
    sid_column("account_sid"),
    Column("due_at", Instant, nullable=False),
    Index("erasures_due", "due_at"),
)

# How far retention came: everything of an account in front of a position is dealt with.
# Rows without an account are the platform's own.
retention_marks = Table(
    "retention_marks",
    metadata,
    sid_column("account_sid", key=True),
    Column("kind", String(16), primary_key=True),
    Column("position", String(POSITION_LENGTH), nullable=False),
)

# One row: the oldest version of the schema whose program can use this one.
compatibility = Table(
    "compatibility",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("oldest", String(32), nullable=False),
)

# On PostgreSQL, one row of every group commit: whoever lost the answer to a COMMIT finds it here.
commits = Table(
    "commits",
    metadata,
    Column("writer", String(16), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
)

# On PostgreSQL, the bytes of media in pieces, under their SHA-256: every node serves them.
media_bytes = Table(
    "media_bytes",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("octets", LargeBinary, nullable=False),
    Column("kept_at", Instant, nullable=False),
)
