"""The data directory: whose it is, where it lies, how much room it has, and whether it keeps."""

import os
import stat
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag

from trunkline.ops.doctor.finding import Finding, doubtful, fine, wrong
from trunkline.store.vault import KEY_BYTES, Vault, read_key

FREE_BYTES_LEAST = 2_000_000_000  # A busy day writes more than that.
FREE_SHARE_LEAST = 0.05  # Databases are moved, migrated and backed up beside the old one.
FREE_FILES_LEAST = 1000
FLUSHES = 50
FLUSHES_SECONDS_MAX = 5.0  # A disk that needs longer for them has told enough.
FLUSH_BYTES = 4096
# No disk without a battery, flash included, is as quick as that.
FLUSH_SECONDS_LEAST = 0.000_02
FLUSH_SECONDS_MOST = 0.020
# What SQLite's write-ahead log, which is shared memory, does not work on.
NETWORK_FILE_SYSTEMS = frozenset(
    "9p afs beegfs ceph cifs coda fuse.ceph fuse.glusterfs fuse.s3fs fuse.sshfs glusterfs gpfs"
    " lustre ncpfs nfs nfs4 ocfs2 smb3 smbfs virtiofs".split()
)
MEMORY_FILE_SYSTEMS = frozenset({"ramfs", "tmpfs"})


def directory(path: Path) -> Finding:
    """Look whether the data directory is there, private, and writable by whoever examines it."""
    try:
        facts = path.stat()
    except OSError as error:
        return wrong(
            "data directory",
            f"{path} cannot be looked at: {error.strerror}",
            advice="Name it with --data-dir or TRUNKLINE_DATA_DIR; `trunkline up` makes it.",
        )
    if not stat.S_ISDIR(facts.st_mode):
        return wrong("data directory", f"{path} is a file", advice="Name another --data-dir.")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return wrong(
            "data directory",
            f"{path} may not be written by user {os.geteuid()}; it belongs to user {facts.st_uid}",
            advice="Run this as the server's user, or give the directory to it with chown.",
        )
    if facts.st_mode & 0o077:
        return doubtful(
            "data directory",
            f"{path} is open to other users of this machine (mode {facts.st_mode & 0o777:04o})",
            advice=f"chmod 0700 {path}",
        )
    return fine("data directory", f"{path}, of user {facts.st_uid}")


def owners(path: Path) -> Finding:
    """Look whether everything in the data directory belongs to whom the directory belongs."""
    owner = path.stat().st_uid
    strange = [entry.name for entry in path.iterdir() if entry.lstat().st_uid != owner]
    if strange:
        return wrong(
            "owners",
            f"{', '.join(sorted(strange))} in {path} belong to somebody else than user {owner}",
            advice=f"chown -R {owner} {path}: something was once run as another user.",
        )
    return fine("owners", f"everything belongs to user {owner}")


def file_system(path: Path, *, holds_sqlite: bool, proc: Path) -> Finding:
    """Look what kind of file system the directory is on."""
    kind = _file_system_of(path, proc=proc)
    if kind in NETWORK_FILE_SYSTEMS and holds_sqlite:
        return wrong(
            "file system",
            f"{path} is on {kind}; SQLite loses or damages data on network file systems",
            advice="Move the data directory to a local disk, or use PostgreSQL.",
        )
    if kind in MEMORY_FILE_SYSTEMS:
        return doubtful(
            "file system",
            f"{path} is in memory ({kind}): all is gone when the machine stops",
            advice="Move the data directory to a disk.",
        )
    return fine("file system", kind or "which one it is cannot be seen from here")


def _file_system_of(path: Path, *, proc: Path) -> str:
    """Return the kind of the mount that holds *path*; empty where nobody tells."""
    try:
        lines = (proc / "self" / "mountinfo").read_text().splitlines()
    except OSError:
        return ""
    real, found = str(path.resolve()), ("", "")
    for line in lines:
        front, _, back = line.partition(" - ")
        # Blanks in a mount point are written as \040, among others: proc(5).
        point = front.split()[4].encode().decode("unicode_escape")
        inside = point in ("/", real) or real.startswith(point + "/")
        # A later mount on the same point hides the earlier one.
        if inside and len(point) >= len(found[0]):
            found = (point, back.split()[0])
    return found[1]


