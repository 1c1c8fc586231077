"""Measure how fast results are checked beside how fast the disk reads: ``python -m tests.benchmarks.verify_speed DIR``.

A store of 1 GiB of noise is written to the folder. In turns its files are read as fast as the disk gives them, four at
a time and in order, and checked; the kernel is asked to forget them before each. Prints both speeds for each turn, the
speed for each second of one core, which other work on the machine does not change, beside that of hashing alone, and
how long a check takes that knows all files already.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr

from aetx.model import VOLUME
from aetx.store import Expected, Known, expected_files, read_again, write

EDGE, TURNS = 640, 5


def make(path: Path) -> None:
    """Write a volume of noise, which does not compress."""
    axes = {axis: (axis, np.arange(EDGE) - EDGE // 2 + 0.0, {"units": "angstrom"}) for axis in "zyx"}
    values = np.random.default_rng(0).integers(0, 2**31, (EDGE,) * 3, dtype=np.int32).view(np.float32)
    volume = xr.Dataset({"density": (("z", "y", "x"), values, {"units": "count/angstrom"})}, axes)
    write(VOLUME.stamp(volume), path, key="", record={})


def forget(files: Sequence[Expected]) -> None:
    """Ask the kernel to drop files from memory."""
    for one in files:
        handle = os.open(one.path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def read(one: Expected) -> None:
    """Read a file and do nothing with it."""
    with one.path.open("rb", buffering=0) as file:
        view = memoryview(bytearray(1 << 18))
        while file.readinto(view):
            pass


def seconds_to_read(files: Sequence[Expected]) -> float:
    """Return the seconds that reading all files takes."""
    forget(files)
    start = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, files))
    return time.perf_counter() - start


def seconds_to_check(files: Sequence[Expected]) -> tuple[float, float]:
    """Return the seconds that checking all files takes, and those of one core."""
    forget(files)
    start, core = time.perf_counter(), time.process_time()
    assert not read_again(files).problems
    return time.perf_counter() - start, time.process_time() - core


def speed_of_hashing() -> float:
    """Return the MB that one core hashes in a second, from memory: no check of digests can be faster."""
    block = bytes(1 << 20)
    core = time.process_time()
    for _ in range(256):
        hashlib.sha256(block).digest()
    return 256 * len(block) / 1e6 / (time.process_time() - core)


def main(folder: Path) -> None:
    """Print the table."""
    store = folder / "noise.zarr"
    if not store.exists():
        make(store)
    _, files = expected_files(store)
    total = sum(one.size for one in files) / 1e6
    ratios = []
    print(
        f"one core hashes {speed_of_hashing():.0f} MB/s from memory; {len(os.sched_getaffinity(0))} cores may be used"
    )
    for turn in range(TURNS):
        plain, (checked, core) = seconds_to_read(files), seconds_to_check(files)
        ratios.append(plain / checked)
        speeds = (
            f"reads {total / plain:5.0f} MB/s, checks {total / checked:5.0f} MB/s ({total / core:5.0f} for each core)"
        )
        print(f"turn {turn}: {speeds}, ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f} of {len(files)} files, {total:.0f} MB")
    for _ in range(2):
        with Known(folder / "known") as known:
            start = time.perf_counter()
            done = read_again(files, known)
            print(f"{done.known} of {done.files} files known: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
