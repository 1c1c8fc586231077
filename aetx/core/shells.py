"""The first shell of neighbours: how far it reaches."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from aetx.core.params import Length, Params
from aetx.errors import InputError, Problem
from aetx.kernels.neighbours import first_minimum

F64 = NDArray[np.float64]


class ShellParams(Params):
    """Parameters of stages that need to know the nearest neighbours."""

    cutoff: Length | None = Field(
        None, gt=0, le=100, description="neighbours are nearer than this; by default the first minimum of g(r)"
    )


def cutoff_of(stage: str, position: F64, stated: float | None, name: str = "cutoff") -> float:
    """Return the distance within which atoms are neighbours, angstrom; refuse atoms whose g(r) has no first minimum.

    Parameters
    ----------
    stage
        Who asks.
    position
        Shape (atoms, 3), angstrom.
    stated
        It, if a parameter states it.
    name
        That parameter.
    """
    found = stated if stated is not None else first_minimum(position)
    if not math.isfinite(found):
        wanted = "a second shell of neighbours, to tell where the first one ends"
        problem = Problem(
            f"{stage}: atoms", "position", f"{len(position)} atoms without one", wanted, f"state '{name}'"
        )
        raise InputError(problem)
    return found
