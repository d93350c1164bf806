"""How much may wait before nothing more is accepted.

What was accepted goes on: receipts, hand-overs and webhooks are never turned away here.
"""

from dataclasses import dataclass

from trunkline.domain.errors import Refusal

# Two full batches: whoever came behind them would wait for three commits.
ACCEPTING_MAX = 1000
# Works in front of the database's writer: ten full group commits, a second or two on a slow disk.
WRITES_MAX = 2000


@dataclass(slots=True)
class Pressure:
    """What is known of this program's limits."""

    is_disk_low: bool = False

    def check(self, *, accepting: int, writing: int) -> None:
        """Refuse (20503) while the disk has but a reserve, and (20429) behind too many others."""
        if self.is_disk_low:
            raise Refusal(20503)
        if accepting >= ACCEPTING_MAX or writing >= WRITES_MAX:
            raise Refusal(20429)
