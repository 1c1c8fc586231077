"""Who computes the blocks: threads here, processes here, or a cluster. The results do not depend on it."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dask

from aetx.errors import AetxWarning, EnvironmentFault, Problem, RecipeError
from aetx.recipe.plan import Slurm
from aetx.store import disk

if TYPE_CHECKING:
    from distributed import LocalCluster
    from distributed.security import Security

    from aetx.run.watchdog import Watch

LEAST_WORKER = 1_500_000_000
"""Bytes below which a worker process that has loaded torch is paused for ever."""
PATIENCE = 300.0
"""Seconds for which a run waits for workers that are lost, paused, silent or yet to come."""
NO_PAGES = "127.0.0.1:0"
"""Where a scheduler listens for browsers, which it does without pages to show, too: any port that is free, for here."""
ANSWER = "10s"
"""For how long a scheduler may keep a client waiting."""


@dataclass
class Crew:
    """Who computes: the watch over a cluster, None for threads, and what was heard of processes that ended."""

    watch: Watch | None = None
    ends: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def in_words(self, step: str, memory: int) -> Iterator[None]:
        """Turn what a cluster does to a step into `EnvironmentFault`: step, block, memory used and limit."""
        if self.watch is None:
            yield
            return
        from aetx.run.watchdog import in_words

        with in_words(step, memory, self.watch, self.ends):
            yield


@contextlib.contextmanager
def computing(
    scheduler: str,
    threads: int,
    memory: int,
    *,
    patience: float = PATIENCE,
    slurm: Slurm | None = None,
    trusted: bool = False,
    scratch: Path | None = None,
    told: Callable[[int, int], None] | None = None,
) -> Iterator[Crew]:
    """Put a scheduler in force.

    Parameters
    ----------
    scheduler
        ``threads``; ``local`` for worker processes on this machine, encrypted and on loopback only; ``slurm`` for jobs
        of a batch system, encrypted; or the address of a dask scheduler, ``tls://host:port`` or ``tcp://host:port``.
    threads
        Blocks in flight on this machine.
    memory
        Bytes for all of them; 0 for no limit.
    patience
        Seconds without a worker that computes after which the run ends.
    slurm
        What is asked of the batch system.
    trusted
        The network may be used without encryption: whoever can reach it can run programs as the user.
    scratch
        Folder in which workers keep what is theirs alone.
    told
        Told of the blocks that a cluster has written, of how many.

    Raises
    ------
    EnvironmentFault
        If a cluster does not answer, or no worker fits the memory.
    RecipeError
        If the scheduler is none, or an unencrypted one on a network that is not trusted.
    """
    if scheduler == "threads":
        with dask.config.set(scheduler="threads", num_workers=threads):
            yield Crew()
    elif scheduler == "local":
        with _private(scratch) as folder, _local(threads, memory, patience, folder, told) as crew:
            yield crew
    elif scheduler == "slurm":
        with _private(scratch) as folder, _slurm(slurm or Slurm(), patience, trusted, folder, told) as crew:
            yield crew
    elif scheduler.startswith(("tcp://", "tls://")):
        with _remote(scheduler, patience, trusted, told) as crew:
            yield crew
    else:
        wanted = "'threads', 'local', 'slurm' or 'tcp://host:port'"
        raise RecipeError(
            Problem("run", "scheduler", repr(scheduler), wanted, "start a dask scheduler there and give its address")
        )


@contextlib.contextmanager
def _private(scratch: Path | None) -> Iterator[Path | None]:
    """Make a folder that only its owner can enter, and remove it at the end."""
    if scratch is None:
        yield None
        return
    folder = scratch / disk.litter_name("workers")
    with disk.in_words(folder):
        scratch.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        disk.discard(folder)


def _quiet(patience: float, folder: Path | None) -> dict[str, Any]:
    """Return the settings of a scheduler of ours.

    A silent worker is given up, and so is a task that two workers died of; none waits at a worker for another to end,
    or it would be taken for the one that its worker died of. Nothing is kept in the folder for temporary files that
    all users share.
    """
    return {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.scheduler.worker-ttl": f"{patience} s",
        **({"temporary-directory": str(folder)} if folder else {}),
    }


@contextlib.contextmanager
def _local(
    threads: int, memory: int, patience: float, folder: Path | None, told: Callable[[int, int], None] | None
) -> Iterator[Crew]:
    from aetx.run.watchdog import Watch, hearing_ends

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
    with (
        dask.config.set(_quiet(patience, folder)),
        hearing_ends() as ends,
        _processes(workers, memory, patience, folder) as cluster,
        Watch(cluster, patience=patience, advice="use --scheduler threads", told=told) as watch,
    ):
        try:
            yield Crew(watch, ends)
        except BaseException:
            _end_workers(cluster)
            raise


@contextlib.contextmanager
def _processes(workers: int, memory: int, patience: float, folder: Path | None) -> Iterator[LocalCluster]:
    """Start worker processes on this machine; where they do not start in time, tell so and leave none."""
    from distributed import LocalCluster

    security = _private_key()
    before = {one.pid for one in multiprocessing.active_children()}

    def kill() -> None:
        for one in multiprocessing.active_children():
            if one.pid not in before:
                one.kill()

    late = threading.Timer(patience, kill)
    late.start()
    try:
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tls://" if security else "tcp://",
            security=security,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": NO_PAGES},
            memory_limit=memory // workers if memory else 0,
            local_directory=str(folder) if folder else None,
            silence_logs=logging.CRITICAL,
        )
    except (RuntimeError, TimeoutError, OSError) as error:
        kill()
        found, fix = f"worker processes that did not start ({error})", "run again, or use --scheduler threads"
        raise EnvironmentFault(Problem("run", "scheduler", found, "worker processes", fix)) from error
    finally:
        late.cancel()
    with cluster:
        yield cluster


def _private_key() -> Security | None:
    """Return a key for this run alone, without which whoever may use this machine could use its workers."""
    from distributed.security import Security

    try:
        return Security.temporary()
    except ImportError:
        words = "without the package cryptography other users of this machine can reach the workers of this run: "
        warnings.warn(words + "pip install 'aetx[cluster]', or use --scheduler threads", AetxWarning, stacklevel=2)
        return None


def _end_workers(cluster: LocalCluster) -> None:
    """Kill the worker processes of a run that is over: nobody waits for their work, and some may not hear a word."""
    for keeper in cluster.workers.values():
        with contextlib.suppress(ProcessLookupError, TypeError):
            os.kill(keeper.pid, signal.SIGKILL)


@contextlib.contextmanager
def _remote(address: str, patience: float, trusted: bool, told: Callable[[int, int], None] | None) -> Iterator[Crew]:
    if address.startswith("tcp://") and not trusted and not _is_loopback(urlsplit(address).hostname or ""):
        wanted = "an encrypted one, or one on this machine"
        fix = "start it with TLS and write tls://, or give --trust-network if everyone on that network may act as you"
        raise RecipeError(Problem("run", "scheduler", f"{address}, which anyone can read and use", wanted, fix))
    from distributed.security import Security

    from aetx.run.watchdog import Watch

    advice = f"start some: dask worker {address}"
    try:
        watch = Watch(address, timeout=ANSWER, patience=patience, advice=advice, told=told, security=Security())
    except (OSError, TimeoutError) as error:
        found = f"no answer from {address}"
        raise EnvironmentFault(
            Problem("run", "scheduler", found, "a dask scheduler", "start it, or mend the address")
        ) from error
    except (TypeError, RuntimeError) as error:
        fix = "name the certificates in the configuration of dask: distributed.comm.tls"
        raise EnvironmentFault(Problem("run", "scheduler", f"{address}: {error}", "certificates", fix)) from error
    with watch:
        try:
            watch.get_versions(check=True)
        except ValueError as error:
            raise EnvironmentFault(
                Problem(
                    "run", "scheduler", f"other versions at {address}: {error}", "those of here", "install the same"
                )
            ) from error
        yield Crew(watch)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _slurm(
    asked: Slurm, patience: float, trusted: bool, folder: Path | None, told: Callable[[int, int], None] | None
) -> Iterator[Crew]:
    """Submit jobs that each run one worker, on a network that is encrypted unless it is trusted."""
    try:
        from dask_jobqueue import SLURMCluster
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            Problem("run", "scheduler", f"no package {error.name}", "dask-jobqueue", "pip install 'aetx[cluster]'")
        ) from error
    from aetx.run.watchdog import Watch

    place = folder or Path.cwd()
    if not re.fullmatch(r"[A-Za-z0-9_.,:@%+=/-]+", str(place)):
        wanted, fix = "a path of plain letters, for the job script", "choose another output"
        raise RecipeError(Problem("run", "output", repr(str(place)), wanted, fix))
    try:
        security = None if trusted else _certificates(place)
    except ImportError as error:
        raise EnvironmentFault(
            Problem("run", "scheduler", str(error), "certificates for TLS", "pip install 'aetx[cluster]'")
        ) from error
    advice = "look at squeue; where jobs wait for long, write run: {worker-timeout: 2 h} or ask for less"
    with dask.config.set(_quiet(patience, folder)):
        try:
            cluster = SLURMCluster(
                queue=asked.queue or None,
                account=asked.account or None,
                cores=asked.cores,
                processes=1,
                memory=asked.memory,
                walltime=asked.walltime,
                interface=asked.interface or None,
                python=sys.executable,
                protocol="tcp://" if trusted else "tls://",
                security=security,
                local_directory=str(place),
                log_directory=str(place),
                death_timeout=max(60, round(patience)),
                job_script_prologue=["umask 077", "export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE"],
                scheduler_options={"dashboard": False, "dashboard_address": NO_PAGES},
                silence_logs="critical",
            )
        except (OSError, ValueError, RuntimeError) as error:
            fix = "see to Slurm, or use another scheduler"
            raise EnvironmentFault(Problem("run", "scheduler", f"slurm: {error}", "a cluster", fix)) from error
        with cluster, Watch(cluster, patience=patience, advice=advice, told=told) as watch:
            cluster.scale(jobs=asked.jobs)
            yield Crew(watch)


def _certificates(folder: Path) -> Security:
    """Make a key for this run alone, which only its own processes can read, and what uses it."""
    from distributed.security import Security

    made, paths = Security.temporary(), {}
    for name in ("tls_ca_file", "tls_worker_key", "tls_worker_cert"):
        file = folder / f"{name}.pem"
        file.touch(mode=0o600)
        file.write_text(getattr(made, name), encoding="ascii")
        paths[name] = str(file)
    keys = {f"tls_{role}_key": paths["tls_worker_key"] for role in ("client", "scheduler")}
    certificates = {f"tls_{role}_cert": paths["tls_worker_cert"] for role in ("client", "scheduler")}
    return Security(require_encryption=True, **paths, **keys, **certificates)
