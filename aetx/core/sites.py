"""Nearest neighbours of surface atoms, for models that count them."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core.activity import VolcanoParams
from aetx.core.atoms import finite_positions
from aetx.core.shells import ShellParams, cutoff_of
from aetx.kernels.neighbours import within

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


class SiteParams(ShellParams, VolcanoParams):
    """Which atoms are counted, and which are sites."""

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
    near = within(position, cutoff_of(stage, position, params.cutoff))
    return position, near.source.astype(np.int64), near.index.astype(np.int64), near.count
