"""How many requests of each account are being answered: one account leaves room for the others."""

from trunkline.domain.errors import Refusal


class Concurrency:
    """Counts by account; who has none under way takes no room."""

    def __init__(self) -> None:
        self._running: dict[str, int] = {}

    def enter(self, account_sid: str, *, most: int) -> None:
        """Count a request, or refuse it (20429) where so many are being answered already."""
        running = self._running.get(account_sid, 0)
        if running >= most:
            raise Refusal(20429)
        self._running[account_sid] = running + 1

    def leave(self, account_sid: str) -> None:
        """Count a request no longer."""
        left = self._running.pop(account_sid) - 1
        if left:
            self._running[account_sid] = left

    def of(self, account_sid: str) -> int:
        """Return how many requests of an account are being answered."""
        return self._running.get(account_sid, 0)
