"""What a run will do, need and leave, told before a pixel is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import xarray as xr

from aetx.core import Forecast
from aetx.errors import EnvironmentFault, Problem
from aetx.model import FILE, Kind
from aetx.recipe.plan import Job, Plan, Step
from aetx.run.decide import TABLES, Decision, decide
from aetx.run.inputs import Opener, hash_input, open_declared
from aetx.run.settings import settle
from aetx.run.watch import resident
from aetx.store import disk, open_store, refuse_output
from aetx.store.layout import EDGE

Sizes = Mapping[str, int]
SPARE = 64_000_000
"""Bytes kept for Python itself beside what a step is given."""
LOADED = 80_000_000
"""Bytes of code and tables that libraries load when a step first calls them."""
ROW = 200
"""Bytes of one atom with all its columns."""


@dataclass(frozen=True)
class StepForecast:
    """What one step will do, why, and what it will need: bytes in all, and seconds of one core."""

    name: str
    stage: str
    state: Literal["run", "reuse", "fuse"]
    reason: str
    sizes: Sizes
    blocks: int
    stored_bytes: int
    memory: int
    seconds: float

    def as_dict(self) -> dict[str, object]:
        """Return the fields for ``--json``."""
        return asdict(self)


@dataclass(frozen=True)
class JobForecast:
    """What one job will do; `disk` is what it will write, `free` what its disk has."""

    name: str
    folder: Path
    steps: tuple[StepForecast, ...]
    disk: int
    free: int

    def as_dict(self) -> dict[str, object]:
        """Return the fields for ``--json``."""
        return {**asdict(self), "folder": str(self.folder), "steps": [step.as_dict() for step in self.steps]}


class Forecasts(list[JobForecast]):
    """What every job of a plan will do."""

    def as_dict(self) -> dict[str, object]:
        """Return them for ``--json``."""
        return {"plan": [job.as_dict() for job in self]}

    def lines(self) -> list[str]:
        """Return what a person reads."""
        lines = []
        for job in self:
            lines += [f"{job.name}:"] if job.name else []
            for step in job.steps:
                needs = f"{step.memory / 1e6:7.0f} MB {step.seconds:7.1f} s" if step.state == "run" else ""
                sizes = " ".join(f"{axis} {size}" for axis, size in step.sizes.items())
                lines.append(f"  {step.name:24} {step.state:6} {needs:20} {step.reason}  [{sizes}]")
            lines.append(f"  writes up to {job.disk / 1e6:.0f} MB to {job.folder}; {job.free / 1e6:.0f} MB are free")
        return lines


def forecast(
    plan: Plan,
    *,
    output: Path | None = None,
    memory: int | None = None,
    device: str | None = None,
    overwrite: bool = False,
    opener: Opener = open_declared,
) -> Forecasts:
    """Return what `run_plan` would do with the same arguments. Reads the inputs' bytes for their keys, writes nothing.

    Raises
    ------
    AetxError
        As `run_plan` would before it starts: an input that is not what it should be, an output that may not be used.
    """
    settings = settle(plan, output=output, memory=memory, device=device)
    refuse_output(settings.output, [path for job in plan.jobs for one in job.inputs for path in one.paths])
    found = Forecasts()
    for job in plan.jobs:
        folder = settings.folder(job)
        datasets = {one.name: opener(one, plan.registry) for one in job.inputs}
        problems = refuse_memory(job, {name: sizes_of(one) for name, one in datasets.items()}, settings.memory)
        if problems:
            raise EnvironmentFault(problems, "the run does not fit the memory")
        opened = {one.name: hash_input(one, datasets[one.name]) for one in job.inputs}
        decisions = decide(
            job,
            folder,
            {name: one.key for name, one in opened.items()},
            device=settings.device,
            threads=settings.threads,
            overwrite=overwrite,
        )
        steps = expect(decisions, {name: one.dataset for name, one in opened.items()})
        needed = sum(step.stored_bytes for step in steps if step.state == "run")
        found.append(JobForecast(job.name, folder, tuple(steps), needed, disk.free_bytes(folder)))
    return found


def expect(decisions: Sequence[Decision], inputs: Mapping[str, xr.Dataset]) -> list[StepForecast]:
    """Return what each step will need, in order, from the sizes of the inputs; memory counts the program itself."""
    sizes = {name: sizes_of(dataset) for name, dataset in inputs.items()}
    found, program = [], resident()
    for decision in decisions:
        step = decision.step
        told = told_by(step, sizes)
        if decision.place == "store" and not decision.runs:
            told = Forecast(sizes_of(open_store(decision.path)), told.memory, told.seconds)
        sizes[step.name] = dict(told.sizes)
        found.append(
            StepForecast(
                name=step.name,
                stage=step.stage.name,
                state="fuse" if decision.place == "fused" else "run" if decision.runs else "reuse",
                reason=decision.reason,
                sizes=dict(told.sizes),
                blocks=math.prod(-(-size // EDGE) for axis, size in told.sizes.items() if axis in ("z", "y", "x")),
                stored_bytes=0 if decision.place == "fused" else stored_bytes(step.stage.gives, told.sizes),
                memory=program + LOADED + int(told.memory),
                seconds=float(told.seconds),
            )
        )
    return found


def told_by(step: Step, sizes: Mapping[str, Sizes]) -> Forecast:
    """Return what a stage says of itself at the sizes of its inputs."""
    given = {take: tuple(sizes[name] for name in step.sources.get(take, ())) for take in step.stage.takes}
    return step.stage.forecast(given, step.params)


def sizes_of(dataset: xr.Dataset) -> dict[str, int]:
    """Return the sizes of a dataset by dimension."""
    return {str(axis): int(size) for axis, size in dataset.sizes.items()}


def stored_bytes(kind: Kind, sizes: Sizes) -> int:
    """Return the bytes of a result on the disk before compression."""
    if kind is FILE:
        return int(sizes.get("byte", 0))
    if kind in TABLES:
        return 10_000 + ROW * max([int(size) for axis, size in sizes.items() if axis != "axis"], default=0)
    widest = max((var.dims for var in kind.variables.values() if var.required), key=len, default=())
    return 4 * math.prod(int(sizes.get(axis, 1)) for axis in widest)


def share(limit: int) -> int | None:
    """Return the bytes that a step may hold under a limit, beside what is loaded already; None without a limit."""
    return max(0, limit - resident() - SPARE) if limit else None


def refuse_memory(job: Job, sizes: Mapping[str, Sizes], limit: int) -> list[Problem]:
    """Return the steps that cannot fit the memory, and what would."""
    if not limit:
        return []
    program = resident() + SPARE
    known, problems = dict(sizes), []
    for step in job.steps:
        told = told_by(step, known)
        known[step.name] = dict(told.sizes)
        needed = (told.least or SPARE) if "memory" in step.stage.resources else int(told.memory)
        if program + needed > limit:
            enough = -(-(program + needed) // 10**6)
            problems.append(
                Problem(
                    f"steps.{step.name}",
                    "memory",
                    f"{needed / 1e6:.0f} MB needed beside {program / 1e6:.0f} MB for the program",
                    f"at most {limit / 1e6:.0f} MB in all",
                    f"give --memory {enough}MB, or make its input smaller",
                )
            )
    return problems


def refuse_disk(steps: Sequence[StepForecast], folder: Path) -> None:
    """Raise `EnvironmentFault` if what will be written does not fit the disk."""
    needed, free = sum(step.stored_bytes for step in steps if step.state == "run"), disk.free_bytes(folder)
    if needed > free:
        raise EnvironmentFault(
            Problem(
                str(folder),
                "disk",
                f"{free / 1e6:.3g} MB free",
                f"{needed / 1e6:.3g} MB for the results before compression",
                "free some space, or choose another output",
            )
        )
