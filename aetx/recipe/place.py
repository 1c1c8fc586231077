"""Where something stands in a recipe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where something stands in the recipe; counts from 1. Line 0 is the command line."""

    line: int
    column: int
