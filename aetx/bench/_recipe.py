"""A particle as one run of a recipe, scored against its truth."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from aetx.bench._benchmark import ROOM, STRIDE, Measured, Task
from aetx.core.record import RunRecord, StepRecord
from aetx.errors import caught
from aetx.recipe import Plan, load
from aetx.run import run_plan
from aetx.run.decide import TABLES, decide, earlier
from aetx.run.inputs import hash_input, open_declared
from aetx.run.keys import digest
from aetx.run.settings import settle
from aetx.store import disk, open_store

UNTIMED = ("simulate", "measure")
"""Rooms whose stages make or judge the benchmark and are no part of what it times."""
NOISE = 10**6 * STRIDE
"""What is added to the seed of a specimen for the seed of the noise in its images."""

Inputs = Callable[[Path, int], Mapping[str, str]]


def _none(_: Path, __: int) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Recipe:
    """Particles that are runs of a recipe in ``aetx/bench/recipes``.

    The recipe has the variables `drawn`, a step `score` (`measure.compare`), and may have a step `bound`
    (`measure.bound`). `small` are values that make a specimen of a few atoms of `small_file`, or of the recipe itself:
    it is run first in the same process, so that nothing is compiled while the particle is timed. `inputs` prepares
    what the recipe reads, in a folder that all particles share, and returns the values of the variables `files`; it is
    left out where the command line gives them all.
    """

    file: str
    small: Mapping[str, str] = field(default_factory=dict)
    small_file: str = ""
    drawn: tuple[str, ...] = ("seed", "noise")
    files: tuple[str, ...] = ()
    inputs: Inputs = _none

    def check(self, task: Task) -> None:
        """Raise `AetxError` if the recipe cannot be run."""
        with tempfile.TemporaryDirectory(prefix="aetx-bench-") as folder:
            self._plan(task, Path(folder))

    def key(self, task: Task) -> str:
        """Return the digest of the keys of every step."""
        plan = self._plan(task, _inputs(task))
        settings, job = settle(plan), plan.jobs[0]
        keys = {one.name: hash_input(one, open_declared(one, plan.registry)).key for one in job.inputs}
        found = decide(job, task.folder, keys, device=settings.device, threads=settings.threads)
        return digest({one.step.name: one.key for one in found})

    def measure(self, task: Task) -> Measured:
        """Run the recipe and return its score and what its steps cost, but those that simulate and measure.

        Volumes and images are removed in the end; what is left are tables, a few kilobytes.
        """
        self._warm(task)
        plan, before = self._plan(task, _inputs(task)), earlier(task.folder)
        record = run_plan(plan, quiet=True, reporter=None)[0]
        timed = _timed(record, before)
        if timed is None:
            record = run_plan(plan, quiet=True, reporter=None, overwrite=True)[0]
            timed = _timed(record, None) or []
        found = Measured(
            cpu_seconds=sum(step.cpu_seconds for step in timed),
            wall_seconds=sum(step.seconds for step in timed),
            peak_bytes=max((step.peak_bytes for step in timed), default=0),
            warnings=tuple(f"{step.name}: {text}" for step in record.steps for text in step.warnings),
            **_scores({step.name: task.folder / step.store for step in record.steps if step.store}),
        )
        tables = {step.name for step in plan.jobs[0].steps if step.stage.gives in TABLES}
        for step in record.steps:
            if step.store and step.name not in tables:
                disk.discard(task.folder / step.store)
        return found

    def _plan(self, task: Task, inputs: Path) -> Plan:
        draw = {"seed": str(task.draw), "noise": str(task.draw + NOISE)}
        values = {name: draw[name] for name in self.drawn} | dict(task.case.sets)
        if not self.files or not task.sets.keys() >= set(self.files):
            values |= self.inputs(inputs, task.draw)
        values |= task.sets
        with caught() as heard:  # a case may replace all that used a variable; what the user sets must be used
            plan = load(ROOM / "recipes" / self.file, sets=values, output=str(task.folder), device=task.device)
        for one in heard:
            if any(name in str(one.message) for name in task.sets):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        return plan

    def _warm(self, task: Task) -> None:
        file = ROOM / "recipes" / (self.small_file or self.file)
        with tempfile.TemporaryDirectory(prefix="aetx-bench-") as folder:
            small = load(file, sets=self.small, output=str(Path(folder) / "small"), device=task.device)
            run_plan(small, quiet=True, reporter=None)


def _inputs(task: Task) -> Path:
    """Return the folder for files that recipes of all particles read."""
    return task.folder.parent.parent / "inputs"


def _timed(record: RunRecord, before: RunRecord | None) -> list[StepRecord] | None:
    """Return the steps that are timed, those found finished as they were when made; None if one's cost is not known."""
    known = {step.key: step for step in before.steps if step.cpu_seconds > 0} if before is not None else {}
    found = []
    for step in record.steps:
        if step.stage.partition(".")[0] in UNTIMED or step.state == "fused":
            continue
        if step.state == "reused":
            if step.key not in known:
                return None
            step = known[step.key]
        found.append(step)
    return found


def _scores(stores: Mapping[str, Path]) -> dict[str, Any]:
    """Return the numbers of the steps `score` and `bound`."""
    score = open_store(stores["score"]).load()
    bound = _number(open_store(stores["bound"])["bound"]) if "bound" in stores else None
    outer = int(score["on_surface"].sum())
    return {
        "atoms": int(score["true"]),
        "wrong": int(score["missed"]) + int(score["false"]),
        "pairs": int(score["common"]),
        "rmsd": _number(score["rmsd"]),
        "surface_pairs": outer,
        "surface_rmsd": _number(score["rmsd_region"].sel(region="surface")),
        "bound": bound,
    }


def _number(value: xr.DataArray) -> float | None:
    """Return a number; None for one that is undefined."""
    found = float(value)
    return found if found == found else None
