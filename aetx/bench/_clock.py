"""A particle as one timing of a function, without what is loaded, prepared or compiled before it."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aetx.bench._benchmark import Measured, Task
from aetx.run.threads import cores, library_threads
from aetx.run.watch import Cost, costs

LEAST = 0.5
"""Seconds for which a function is repeated, so that the ticks of the clock and the samples of memory do not count."""


@dataclass(frozen=True)
class Timed:
    """What a timing needs: the act that is repeated, how many units of work it does, and the score of what it gives.

    `warm` is done first, unseen, so that nothing is compiled while the clock runs: the act itself where it is None.
    """

    act: Callable[[], Any]
    units: int = 1
    score: Callable[[Any], dict[str, Any]] | None = None
    warm: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Clock:
    """Timings of functions by case: each prepares its data from a seed and returns what is timed."""

    prepare: Mapping[str, Callable[[int], Timed]]

    def check(self, task: Task) -> None:
        """Raise nothing: there is no file that could be missing."""

    def key(self, task: Task) -> str:  # noqa: ARG002 - as of every work
        """Return nothing: times are measured anew."""
        return ""

    def measure(self, task: Task) -> Measured:
        """Act once unseen, then repeatedly; return the means."""
        timed = self.prepare[task.case.name](task.draw)
        with library_threads(cores()):
            began = time.perf_counter()
            made = (timed.warm or timed.act)()
            once = time.perf_counter() - began
            repeats = 1 if timed.warm is not None else max(1, math.ceil(LEAST / max(once, 1e-6)))
            score = timed.score(made) if timed.score is not None else {}
            del made
            gc.collect()
            cost = Cost()
            with costs(False, cost):
                for _ in range(repeats):
                    timed.act()
        share = 1.0 / (repeats * timed.units)
        return Measured(cost.cpu_seconds * share, cost.seconds * share, cost.peak_bytes, **score)
