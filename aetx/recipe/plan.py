"""A checked recipe: jobs of inputs and steps, flat, ready to run. Made from YAML, holds no YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from aetx.core import Params, Stage
from aetx.core.registry import Registry
from aetx.model import Kind
from aetx.recipe.place import Place


@dataclass(frozen=True)
class Input:
    """One dataset to be read; a list input ``area`` becomes inputs ``area/20``, ``area/21`` and so on.

    `paths` has more than one file only where the recipe says ``join:`` (one series in many files). `stated` is
    what the recipe says of the file, canonical units, by the field names of `aetx.io.Stated`.
    """

    name: str
    paths: tuple[Path, ...]
    kind: Kind
    reader: str | None
    stated: Mapping[str, object]
    place: Place


@dataclass(frozen=True)
class Step:
    """One step; a step on a list becomes steps ``tile/20``, ``tile/21`` and so on.

    `sources` maps each input of the stage to names of inputs or earlier steps: one name, or several where the
    stage takes a list.
    """

    name: str
    stage: Stage
    sources: Mapping[str, tuple[str, ...]]
    params: Params
    keep: bool
    place: Place


@dataclass(frozen=True)
class Job:
    """One run of the recipe: one member of ``for_each``, one point of ``sweep``. Its folder is below the output."""

    name: str
    variables: Mapping[str, object]
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    report: tuple[str, ...]

    def step(self, name: str) -> Step:
        """Return the step of that name."""
        return next(step for step in self.steps if step.name == name)


class Slurm(Params):
    """What is asked of Slurm: jobs of one worker each. What is left empty, dask's configuration or Slurm decides."""

    jobs: int = Field(1, ge=1, le=10_000, description="number of jobs, each on one machine")
    cores: int = Field(4, ge=1, le=1024, description="cores of each job: blocks that it computes at a time")
    memory: str = Field(
        "8 GB", pattern=r"^[0-9]{1,6}(\.[0-9]{1,3})? ?[KMGT]i?B$", description="memory of each job, as '32 GB'"
    )
    walltime: str = Field(
        "1:00:00", pattern=r"^([0-9]{1,3}-)?[0-9]{1,3}:[0-9]{2}:[0-9]{2}$", description="longest time of a job"
    )
    queue: str = Field("", pattern=r"^[A-Za-z0-9_.\-]{0,64}$", description="partition that the jobs go to")
    account: str = Field("", pattern=r"^[A-Za-z0-9_.\-]{0,64}$", description="account that is charged")
    interface: str = Field(
        "", pattern=r"^[A-Za-z0-9_.\-]{0,15}$", description="network that the machines share, such as ib0"
    )


@dataclass(frozen=True)
class Settings:
    """The ``run:`` block; the command line wins. `memory` is in bytes, 0 where none was given.

    `worker_timeout` are the seconds for which a run waits for workers; 0 where none were given.
    """

    output: Path | None = None
    memory: int = 0
    scheduler: str = "threads"
    device: str = "cpu"
    worker_timeout: float = 0.0
    slurm: Slurm = field(default_factory=Slurm)


@dataclass(frozen=True)
class Plan:
    """A whole recipe, checked. A recipe without ``for_each`` and ``sweep`` has one job, named ``''``."""

    path: Path
    text: str
    sha256: str
    title: str
    jobs: tuple[Job, ...]
    settings: Settings
    registry: Registry = field(default_factory=Registry)
