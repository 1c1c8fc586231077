"""How many neighbours each atom has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, stage
from aetx.core.neighbourhoods import DrawParams, NeighbourhoodParams, errors_by_drawing, neighbourhoods, per_atom
from aetx.kernels.neighbours import Adjacency, arranged
from aetx.model import ATOMS

F64 = NDArray[np.float64]


class CoordinationParams(NeighbourhoodParams, DrawParams):
    """Parameters of `coordination`."""

    most: int = Field(12, ge=1, le=100, description="neighbours of an atom in the bulk, behind the generalised number")


def _forecast(inputs: InputSizes, params: CoordinationParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    drawn = params.draws if "axis2" in sizes else 0
    return Forecast({**sizes, "axis": 3}, memory=atoms * 600 + 10**6, seconds=0.2 + atoms * 2e-6 * (1 + drawn))


@stage(
    "structure.coordination",
    takes={"atoms": ATOMS},
    gives=ATOMS,
    params=CoordinationParams,
    version=1,
    forecast=_forecast,
)
def coordination(atoms: xr.Dataset, params: CoordinationParams) -> xr.Dataset:
    """Coordination number of each atom, the generalised one, and its neighbours by species.

    `coordination` counts neighbours, `coordination_species` those of each species. `generalised_coordination` = sum
    over neighbours j of coordination_j / `most`: 12 within fcc, 7.5 on its (111), 6.667 on its (100) surface; it falls
    with the binding of adsorbates where the plain number does not tell sites apart.

    `_error` is the standard deviation over positions drawn from their covariance, when atoms step over the cutoff: 0
    where none can. NaN where covariances are not known, and for neighbours that were listed.

    References
    ----------
    F. Calle-Vallejo et al., Angew. Chem. Int. Ed. 53, 8316 (2014), doi:10.1002/anie.201402958.
    """
    around = neighbourhoods("structure.coordination", atoms, params)
    order, near, which = around.order, around.near, around.attrs
    values = around.restored(_measured(near, params.most))
    cutoff = which.get("cutoff", float("nan"))
    known = atoms if np.isfinite(cutoff) else atoms.drop_vars({"covariance", "sigma"} & set(atoms.data_vars))

    def measure(moved: F64) -> dict[str, F64]:
        there = np.asarray(np.isfinite(moved).all(axis=1))
        drawn_order, drawn = arranged(np.where(there[:, None], moved, around.position), cutoff)
        return replace(around, order=drawn_order).restored(_measured(drawn, params.most))

    errors = errors_by_drawing(known, around.position, measure, values, params)
    numbers, kind = np.unique(atoms["species"].values, return_inverse=True)
    of = np.zeros((len(order), len(numbers)), np.int32)
    np.add.at(of, (order[near.source], kind[order[near.index]]), 1)
    columns = {name: per_atom(one, "1", which) for name, one in (values | errors).items()}
    columns["coordination"] = per_atom(values["coordination"].astype(np.int32), "1", which)
    columns["coordination_species"] = (("atom", "species_j"), of, {**which, "units": "1"})
    label = {"units": "1", "meaning": "atomic number, 0 where unknown"}
    return atoms.assign(columns).assign_coords(species_j=("species_j", numbers.astype(np.int32), label))


def _measured(near: Adjacency, most: int) -> dict[str, F64]:
    """Return the coordination number and the generalised one."""
    count = near.count.astype(float)
    total = np.bincount(near.source, weights=count[near.index], minlength=len(count))
    return {"coordination": count, "generalised_coordination": total / most}
