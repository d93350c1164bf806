"""Whether the program is alive, and whether it can take work now.

Rule: nothing secret is told, and asking is cheap: those who ask at once share one answer.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from trunkline.domain.carrier import CarrierState
from trunkline.flows.platform import Platform
from trunkline.ops.asking import Asking, Reply
from trunkline.ops.gathering import Colleagues
from trunkline.store.proof import rewrite_account
from trunkline.store.schema import current_version, known_versions

# A probe every second finds a new answer; a thousand probes a second share it.
FRESH_SECONDS = 1.0
# Load balancers give a probe a few seconds; a commit that takes this long serves nobody.
WRITABLE_SECONDS = 2.0
# Migrations come with a start of some node, not by themselves.
SCHEMA_SECONDS = 60.0
OK = "ok"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, what is to be said of it, and how long the look took."""

    name: str
    state: str
    ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What was found: everything that must be good, and what is not good but can be lived with."""

    checks: Sequence[Check]
    degraded: Sequence[str]

    @property
    def is_ready(self) -> bool:
        """Whether the program can take work."""
        return all(check.state == OK for check in self.checks)


class Health:
    """Looks at what the program needs."""

    def __init__(
        self,
        platform: Platform,
        data_dir: Path,
        *,
        disk_free_min: int,
        colleagues: Colleagues | None = None,
    ) -> None:
        self.is_draining = False
        self._colleagues = colleagues
        self._platform = platform
        self._data_dir = data_dir
        self.disk_free_min = disk_free_min
        self.known = known_versions()
        self.writing = Asking(
            self._write, fresh_seconds=FRESH_SECONDS, wait_seconds=WRITABLE_SECONDS
        )
        self.version = Asking(
            self._read_version, fresh_seconds=SCHEMA_SECONDS, wait_seconds=WRITABLE_SECONDS
        )

    @property
    def disk_free(self) -> int:
        """How many bytes are free for the data directory."""
        return shutil.disk_usage(self._data_dir).free

    @property
    def is_disk_low(self) -> bool:
        """Whether what is free is no more than the reserve."""
        return self.disk_free < self.disk_free_min

    async def report(self) -> Report:
        """Look at everything."""
        written, version = await asyncio.gather(self.writing.reply(), self.version.reply())
        checks = (
            _check("database", written, judge=lambda _: OK),
            _check("schema", version, judge=self._judge_version),
            Check("disk", "low" if self.is_disk_low else OK),
            Check("draining", "draining" if self.is_draining else OK),
        )
        return Report(checks, [*self._degraded(), *self._missing()])

    async def close(self) -> None:
        """Look no more."""
        await self.writing.close()
        await self.version.close()

    async def _write(self) -> bool:
        sid = self._platform.rules.main_account_sid
        return await self._platform.store.write(lambda db: rewrite_account(db, sid))

    async def _read_version(self) -> str | None:
        return await self._platform.store.read(current_version)

    def _judge_version(self, version: str | None) -> str:
        # What a newer version made of the schema serves this one as well, by the rule of
        # migrations.
        is_behind = version is None or (version in self.known and version != self.known[0])
        return "migrations are missing" if is_behind else OK

    def _degraded(self) -> list[str]:
        switchboard = self._platform.switchboard
        enabled = [
            account.name
            for account in switchboard.accounts.values()
            if account.state is CarrierState.ENABLED
        ]
        live = switchboard.live
        down = sum(
            name in switchboard.broken or (name in live and live[name].down_since is not None)
            for name in enabled
        )
        return [f"carriers down: {down} of {len(enabled)}"] if down else []

    def _missing(self) -> Iterator[str]:
        colleagues = self._colleagues
        if colleagues is not None and colleagues.missing:
            yield f"workers down: {len(colleagues.missing)} of {len(colleagues.numbers)}"


def _check(name: str, reply: Reply[T], *, judge: Callable[[T], str]) -> Check:
    ms = round(reply.seconds * 1000, 3)
    if reply.trouble or reply.value is None:
        return Check(name, reply.trouble or "nothing was found", ms)
    return Check(name, judge(reply.value), ms)
