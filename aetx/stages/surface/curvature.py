"""Normals and curvatures of the surface."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.core.facets import surface_of
from aetx.kernels.curvature import outwards, patches
from aetx.kernels.neighbours import within
from aetx.kernels.surface import neighbour_distance
from aetx.model import ATOMS

BOND = 1.21
"""Radius around an atom within which its neighbours tell where the vacuum is, in distances of nearest neighbours."""


class CurvatureParams(Params):
    """Parameters of `curvature`."""

    radius: Length = Field(8.0, gt=0, le=200, description="radius around each atom of the patch that is fitted")


def _forecast(inputs: InputSizes, params: CurvatureParams) -> Forecast:
    sizes = inputs["atoms"][0]
    count = sizes.get("atom", 1)
    patch = min(count, params.radius**2 / 2 + 7)
    return Forecast(sizes, memory=int(count * (2500 + 12 * patch)) + 10**6, seconds=1 + count * (8e-5 + 1e-6 * patch))


@stage("surface.curvature", takes={"atoms": ATOMS}, gives=ATOMS, params=CurvatureParams, version=1, forecast=_forecast)
def curvature(atoms: xr.Dataset, params: CurvatureParams) -> xr.Dataset:
    """Atoms of the surface with their outward `normal`, `mean_curvature` and `gaussian_curvature`.

    Around each surface atom (by `surface`, else an alpha shape) the height z over the tangent plane of those within
    `radius` whose normals point to the same side is fitted by a quadratic form in least squares. With its slopes and
    second derivatives

        H = -((1 + q**2) z_uu - 2 p q z_uv + (1 + p**2) z_vv) / (2 (1 + p**2 + q**2)**(3/2))
        K = (z_uu z_vv - z_uv**2) / (1 + p**2 + q**2)**2

    H is positive where the surface bulges outwards, 1/R on a ball, and negative where it is concave; K is 1/R**2 on a
    ball, 0 on a cylinder, negative on a saddle. `_error` come from how far the atoms are off the patch:
    noise and facets both. NaN below the surface, and where fewer than seven atoms count.

    References
    ----------
    M. P. do Carmo, "Differential Geometry of Curves and Surfaces", Prentice-Hall (1976), section 3-3.
    """
    position = finite_positions("surface.curvature: atoms", atoms)
    outer = np.flatnonzero(surface_of(atoms, position))
    bonds = within(position, BOND * neighbour_distance(position)) if len(position) > 1 else within(position, 1.0)
    first = outwards(position, bonds.start, bonds.index)[outer]
    near = within(position[outer], params.radius)
    normal, values = patches(position[outer], first, near.start, near.index)
    turned, columns = np.full((len(position), 3), np.nan), np.full((len(position), 4), np.nan)
    turned[outer], columns[outer] = normal, values
    names = ("mean_curvature", "gaussian_curvature", "mean_curvature_error", "gaussian_curvature_error")
    units = ("1/angstrom", "1/angstrom**2", "1/angstrom", "1/angstrom**2")
    made = {name: ("atom", columns[:, k], {"units": units[k]}) for k, name in enumerate(names)}
    return atoms.assign({"normal": (("atom", "axis"), turned, {"units": "1"}), **made}).assign_coords(
        axis=["x", "y", "z"]
    )
