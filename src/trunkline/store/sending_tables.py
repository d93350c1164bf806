"""The tables of what senders decide: what is sent when, from where, to whom who consents."""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, String, Table

from trunkline.store.columns import ADDRESS_LENGTH, SID_LENGTH, Instant, metadata, sid_column

# Messages whose time has not come. Each has one row until it goes on its way, is canceled or fails.
schedule = Table(
    "schedule",
    metadata,
    sid_column("account_sid", key=True),
    sid_column("message_sid", key=True),
    Column("due_at", Instant, nullable=False),
    Column("media_urls", JSON, nullable=False),
    Index("schedule_due", "due_at", "message_sid"),
    Index("schedule_of_account", "account_sid", "due_at", "message_sid"),
    sqlite_with_rowid=False,
)

# From which sender of a Messaging Service a recipient had a message last.
sticky_senders = Table(
    "sticky_senders",
    metadata,
    sid_column("account_sid", key=True),
    sid_column("service_sid", key=True),
    Column("recipient", String(ADDRESS_LENGTH), primary_key=True),
    Column("sender", String(ADDRESS_LENGTH), nullable=False),
    Column("used_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

# What recipients want at present. scope is the SID of a Messaging Service, or a sender; status is
# 'opt-in' or 'opt-out'; since is when that was said. Who never said anything has no row.
consents = Table(
    "consents",
    metadata,
    sid_column("account_sid", key=True),
    Column("recipient", String(ADDRESS_LENGTH), primary_key=True),
    Column("scope", String(ADDRESS_LENGTH), primary_key=True),
    Column("status", String(8), nullable=False),
    Column("since", Instant, nullable=False),
    # With all that is listed: SQLite takes it only so, the key being as good in its eyes.
    Index("consents_by_status", "account_sid", "status", "recipient", "scope", "since"),
    sqlite_with_rowid=False,
)

# Everything that was ever said of consent, as evidence: rows are added, and the database refuses to
# change or remove one. digest is over the row and the digest of the account's row before it.
consent_history = Table(
    "consent_history",
    metadata,
    sid_column("account_sid", key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("recipient", String(ADDRESS_LENGTH), nullable=False),
    Column("scope", String(ADDRESS_LENGTH), nullable=False),
    Column("status", String(8), nullable=False),
    Column("source", String(24), nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("consented_at", Instant, nullable=False),
    Column("at", Instant, nullable=False),
    Column("digest", String(64), nullable=False),
    # Without a rowid SQLite would look for a recipient among all rows of the account.
    Index("consent_history_by_recipient", "account_sid", "recipient", "number"),
)

# What went wrong with an account's resources, for its people: failed webhooks, rejected requests.
alerts = Table(
    "alerts",
    metadata,
    sid_column("account_sid", key=True),
    sid_column("sid", key=True),
    Column("log_level", String(8), nullable=False),
    Column("error_code", Integer, nullable=False),
    Column("resource_sid", String(SID_LENGTH), nullable=False),
    Column("service_sid", String(SID_LENGTH), nullable=False),
    Column("at", Instant, nullable=False),
    Column("doc", JSON, nullable=False),
    Index("alerts_by_level", "account_sid", "log_level", "sid"),
    Index("alerts_by_resource", "account_sid", "resource_sid", "sid"),
    sqlite_with_rowid=False,
)

# Requests that are to have their effect once: the caller's key, what was asked, what came of it.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    sid_column("account_sid", key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),
    sid_column("message_sid"),
    Column("created_at", Instant, nullable=False),
    Index("idempotency_keys_by_age", "created_at"),
    sqlite_with_rowid=False,
)

# Addresses short enough for a text, under which the media of a message are served for a time.
short_links = Table(
    "short_links",
    metadata,
    Column("token", String(16), primary_key=True),
    sid_column("account_sid"),
    sid_column("message_sid"),
    Column("expires_at", Instant, nullable=False),
    Index("short_links_by_message", "account_sid", "message_sid"),
    Index("short_links_by_expiry", "expires_at"),
    sqlite_with_rowid=False,
)

TABLES = metadata
