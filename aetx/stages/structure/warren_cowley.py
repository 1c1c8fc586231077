"""Chemical short-range order: Warren-Cowley parameters, of all atoms and around each."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.atoms import finite_positions
from aetx.core.shells import ShellParams, cutoff_of
from aetx.errors import AetxWarning
from aetx.kernels import chemical_order
from aetx.kernels.neighbours import within
from aetx.kernels.surface import surface
from aetx.model import ATOMS

F64 = NDArray[np.float64]

NAME = "structure.warren_cowley"
SIGN = (
    "for i = j above 0: more like neighbours than at random, below 0: fewer; "
    "for i != j above 0: fewer atoms j around atoms i than at random, below 0: more"
)


class WarrenCowleyParams(ShellParams):
    """Parameters of `warren_cowley`."""

    radius: Length | None = Field(
        None, gt=0, le=100, description="radius of the ball around each atom for its local order; by default the cutoff"
    )
    surface: Literal["left_out", "kept"] = Field(
        "left_out",
        description="whether atoms of the surface are taken for absent: those of the column 'surface', without one "
        "those of the alpha shape with the cutoff as radius",
    )
    symmetric: bool = Field(True, description="give the mean of alpha_ij and alpha_ji for both")
    shuffles: int = Field(100, ge=10, le=100_000, description="random orders of the species behind the errors")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random orders")


def _forecast(inputs: InputSizes, params: WarrenCowleyParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    near = 13 if params.radius is None else max(13, 0.4 * params.radius**3)
    seconds = 0.5 + atoms * (5e-5 + params.shuffles * near * 2e-7)
    return Forecast(
        {**sizes, "atom": atoms, "axis": 3}, memory=int(atoms * (3000 + 50 * near)) + 10**6, seconds=seconds
    )


@stage(NAME, takes={"atoms": ATOMS}, gives=ATOMS, params=WarrenCowleyParams, version=1, forecast=_forecast)
def warren_cowley(atoms: xr.Dataset, params: WarrenCowleyParams) -> xr.Dataset:
    """Whether unlike atoms seek or shun each other: alpha_ij = (P_ij - c_j) / (delta_ij - c_j).

    P_ij is the share of species j among the neighbours of atoms of species i, c_j its concentration: over all atoms in
    `warren_cowley_global`, over the ball around each atom, itself included, in `warren_cowley`. For i = j a value
    above 0 means clustering; **for i != j the denominator is -c_j: above 0 means fewer unlike neighbours than at
    random, below 0 means that they are preferred**. Perfect L1_0 has -1/3 throughout, separated halves tend to 1.

    `_error` is how far chance alone takes each value from 0: the root of the mean square over shuffled species, at the
    same places and composition. Less than twice that is no order. For n atoms with z neighbours of two species it is
    sqrt(2 / (z n)).

    NaN where no atom i has a neighbour, and for atoms of the surface, which are taken for absent: at a surface
    segregation and the shape decide who the neighbours are. Results are in memory.

    References
    ----------
    J. M. Cowley, Phys. Rev. 77, 669 (1950), doi:10.1103/PhysRev.77.669; S. Moniri et al., Nature 624, 564 (2023),
    doi:10.1038/s41586-023-06785-z (local values, surface left out, the mean of ij and ji).
    """
    position = finite_positions(f"{NAME}: atoms", atoms)
    cutoff = cutoff_of(NAME, position, params.cutoff)
    number, kind = np.unique(atoms["species"].values, return_inverse=True)
    kept = np.ones(len(position), bool)
    if params.surface == "left_out":
        told = "surface" in atoms
        kept = ~(atoms["surface"].values.astype(bool) if told else surface(position, cutoff))
    if not kept.any():
        warnings.warn(f"{NAME}: every atom is of the surface; all values are NaN", AetxWarning, stacklevel=2)
    kinds, inner = len(number), np.ascontiguousarray(position[kept])
    near = chemical_order.adjacency(within(inner, cutoff))
    around = chemical_order.ball(within(inner, params.radius if params.radius is not None else cutoff))
    given = kind[kept].astype(np.int64), kinds, near, around, params.symmetric
    whole = {"warren_cowley_global": np.full((kinds, kinds), np.nan)}
    whole["warren_cowley_global_error"] = whole["warren_cowley_global"]
    local = {name: np.full((len(position), kinds, kinds), np.nan) for name in ("warren_cowley", "warren_cowley_error")}
    if kept.any():
        value = chemical_order.warren_cowley(*given)
        chance = chemical_order.scatter_if_random(*given, params.shuffles, params.seed)
        whole = dict(zip(whole, (value.whole, chance.whole), strict=True))
        for spread, one in zip(local.values(), (value.local, chance.local), strict=True):
            spread[kept] = one
    attrs = {"units": "1", "sign": SIGN, "cutoff": cutoff}
    label = {"units": "1", "meaning": "atomic number, 0 where unknown"}
    return atoms.assign(
        {name: (("species_i", "species_j"), one, attrs) for name, one in whole.items()}
        | {name: (("atom", "species_i", "species_j"), one, attrs) for name, one in local.items()}
    ).assign_coords({axis: (axis, number.astype(np.int32), label) for axis in ("species_i", "species_j")})
