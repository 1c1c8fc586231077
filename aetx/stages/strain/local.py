"""Strain at each atom, from the vectors to its nearest neighbours."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from aetx.core import Forecast, InputSizes, stage
from aetx.core.reference_lattice import reference_of
from aetx.core.strain import TensorParams, attributes, centre_of, frames_of, told
from aetx.errors import AetxWarning
from aetx.kernels import local_deformation
from aetx.model import LATTICE

NAME = "strain.local"


class LocalParams(TensorParams):
    """Parameters of `local`."""


def _forecast(inputs: InputSizes, _: LocalParams) -> Forecast:
    sizes = inputs["lattice"][0]
    atoms = sizes.get("atom", 1)
    return Forecast({**sizes, "axis": 3, "axis2": 3}, 60_000_000 + 3000 * atoms, 0.3 + 1e-5 * atoms)


@stage(NAME, takes={"lattice": LATTICE}, gives=LATTICE, params=LocalParams, version=1, forecast=_forecast)
def local(lattice: xr.Dataset, params: LocalParams) -> xr.Dataset:
    """Strain and rotation of the bonds of each atom to its nearest neighbours, and what no strain explains.

    F minimises sum_j |(r_j - r_i) - F (R_j - R_i)|**2 over the neighbours j of atom i on the nearest sites of its
    grain, r the positions and R the sites. What follows from F = R U, the errors and `significant` are as in
    `strain.atoms`. `d2min` is the mean of those squares at their least: large where neighbours do not move as one.

    The bonds of one atom see only what is next to it, but are noisy: with an error sigma along each axis and 12
    neighbours at distance d the error of a strain along an axis is sigma / (2 d), in Pt five times that of
    `strain.atoms`. Undefined (NaN) with fewer than three neighbours, or all in one plane, and without a site.

    References
    ----------
    M. L. Falk, J. S. Langer, Phys. Rev. E 57, 7192 (1998), doi:10.1103/PhysRevE.57.7192;
    F. Shimizu, S. Ogata, J. Li, Mater. Trans. 48, 2923 (2007), doi:10.2320/matertrans.MJ200769.
    """
    reference = reference_of(NAME, lattice, params)
    centre = centre_of(reference, params)
    found = local_deformation.gradients(
        reference.site,
        reference.displacement,
        reference.covariance,
        reference.grain,
        local_deformation.bonds(reference.site, reference.grain),
        frames_of(lattice, reference, params),
        centre,
    )
    unknown = int(np.isnan(found[:, local_deformation.REST]).sum())
    if unknown:
        text = f"{unknown} of {len(found)} atoms with a site have no three neighbours out of one plane"
        warnings.warn(f"{text}: their strain is not known", AetxWarning, stacklevel=2)
    every = np.full((lattice.sizes["atom"], found.shape[1]), np.nan)
    every[reference.atom] = found
    variables = told(every[:, local_deformation.REST :], ("atom",), params.significance)
    variables["d2min"] = ("atom",), every[:, local_deformation.MISFIT], {"units": "angstrom**2"}
    made = lattice.assign(variables).assign_coords(axis2=["x", "y", "z"])
    method = "least squares over the bonds to nearest neighbours"
    return made.assign_attrs({**attributes(reference, params, centre), "strain_method": method})
