"""The settings of one run: the command line's, else the recipe's, else the defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aetx.errors import Problem, RecipeError
from aetx.recipe.plan import Job, Plan, Slurm
from aetx.run.scheduler import PATIENCE
from aetx.run.threads import cores


@dataclass(frozen=True)
class RunSettings:
    """Where a run writes, what it may hold, who computes. `memory` is 0 where there is no limit."""

    output: Path
    memory: int
    scheduler: str
    device: str
    threads: int
    worker_timeout: float = PATIENCE
    slurm: Slurm = field(default_factory=Slurm)
    trusted: bool = False

    def folder(self, job: Job) -> Path:
        """Return the folder of a job."""
        return self.output / job.name if job.name else self.output

    def as_dict(self) -> dict[str, str]:
        """Return the settings for a record."""
        return {
            "output": str(self.output),
            "memory": str(self.memory) if self.memory else "no limit",
            "scheduler": self.scheduler,
            "device": self.device,
            "threads": str(self.threads),
        }


def settle(
    plan: Plan,
    *,
    output: Path | None = None,
    memory: int | None = None,
    scheduler: str | None = None,
    device: str | None = None,
    trusted: bool = False,
) -> RunSettings:
    """Return the settings of a run of a plan.

    Raises
    ------
    RecipeError
        If no output is named, or two jobs or two steps would write to one place.
    """
    place = output or plan.settings.output
    problems = [problem for job in plan.jobs for problem in _clashes([step.name for step in job.steps], job.name)]
    problems += _clashes([job.name for job in plan.jobs], "")
    if place is None:
        problems.append(Problem("run", "output", "nothing", "a folder for the results", "give --output FOLDER"))
    if problems or place is None:
        raise RecipeError(problems, f"{plan.path} cannot be run")
    return RunSettings(
        output=place.absolute(),
        memory=plan.settings.memory if memory is None else memory,
        scheduler=scheduler or plan.settings.scheduler,
        device=device or plan.settings.device,
        threads=cores(),
        worker_timeout=plan.settings.worker_timeout or PATIENCE,
        slurm=plan.settings.slurm,
        trusted=trusted,
    )


def _clashes(names: list[str], job: str) -> list[Problem]:
    """Return the names that one folder cannot hold side by side, or not inside the output."""
    problems, seen = [], dict[str, str]()
    for name in names:
        parts = Path(name).parts
        if name.startswith("/") or ".." in parts or any(len(part.encode()) > 200 for part in parts):
            problems.append(
                Problem(job or "run", "name", repr(name), "a short name below the output", "choose another")
            )
        other = seen.setdefault(name.casefold(), name)
        if other != name or names.count(name) > 1:
            found = f"{other!r} and {name!r}"
            problems.append(Problem(job or "run", "name", found, "names that differ in more than case", "rename one"))
    return problems
