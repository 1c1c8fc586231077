"""What a step costs: wall time, processor time, peak memory."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

PERIOD = 0.02
_MMAP_THRESHOLD = -3


@dataclass
class Cost:
    """What a step has cost so far."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


def give_back() -> None:
    """Let the C library return freed arrays to the system at once, from now on; where it is glibc.

    By default it keeps freed arrays of up to 32 MiB, in a heap for each thread, and a limit on memory is lost to them.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt") and hasattr(library, "malloc_trim"):
        library.mallopt(_MMAP_THRESHOLD, 1 << 19)
        library.malloc_trim(0)


def resident(children: bool = False) -> int:
    """Return the bytes of memory that this process holds; with `children`, those of its worker processes too."""
    process = psutil.Process()
    held = int(process.memory_info().rss)
    for child in process.children(recursive=True) if children else ():
        with contextlib.suppress(psutil.Error):
            held += int(child.memory_info().rss)
    return held


@contextlib.contextmanager
def costs(children: bool, cost: Cost) -> Iterator[None]:
    """Measure time and peak memory of what runs inside into `cost`; the memory is sampled 50 times a second.

    With `children`, the memory of worker processes counts too.
    """
    cost.peak_bytes, over = resident(children), threading.Event()

    def sample() -> None:
        while not over.wait(PERIOD * (10 if children else 1)):
            cost.peak_bytes = max(cost.peak_bytes, resident(children))

    thread = threading.Thread(target=sample, name="aetx-memory", daemon=True)
    wall, cpu = time.perf_counter(), time.process_time()
    thread.start()
    try:
        yield
    finally:
        over.set()
        cost.peak_bytes = max(cost.peak_bytes, resident(children))
        cost.seconds, cost.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        thread.join()
