"""Strain at each atom, from the displacements around it."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, stage
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
from aetx.errors import AetxWarning
from aetx.kernels import regression
from aetx.model import LATTICE

NAME = "strain.atoms"


class AtomsParams(RegressionParams):
    """Parameters of `atoms`."""

    density: float = Field(
        0.1, ge=0, le=1, description="density of atoms, over that inside, below which no strain is known"
    )


def _forecast(inputs: InputSizes, params: AtomsParams) -> Forecast:
    sizes = inputs["lattice"][0]
    atoms = sizes.get("atom", 1)
    pairs = atoms * 20 * params.width**3
    return Forecast({**sizes, "axis": 3, "axis2": 3}, 60_000_000 + 2500 * atoms, 0.3 + 6e-8 * pairs)


@stage(NAME, takes={"lattice": LATTICE}, gives=LATTICE, params=AtomsParams, version=1, forecast=_forecast)
def atoms(lattice: xr.Dataset, params: AtomsParams) -> xr.Dataset:
    """Strain and rotation at the site of each atom, by kernel regression of the displacements around it.

    Around a place x, atoms i at sites R_i with displacements u_i weigh w_i = exp(-|R_i - x|**2 / (2 width**2)), to
    four widths. Order 1 fits u = a + B (R - x) in weighted least squares and is exact wherever displacements are
    linear, at surfaces too. Order 0 differentiates the weighted mean of u, as published maps do: the same in the bulk,
    but for a uniform strain it gives 0.363 of it on a flat surface, 0.630 a width below and 0.886 two widths below.

    F = 1 + B = R U gives `strain` = U - 1 and `rotation` = log R (antisymmetric, radian): to first order the parts
    (B + B')/2 and (B - B')/2; a rotation of any size makes no strain. `volumetric` is the trace; `von_mises` is
    sqrt(e:e / 2) of the deviator e; `radial` is r.strain.r and `hoop` the mean of the two strains across r, r from
    `centre`. Place and gradient are those of the reference lattice, so that B is a fixed sum over the positions, and
    the errors follow from the covariances of the atoms exactly, without correlations between atoms. The error of the
    reference lattice itself, common to a grain and less by the square root of its atoms, is left out. Deep in fcc
    the error of a strain along an axis is sigma / sqrt(16 pi**1.5 density width**5). Positions without errors may take
    ``errors: scatter``: one variance for all along each axis, from how displacements scatter about the field. What the
    kernel smooths away is no part of the errors: strain that changes within `width` comes out flatter.

    With ``frame: crystal`` tensors are along `x_axis` and `z_axis` of each grain; of the equivalent directions of a
    cubic crystal those nearest to z, and then x, of the images.

    `significant` tells which components are more than `significance` standard errors from 0: 1 yes, 0 no, -1 not
    known. `weight` is the density of atoms over that inside; below `density` nothing is known (NaN), nor where the
    atoms around lie in one plane, nor of atoms without a site. Grains have lattices of their own, and displacements
    from different lattices are not one field: they are mixed only with ``grains: joined``.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1 (order 0);
    J. Fan, I. Gijbels, Local Polynomial Modelling and Its Applications (1996), doi:10.1201/9780203748725 (order 1);
    F. Shimizu, S. Ogata, J. Li, Mater. Trans. 48, 2923 (2007), doi:10.2320/matertrans.MJ200769 (von Mises).
    """
    reference = reference_of(NAME, lattice, params)
    centre, joined = centre_of(reference, params), params.grains == "joined"
    cloud = cloud_of(NAME, reference, params)
    found = regression.regress(
        cloud,
        reference.site,
        reference.grain,
        params.order,
        joined,
        frames_of(lattice, reference, params),
        centre,
        1.0,
        0.0,
    )
    found[:, regression.DENSITY] /= inside_of(found[:, regression.DENSITY], params)
    found[found[:, regression.DENSITY] < params.density, regression.GRAIN :] = np.nan
    every = np.full((lattice.sizes["atom"], regression.COLUMNS), np.nan)
    every[reference.atom] = found
    variables = told(every[:, regression.REST :], ("atom",), params.significance)
    unknown = int(np.isnan(found[:, regression.REST]).sum())
    if unknown:
        text = f"{unknown} of {len(found)} atoms with a site have too few atoms around them for a strain"
        warnings.warn(f"{text} (density below {params.density:g}, or all in one plane)", AetxWarning, stacklevel=2)
    variables["weight"] = ("atom",), every[:, regression.DENSITY], {"units": "1"}
    made = lattice.assign(variables).assign_coords(axis2=["x", "y", "z"])
    return made.assign_attrs(attributes(reference, params, centre) | method_of(params, cloud))
