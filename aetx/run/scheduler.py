"""Who computes the blocks: threads here, processes here, or a cluster. The results do not depend on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import dask

from aetx.errors import EnvironmentFault, Problem, RecipeError

LEAST_WORKER = 1_500_000_000
"""Bytes below which a worker process that has loaded torch is paused for ever."""


@contextlib.contextmanager
def computing(scheduler: str, threads: int, memory: int) -> Iterator[None]:
    """Put a scheduler in force.

    Parameters
    ----------
    scheduler
        ``threads``; ``local`` for worker processes on this machine, which listen on loopback only; or the address of a
        dask scheduler, ``tcp://host:port``.
    threads
        Blocks in flight on this machine.
    memory
        Bytes for all of them; 0 for no limit.

    Raises
    ------
    EnvironmentFault
        If a cluster does not answer, or no worker fits the memory.
    """
    if scheduler == "threads":
        with dask.config.set(scheduler="threads", num_workers=threads):
            yield
    elif scheduler == "local":
        with _local(threads, memory):
            yield
    elif scheduler.startswith(("tcp://", "tls://")):
        with _remote(scheduler):
            yield
    else:
        wanted = "'threads', 'local' or 'tcp://host:port'"
        raise RecipeError(
            Problem("run", "scheduler", repr(scheduler), wanted, "start a dask scheduler there and give its address")
        )


@contextlib.contextmanager
def workers_in_words(step: str, memory: int) -> Iterator[None]:
    """Turn the death of a worker process, which dask tells without a reason, into `EnvironmentFault`."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "KilledWorker":
            raise
        limit = f"{memory / 1e6:.0f} MB for all workers" if memory else "no limit of aetx's"
        raise EnvironmentFault(
            Problem(
                f"steps.{step}",
                "memory",
                "a worker process died, most often for want of memory",
                f"blocks that fit ({limit})",
                "give more memory, or use --scheduler threads",
            )
        ) from error


@contextlib.contextmanager
def _local(threads: int, memory: int) -> Iterator[None]:
    from distributed import Client, LocalCluster

    workers = threads if not memory else min(threads, memory // LEAST_WORKER)
    if workers < 1:
        raise EnvironmentFault(
            Problem(
                "run",
                "memory",
                f"{memory} bytes",
                f"at least {LEAST_WORKER} bytes for each worker process",
                "give more memory, or use --scheduler threads",
            )
        )
    quiet = {"distributed.scheduler.allowed-failures": 1, "distributed.logging.distributed": "error"}
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=memory // workers if memory else 0,
        ) as cluster,
        Client(cluster),
    ):
        yield


@contextlib.contextmanager
def _remote(address: str) -> Iterator[None]:
    from distributed import Client

    try:
        client = Client(address, timeout="10s")
    except (OSError, TimeoutError) as error:
        raise EnvironmentFault(
            Problem(
                "run", "scheduler", f"no answer from {address}", "a dask scheduler", "start it, or mend the address"
            )
        ) from error
    with client:
        try:
            client.get_versions(check=True)
        except ValueError as error:
            raise EnvironmentFault(
                Problem(
                    "run", "scheduler", f"other versions at {address}: {error}", "those of here", "install the same"
                )
            ) from error
        yield
