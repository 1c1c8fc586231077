"""The lattice constant around each atom."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from aetx.core import Forecast, InputSizes, stage
from aetx.core.reference_lattice import ReferenceParams, reference_of
from aetx.errors import AetxWarning
from aetx.kernels import local_deformation
from aetx.model import LATTICE

NAME = "strain.lattice_constant"


class LatticeConstantParams(ReferenceParams):
    """Parameters of `lattice_constant`."""


def _forecast(inputs: InputSizes, _: LatticeConstantParams) -> Forecast:
    sizes = inputs["lattice"][0]
    atoms = sizes.get("atom", 1)
    return Forecast({**sizes, "axis": 3}, 60_000_000 + 1500 * atoms, 0.3 + 1e-5 * atoms)


@stage(NAME, takes={"lattice": LATTICE}, gives=LATTICE, params=LatticeConstantParams, version=1, forecast=_forecast)
def lattice_constant(lattice: xr.Dataset, params: LatticeConstantParams) -> xr.Dataset:
    """Edge of the cell that fits each atom and its nearest neighbours, and how far it is from that without strain.

    An atom and its neighbours on the nearest sites of its grain are fitted by the ideal cell, shifted, rotated and
    scaled, in least squares: `local_lattice_constant` a is its edge (the first, where there are others), and
    `local_strain` = a / reference - 1, with the stated edge as reference, otherwise that of each grain.
    The template is cubic in cubic lattices, and the fitted cell in others. Errors follow from the covariances of the
    atoms. Undefined (NaN) with fewer than three neighbours, or all in one plane, and without a site.

    One number cannot tell strain along a surface from strain across it: on a facet it averages both.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, "Direct observation of three-dimensional atomic structure of twinned metallic
    nanoparticles and their catalytic properties", https://arxiv.org/abs/2207.06677 (2022);
    S. Umeyama, IEEE Trans. Pattern Anal. Mach. Intell. 13, 376 (1991), doi:10.1109/34.88573.
    """
    reference = reference_of(NAME, lattice, params, cubes=True)
    edge = np.linalg.norm(reference.basis, axis=2)[:, 0]
    own = edge[reference.grain]
    scale, error = local_deformation.scales(
        reference.site,
        reference.site + reference.displacement,
        reference.covariance,
        local_deformation.bonds(reference.site, reference.grain),
    )
    unknown = int(np.isnan(scale).sum())
    if unknown:
        text = f"{unknown} of {len(scale)} atoms with a site have no three neighbours out of one plane"
        warnings.warn(f"{text}: their lattice constant is not known", AetxWarning, stacklevel=2)
    variables = {}
    for name, values, unit in (
        ("local_lattice_constant", scale * own, "angstrom"),
        ("local_lattice_constant_error", error * own, "angstrom"),
        ("local_strain", scale - 1, "1"),
        ("local_strain_error", error, "1"),
    ):
        every = np.full(lattice.sizes["atom"], np.nan)
        every[reference.atom] = values
        variables[name] = ("atom", every, {"units": unit})
    return lattice.assign(variables).assign_attrs(local_strain_reference=[float(one) for one in edge])
