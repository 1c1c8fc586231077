"""The mistakes of one recipe, gathered while it is read, so that all are told at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from aetx.errors import Problem, RecipeError
from aetx.recipe.place import Place

MOST = 200
"""Mistakes after which reading stops; the rest waits for the next time."""


@dataclass
class Findings:
    """Every mistake found so far. Equal mistakes, as jobs of one recipe repeat them, count once."""

    file: str
    problems: dict[Problem, None] = field(default_factory=dict)

    def say(self, place: Place, where: str, found: str, wanted: str, fix: str) -> None:
        """Note a mistake at a place of the recipe; line 0 is the command line."""
        file = self.file if place.line else "command line"
        self.problems.setdefault(Problem(file, where, found, wanted, fix, place.line, place.column))
        if len(self.problems) >= MOST:
            self.stop()

    def stop(self) -> None:
        """Raise `RecipeError` with everything found, in the order of the text; return if there is nothing."""
        if self.problems:
            found = sorted(self.problems, key=lambda one: (one.line, one.column))
            raise RecipeError(found, f"{self.file} cannot be run")
