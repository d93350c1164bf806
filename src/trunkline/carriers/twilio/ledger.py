"""What the connector asks of those who remember which messages an upstream account took."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol


class Ledger(Protocol):
    """The references of everything that was handed over, also before a restart."""

    async def known(self, carrier: str, refs: Collection[str]) -> set[str]:
        """Return those of *refs* that stand for a segment of ours."""

    async def oldest_open(self, carrier: str, *, since: datetime) -> datetime | None:
        """Return when the oldest message was made that was taken and is open.

        Those made before *since* do not count; None when there is none.
        """
