"""A client of a cluster that notices when nobody computes any more, and says why."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dask.core import flatten
from distributed import Client, wait
from distributed.scheduler import KilledWorker

from aetx.core.words import seconds as span
from aetx.core.words import size
from aetx.errors import EnvironmentFault, Problem

PERIOD = 1.0
"""Seconds between two looks at the workers."""
STORED = "_put"
"""Prefix of the tasks that each write one block of a result."""
Told = Callable[[int, int], None]


class Stalled(Exception):  # noqa: N818 - it is no mistake of the program
    """Nobody has computed for too long: what was found, and what would help."""

    def __init__(self, found: str, wanted: str, fix: str) -> None:
        super().__init__(found)
        self.found, self.wanted, self.fix = found, wanted, fix


class Watch(Client):
    """A client whose computations end, one way or the other.

    A worker counts while it runs and gives signs of life. Where none has counted for `patience` seconds, because all
    are lost, paused for want of memory, silent, or never came, the computation ends with `Stalled`.

    Parameters
    ----------
    patience
        Seconds without a worker.
    advice
        What to do where no worker comes.
    told
        Told of the blocks that are written, of how many.
    """

    def __init__(self, *args: Any, patience: float, advice: str, told: Told | None = None, **options: Any) -> None:
        self.patience, self.advice, self.told = patience, advice, told
        self._seen: dict[str, tuple[float, float]] = {}
        self._overruns: dict[str, int] = {}
        self._came, self._counted = 0, time.monotonic()
        super().__init__(*args, **options)
        self.subscribe_topic("worker-restart-memory", self._overrun)

    def get(self, dsk: Any, keys: Any, *args: Any, sync: bool = True, **options: Any) -> Any:
        """Compute a graph as `Client.get` does, and look after those who do it."""
        packed = super().get(dsk, keys, *args, sync=False, **options)
        if not sync:
            return packed
        futures, self._counted = list(flatten([packed])), time.monotonic()
        while pending := [one for one in futures if not one.done()]:
            with contextlib.suppress(TimeoutError):
                wait(pending, timeout=PERIOD, return_when="FIRST_COMPLETED")
                continue
            self._look()
        return self.gather(packed)

    def memory_of(self, address: str) -> int:
        """Return the bytes at which a worker was ended for them; 0 where it ended for another reason."""
        return self._overruns.get(address, 0)

    def _overrun(self, event: tuple[float, Mapping[str, Any]]) -> None:
        self._overruns[str(event[1]["worker"])] = int(event[1]["rss"])

    def _look(self) -> None:
        """Count the workers that run and live; raise `Stalled` where there has been none for too long."""
        try:
            workers = self.sync(self._identity)
        except (OSError, TimeoutError) as error:
            self._judge({}, f"no answer from the scheduler ({error})", "start it again, and run again")
            return
        now = time.monotonic()
        for address, one in workers.items():
            if self._seen.get(address, (0.0, 0.0))[0] != one["last_seen"]:
                self._seen[address] = (one["last_seen"], now)
        self._came = max(self._came, len(workers))
        alive = {name: one for name, one in workers.items() if now - self._seen[name][1] < self.patience}
        self._judge(alive, *self._reason(workers, alive))
        self._count()

    async def _identity(self) -> dict[str, Any]:
        async with asyncio.timeout(self.patience):
            return dict((await self.scheduler.identity(n_workers=-1))["workers"])

    def _judge(self, alive: Mapping[str, Any], found: str, fix: str) -> None:
        signs = [self._seen[name][1] for name, one in alive.items() if one["status"] == "running"]
        self._counted = max([self._counted, *signs])
        if time.monotonic() - self._counted > self.patience:
            raise Stalled(f"{found} for {span(self.patience)}", "workers that compute", fix)

    def _reason(self, workers: Mapping[str, Any], alive: Mapping[str, Any]) -> tuple[str, str]:
        if alive:
            one = max(alive.values(), key=lambda each: int(each["metrics"].get("memory", 0)))
            limit = f" of {size(int(one['memory_limit']))}" if one["memory_limit"] else ""
            used = f"{size(int(one['metrics'].get('memory', 0)))}{limit} used"
            return f"{len(alive)} workers paused, {used}", "give more memory, or fewer workers"
        if workers:
            return f"no sign of life from {len(workers)} workers", "see to the machines that they run on, and run again"
        if self._came:
            return f"all workers lost, of {self._came} that came", "see why they ended, and run again"
        return "no worker came", self.advice

    def _count(self) -> None:
        """Tell how many blocks are written, where the scheduler can be asked."""
        if self.told is None:
            return
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            done, total = self.run_on_scheduler(written_blocks)
            if total:
                self.told(done, total)


def written_blocks(dask_scheduler: Any) -> tuple[int, int]:
    """Return how many blocks are written, of how many; runs on the scheduler."""
    found = [group for name, group in dask_scheduler.task_groups.items() if str(name).startswith(STORED)]
    done = sum(group.states[state] for group in found for state in ("memory", "released", "forgotten"))
    return done, sum(len(group) for group in found)


@contextlib.contextmanager
def in_words(step: str, limit: int, watch: Watch | None, signals: list[str]) -> Iterator[None]:
    """Turn what a cluster does to a step into `EnvironmentFault`, with step, block, memory used and limit.

    Parameters
    ----------
    step
        The step that computes.
    limit
        Bytes for all workers; 0 for no limit.
    watch
        The client, which knows who was ended for its memory.
    signals
        What the keepers of worker processes said of their ends.
    """
    try:
        yield
    except Stalled as error:
        raise EnvironmentFault(Problem(f"steps.{step}", "cluster", error.found, error.wanted, error.fix)) from error
    except KilledWorker as error:
        worker = error.last_worker
        used = watch.memory_of(worker.address) if watch is not None else 0
        allowed = int(getattr(worker, "memory_limit", 0) or 0)
        total = f", {size(limit)} for all workers" if limit else ""
        if used:
            found = f"{block(error.task)}: {size(used)} used"
            wanted = f"at most {size(allowed)} for each worker{total}"
            raise EnvironmentFault(
                Problem(f"steps.{step}", "memory", found, wanted, "give more memory, or use --scheduler threads")
            ) from error
        found = f"{block(error.task)}: its worker process died {error.allowed_failures + 1} times"
        found += f" ({signals[-1]})" if signals else ""
        fix = "run again with --scheduler threads to see the error itself, or give more memory"
        wanted = f"a worker that lives (limit {size(allowed)}{total})" if allowed else "a worker that lives"
        raise EnvironmentFault(Problem(f"steps.{step}", "cluster", found, wanted, fix)) from error
    except Exception as error:
        if type(error).__name__ not in ("FutureCancelledError", "CommClosedError", "FuturesCancelledError"):
            raise
        found, fix = "the scheduler was lost", "start it again, and run again: finished steps are kept"
        raise EnvironmentFault(Problem(f"steps.{step}", "cluster", found, "a scheduler", fix)) from error


def block(key: Any) -> str:
    """Return what a person calls a task: the block that it makes."""
    if isinstance(key, tuple) and len(key) > 1:
        return f"block ({', '.join(str(number) for number in key[1:])})"
    return f"task {re.sub(r'-[0-9a-f]{16,}$', '', str(key))}"


class Ends(logging.Handler):
    """Keeps what the keepers of worker processes on this machine say of how they ended."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message of an end."""
        match = re.search(r"was killed by signal (\d+)|exited with status ([1-9]\d*)", record.getMessage())
        if match:
            self.heard.append(f"signal {match[1]}" if match[1] else f"exit status {match[2]}")


@contextlib.contextmanager
def hearing_ends() -> Iterator[list[str]]:
    """Listen to the keepers of worker processes; yield what they say."""
    logger, ends = logging.getLogger("distributed.nanny"), Ends()
    level = logger.level
    logger.addHandler(ends)
    logger.setLevel(logging.INFO)
    try:
        yield ends.heard
    finally:
        logger.removeHandler(ends)
        logger.setLevel(level)
