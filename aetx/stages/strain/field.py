"""Displacement and strain on a grid."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.cube import cube_around
from aetx.core.reference_lattice import reference_of
from aetx.core.strain import (
    RegressionParams,
    attributes,
    centre_of,
    cloud_of,
    frames_of,
    inside_of,
    method_of,
    told,
)
from aetx.kernels import regression
from aetx.model import FIELD, LATTICE

NAME = "strain.field"
BLOCK = 100_000
"""Points of the grid that are held at a time, if one plane has no more."""


class FieldParams(RegressionParams):
    """Parameters of `field`."""

    points: int = Field(80, ge=2, le=2000, description="points of the grid along each of its three axes")
    step: Length | None = Field(
        None, gt=0, le=50, description="step of the grid; none for that at which all atoms just fit"
    )
    density: float = Field(
        0.5, ge=0, le=1, description="density of atoms, over that inside, below which no strain is known"
    )


def _forecast(inputs: InputSizes, params: FieldParams) -> Forecast:
    atoms = inputs["lattice"][0].get("atom", 1)
    count = params.points
    planes = max(1, BLOCK // count**2)
    memory = 60_000_000 + 600 * atoms + 4 * planes * count**2 * 8 * regression.COLUMNS
    sizes = {"z": count, "y": count, "x": count, "axis": 3, "axis2": 3}
    return Forecast(sizes, memory, 0.3 + count**3 * (1e-6 + 3e-7 * params.width**3))


@stage(NAME, takes={"lattice": LATTICE}, gives=FIELD, params=FieldParams, version=1, forecast=_forecast)
def field(lattice: xr.Dataset, params: FieldParams) -> xr.Dataset:
    """Displacement, strain and rotation on a grid, by kernel regression of the displacements of atoms.

    Method, results and errors are those of `strain.atoms`. A point of the grid belongs to the grain with the
    greatest density of atoms there, `grain` (-1 where nothing is known), and only its atoms count unless grains are
    ``joined``. `weight` is that density over the one inside; below `density` (0.5, about the surface) all is NaN.
    The grid is a cube in the reference lattice; its step follows from the atoms unless it is stated. Lazy, a few
    planes per chunk.

    For comparison with published maps: order 0, `width` 2.7 angstrom (Pt), or 3.89 angstrom with a step of 0.5
    angstrom and a density of 0.5 to 0.6 (Pd-Pt core and shell). Order 0 is biased near surfaces. Strain below
    sigma / sqrt(16 pi**1.5 density width**5) is noise: 0.2 % for positions known to 9.9 pm in three dimensions in Pt.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1;
    J. Fan, I. Gijbels, Local Polynomial Modelling and Its Applications (1996), doi:10.1201/9780203748725.
    """
    reference = reference_of(NAME, lattice, params)
    axes = cube_around(f"{NAME}: lattice", reference.site, params.width, params.points, params.step)
    cloud, joined = cloud_of(NAME, reference, params), params.grains == "joined"
    centre, count = centre_of(reference, params), params.points
    density = regression.densities(cloud, reference.site, reference.grain, joined)
    planes = max(1, BLOCK // count**2)
    columns = da.map_blocks(
        _block,
        da.arange(count, chunks=planes),
        new_axis=[1, 2, 3],
        chunks=(da.core.normalize_chunks(planes, (count,))[0], (count,), (count,), (regression.COLUMNS,)),
        dtype=np.float32,
        meta=np.empty((0, 0, 0, 0), np.float32),
        axes=axes,
        cloud=cloud,
        order=params.order,
        joined=joined,
        frames=frames_of(lattice, reference, params),
        centre=centre,
        interior=inside_of(density, params),
        least=params.density,
    )
    dims, vector = ("z", "y", "x"), ("z", "y", "x", "axis")
    variables = told(columns[..., regression.REST :], dims, params.significance)
    shift, error = regression.DISPLACEMENT, regression.DISPLACEMENT_ERROR
    variables["displacement"] = vector, columns[..., shift : shift + 3], {"units": "angstrom"}
    variables["displacement_error"] = vector, columns[..., error : error + 3], {"units": "angstrom"}
    variables["weight"] = dims, columns[..., regression.DENSITY], {"units": "1"}
    variables["grain"] = dims, columns[..., regression.GRAIN].astype(np.int32), {"units": "1"}
    places = {name: (name, one, {"units": "angstrom"}) for name, one in zip("xyz", axes, strict=True)}
    made = xr.Dataset(variables, coords={**places, "axis": ["x", "y", "z"], "axis2": ["x", "y", "z"]})
    return made.assign_attrs(attributes(reference, params, centre) | method_of(params, cloud))


def _block(
    number: np.ndarray,
    *,
    axes: tuple[np.ndarray, ...],
    cloud: regression.Cloud,
    **rule: Any,
) -> np.ndarray:
    """Return the columns of a few planes of the grid."""
    x, y, z = axes[0], axes[1], axes[2][number]
    point = np.stack(np.broadcast_arrays(x[None, None, :], y[None, :, None], z[:, None, None]), axis=-1)
    home = np.full(point[..., 0].size, -1, np.int64)
    made = regression.regress(cloud, np.ascontiguousarray(point.reshape(-1, 3)), home, **rule)
    return made.reshape(len(z), len(y), len(x), -1).astype(np.float32)
