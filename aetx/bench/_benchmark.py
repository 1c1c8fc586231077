"""What a benchmark is: its cases, what one particle of it is, and the published numbers beside it."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from aetx.errors import Problem, RecipeError, did_you_mean

ROOM = Path(__file__).parent
STRIDE = 1_000_000
"""Numbers of particles that one seed has to itself."""


@dataclass(frozen=True)
class Published:
    """What others reach, and who; picometres, per cent of the true atoms, processor seconds."""

    source: str
    wrong_percent: float | None = None
    rmsd_pm: float | None = None
    surface_rmsd_pm: float | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class Case:
    """One line of the table.

    `sets` are values of the recipe's variables. The first of `published` is the one beside which the table stands. `at`
    is where the case stands on the horizontal axis of the picture; cases without one stand side by side.
    """

    name: str
    summary: str
    sets: Mapping[str, str] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    at: float | None = None


@dataclass(frozen=True)
class Task:
    """One particle of one case: what is drawn, where its results go, and what the command line replaces."""

    case: Case
    draw: int
    folder: Path
    device: str = "cpu"
    sets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What one particle gave; None where a thing does not apply. Root mean squares in angstrom.

    `wrong` counts true atoms that were missed and found ones that are none. `bound` is the least root mean square
    error in space that any unbiased method can have, over all true atoms.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    atoms: int | None = None
    wrong: int | None = None
    pairs: int | None = None
    rmsd: float | None = None
    surface_pairs: int | None = None
    surface_rmsd: float | None = None
    bound: float | None = None
    warnings: tuple[str, ...] = ()


class Work(Protocol):
    """How one particle is done. `measure` runs in a process of its own."""

    def check(self, task: Task) -> None:
        """Raise `AetxError` if the particle cannot be done; opens and computes nothing large."""
        ...

    def key(self, task: Task) -> str:
        """Return the digest of everything that the result depends on; empty where it is to be measured each time."""
        ...

    def measure(self, task: Task) -> Measured:
        """Do one particle."""
        ...


@dataclass(frozen=True)
class Benchmark:
    """A benchmark. `particles` is how many of each case are done unless another number is asked for."""

    name: str
    summary: str
    cases: tuple[Case, ...]
    work: Work
    particles: int
    shown: Literal["rmsd_pm", "cpu_seconds"] = "rmsd_pm"
    across: str = ""
    """Label of the horizontal axis, where cases have a place on it."""
    logarithmic: bool = True

    def as_dict(self) -> dict[str, object]:
        """Return what it is for ``--json``."""
        cases = {case.name: case.summary for case in self.cases}
        return {"name": self.name, "summary": self.summary, "particles": self.particles, "cases": cases}

    def chosen(self, names: Sequence[str]) -> tuple[Case, ...]:
        """Return the cases of these names, in the order of the benchmark; all of them for no name.

        Raises
        ------
        RecipeError
            If there is none of a name.
        """
        known = [case.name for case in self.cases]
        problems = [
            Problem("command line", "--case", repr(name), f"a case of {self.name}", did_you_mean(name, known))
            for name in names
            if name not in known
        ]
        if problems:
            raise RecipeError(problems)
        return tuple(case for case in self.cases if not names or case.name in names)


@functools.cache
def benchmark_names() -> tuple[str, ...]:
    """Return the names of all benchmarks, sorted."""
    found = (one.name for one in pkgutil.iter_modules([str(ROOM)]) if not one.name.startswith("_"))
    return tuple(sorted(name.replace("_", "-") for name in found))


def find(name: str) -> Benchmark:
    """Return the benchmark of that name.

    Raises
    ------
    RecipeError
        If there is none.
    """
    if name not in benchmark_names():
        fix = did_you_mean(name, benchmark_names())
        raise RecipeError(Problem("command line", "NAME", repr(name), "a benchmark", fix))
    word = name.replace("-", "_")
    found: Benchmark = getattr(importlib.import_module(f"aetx.bench.{word}"), word)
    return found


def draw_of(seed: int, number: int) -> int:
    """Return the seed of the specimen that is particle `number` of a benchmark's seed."""
    return seed * STRIDE + number
