"""Activity for oxygen reduction of alloy surfaces."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.activity import Binding, BindingEnergy
from aetx.core.activity import activity as told
from aetx.core.atoms import covariances
from aetx.core.element import Element, atomic_number
from aetx.core.sites import SiteParams, bonds_of
from aetx.errors import InputError, Problem
from aetx.kernels.orr import bond_strain
from aetx.model import ATOMS

PLATINUM = 78


class ActivityAlloyParams(SiteParams):
    """Parameters of `activity_alloy`."""

    partner: Element = Field("Ni", min_length=1, max_length=3, description="chemical symbol of the other metal")
    bond: Length = Field(2.75, gt=1, le=10, description="distance of Pt and Pt without strain")
    scale: BindingEnergy = Field(0.1868, gt=0, le=10, description="energy per Pt neighbour without strain")
    decay: float = Field(2.1114, ge=0, le=100, description="how fast the part of a Pt neighbour falls with strain")
    share: float = Field(1.134, ge=-10, le=10, description="part of a partner with twelve neighbours, over that of Pt")
    start: BindingEnergy = Field(1.7382, ge=-10, le=10, description="energy of all neighbours of Pt(111)")
    other: float = Field(0.0, ge=0, le=10, description="weight of any third element, over that of the partner")
    energy_error: BindingEnergy = Field(0.1, ge=0, le=10, description="standard error of the fitted energies")


def _forecast(inputs: InputSizes, _: ActivityAlloyParams) -> Forecast:
    sizes = inputs["atoms"][0]
    count = sizes.get("atom", 1)
    return Forecast(sizes, memory=3500 * count + 10**6, seconds=1 + 3e-5 * count)


@stage(
    "surface.activity_alloy",
    takes={"atoms": ATOMS},
    gives=ATOMS,
    params=ActivityAlloyParams,
    version=1,
    forecast=_forecast,
)
def activity_alloy(atoms: xr.Dataset, params: ActivityAlloyParams) -> xr.Dataset:
    """Activity ln(j / j of Pt(111)) for oxygen reduction of the Pt atoms on the surface of an alloy.

    A local descriptor fitted to density-functional energies of Pt-Ni surfaces:

        E = scale (CN_Pt exp(-decay e) + share g) - start,   ln j = min(E, offset - falling E) / kT

    CN_Pt is the number of Pt neighbours, e the mean length of the bonds to them over `bond`, minus one, and g the sum
    of CN_j / 12 over neighbours j of the other metal; a third element counts by `other`, for which there is no source.
    Sites are Pt atoms with fewer than `below` neighbours. `activity_error` carries the errors of the positions
    (`covariance` or `sigma`; NaN without) through the bond lengths, exactly but for curvature, and the volcano;
    `activity_model_error` is what 0.10 eV, the residual of the fit, makes of it. For pure Pt(111) without strain E is
    -0.057 eV, not 0: compare atoms with each other. `bond_strain` is kept.

    References
    ----------
    V. Viswanathan, H. A. Hansen, J. Rossmeisl, J. K. Noerskov, ACS Catal. 2, 1654 (2012), doi:10.1021/cs300227s
    (volcano); the descriptor and its numbers are those of the tomography of Pt-Ni and Ga-doped Pt-Ni nanoparticles,
    https://arxiv.org/abs/2504.16332.
    """
    position, first, second, count = bonds_of("surface.activity_alloy", atoms, params)
    species = atoms["species"].values.astype(int)
    unknown = int((species <= 0).sum())
    if unknown:
        found, fix = f"{unknown} atoms of unknown element", "name the elements with classify.species"
        raise InputError(Problem("surface.activity_alloy: atoms", "species", found, "elements", fix))
    platinum, partner = species == PLATINUM, atomic_number(params.partner)
    strain, error = bond_strain(position, covariances(atoms), first, second, platinum[second], params.bond)
    weight = np.where(platinum, 0.0, np.where(species == partner, 1.0, params.other))
    around = np.bincount(first, (weight * count / 12)[second], len(count))
    pure = np.bincount(first, platinum[second], len(count))
    site = platinum & (count < params.below)
    felt = np.where(pure > 0, pure * np.exp(-params.decay * np.where(pure > 0, strain, 0.0)), 0.0)
    slope = params.scale * params.decay * felt
    binding = Binding(
        energy=np.where(site, params.scale * (felt + params.share * around) - params.start, np.nan),
        error=np.where(site, np.where(pure > 0, slope * error, 0.0), np.nan),
        model_error=np.where(site, params.energy_error, np.nan),
        weight=np.ones(len(count)),
        model=f"parametrised model: {params.scale:g} (CN_Pt exp(-{params.decay:g} e) + {params.share:g} "
        f"g_{params.partner}) - {params.start:g} eV, +- {params.energy_error:g} eV",
    )
    made = told(atoms, binding, params, {})
    return made.assign(
        bond_strain=("atom", np.where(site, strain, np.nan), {"units": "1"}),
        bond_strain_error=("atom", np.where(site, error, np.nan), {"units": "1"}),
    )
