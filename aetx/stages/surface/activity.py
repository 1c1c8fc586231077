"""Activity for oxygen reduction from the strain of facets."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.activity import Binding, BindingEnergy, VolcanoParams
from aetx.core.activity import activity as told
from aetx.core.facets import Facets, facets_of
from aetx.core.surface_strain import correlation, surface_stars
from aetx.errors import InputError, Problem
from aetx.kernels.stars import covariances, strain_in_plane
from aetx.model import LATTICE

F64 = NDArray[np.float64]

CELL_AREA = {"111": np.sqrt(3) / 4, "100": 1 / 2}
"""Area of a surface atom over the square of the edge of the cubic cell."""
NAMED = {1.0: "default", -1.0: "B: slopes of one sign"}
"""Published readings of the slope of {100}, with the other numbers as they are by default."""


class ActivityParams(VolcanoParams):
    """Parameters of `activity`."""

    strain: Literal["local", "in_plane"] = Field(
        "local", description="local_strain of strain.lattice_constant, or the strain of neighbours in the facet's plane"
    )
    lattice_constant: Length | None = Field(
        None, gt=1, le=50, description="edge of the unstrained cell for in_plane; none for that of each grain"
    )
    slope_111: BindingEnergy = Field(-3.5, ge=-100, le=100, description="rise of the energy on {111} per unit strain")
    slope_100: BindingEnergy = Field(1.0, ge=-100, le=100, description="rise of the energy on {100} per unit strain")
    start_100: BindingEnergy = Field(
        -0.16, ge=-10, le=10, description="energy of OH on {100} without strain, over that on Pt(111)"
    )
    slope_error: BindingEnergy | None = Field(
        None, ge=0, le=100, description="standard error of both slopes, where it is known"
    )
    start_error: BindingEnergy | None = Field(
        None, ge=0, le=10, description="standard error of start_100, where it is known"
    )
    edges: bool = Field(True, description="also atoms on two facets and more, by the greatest of these")

    @model_validator(mode="after")
    def _reference_has_a_use(self) -> Self:
        if self.strain == "local" and self.lattice_constant is not None:
            raise ValueError("lattice_constant for strain in_plane only: local strain brings its own")
        return self


def _forecast(inputs: InputSizes, _: ActivityParams) -> Forecast:
    sizes = inputs["lattice"][0]
    return Forecast(sizes, memory=1500 * sizes.get("atom", 1) + 10**6, seconds=0.2 + 8e-6 * sizes.get("atom", 1))


@stage(
    "surface.activity", takes={"lattice": LATTICE}, gives=LATTICE, params=ActivityParams, version=1, forecast=_forecast
)
def activity(lattice: xr.Dataset, params: ActivityParams) -> xr.Dataset:
    """Activity ln(j / j of Pt(111)) for oxygen reduction of the atoms on {111} and {100}, from their strain.

    The strain e of each facet atom (`surface_strain`) changes how strongly OH binds, relative to Pt(111) and positive
    for weaker binding, and the volcano makes activity of it:

        E = slope_111 e on {111},   E = start_100 + slope_100 e on {100},
        ln j = min(E, offset - falling E) / kT

    With the defaults {111} is most active under 3.8 % compression, and {100} better than {111} above 3.6 % tension.
    This is a parametrised model: the volcano is that of a mean-field kinetic model, but no published table fixes the
    slopes. Those of {111} in the literature go from -1.4 to -4 eV; the sign on {100} is disputed, so that
    ``slope_100: -1 eV`` is a second reading. The numbers used are in the attribute `model` and on every picture.

    `activity_error` carries the error of the strain through the volcano: the root mean square distance from the given
    value while the energy is distributed normally about its own, so that it is right across the peak too, where slopes
    change sign. `activity_model_error` does so for the errors of slopes and start, which are wrong the same way for
    all atoms; NaN unless they are stated. Logarithms are natural.

    On `activity_group` (all, 111, 100, and free of the support where that is known): `activity_mean` and
    `activity_total` = ln of the mean j, both weighted by the area of a site, and `activity_median`; their errors count
    what strains of neighbours have in common. A few atoms dominate the total. Noise s of an activity raises its j by
    exp(s**2 / 2) on the mean, which is taken off (right away from the peak). {110} has no parametrisation: NaN.

    ``strain: local`` is one number for all directions around an atom. ``in_plane`` fits the atom and its neighbours on
    the same facet by their sites in its plane, shifted, turned and scaled, in least squares: the biaxial strain for
    which such models are computed, from fewer atoms. NaN where these lie on one line.

    References
    ----------
    V. Viswanathan, H. A. Hansen, J. Rossmeisl, J. K. Noerskov, ACS Catal. 2, 1654 (2012), doi:10.1021/cs300227s (the
    volcano of (111) and (100)); J. Lee, C. Jeong, Y. Yang, https://arxiv.org/abs/2207.06677 (2022).
    """
    table = facets_of("surface.activity", lattice)
    family = np.where(table.primary >= 0, np.append(table.family, "")[table.primary], "")
    used = np.isin(family, list(CELL_AREA)) & (params.edges | (table.on.sum(axis=1) == 1))
    strain, error = _strain(lattice, table, params)
    strain, error = np.where(used, strain, np.nan), np.where(used, error, np.nan)
    square = family == "100"
    slope = np.where(square, params.slope_100, params.slope_111)
    slopes = np.nan if params.slope_error is None else params.slope_error
    starts = np.where(square, np.nan if params.start_error is None else params.start_error, 0.0)
    binding = Binding(
        energy=np.where(square, params.start_100, 0.0) + slope * strain,
        error=np.abs(slope) * error,
        model_error=np.hypot(slopes * strain, np.where(used, starts, np.nan)),
        weight=np.where(square, CELL_AREA["100"], CELL_AREA["111"]),
        model=_label(params),
        common=correlation("surface.activity", lattice, table, params.strain),
    )
    groups = {name: family == name for name in CELL_AREA}
    if "contact" in lattice:
        groups["free"] = lattice["contact"].values == 0
    made = told(lattice, binding, params, groups)
    rising = np.where(binding.energy < params.volcano().peak, 1.0, -params.falling)
    steep = {"units": "1", "long_name": "change of the activity with strain"}
    return made.assign(
        activity_slope=("atom", np.where(used, slope * rising / params.thermal_energy, np.nan), steep),
        surface_strain=("atom", strain, {"units": "1", "strain": params.strain}),
        surface_strain_error=("atom", error, {"units": "1"}),
    )


def _strain(lattice: xr.Dataset, table: Facets, params: ActivityParams) -> tuple[F64, F64]:
    """Return the strain of each atom that its activity depends on, and its standard error."""
    where = "surface.activity: lattice"
    if params.strain == "local":
        if "local_strain" not in lattice:
            fix = "put strain.lattice_constant before, or take strain: in_plane"
            raise InputError(Problem(where, "local_strain", "no such variable", "the strain of each atom", fix))
        unknown = xr.full_like(lattice["local_strain"], np.nan)
        error = lattice.get("local_strain_error", unknown)
        return lattice["local_strain"].values.astype(float), error.values.astype(float)
    found = surface_stars("surface.activity", lattice, table, params.strain, params.lattice_constant)
    strain, spread = np.full((2, lattice.sizes["atom"]), np.nan)
    strain[found.atom] = strain_in_plane(found.stars, found.place, found.normal)
    spread[found.atom] = np.sqrt(covariances(found.stars, found.covariance).diagonal())
    return strain, np.where(np.isfinite(strain), spread, np.nan)


def _label(params: ActivityParams) -> str:
    """Say what the parametrisation is, in a line."""
    plain = ActivityParams(slope_100=params.slope_100)
    same = all(getattr(params, one) == getattr(plain, one) for one in ("slope_111", "start_100"))
    name = NAMED.get(params.slope_100, "own") if same else "own"
    return (
        f"parametrised model ({name}): E = {params.slope_111:g} e on {{111}}, "
        f"{params.start_100:g} {'+' if params.slope_100 >= 0 else '-'} {abs(params.slope_100):g} e on {{100}}, "
        "eV; slopes not measured"
    )
