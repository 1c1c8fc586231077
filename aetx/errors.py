"""The errors that a user can put right, and their wording."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol


@dataclass(frozen=True)
class Problem:
    """One thing to put right: where it is, what was found, what was wanted, and how to mend it.

    `file` is a path as the user wrote it; `line` and `column` count from 1 (0 where there is none); `field`
    is the place within the file (``steps[0].stage``, ``header.nx``). `found` is the ``repr`` of the value.
    """

    file: str
    field: str
    found: str
    wanted: str
    fix: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.field}: found {self.found}, wanted {self.wanted}; {self.fix}"

    def as_dict(self) -> dict[str, str | int]:
        """Return the fields for ``--json``."""
        return asdict(self)


class Result(Protocol):
    """What a command prints."""

    def as_dict(self) -> Mapping[str, object]:
        """Return everything for ``--json``."""

    def lines(self) -> Sequence[str]:
        """Return what a person reads."""


class AetxError(Exception):
    """Something that the user can put right. Holds every problem found, not only the first."""

    code = 70

    def __init__(self, problems: Problem | Iterable[Problem], heading: str = "") -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.heading = heading
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.heading] if self.heading else []
        return "\n".join(lines + [str(problem) for problem in self.problems])

    def beside(self) -> Result | None:
        """Return what was finished all the same; None where there is nothing."""
        return None

    def __reduce__(self) -> tuple[type[AetxError], tuple[tuple[Problem, ...], str]]:
        return type(self), (self.problems, self.heading)


class RecipeError(AetxError):
    """The recipe or the command line cannot be run as written."""

    code = 2


class InputError(AetxError):
    """An input file, a dataset or a finished store is not what it should be."""

    code = 3


class EnvironmentFault(AetxError):  # noqa: N818 - EnvironmentError is Python's own
    """The machine is in the way: disk, memory, permission, device, cluster."""

    code = 4


class BusyError(AetxError):
    """Another live run is writing to the same output."""

    code = 5


class AetxWarning(UserWarning):
    """Something that the user should know and that the report shows; the result stands."""


@contextmanager
def caught() -> Iterator[list[warnings.WarningMessage]]:
    """Catch every `AetxWarning` of the block, also where it fails; all other warnings go on their way after it."""
    mine: list[warnings.WarningMessage] = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", AetxWarning)
        try:
            yield mine
        finally:
            mine += [one for one in heard if issubclass(one.category, AetxWarning)]
    for one in heard:
        if one not in mine:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return advice that names the nearest known spelling, or lists what is known."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known are " + ", ".join(repr(name) for name in names) if names else "none is known"
