"""The journal of a campaign: a file beside the contacts that says how far sending has come.

A line is written before a text is asked for and one when it is known what came of it, so that a
campaign that ended in the middle is taken up again. It holds no numbers and no texts.
"""

import contextlib
import fcntl
import json
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from uuid import uuid4

SUFFIX = ".sending"
SYNC_SECONDS = 1.0  # What a loss of power may take; the keys of the requests make up for it.
# A line has fewer than a hundred bytes, but for an error's text.
BYTES_MAX = 100_000_000


Entry = dict[str, object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking for a text: its SID, or why there is none."""

    sid: str = ""
    error_code: int | None = None
    error: str = ""


@dataclass(slots=True)
class Journal:
    """A campaign's journal, held by this process.

    outcomes and tried are by line: what came of it, and when it was asked for first.
    """

    name: str
    began_at: datetime
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    tried: dict[int, datetime] = field(default_factory=dict)
    is_new: bool = True
    _file: IO[str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _synced_at: float = 0.0

    @classmethod
    def open(cls, path: Path, digest: str) -> "Journal":
        """Return the journal at *path*, begun if need be; ValueError when it is another's."""
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror}.") from error
        with contextlib.ExitStack() as undoing:
            undoing.callback(file.close)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ValueError(f"{path.name}: another process is sending this.") from None
            lines = _whole_lines(file)
            if len(lines) > 1:
                journal = cls._read(lines, path, digest=digest)
            else:  # What was begun and led to nothing binds nobody.
                file.truncate(0)
                journal = cls(uuid4().hex, _now())
            undoing.pop_all()
        journal._file = file
        if journal.is_new:
            began = journal.began_at.isoformat()
            journal._write({"campaign": journal.name, "digest": digest, "began_at": began})
        return journal

    @classmethod
    def _read(cls, lines: list[str], path: Path, *, digest: str) -> "Journal":
        try:
            head, *entries = [json.loads(line) for line in lines]
            began_at = datetime.fromisoformat(head["began_at"])
            journal = cls(str(head["campaign"]), began_at, is_new=False)
            for entry in entries:
                journal._note(entry)
            known = head["digest"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no journal of a campaign.") from error
        if known != digest:
            raise ValueError(
                f"The file, the template or the sender is not what {path.name} says was begun on"
                f" {began_at:%Y-%m-%d %H:%M} UTC. Go on with what it was; or remove {path.name},"
                " and all of it is sent anew."
            )
        return journal

    def note_try(self, line: int) -> None:
        """Write that a line is asked for now."""
        self._enter({"line": line, "tried_at": _now().isoformat()})

    def note_outcome(self, line: int, outcome: Outcome) -> None:
        """Write what came of a line."""
        entry: Entry = {"line": line}
        if outcome.sid:
            entry["sid"] = outcome.sid
        else:
            entry |= {"error_code": outcome.error_code, "error": outcome.error}
        self._enter(entry)

    def close(self) -> None:
        """Bring everything to the disk and let go of the file."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _enter(self, entry: Entry) -> None:
        with self._lock:
            self._note(entry)
            self._write(entry)

    def _note(self, entry: Entry) -> None:
        line = int(str(entry["line"]))
        if "tried_at" in entry:
            self.tried.setdefault(line, datetime.fromisoformat(str(entry["tried_at"])))
        elif "sid" in entry:
            self.outcomes[line] = Outcome(str(entry["sid"]))
        else:
            code, text = int(str(entry["error_code"])), str(entry["error"])
            self.outcomes[line] = Outcome(error_code=code, error=text)

    def _write(self, entry: Entry) -> None:
        assert self._file is not None, "the journal is closed"
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        if time.monotonic() - self._synced_at > SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced_at = time.monotonic()


def _whole_lines(file: IO[str]) -> list[str]:
    """Return the lines of a journal; half a one, at which its process ended, is taken off it."""
    file.seek(0)
    lines = file.read(BYTES_MAX).splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        file.truncate(sum(len(line.encode()) for line in lines))
    return lines


def _now() -> datetime:
    return datetime.now(UTC)
