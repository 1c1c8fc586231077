"""The shape of a particle as a whole."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import covariances, finite_positions
from aetx.core.facets import REACH
from aetx.kernels.alpha_shape import body
from aetx.kernels.particle_shape import ellipsoid, outside, spread
from aetx.kernels.surface import neighbour_distance
from aetx.model import ATOMS, SCORE

ONE, LENGTH = {"units": "1"}, {"units": "angstrom"}


class ShapeParams(Params):
    """Parameters of `shape`."""

    radius: Length | None = Field(
        None,
        gt=0,
        le=100,
        description="radius of the alpha shape; left out, 1.26 times the median distance of nearest neighbours",
    )


def _forecast(inputs: InputSizes, _: ShapeParams) -> Forecast:
    count = inputs["atoms"][0].get("atom", 1)
    return Forecast({"axis": 3, "principal": 3}, memory=2500 * count + 10**6, seconds=0.05 + 8e-5 * count)


@stage("surface.shape", takes={"atoms": ATOMS}, gives=SCORE, params=ShapeParams, version=1, forecast=_forecast)
def shape(atoms: xr.Dataset, params: ShapeParams) -> xr.Dataset:
    """Volume, area, sphericity and ellipsoid of a particle.

    `volume` and `area` are those of the outside of the alpha shape, through the centres of the surface atoms: half an
    atom less on every side than the particle takes. `sphericity` = pi**(1/3) (6 V)**(2/3) / A is 1 for a ball, 0.910
    for a truncated octahedron, 0.846 for an octahedron, 0.806 for a cube. Their `_error` are to first order from
    those of the positions; NaN where these are not known.

    The ellipsoid, evenly filled, has the second moments of all atoms: `semi_axes` = sqrt(5 lambda) from the longest,
    lambda the eigenvalues of the covariance of the positions, along the rows of `axes`; `semi_axes_error` is as for
    points drawn at random, more than for those of a lattice. `tilt` is the angle of each axis to z. `aspect_ratio` is
    the longest over the shortest.

    References
    ----------
    H. Wadell, J. Geol. 43, 250 (1935), doi:10.1086/624298 (sphericity); J. Lee, C. Jeong, Y. Yang, Nature
    Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1 (an ellipsoid for a particle).
    """
    position = finite_positions("surface.shape: atoms", atoms)
    reach = params.radius if params.radius is not None else REACH * neighbour_distance(position)
    hull = outside(position, body(position, reach).corner)
    covariance = covariances(atoms)
    found = ellipsoid(position)
    tilt = np.rad2deg(np.arccos(np.clip(np.abs(found.axes[:, 2]), 0, 1)))
    return xr.Dataset(
        {
            "atoms": ((), len(position), ONE),
            "volume": ((), hull.volume, {"units": "angstrom**3"}),
            "volume_error": ((), spread(hull.volume_slope, covariance), {"units": "angstrom**3"}),
            "area": ((), hull.area, {"units": "angstrom**2"}),
            "area_error": ((), spread(hull.area_slope, covariance), {"units": "angstrom**2"}),
            "sphericity": ((), hull.sphericity, ONE),
            "sphericity_error": ((), spread(hull.sphericity_slope, covariance), ONE),
            "centre": ("axis", found.centre, LENGTH),
            "semi_axes": ("principal", found.semi_axes, LENGTH),
            "semi_axes_error": ("principal", found.semi_axes_error, LENGTH),
            "axes": (("principal", "axis"), found.axes, ONE),
            "tilt": ("principal", tilt, {"units": "degree"}),
            "aspect_ratio": ((), found.semi_axes[0] / found.semi_axes[2], ONE),
            "radius": ((), reach, LENGTH),
        },
        coords={"axis": ["x", "y", "z"], "principal": ("principal", np.arange(3), ONE)},
    )
