"""All particles of a benchmark, one after the other, each in a process of its own; finished ones are kept."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aetx.bench._benchmark import Benchmark, Case, Measured, Task, draw_of
from aetx.bench._figure import figure
from aetx.bench._rows import Row, pooled, published, table
from aetx.errors import AetxError, EnvironmentFault, Problem
from aetx.run.stop import stopping
from aetx.store import SCRATCH, Lock, claim_output, refuse_output, sweep, write_atomically

PATIENCE = 15.0
"""Seconds that a process has to end when it is told to."""
BUG = AetxError.code


@dataclass(frozen=True)
class Failure:
    """A particle that could not be done: its place, the exit code of its kind, and why."""

    case: str
    particle: int
    code: int
    problems: tuple[Problem, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it for ``--json``."""
        return {**asdict(self), "problems": [problem.as_dict() for problem in self.problems]}

    def lines(self) -> list[str]:
        """Return what a person reads."""
        return [f"{self.case}, particle {self.particle} failed: {problem}" for problem in self.problems]


@dataclass
class Outcome:
    """What a benchmark gave."""

    benchmark: Benchmark
    cases: tuple[Case, ...]
    seed: int
    sets: Mapping[str, str]
    folder: Path
    measured: dict[str, dict[int, Measured]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    picture: Path | None = None

    @property
    def rows(self) -> list[Row]:
        """One row for each case, all its particles pooled."""
        return [pooled(case.name, list(self.measured[case.name].values())) for case in self.cases]

    @property
    def code(self) -> int:
        """The exit code: 0, or the greatest of those of the particles that failed."""
        return max((one.code for one in self.failures), default=0)

    def as_dict(self) -> dict[str, object]:
        """Return it for ``--json``; `each` has a row for every particle, with nothing but its name where it failed."""
        every = [
            pooled(case.name, [one]) | {"particle": number}
            for case in self.cases
            for number, one in self.measured[case.name].items()
        ]
        every += [{**pooled(one.case, []), "particle": one.particle} for one in self.failures]
        return {
            "bench": self.benchmark.name,
            "seed": self.seed,
            "set": dict(self.sets),
            "rows": self.rows,
            "published": published(self.cases),
            "each": every,
            "failed": [one.as_dict() for one in self.failures],
            "picture": str(self.picture) if self.picture is not None else None,
        }

    def lines(self) -> list[str]:
        """Return the table as a person reads it."""
        head = f"{self.benchmark.name}: {self.benchmark.summary}"
        changed = [f"with {name} = {value}" for name, value in self.sets.items()]
        return [head, *changed, *table(self.benchmark, self.rows), f"picture: {self.picture}"]


def run_benchmark(
    benchmark: Benchmark,
    *,
    output: Path,
    cases: Sequence[str] = (),
    particles: int | None = None,
    seed: int = 0,
    sets: Mapping[str, str] | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Run a benchmark and return what it gave; `output` then also holds it as JSON, with its picture.

    Parameters
    ----------
    benchmark
        Which.
    output
        Folder for what every particle leaves; a particle that is finished there with equal keys is not done again.
    cases
        Names of cases; all of them for none.
    particles
        How many of each case; the benchmark's own number for None.
    seed
        Particle i of a seed is always the same, and those of two seeds differ.
    sets
        Values that replace those of the recipe: ``x``, ``steps.NAME.params.P``.
    device
        Where torch computes.
    say
        Is told of each particle that is done.

    Raises
    ------
    RecipeError
        If there is no such case, or the recipe cannot be run with these values, or the output may not be used.
    InputError
        If files of the benchmark are missing.
    BusyError
        If another run writes to this output.
    Stopped
        If a signal came.
    """
    chosen = benchmark.chosen(cases)
    refuse_output(output)
    folder, values = output.absolute(), dict(sets or {})
    count = benchmark.particles if particles is None else particles
    tasks = {
        (case.name, number): Task(case, draw, folder / case.name / str(draw), device, values)
        for case in chosen
        for number in range(count)
        for draw in [draw_of(seed, number)]
    }
    for case in chosen:
        benchmark.work.check(tasks[case.name, 0])
    claim_output(output)
    with Lock(folder), stopping(lambda _: None):
        sweep(folder / SCRATCH)
        outcome = Outcome(benchmark, chosen, seed, values, folder, {case.name: {} for case in chosen})
        began, done = time.monotonic(), 0
        for place, ((name, number), task) in enumerate(tasks.items(), 1):
            found: Measured | Failed | None = _finished(benchmark, task)
            if found is None:
                found, done = _done(benchmark, task, folder / SCRATCH), done + 1
            left = (time.monotonic() - began) / done * (len(tasks) - place) if done else 0.0
            if isinstance(found, Measured):
                outcome.measured[name][number] = found
            else:
                outcome.failures.append(Failure(name, number, *found))
            say(_line(name, number, count, found, left))
        outcome.picture = folder / f"{benchmark.name}.png"
        write_atomically(outcome.picture, figure(benchmark, chosen, outcome.measured), folder / SCRATCH)
        text = json.dumps(outcome.as_dict(), indent=1)
        write_atomically(folder / f"{benchmark.name}.json", text.encode(), folder / SCRATCH)
    return outcome


Failed = tuple[int, tuple[Problem, ...]]


def _file(task: Task) -> Path:
    return task.folder.with_name(f"{task.folder.name}.json")


def _finished(benchmark: Benchmark, task: Task) -> Measured | None:
    """Return what a particle gave before, if it would give the same again."""
    try:
        told = json.loads(_file(task).read_text(encoding="utf-8"))
        key, measured = str(told["key"]), _measured(told["measured"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return measured if key and key == benchmark.work.key(task) else None


def _measured(told: Mapping[str, Any]) -> Measured:
    return Measured(**{**told, "warnings": tuple(told["warnings"])})


def _done(benchmark: Benchmark, task: Task, scratch: Path) -> Measured | Failed:
    """Do one particle in a process of its own."""
    file = _file(task)
    file.unlink(missing_ok=True)
    given = {
        "benchmark": benchmark.name,
        "case": task.case.name,
        "draw": task.draw,
        "folder": str(task.folder),
        "file": str(file),
        "scratch": str(scratch),
        "device": task.device,
        "sets": dict(task.sets),
    }
    command = [sys.executable, "-P", "-m", "aetx.bench._child"]
    with subprocess.Popen(  # noqa: S603 - this program, with itself
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            _, heard = child.communicate(json.dumps(given))
        except BaseException:
            child.terminate()
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
            raise
    if not file.is_file():
        return _lost(child.returncode, heard, task)
    told = json.loads(file.read_text(encoding="utf-8"))
    if "failed" in told:
        return int(told["failed"]["code"]), tuple(Problem(**one) for one in told["failed"]["problems"])
    return _measured(told["measured"])


def _lost(code: int, heard: str, task: Task) -> Failed:
    """Return why a process ended without a word: killed, or by a mistake in aetx."""
    if code < 0:
        fix = "free memory, or give fewer cores, and run the same command to go on"
        problem = Problem(str(task.folder), "process", f"ended by signal {-code}", "a process that ends", fix)
        return EnvironmentFault.code, (problem,)
    told = heard.strip()[-4000:] or f"exit code {code}"
    return BUG, (Problem(str(task.folder), "process", told, "no error", "this is a mistake in aetx: report it"),)


def _line(name: str, number: int, count: int, found: Measured | Failed, left: float) -> str:
    text = f"{name}, particle {number + 1} of {count}: "
    if not isinstance(found, Measured):
        return text + "failed"
    row = pooled(name, [found])
    parts = [f"{row['atoms']} atoms"] if row["atoms"] else []
    parts += [f"{row['wrong_percent']:.2f} % wrong"] if row["wrong_percent"] is not None else []
    parts += [f"{row['rmsd_pm']:.2f} pm"] if row["rmsd_pm"] is not None else []
    parts += [f"{found.cpu_seconds:.3g} CPU s"]
    parts += [f"about {left:.0f} s left"] if left >= 1 else []
    return text + ", ".join(parts)
