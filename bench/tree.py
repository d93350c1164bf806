"""What the kernel says of programs and all their descendants (Linux only)."""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

SAMPLE_SECONDS = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")
# proc(5), counted from behind the command's name. The last two are of children that have ended.
_PARENT = 1
_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 11, 12, 13, 14
_IDLE = (3, 4)  # Of the line `cpu` in /proc/stat: idle, and idle while the disk works.


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(roots: Sequence[int]) -> list[int]:
    """Return the processes and their descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        # Others may end while we look.
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                pid = int(entry.name)
                children.setdefault(int(_stat(pid)[_PARENT]), []).append(pid)
    found = list(roots)
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(roots: Sequence[int]) -> float:
    """Return the processor time of all their threads so far, those that have ended included."""
    ticks = 0
    for pid in family(roots):
        with contextlib.suppress(OSError):
            fields = _stat(pid)
            ticks += int(fields[_USER]) + int(fields[_SYSTEM])
            ticks += int(fields[_CHILDREN_USER]) + int(fields[_CHILDREN_SYSTEM])
    return ticks / _TICKS


def machine_seconds() -> float:
    """Return the processor time that all programs of the machine have used so far."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    return sum(int(f) for at, f in enumerate(fields) if at not in _IDLE) / _TICKS


def memory_megabytes(roots: Sequence[int]) -> float:
    """Return their memory, what several share counted once (PSS)."""
    kilobytes = 0
    for pid in family(roots):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024


class Peak:
    """The most memory that was seen."""

    megabytes = 0.0

    def look(self, roots: Sequence[int]) -> None:
        """Take one sample."""
        self.megabytes = max(self.megabytes, memory_megabytes(roots))


@contextlib.contextmanager
def watching(roots: Sequence[int]) -> Iterator[Peak]:
    """Yield a peak that is kept up to date until the end."""
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            peak.look(roots)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        peak.look(roots)
