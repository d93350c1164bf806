"""What the probe stores: as many rows and indexes as the way of a text needs at least."""

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text

CARRIER = "bench"
LANE = "bench/0"
SID_LENGTH = 34
metadata = MetaData()


def _key(name: str, length: int = SID_LENGTH) -> Column[str]:
    return Column(name, String(length), primary_key=True)


_SHORT = ("sender", "recipient", "status", "direction", "service", "carrier", "lane")

messages = Table(
    "messages",
    metadata,
    _key("account_sid"),
    _key("sid"),
    *(Column(name, String(40)) for name in _SHORT),
    Column("body", Text),
    Column("segments", Integer),
    Column("created_at", Float),
    Column("updated_at", Float),
    Index("messages_by_recipient", "account_sid", "recipient", "sid"),
    Index("messages_by_sender", "account_sid", "sender", "sid"),
)
outbox = Table("outbox", metadata, _key("lane", 80), _key("sid"), Column("due_at", Float))
refs = Table(
    "refs", metadata, _key("carrier", 64), _key("ref", 80), Column("sid", String(SID_LENGTH))
)
callbacks = Table(
    "callbacks",
    metadata,
    _key("sid"),
    Column("number", Integer, primary_key=True),
    Column("due_at", Float),
    Index("callbacks_due", "due_at"),
)
