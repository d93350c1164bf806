"""What the database has, read without Trunkline's own code."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.scenario.soak.ledger import Row, Stored

# One question a line; each answers with a number of rows that somebody has still to deal with.
WAITING = {
    "outbox": "SELECT count(*) FROM outbox",
    "media_fetches": "SELECT count(*) FROM media_fetches",
    "schedule": "SELECT count(*) FROM schedule",
    "callbacks": "SELECT count(*) FROM callbacks WHERE due_at IS NOT NULL",
    "parked": "SELECT count(*) FROM callbacks WHERE due_at IS NULL",
    "deliveries": "SELECT count(*) FROM deliveries",
    # Carriers' names are never used again here, so what is known of a segment is known for good.
    "receipts": (
        "SELECT count(*) FROM strays JOIN carrier_refs USING (carrier, ref)"
        " WHERE strays.kind = 'receipt' AND carrier_refs.delivered IS NULL"
    ),
    "on the air": "SELECT count(*) FROM handset_texts WHERE due_at IS NOT NULL",
}


class Reading:
    """Reads a database, a file or one on PostgreSQL."""

    def __init__(self, *, file: Path | None = None, url: str = "") -> None:
        self._file, self._url = file, url

    def rows(self, query: str) -> Sequence[Any]:
        """Return what a query finds."""
        with self._connected() as db:
            return list(db.execute(query).fetchall())

    def waiting(self) -> dict[str, int]:
        """Return how many rows wait, by what they wait for."""
        with self._connected() as db:
            return {name: db.execute(query).fetchone()[0] for name, query in WAITING.items()}

    def everything(self) -> Stored:
        """Return what the books need."""
        found = Stored()
        query = (
            "SELECT sid, account_sid, direction, status, error_code, body, carrier,"
            " sent_at IS NOT NULL, messaging_service_sid IS NOT NULL, recipient"
            " FROM messages"
        )
        found.messages = {row[0]: Row(*row) for row in self.rows(query)}
        for table in ("outbox", "media_fetches", "schedule"):
            found.moving |= {sid for (sid,) in self.rows(f"SELECT message_sid FROM {table}")}
        found.records = dict(map(tuple, self.rows("SELECT sid, doc FROM records")))
        found.waiting.update(self.waiting())
        query = "SELECT message_sid, segment_index, ref, delivered FROM carrier_refs"
        for sid, index, ref, delivered in self.rows(query):
            found.refs[sid].append((index, ref, delivered))
        for category, count in self.rows("SELECT category, count FROM usage"):
            found.used[category] += count
        return found

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        """Yield a connection that can write nothing."""
        if self._file is None:
            with psycopg.connect(self._url, autocommit=True) as db:
                yield db
            return
        with contextlib.closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as file:
            yield file
