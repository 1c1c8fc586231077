"""Activity for oxygen reduction from generalised coordination."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, stage
from aetx.core.activity import Binding, BindingEnergy
from aetx.core.activity import activity as told
from aetx.core.sites import SiteParams, bonds_of
from aetx.model import ATOMS


class ActivityCoordinationParams(SiteParams):
    """Parameters of `activity_coordination`."""

    slope: BindingEnergy = Field(0.192, ge=0, le=10, description="rise of the energy per unit of coordination")
    reference: float = Field(7.5, gt=0, le=12, description="generalised coordination of Pt(111), where the energy is 0")
    energy_error: BindingEnergy | None = Field(
        None, ge=0, le=10, description="standard error of the energies of the model, where it is known"
    )


def _forecast(inputs: InputSizes, _: ActivityCoordinationParams) -> Forecast:
    sizes = inputs["atoms"][0]
    count = sizes.get("atom", 1)
    return Forecast(sizes, memory=1500 * count + 10**6, seconds=1 + 2e-5 * count)


@stage(
    "surface.activity_coordination",
    takes={"atoms": ATOMS},
    gives=ATOMS,
    params=ActivityCoordinationParams,
    version=1,
    forecast=_forecast,
)
def activity_coordination(atoms: xr.Dataset, params: ActivityCoordinationParams) -> xr.Dataset:
    """Activity ln(j / j of Pt(111)) for oxygen reduction of the surface atoms of pure Pt, from who is around them.

    The generalised coordination of atom i is the sum over its nearest neighbours j of CN_j / 12. It makes OH bind by

        E = slope (GCN - reference),   ln j = min(E, offset - falling E) / kT

    relative to Pt(111), which has GCN 7.5; Pt(100) has 6.67, and OH binds 0.16 eV more strongly. Sites are atoms with
    fewer than `below` neighbours. No strain enters. A count of neighbours has no error from positions that are known to
    tenths of an angstrom, so that `activity_error` is 0; a missing or invented atom would change it.
    `activity_model_error` is NaN unless `energy_error` is stated.

    References
    ----------
    F. Calle-Vallejo et al., Science 350, 185 (2015), doi:10.1126/science.aab3501 (generalised coordination); V.
    Viswanathan, H. A. Hansen, J. Rossmeisl, J. K. Noerskov, ACS Catal. 2, 1654 (2012), doi:10.1021/cs300227s (volcano).
    """
    _, first, second, count = bonds_of("surface.activity_coordination", atoms, params)
    generalised = np.bincount(first, count[second], len(count)) / 12
    site = count < params.below
    unknown = np.nan if params.energy_error is None else params.energy_error
    model = f"parametrised model: E = {params.slope:g} (GCN - {params.reference:g}) eV, without strain"
    binding = Binding(
        energy=np.where(site, params.slope * (generalised - params.reference), np.nan),
        error=np.where(site, 0.0, np.nan),
        model_error=np.where(site, unknown, np.nan),
        weight=np.ones(len(count)),
        model=model,
    )
    made = told(atoms, binding, params, {})
    return made.assign(
        coordination=("atom", count.astype(np.int32), {"units": "1"}),
        generalised_coordination=("atom", generalised, {"units": "1"}),
    )
