"""What was committed here a moment ago, so that a message's next step need not read it again.

Rule: what is remembered is a guess. Whoever acts on it says in the same statement what is expected,
and reads anew when something else is found.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from trunkline.domain.message import FINAL, Message
from trunkline.store.outbox import CarrierRef

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# About 30 MB: what lanes have in memory, and what waits for its receipt.
MESSAGES_MAX = 20_000
REFS_MAX = 20_000  # About 8 MB.


class Recent:
    """Messages that are on their way, and the references that carriers gave to their segments."""

    def __init__(self) -> None:
        self._messages: dict[str, Message] = {}
        self._refs: dict[tuple[str, str], CarrierRef] = {}
        # Whose the references are that wait to be recorded: no more than lanes have under way.
        self._coming: dict[tuple[str, str], str] = {}

    def messages(self, sids: Iterable[str]) -> dict[str, Message]:
        """Return those of some messages that are remembered."""
        known = self._messages
        return {sid: known[sid] for sid in sids if sid in known}

    def keep(self, messages: Iterable[Message]) -> None:
        """Remember messages as they were committed; those that ended are forgotten."""
        for message in messages:
            if message.status in FINAL:
                self._messages.pop(message.sid, None)
            else:
                self._messages[message.sid] = message
        _forget_oldest(self._messages, MESSAGES_MAX)

    def forget(self, sids: Iterable[str]) -> None:
        """Read these anew."""
        for sid in sids:
            self._messages.pop(sid, None)

    def refs(self, carrier: str, names: Iterable[str]) -> dict[str, CarrierRef]:
        """Return what is remembered of a carrier's names, by name."""
        known = self._refs
        return {name: known[carrier, name] for name in names if (carrier, name) in known}

    def keep_refs(self, refs: Iterable[CarrierRef]) -> None:
        """Remember references that were committed."""
        for ref in refs:
            self._refs[ref.carrier, ref.ref] = ref
        _forget_oldest(self._refs, REFS_MAX)

    def expect_refs(self, carrier: str, owners: Mapping[str, str]) -> None:
        """Remember whose a carrier's names are (message SIDs) until `expect_no_more`."""
        for name, message_sid in owners.items():
            self._coming[carrier, name] = message_sid

    def coming(self, carrier: str, name: str) -> str | None:
        """Return whose a name is that waits to be recorded; None where none does."""
        return self._coming.get((carrier, name))

    def expect_no_more(self, carrier: str, owners: Mapping[str, str]) -> None:
        """Forget names that are on disk, or never will be, but not those given away again since."""
        for name, message_sid in owners.items():
            if self.coming(carrier, name) == message_sid:
                del self._coming[carrier, name]

    def forget_refs(self, carrier: str, names: Iterable[str]) -> None:
        """Read these anew: a receipt has changed them."""
        for name in names:
            self._refs.pop((carrier, name), None)


def _forget_oldest(known: dict[K, V], limit: int) -> None:
    while len(known) > limit:
        del known[next(iter(known))]
