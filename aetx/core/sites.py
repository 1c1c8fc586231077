"""Nearest neighbours of surface atoms, for models that count them."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core.activity import VolcanoParams
from aetx.core.atoms import finite_positions
from aetx.core.params import Length
from aetx.errors import InputError, Problem
from aetx.kernels.neighbours import first_minimum, within

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


class SiteParams(VolcanoParams):
    """Which atoms are counted, and which are sites."""

    cutoff: Length | None = Field(
        None, gt=0, le=50, description="distance up to which atoms are neighbours; left out, the first minimum of g(r)"
    )
    below: int = Field(10, ge=1, le=13, description="sites are atoms with fewer neighbours than this")


def bonds_of(stage: str, atoms: xr.Dataset, params: SiteParams) -> tuple[F64, I64, I64, I64]:
    """Return positions, shape (atoms, 3), both ends of each bond, shape (bonds,), and the number of bonds of each atom.

    A bond stands in the list of both of its atoms.

    Parameters
    ----------
    stage
        Who asks.
    atoms
        Of the kind atoms.
    params
        The cutoff.
    """
    position = finite_positions(f"{stage}: atoms", atoms)
    cutoff = first_minimum(position) if params.cutoff is None else params.cutoff
    if math.isnan(cutoff):
        wanted = "a radial distribution with a second shell"
        raise InputError(Problem(f"{stage}: atoms", "position", "none", wanted, "state 'cutoff'"))
    near = within(position, cutoff)
    return position, near.source.astype(np.int64), near.index.astype(np.int64), near.count
