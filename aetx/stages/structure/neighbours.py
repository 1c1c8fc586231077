"""Who is a neighbour of each atom."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, stage
from aetx.core.atoms import covariances, finite_positions
from aetx.core.neighbourhoods import FaceParams, cells_of, known, per_atom
from aetx.core.shells import ShellParams, cutoff_of
from aetx.kernels import neighbours as kernel
from aetx.kernels.neighbours import Neighbours
from aetx.model import ATOMS

F64 = NDArray[np.float64]


MEANT = {"cutoff": {"cutoff"}, "nearest": {"count"}, "faces": {"reach", "least"}}
"""Parameters that each method uses."""


class NeighboursParams(ShellParams, FaceParams):
    """Parameters of `neighbours`."""

    method: Literal["cutoff", "nearest", "faces"] = Field(
        "cutoff", description="neighbours within the cutoff, a number of nearest ones, or those behind Voronoi faces"
    )
    count: int = Field(12, ge=1, le=1000, description="for nearest: how many neighbours")

    @model_validator(mode="after")
    def _nothing_void(self) -> Self:
        void = set().union(*MEANT.values()) - MEANT[self.method]
        if given := sorted(void & self.model_fields_set):
            raise ValueError(f"without {', '.join(given)}, which method: {self.method} does not use")
        return self


def _forecast(inputs: InputSizes, params: NeighboursParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    listed = params.count if params.method == "nearest" else 20
    return Forecast({**sizes, "axis": 3}, memory=atoms * (200 + 60 * listed) + 10**6, seconds=0.2 + atoms * 5e-6)


@stage(
    "structure.neighbours",
    takes={"atoms": ATOMS},
    gives=ATOMS,
    params=NeighboursParams,
    version=1,
    forecast=_forecast,
)
def neighbours(atoms: xr.Dataset, params: NeighboursParams) -> xr.Dataset:
    """List the neighbours of each atom, nearest first, and how far away they are.

    `neighbour` holds their ids, those of the coordinate `atom`, along `rank` = 0 for the nearest, 1 ...; -1 beyond the
    last one, where `neighbour_distance` is NaN. `coordination` counts them. Stages with `shell: listed` look at these.
    Of an atom among the `nearest` of another, that one need not be among its own. `faces` asks for no distance: two
    atoms are neighbours where their Voronoi cells meet, but for small faces (`least`), which are counted in the cell of
    each, so that a neighbour may again miss the atom among its own; `neighbour_area` is the area where they meet. Cells
    at the surface, with a corner beyond `reach`, meet those with which they have a corner within it.

    The standard error of a distance is the root of u^T (C_i + C_j) u with the unit vector u between both and their
    covariances C, as of independent positions; NaN where these are not known. Lists take time linear in the atoms.
    """
    position = finite_positions("structure.neighbours: atoms", atoms)
    attrs: dict[str, float] = {}
    area: F64 | None = None
    if params.method == "nearest":
        index, distance = kernel.nearest(position, params.count)
    elif params.method == "faces":
        found, attrs["reach"] = cells_of("structure.neighbours", position, params)
        index, distance = _table(found.neighbours)
        area = np.full(index.shape, np.nan)
        area[index >= 0] = found.face_area
    else:
        attrs = {"cutoff": cutoff_of("structure.neighbours", position, params.cutoff)}
        index, distance = _table(kernel.within(position, attrs["cutoff"]))
    there = index >= 0
    ids = np.where(there, atoms["atom"].values[index], -1)
    dims = ("atom", "rank")
    length = {**attrs, "units": "angstrom"}
    columns = {
        "neighbour": (dims, ids, {**attrs, "units": "1"}),
        "neighbour_distance": (dims, np.where(there, distance, np.nan), length),
        "neighbour_distance_error": (dims, _errors(position, atoms, index), length),
        "coordination": per_atom(there.sum(axis=1).astype(np.int32), "1", attrs),
    }
    if area is not None:
        columns["neighbour_area"] = (dims, area, {**attrs, "units": "angstrom**2"})
    return atoms.assign(columns).assign_coords(rank=("rank", np.arange(index.shape[1]), {"units": "1"}))


def _table(found: Neighbours) -> tuple[NDArray[np.int32], F64]:
    """Return lists side by side, shape (atoms, longest), -1 and NaN beyond the last neighbour."""
    count = found.count
    shape = len(count), int(count.max(initial=1))
    index, distance = np.full(shape, -1, np.int32), np.full(shape, np.nan)
    there = np.arange(shape[1]) < count[:, None]
    index[there], distance[there] = found.index, found.distance
    return index, distance


def _errors(position: F64, atoms: xr.Dataset, index: NDArray[np.int32]) -> F64:
    """Return the standard errors of distances; NaN where there is no neighbour or a covariance is not known."""
    found = np.full(index.shape, np.nan)
    if not known(atoms):
        return found
    covariance = covariances(atoms)
    for rank in range(index.shape[1]):
        there = np.flatnonzero(index[:, rank] >= 0)
        other = index[there, rank]
        way = position[other] - position[there]
        with np.errstate(invalid="ignore", divide="ignore"):
            way /= np.linalg.norm(way, axis=1, keepdims=True)
        both = covariance[there] + covariance[other]
        found[there, rank] = np.sqrt(np.einsum("ni,nij,nj->n", way, both, way))
    return found
