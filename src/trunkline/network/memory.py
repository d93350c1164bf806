"""The memory in which the simulated network keeps its handsets and their texts."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from trunkline.domain.handset import Handset, HandsetText, Judge, Parcel


class Memory(Protocol):
    """Where handsets and texts are kept. What a method wrote is on disk when it returns.

    Functions that are handed in are pure and may be called more than once, in another thread.
    """

    async def take(self, parcels: Sequence[Parcel], judge: Judge) -> list[HandsetText]:
        """Store what *judge* makes of each parcel, of different messages; new handsets appear."""

    async def keep(self, text: HandsetText) -> None:
        """Store a text that a handset sends; a new handset appears."""

    async def due(self, now: datetime, *, limit: int) -> list[HandsetText]:
        """Return the texts for which something is to happen, the longest due first."""

    async def next_due(self) -> datetime | None:
        """Return when something is to happen next."""

    async def advance(
        self, texts: Sequence[HandsetText], change: Callable[[HandsetText], HandsetText]
    ) -> list[HandsetText]:
        """Store and return changed texts; one whose due_at changed meanwhile is left alone."""

    async def find(self, number: str) -> Handset | None:
        """Return a handset."""

    async def recent(self, *, limit: int) -> list[Handset]:
        """Return handsets, the most recently active first."""

    async def change(self, handset: Handset, change: Callable[[Handset], Handset]) -> Handset:
        """Store and return the changed handset of this number, or *handset* changed if new."""

    async def add(self, prefix: str, make: Callable[[frozenset[str]], Handset]) -> Handset:
        """Store and return a handset made from the numbers with *prefix* that are in use."""

    async def forget(self, number: str, *, behaviour: str) -> bool:
        """Remove a handset and its finished texts; those on their way to it get *behaviour*."""

    async def own(self, numbers: Collection[str]) -> Collection[str]:
        """Return which numbers are the platform's own: their texts are for an application."""

    async def shown(
        self, number: str, *, limit: int, before: str | None, with_outgoing: bool
    ) -> list[HandsetText]:
        """Return what a handset shows, the newest *limit* texts before a SID, newest first."""
