"""The disk of a folder: what it is, what is free, how fast it is, whether locks and renames hold."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from aetx.core.words import size
from aetx.errors import AetxError, BusyError
from aetx.run.finding import Finding
from aetx.store import Lock, disk

PIECE = 4 * 2**20
BYTES = 128 * 2**20
"""Bytes that are written and read to see how fast a disk is."""
SPARE = 10**9
"""Bytes that have to be free."""
SLOW = 50e6
"""Bytes in a second below which a run waits for the disk."""
SKEW = 2.0
"""Seconds by which the clock of a file server may be off."""
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "fuse.rclone", "fuse.s3fs", "davfs")
PARALLEL = ("lustre", "gpfs", "beegfs", "ceph", "panfs")


def examine_disk(folder: Path, mounts: Path = Path("/proc/mounts")) -> Iterator[Finding]:
    """Examine the disk of a folder with a file of 128 MB; leaves nothing there."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    kind, free = file_system(place, mounts), disk.free_bytes(place)
    enough = free >= SPARE
    words = f"{place}: {kind}, {size(free)} free"
    fix = "free some space, or choose another output"
    yield Finding("disk", words, f"{size(SPARE)} free", "ok" if enough else "bad", "" if enough else fix)
    if kind in REMOTE or kind in PARALLEL:
        fix = "write to a local disk with --output, then copy; keep one run to one output"
        yield Finding("file system", f"{kind}, of another machine", "a local one", "warn", fix)
    if kind in ("tmpfs", "ramfs"):
        yield Finding("file system", f"{kind}, which is memory", "a disk", "warn", "results there take memory")
    if not enough:
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".aetx-doctor-", dir=place) as name:
            yield from _speed(Path(name))
            yield _locks(Path(name))
            yield _names(Path(name))
    except OSError as error:
        found = f"{place}: {error.strerror or error}"
        yield Finding("writing", found, "a folder that can be written to", "bad", "choose another output")


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Return the type of the file system that holds a path, as the kernel calls it; ``unknown`` where it tells none."""
    found: Mapping[str, str] = {}
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
        found = {row[1].replace("\\040", " "): row[2] for row in rows if len(row) > 2}
    except OSError:
        return "unknown"
    place = path.resolve()
    return next((found[str(one)] for one in (place, *place.parents) if str(one) in found), "unknown")


def _speed(folder: Path) -> Iterator[Finding]:
    file, piece = folder / "speed", os.urandom(PIECE)
    start = time.perf_counter()
    with file.open("wb") as written:
        for _ in range(BYTES // PIECE):
            written.write(piece)
        written.flush()
        os.fsync(written.fileno())
    writes = BYTES / (time.perf_counter() - start)
    with file.open("rb", buffering=0) as read:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(read.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        start = time.perf_counter()
        while read.read(PIECE):
            pass
    reads = BYTES / (time.perf_counter() - start)
    found = f"writes {size(int(writes))}/s with fsync, reads {size(int(reads))}/s"
    fast = min(writes, reads) >= SLOW
    fix = "choose another disk with --output"
    yield Finding("disk speed", found, f"{size(int(SLOW))}/s", "ok" if fast else "warn", "" if fast else fix)


def _locks(folder: Path) -> Finding:
    wanted, fix = "one writer at a time", "choose another output: two runs there could mix their results"
    try:
        with Lock(folder):
            try:
                with Lock(folder):
                    return Finding("locks", "two writers at once", wanted, "bad", fix)
            except BusyError:
                return Finding("locks", "one writer at a time", wanted, "ok", "")
    except AetxError as error:
        return Finding("locks", error.problems[0].found, wanted, "bad", fix)


def _names(folder: Path) -> Finding:
    """See that a name goes from one folder to another in one step, and what the clock of the file system says."""
    for name in ("old", "new"):
        (folder / name).mkdir()
    swaps = disk.exchange(folder / "old", folder / "new")
    skew = (folder / "new").stat().st_ctime - time.time()
    words = "swap in one step" if swaps else "swap in two steps, which a later run ends if it is killed between"
    if abs(skew) > SKEW:
        wanted, fix = f"within {SKEW:g} s", "set the clocks: locks of other machines are judged by them"
        return Finding("renaming", f"{words}; its clock is {skew:+.0f} s off", wanted, "warn", fix)
    return Finding("renaming", words, "", "ok", "")
