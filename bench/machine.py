"""What figures depend on: the machine, the disk, and the versions of what takes part."""

import os
import platform
import re
import sqlite3
import statistics
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.postgres import find_server
from bench.programs import find_program, first_line

LIBRARIES = ("uvicorn", "uvloop", "httptools", "starlette", "sqlalchemy", "psycopg", "msgspec")
SYNCS = 50
# About what one group commit of a few messages appends to the write-ahead log.
SYNC_BYTES = 32_768


def facts(directory: Path) -> dict[str, object]:
    """Return the facts; *directory* is where the data are to lie."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gigabytes": _memory_gigabytes(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": _program_version(find_server()),
        "kannel": _program_version(find_program("bearerbox")),
        "compiler": _program_version(find_program("cc")),
        "trunkline": version("trunkline"),
        **{name: _library_version(name) for name in LIBRARIES},
        "file_system": _file_system(directory),
        "fsync_ms": round(_sync_seconds(directory) * 1000, 3),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _library_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _program_version(path: str | None) -> str | None:
    line = first_line([path, "--version"]) if path else None
    number = re.search(r"[0-9]+(?:\.[0-9]+)+", line or "")
    return number[0] if number else line


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    try:
        found = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _memory_gigabytes() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _file_system(directory: Path) -> str:
    """Return the type of the file system; on tmpfs a commit costs nothing and proves nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(len(point), kind) for point, kind in mounts if directory.is_relative_to(point)]
    # Of two mounts on one point the later one is seen.
    return sorted(above, key=lambda mount: mount[0])[-1][1]


def _sync_seconds(directory: Path) -> float:
    """Return the median time to write and flush about one commit."""
    path, taken = directory / "sync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            before = time.perf_counter()
            file.write(b"x" * SYNC_BYTES)
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - before)
    path.unlink()
    return statistics.median(taken)