def free_space(path: Path, *, reserve: int) -> Finding:
    """Look how much room is left; below *reserve* the server refuses new messages."""
    room = os.statvfs(path)
    free, total = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    found = f"{free / 1e9:,.1f} GB of {total / 1e9:,.1f} GB are free"
    if free < reserve:
        return wrong(
            "free space",
            f"{found}, less than the reserve: new messages are refused",
            advice="Make room, keep less (retention), or move the data directory.",
        )
    # Some file systems make them as they are needed, and count none.
    if room.f_files and room.f_favail < FREE_FILES_LEAST:
        return wrong("free space", f"{room.f_favail} more files can be made", advice="Remove some.")
    if free < max(FREE_BYTES_LEAST, FREE_SHARE_LEAST * total):
        return doubtful("free space", found, advice="Make room before it is needed.")
    return fine("free space", found)


def disk_sync(
    path: Path,
    *,
    flush: Callable[[int], None] = os.fsync,
    clock: Callable[[], float] = time.perf_counter,
) -> Finding:
    """Measure how long it takes until a small write is on the disk."""
    try:
        times = list(_flush_times(path, flush=flush, clock=clock))
    except OSError as error:
        return wrong(
            "disk sync",
            f"{path} cannot be written: {error.strerror}",
            advice="Nothing can be accepted like that: look at the disk, and at the kernel's log.",
        )
    median = statistics.median(times)
    found = f"{median * 1000:.3f} ms until a write is on the disk (median of {len(times)})"
    if median < FLUSH_SECONDS_LEAST:
        return doubtful(
            "disk sync",
            found + ", too quick to be true",
            advice="Does the disk, or its virtual host, only say so? What it lies about is lost"
            " when the power fails.",
        )
    if median > FLUSH_SECONDS_MOST:
        return doubtful(
            "disk sync",
            found + ": a message alone waits as long for its 201",
            advice="Use a flash disk, or one with a battery behind its cache.",
        )
    return fine("disk sync", found)


def _flush_times(
    path: Path, *, flush: Callable[[int], None], clock: Callable[[], float]
) -> Iterator[float]:
    end = clock() + FLUSHES_SECONDS_MAX
    with tempfile.TemporaryFile(dir=path) as file:
        for _ in range(FLUSHES):
            file.write(b"\0" * FLUSH_BYTES)
            file.flush()
            began = clock()
            flush(file.fileno())
            yield clock() - began
            if clock() > end:
                return


def secret_key(path: Path, sealed: str | None) -> Finding:
    """Look whether the key is private, and opens what the database has *sealed* (None: nothing)."""
    try:
        key, mode = path.read_bytes(), path.stat().st_mode
    except FileNotFoundError:
        if sealed is None:
            return fine("secret key", "there is none yet; the first start makes one")
        return _wrong_key(f"{path} is missing, and the database has secrets sealed with it")
    except OSError as error:
        return _wrong_key(f"{path} cannot be read: {error.strerror}")
    if sealed is not None and not opens(key, sealed):
        return _wrong_key(f"{path} is not the key that the database's secrets are sealed with")
    if mode & 0o077:
        return wrong(
            "secret key",
            f"{path} can be read by others (mode {mode & 0o777:04o})",
            advice=f"chmod 0600 {path}, and think about who may have read it.",
        )
    return fine("secret key", f"{path} is private" + ("" if sealed is None else " and fits"))


def secret_key_set(given: str, sealed: str | None) -> Finding:
    """Look at the key that the setting secret_key names: itself, or the file that holds it."""
    try:
        key = read_key(given)
    except (OSError, ValueError):
        return _wrong_key("the setting secret_key names neither a key nor a file with one")
    if sealed is not None and not opens(key, sealed):
        return _wrong_key("the setting secret_key names another key than the database's secrets'")
    return fine("secret key", "of the setting secret_key" + ("" if sealed is None else "; it fits"))


def _wrong_key(found: str) -> Finding:
    return wrong(
        "secret key",
        found,
        advice="Put the right one there, from a backup: nothing can replace it.",
    )


def opens(key: bytes, sealed: str) -> bool:
    """Tell whether *key* is the one that a secret is sealed with."""
    if len(key) != KEY_BYTES:
        return False
    try:
        Vault(key).open(sealed)
    except (ValueError, InvalidTag):
        return False
    return True
