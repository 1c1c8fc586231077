"""How many threads compute, said once: dask shares out the work, and libraries inside its tasks start none."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "BLOSC_NTHREADS",
)


def limit_threads() -> None:
    """Keep libraries from starting threads of their own; call it before numpy is imported, it has no effect after.

    Idle threads sleep (``OMP_WAIT_POLICY``): spinning ones take a core from whoever else computes, and made a
    reconstruction four times slower on a machine with other work. What the user has set stays.
    """
    for name in VARIABLES:
        os.environ.setdefault(name, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def library_threads(count: int) -> Iterator[None]:
    """Give torch and the linear algebra `count` threads: all cores where one step runs alone, 1 inside dask's tasks."""
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else 0
    with threadpool_limits(count):
        if torch is not None:
            torch.set_num_threads(count)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)
