"""Cubic grids around atoms, on which fields are given."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from aetx.errors import InputError, Problem

F64 = NDArray[np.float64]

SPARE = 3
"""Points more than steps between the sides: one for the last, two because the middle is a multiple of the step."""


def cube_around(field: str, position: F64, margin: float, points: int, step: float | None) -> tuple[F64, F64, F64]:
    """Return the axes x, y, z of a cube around atoms, angstrom, whose points are multiples of its step.

    Parameters
    ----------
    field
        Who asks, for the error.
    position
        Shape (atoms, 3), angstrom.
    margin
        How far the cube reaches beyond them, angstrom.
    points
        Along each axis.
    step
        Angstrom; None for the least that lets all atoms in.

    Raises
    ------
    InputError
        If so many points at that step do not reach around the atoms.
    """
    low, high = position.min(axis=0) - margin, position.max(axis=0) + margin
    extent = float((high - low).max())
    chosen = extent / max(1, points - SPARE) if step is None else step
    if (points - SPARE) * chosen < extent * (1 - 1e-9):
        wanted = f"at least {math.ceil(extent / chosen) + SPARE}, so that the atoms fit"
        raise InputError(Problem(field, "points", f"{points}", wanted, "raise 'points', or 'step'"))
    first = np.round((low + high) / 2 / chosen) - points // 2
    x, y, z = ((first[k] + np.arange(points)) * chosen for k in range(3))
    return x, y, z
