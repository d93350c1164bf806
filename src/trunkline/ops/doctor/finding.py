"""What an examination finds, and what it is given to look at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # It works, and something about it will hurt one day.
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row of the examination: what was looked at, what was found, and what to do about it."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The installation as its settings and its data directory describe it.

    database is a PostgreSQL URL, empty for SQLite in the data directory; base_url is the one that
    was set, local_url the one that answers on this machine. certificates are files by the name of
    their setting, a certificate and its key each.
    """

    data_dir: Path
    now: Callable[[], datetime]
    database: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    disk_reserve: int = 0
    base_url: str = ""
    local_url: str = "http://127.0.0.1:8800"
    account_sid: str = ""
    auth_token: str = field(default="", repr=False)
    certificates: Mapping[str, tuple[Path, Path | None]] = field(default_factory=dict)
    proc: Path = Path("/proc")

    @property
    def database_file(self) -> Path:
        """Where SQLite's file is, if SQLite it is."""
        return self.data_dir / "trunkline.db"


def fine(check: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(check=check, verdict=Verdict.OK, found=found)


def doubtful(check: str, found: str, *, advice: str) -> Finding:
    """Return that something will hurt one day."""
    return Finding(check=check, verdict=Verdict.WARNING, found=found, advice=advice)


def wrong(check: str, found: str, *, advice: str) -> Finding:
    """Return that something is wrong."""
    return Finding(check=check, verdict=Verdict.WRONG, found=found, advice=advice)
