"""What the machine brings along: Python and its packages, open files, the clock."""

import ctypes
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib import metadata
from pathlib import Path

from trunkline.ops.doctor.finding import Finding, doubtful, fine, wrong

PYTHON_LEAST = (3, 11)
# 500 webhooks, 1,000 API requests, and as many again for connections that are idle.
OPEN_FILES_LEAST = 4096
# What a network time service corrects by slewing stays far below.
CLOCK_STEP_SECONDS_MAX = 0.5
_TIMEX_BYTES = 512  # Linux's struct timex has 208; the rest is room for it to grow.
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised.
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?([^;]*)(;.*)?")
_OPEN_FILES = re.compile(r"^Max open files\s+(\d+)", re.MULTILINE)


def python_version(version: tuple[int, int, int] = sys.version_info[:3]) -> Finding:
    """Look whether this Python is new enough."""
    shown = ".".join(map(str, version))
    if version < PYTHON_LEAST:
        return wrong("Python", f"Python {shown}", advice="Install Python 3.11 or newer.")
    return fine("Python", f"Python {shown}")


def packages(distribution: str = "trunkline") -> Finding:
    """Look whether everything that the program needs is there, and new enough."""
    try:
        required = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return doubtful(
            "packages",
            f"The package {distribution} is not installed here, so what it needs is not known.",
            advice="Install it with `make setup` or from the wheel.",
        )
    missing = list(_missing(required))
    if missing:
        return wrong(
            "packages",
            "; ".join(missing),
            advice="Install what requirements/runtime.txt pins: `make setup`.",
        )
    version = metadata.version(distribution)
    return fine("packages", f"{distribution} {version} and all {len(_plain(required))} it needs")


def _plain(required: list[str]) -> list[tuple[str, str]]:
    """Return names and version conditions of what is always needed; extras are not."""
    matches = (_REQUIREMENT.fullmatch(line.strip()) for line in required)
    return [(m[1], m[2]) for m in matches if m and "extra" not in (m[3] or "")]


def _missing(required: list[str]) -> Iterator[str]:
    for name, conditions in _plain(required):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield f"{name} is missing"
            continue
        for least in re.findall(r">=\s*([0-9.]+)", conditions):
            if _numbers(version) < _numbers(least):
                yield f"{name} {version} is older than {least}"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def open_files(process: int | None, *, proc: Path) -> Finding:
    """Look how many files and sockets the server may open; without one, this shell's programs."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    whose = "a program started here"
    if process is not None:
        limit, whose = _limit_of(process, proc=proc) or limit, "the running server"
    found = f"{whose} may open {limit:,} files and sockets"
    if limit < OPEN_FILES_LEAST:
        return doubtful(
            "open files",
            found,
            advice=f"Allow {OPEN_FILES_LEAST:,} or more: LimitNOFILE= of systemd, or `ulimit -n`.",
        )
    return fine("open files", found)


def _limit_of(process: int, *, proc: Path) -> int | None:
    try:
        match = _OPEN_FILES.search((proc / str(process) / "limits").read_text())
    except OSError:
        return None
    return int(match[1]) if match else None


def owner_of_lock(lock: Path, *, proc: Path) -> int | None:
    """Return the process that holds a lock file; None when nobody does, or nobody can tell.

    Trying the lock would tell, too, and might turn away a server that starts in that moment.
    """
    try:
        inode = lock.stat().st_ino
        table = (proc / "locks").read_text()
    except OSError:
        return None
    for line in table.splitlines():
        words = line.split()
        # 3: FLOCK ADVISORY WRITE 2591 fe:00:1550160 0 EOF; a waiting one has an arrow in front.
        if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4])
    return None


def clock_synchronised(state: Callable[[], int] | None = None) -> Finding:
    """Look whether a time service keeps the machine's clock."""
    answer = (state or _clock_state)()
    if answer == _TIME_ERROR:
        return doubtful(
            "clock service",
            "Nothing keeps this machine's clock right, as far as its kernel knows.",
            advice="Run chrony or systemd-timesyncd: schedules, validity and traces go by it.",
        )
    if answer < 0:
        return fine("clock service", "whether the clock is kept right cannot be seen from here")
    return fine("clock service", "the kernel says that the clock is kept right")


def _clock_state() -> int:
    """Return what adjtimex(2) answers when nothing is to be changed; -1 where it may not be asked.

    Containers may forbid it, and other systems than Linux have none.
    """
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        return int(ctypes.CDLL(None).adjtimex(buffer))
    except AttributeError:
        return -1


def clock_steady(
    now: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], Finding]:
    """Begin to watch the clock; the check that is returned says whether it was set meanwhile."""
    began, began_monotonic = now(), monotonic()

    def check() -> Finding:
        step = (now() - began).total_seconds() - (monotonic() - began_monotonic)
        if abs(step) > CLOCK_STEP_SECONDS_MAX:
            return wrong(
                "clock steps",
                f"The clock was set by {step:+.1f} seconds while this examination ran.",
                advice="Find what sets it: two time services, or the host of a virtual machine.",
            )
        return fine("clock steps", "the clock ran evenly during this examination")

    return check


def clock_against(server: str, seconds: float, *, most: float = 1.0) -> Finding:
    """Judge how far our clock is ahead of the database server's."""
    found = f"this machine's clock is {seconds:+.3f} seconds from {server}'s"
    if abs(seconds) > most:
        return wrong(
            "clock and database",
            found,
            advice="Synchronise both machines with the same time service.",
        )
    return fine("clock and database", found)
