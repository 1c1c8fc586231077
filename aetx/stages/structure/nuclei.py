"""Crystal nuclei: connected regions of high bond order around a core."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.errors import InputError, Problem
from aetx.kernels.basins import peaks
from aetx.kernels.neighbours import within
from aetx.model import ATOMS

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

NAME = "structure.nuclei"
ONE = {"units": "1"}


class NucleiParams(Params):
    """Parameters of `nuclei`."""

    order: str = Field(
        "bond_order", min_length=1, max_length=100, description="column of the atoms that says how crystalline they are"
    )
    threshold: float = Field(0.5, ge=-1e6, le=1e6, description="order above which an atom is crystalline")
    radius: Length = Field(4.0, gt=0, le=50, description="how far an atom looks for one of higher order")
    least: int = Field(13, ge=1, le=1_000_000, description="fewest atoms of a nucleus")


def _forecast(inputs: InputSizes, params: NucleiParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    near = max(1.0, 0.4 * params.radius**3)
    return Forecast(
        {**sizes, "atom": atoms, "axis": 3}, memory=int(atoms * (400 + 30 * near)) + 10**6, seconds=0.5 + 3e-5 * atoms
    )


@stage(NAME, takes={"atoms": ATOMS}, gives=ATOMS, params=NucleiParams, version=1, forecast=_forecast)
def nuclei(atoms: xr.Dataset, params: NucleiParams) -> xr.Dataset:
    """Nuclei of the crystal, each the atoms from which the bond order rises to one core: order > threshold = 0.5.

    Every atom goes to the neighbour within `radius` whose order is highest, until none is higher: that is its core.
    The crystalline atoms of one core are a nucleus if they are enough. `nucleus` numbers them, the largest first, -1
    for atoms of none; `nucleus_core` is the id of the core, `nucleus_atoms` their number. `nucleus_gradient` is the
    slope of the order against the distance from the core, below 0 where order fades outwards, with its standard error
    from the scatter about the line. NaN orders belong to no nucleus. Results are in memory.

    References
    ----------
    Y. Yuan et al., arXiv:2504.11325 (2025), https://arxiv.org/abs/2504.11325 (radius 4 angstrom, 13 atoms).
    """
    position = finite_positions(f"{NAME}: atoms", atoms)
    if params.order not in atoms or atoms[params.order].dims != ("atom",):
        fix = "put structure.bond_order before, or name another column as 'order'"
        problem = Problem(f"{NAME}: atoms", params.order, "no such column of the atoms", "the order of each atom", fix)
        raise InputError(problem)
    order = atoms[params.order].values.astype(np.float64)
    core = peaks(order, within(position, params.radius))
    core[~(order > params.threshold)] = -1
    seed, count = np.unique(core[core >= 0], return_counts=True)
    chosen = np.argsort(-count, kind="stable")
    chosen = chosen[count[chosen] >= params.least]
    number = np.full(len(position) + 1, -1, np.int32)
    number[seed[chosen]] = np.arange(chosen.size)
    nucleus = number[core]
    slope = np.array([_slope(position, order, nucleus == i, at) for i, at in enumerate(seed[chosen])]).reshape(-1, 2)
    per_length = {"units": "1/angstrom"}
    return atoms.assign(
        nucleus=("atom", nucleus, ONE),
        nucleus_core=("nucleus_id", atoms["atom"].values[seed[chosen]], ONE),
        nucleus_atoms=("nucleus_id", count[chosen], ONE),
        nucleus_gradient=("nucleus_id", slope[:, 0], per_length),
        nucleus_gradient_error=("nucleus_id", slope[:, 1], per_length),
    ).assign_coords(nucleus_id=("nucleus_id", np.arange(chosen.size), ONE))


def _slope(position: F64, order: F64, member: NDArray[np.bool_], core: int) -> tuple[float, float]:
    """Return the slope of the order against the distance from the core, and its standard error."""
    distance = np.linalg.norm(position[member] - position[core], axis=1)
    spread = float(((distance - distance.mean()) ** 2).sum())
    if member.sum() < 3 or not spread > 0:
        return float("nan"), float("nan")
    away = order[member] - order[member].mean()
    slope = float((distance - distance.mean()) @ away) / spread
    rest = away - slope * (distance - distance.mean())
    return slope, float(np.sqrt((rest**2).sum() / (member.sum() - 2) / spread))
