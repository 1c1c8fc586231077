"""Strain of a core and its shell: at the interface, at the surface above it, and along directions of the crystal."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Angle, Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.core.reference_lattice import CUBIC
from aetx.errors import InputError, Problem
from aetx.kernels import rays
from aetx.kernels import total_least_squares as line
from aetx.kernels.bonds import polar
from aetx.model import LATTICE, SCORE

F64 = NDArray[np.float64]
NAME = "strain.core_shell"
NEEDED = {
    "radial": "strain.atoms or strain.local",
    "hoop": "strain.atoms or strain.local",
    "interface_depth": "structure.interface",
    "surface": "surface.atoms",
}
"""Variables of the atoms, and which stage makes them."""
ONE = {"units": "1"}


class CoreShellParams(Params):
    """Parameters of `core_shell`."""

    thickness: Length = Field(
        3.0, gt=0, le=50, description="thickness of layers, and greatest distance of atoms from a ray"
    )
    cone: Angle = Field(15.0, gt=0, le=45, description="half the opening of the cones about <100>, <110> and <111>")
    block: Length = Field(10.0, gt=0, le=1e4, description="edge of the cubes that are drawn for the errors")
    resamples: int = Field(500, ge=2, le=100_000, description="draws of the bootstrap over cubes")
    seed: int = Field(0, ge=0, description="seed of the bootstrap")


def _forecast(inputs: InputSizes, params: CoreShellParams) -> Forecast:
    atoms = inputs["lattice"][0].get("atom", 1)
    memory = 60_000_000 + 3000 * atoms + 8 * params.resamples * atoms
    return Forecast({"axis": 3}, memory, 0.3 + 1e-7 * atoms * params.resamples + 1e-8 * atoms**1.7)


@stage(NAME, takes={"lattice": LATTICE}, gives=SCORE, params=CoreShellParams, version=1, forecast=_forecast)
def core_shell(lattice: xr.Dataset, params: CoreShellParams) -> xr.Dataset:
    """How the strain of the interface goes on to the surface, and strain by depth along <100>, <110> and <111>.

    A ray goes from the centre of the radial strain through each atom of the surface. On it, `interface_strain` and
    `surface_strain` are the mean radial strains of the atoms nearer than `thickness` to it: those within half of that
    of the interface, and those of the surface. A line through them by total least squares has the `slope` and
    Pearson's `correlation`; errors are by a bootstrap over cubes of edge `block`, as rays side by side share atoms.

    `radial_profile` and `hoop_profile` are means over atoms by `layer` (the middle of their depth from the interface,
    outwards positive, in steps of `thickness`) and `direction`: all, and within `cone` of a family of directions of the
    crystal of the atom's own grain; `_error` is the standard error of the mean from the scatter of the atoms, without
    what next ones share. A particle whose shape does not favour a direction has the same profile along all.

    References
    ----------
    Z. Li et al., Nature Communications 14, 2934 (2023), doi:10.1038/s41467-023-38536-z (slope 0.87, R = 0.74 in
    Pd-Pt); W. A. Fuller, Measurement Error Models (1987), doi:10.1002/9780470316665, section 1.3 (the line).
    """
    where = f"{NAME}: lattice"
    missing = [key for key in NEEDED if key not in lattice]
    if missing:
        none = "no such variable"
        raise InputError(
            [Problem(where, key, none, f"the {key} of each atom", f"put {NEEDED[key]} before") for key in missing]
        )
    position = finite_positions(where, lattice)
    centre = np.asarray(lattice.attrs.get("strain_centre", position.mean(axis=0)), float)
    place = position - centre
    radial, hoop, depth = (lattice[name].values.astype(float) for name in ("radial", "hoop", "interface_depth"))
    known = np.isfinite(radial)
    outer = known & (lattice["surface"].values > 0)
    inner = known & (np.abs(depth) <= params.thickness / 2)
    ray = place[outer] / np.linalg.norm(place[outer], axis=1, keepdims=True)
    below = rays.along(ray, place[inner], radial[inner], params.thickness)
    above = rays.along(ray, place[outer], radial[outer], params.thickness)
    both = np.isfinite(below) & np.isfinite(above)
    block = line.blocks(position[outer][both], params.block)
    draws = line.resamples(block, params.resamples, params.seed)
    found = line.fit(below[both], above[both], 1.0, block, draws)
    made = {
        "ray_direction": (("ray", "axis"), ray, ONE),
        "interface_strain": ("ray", below, ONE),
        "surface_strain": ("ray", above, ONE),
        "slope": ((), found.slope, ONE),
        "slope_error": ((), found.slope_error, ONE),
        "correlation": ((), found.correlation, ONE),
        "correlation_error": ((), found.correlation_error, ONE),
    }
    steps = np.round(depth / params.thickness)
    layer = np.arange(np.nanmin(steps), np.nanmax(steps) + 1)
    member = _members(lattice, place, params)
    for name, value in (("radial", radial), ("hoop", hoop)):
        table = np.array([[_mean(value[one & (steps == k)]) for k in layer] for one in member.values()])
        made[f"{name}_profile"] = (("direction", "layer"), table[..., 0], ONE)
        made[f"{name}_profile_error"] = (("direction", "layer"), table[..., 1], ONE)
    coords = {
        "axis": ["x", "y", "z"],
        "direction": list(member),
        "layer": ("layer", layer * params.thickness, {"units": "angstrom"}),
    }
    kept = {key: lattice.attrs[key] for key in ("strain_reference", "strain_method") if key in lattice.attrs}
    return xr.Dataset(made, coords, kept)


def _members(lattice: xr.Dataset, place: F64, params: CoreShellParams) -> dict[str, NDArray[np.bool_]]:
    """Return which atoms are in the cones about each family of directions, and all of them."""
    made = {"all": np.ones(len(place), bool)}
    if str(lattice.attrs.get("lattice")) not in CUBIC:
        return made
    basis = lattice["basis"].sel(axis=["x", "y", "z"]).transpose("grain_id", "vector", "axis").values.astype(float)
    turned = np.stack([polar(one)[1] for one in basis])
    grain = lattice["grain"].values.astype(np.int64)
    on = (grain >= 0) & (grain < len(turned))
    axes = turned[np.where(on, grain, 0)]
    for family in rays.FAMILIES:
        made[f"<{family}>"] = on & rays.cone(place, axes, family, np.deg2rad(params.cone))
    return made


def _mean(values: F64) -> tuple[float, float]:
    """Return the mean of what is finite and its standard error."""
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan"), float("nan")
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else float("nan")
