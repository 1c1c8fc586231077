"""Activity for oxygen reduction on a grid."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.core.cube import cube_around
from aetx.core.facets import facets_of
from aetx.core.surface_strain import correlation
from aetx.errors import InputError, Problem
from aetx.kernels.smoothing import spread, variance
from aetx.model import FIELD, LATTICE

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Table = dict[str, tuple[tuple[str, ...], NDArray[np.float32], dict[str, Any]]]

DIMS, ONE = ("z", "y", "x"), {"units": "1"}
WHERE = "surface.activity_map: lattice"


class ActivityMapParams(Params):
    """Parameters of `activity_map`."""

    family: Literal["both", "111", "100"] = Field("both", description="facets whose atoms are shown")
    width: Length = Field(2.7, gt=0, le=50, description="standard deviation of the Gaussian kernel")
    points: int = Field(80, ge=2, le=2000, description="points of the grid along each of its three axes")
    step: Length | None = Field(
        None, gt=0, le=50, description="step of the grid; none for that at which all atoms just fit"
    )
    least: float = Field(
        2.0,
        gt=0,
        le=100,
        description="sum of weights, 1 where a lone atom is, below which nothing is shown; on a facet it is 7",
    )


def _forecast(inputs: InputSizes, params: ActivityMapParams) -> Forecast:
    count, points = inputs["lattice"][0].get("atom", 1), params.points
    step = params.step or (3.2 * count ** (1 / 3) + 4 * params.width) / points
    work = 5 * count ** (2 / 3) * 12 * (6 * params.width / step) ** 3
    memory = 130 * points**3 + 3000 * count + 10**6
    return Forecast(dict.fromkeys(DIMS, points), memory=memory, seconds=1 + 2e-9 * work)


@stage(
    "surface.activity_map",
    takes={"lattice": LATTICE},
    gives=FIELD,
    params=ActivityMapParams,
    version=1,
    forecast=_forecast,
)
def activity_map(lattice: xr.Dataset, params: ActivityMapParams) -> xr.Dataset:
    """Activity ln(j / j of Pt(111)), and the strain it comes from, spread from the facet atoms over a grid.

    At each point the mean over the atoms, weighted by exp(-distance**2 / (2 width**2)). What is averaged is the
    logarithm: the map of the mean activity would show its few largest values. `activity_error` follows from the errors
    of the atoms and from what neighbouring strains have in common, as both are made of the same positions (exact to
    first order); `surface_strain` and its error are averaged alike where atoms have them. `activity_model_error` is
    that of the parametrisation, the same way wrong everywhere. `weight` is the sum of the weights, and all is NaN where
    it is below `least`. The grid is a cube. The result is in memory.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, https://arxiv.org/abs/2207.06677 (2022), Supporting Information (kernel of 2.7 angstrom).
    """
    if "activity" not in lattice:
        have = ", ".join(map(str, lattice.data_vars))
        raise InputError(Problem(WHERE, "activity", have, "activities of atoms", "put surface.activity before"))
    position = finite_positions(WHERE, lattice)
    shown = np.isfinite(lattice["activity"].values)
    if params.family != "both":
        shown &= _family(lattice) == params.family
    if not shown.any():
        fix = "show both families, or find facets with a lower threshold"
        raise InputError(Problem(WHERE, "activity", f"none on {params.family}", "an atom with an activity", fix))
    place = position[shown]
    names = [name for name in ("activity", "surface_strain") if name in lattice]
    values = [np.ones(len(place)), *(lattice[name].values[shown] for name in names)]
    values.append(lattice["activity_model_error"].values[shown])
    axes = cube_around(WHERE, position, 2 * params.width, params.points, params.step)
    grid = np.array([axis[0] for axis in axes]), float(axes[0][1] - axes[0][0]), params.points, params.width
    sums = spread(place, np.stack(values, axis=1), *grid)
    first, second, shared = _shared(lattice, np.flatnonzero(shown), names)
    squares = variance(place, first, second, shared, *grid)
    weight = np.where(sums[0] >= params.least, sums[0], np.nan)
    made: Table = {"weight": (DIMS, sums[0].astype(np.float32), ONE)}
    for k, name in enumerate(names):
        made[name] = DIMS, (sums[1 + k] / weight).astype(np.float32), dict(lattice[name].attrs)
        error = np.sqrt(np.maximum(squares[k], 0.0)) / weight
        made[f"{name}_error"] = DIMS, error.astype(np.float32), ONE
    made["activity_model_error"] = DIMS, (sums[-1] / weight).astype(np.float32), ONE
    coords = {name: (name, axis, {"units": "angstrom"}) for name, axis in zip("xyz", axes, strict=True)}
    return xr.Dataset(made, {name: coords[name] for name in DIMS})


def _shared(lattice: xr.Dataset, atom: I64, names: list[str]) -> tuple[I64, I64, F64]:
    """Return pairs of the atoms that are shown, and the covariances of their values, shape (pairs, names).

    The strains of two atoms share the errors of the positions that both are made of; without strain, or where nothing
    tells what it is made of, an atom shares its error with none.
    """
    count = lattice.sizes["atom"]
    first = second = np.arange(count)
    common, sign = np.ones(count), np.ones(count)
    meaning = lattice["surface_strain"].attrs.get("strain") if "surface_strain" in lattice else None
    if meaning in ("local", "in_plane"):
        table = facets_of("surface.activity_map", lattice)
        pairs = correlation("surface.activity_map", lattice, table, meaning).tocoo()
        first, second, common = pairs.row.astype(np.int64), pairs.col.astype(np.int64), pairs.data
        sign = np.sign(lattice["activity_slope"].values)
    row = np.full(count, -1)
    row[atom] = np.arange(atom.size)
    kept = (row[first] >= 0) & (row[second] >= 0)
    first, second, common = first[kept], second[kept], common[kept]
    columns = []
    for name in names:
        error = lattice[f"{name}_error"].values * (sign if name == "activity" else 1.0)
        columns.append(common * error[first] * error[second])
    return row[first], row[second], np.stack(columns, axis=1)


def _family(lattice: xr.Dataset) -> NDArray[np.str_]:
    if "facet" not in lattice or "facet_family" not in lattice:
        raise InputError(Problem(WHERE, "facet", "no facets", "facets", "put surface.facets before"))
    names: NDArray[np.str_] = np.append(lattice["facet_family"].values.astype(str), "")
    return names[lattice["facet"].values]
