"""Displacement of facets out of their planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Params, stage
from aetx.core.atoms import covariances
from aetx.core.facets import Facets, facets_of
from aetx.kernels.resampling import mean_interval
from aetx.model import LATTICE, SCORE

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

LEVEL = 0.95
"""Probability of the confidence intervals."""
ONE, LENGTH = {"units": "1"}, {"units": "angstrom"}


class DisplacementParams(Params):
    """Parameters of `displacement`."""

    edges: bool = Field(True, description="count atoms on two facets and more, in each of them")
    resamples: int = Field(2000, ge=100, le=100_000, description="bootstrap samples behind the 95 % intervals")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the bootstrap samples")


def _forecast(inputs: InputSizes, params: DisplacementParams) -> Forecast:
    count = inputs["lattice"][0].get("atom", 1)
    atoms = 6 * count ** (2 / 3)
    return Forecast({"axis": 3}, int(500 * count + 8 * atoms) + 10**6, 0.1 + 4e-8 * atoms * params.resamples)


@stage(
    "surface.displacement",
    takes={"lattice": LATTICE},
    gives=SCORE,
    params=DisplacementParams,
    version=1,
    forecast=_forecast,
)
def displacement(lattice: xr.Dataset, params: DisplacementParams) -> xr.Dataset:
    """How far the atoms of facets are displaced along the outward normal, by facet and family, free and in contact.

    Of each atom on each facet, `out_of_plane` = displacement . normal, positive outwards, with its error from
    `displacement_error` or those of the position. On `family` and `part` (all, and where surface.contact was run,
    contact and free): `count`, `mean`, `deviation` (standard deviation, which holds the errors of the positions too),
    `mean_error` = deviation / sqrt(count), `mean_low` and `mean_high` (95 %, by bootstrap over the atoms), and
    `mean_measurement_error`, what the errors of the positions alone make of the mean; NaN where they are not known.
    The same on `facet_id`. Deviations are much larger than means: compare means with their errors.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1, figure 4.
    """
    table = facets_of("surface.displacement", lattice)
    atom, facet = np.nonzero(table.on)
    moved = lattice["displacement"].transpose("atom", "axis").sel(axis=["x", "y", "z"]).values.astype(float)
    normal = table.normal[facet]
    value = (moved[atom] * normal).sum(axis=1)
    error = np.sqrt(np.einsum("ni,nij,nj->n", normal, _covariance(lattice)[atom], normal))
    counted = np.isfinite(value) & (params.edges | (table.on.sum(axis=1)[atom] == 1))
    atom, facet, value, error = atom[counted], facet[counted], value[counted], error[counted]
    groups = [facet == number for number in range(len(table.family))]
    each = _statistics(value, error, groups, params)
    families = list(dict.fromkeys(sorted(table.family)))
    parts = _parts(table)
    groups = [(table.family == name)[facet] & part[facet] for name in families for part in parts.values()]
    grouped = _statistics(value, error, groups, params)
    shape = len(families), len(parts)
    made: dict[str, tuple[Any, ...]] = {
        "out_of_plane": ("member", value, LENGTH),
        "out_of_plane_error": ("member", error, LENGTH),
        "member_atom": ("member", lattice["atom"].values[atom], ONE),
        "member_facet": ("member", facet, ONE),
        "facet_family": ("facet_id", table.family.astype("U3"), {}),
        "facet_normal": (("facet_id", "axis"), table.normal, ONE),
    }
    for name, column in each.items():
        unit = ONE if name == "count" else LENGTH
        made[f"facet_{name}"] = "facet_id", column, unit
        made[name] = ("family", "part"), grouped[name].reshape(shape), unit
    if table.contact is not None:
        made["facet_contact"] = ("facet_id", table.contact.astype(np.int8), ONE)
    labels = {"family": families, "part": list(parts), "axis": ["x", "y", "z"]}
    return xr.Dataset(made, {**labels, "facet_id": ("facet_id", np.arange(len(table.family)), ONE)})


def _covariance(lattice: xr.Dataset) -> F64:
    if "displacement_covariance" in lattice:
        ordered = lattice["displacement_covariance"].sel(axis=["x", "y", "z"], axis2=["x", "y", "z"])
        return np.asarray(ordered.transpose("atom", "axis", "axis2").values, np.float64)
    return covariances(lattice)


def _parts(table: Facets) -> dict[str, NDArray[np.bool_]]:
    every = np.ones(len(table.family), bool)
    if table.contact is None:
        return {"all": every}
    return {"all": every, "contact": table.contact, "free": ~table.contact}


def _statistics(value: F64, error: F64, groups: list[NDArray[np.bool_]], params: DisplacementParams) -> dict[str, F64]:
    """Return what is told of each group of values, shape (groups,)."""
    rows = []
    for group in groups:
        mine, spread = value[group], error[group]
        count = mine.size
        deviation = float(mine.std(ddof=1)) if count > 1 else np.nan
        interval = mean_interval(mine, params.resamples, LEVEL, params.seed)
        measured = float(np.sqrt((spread**2).sum())) / count if count else np.nan
        mean = float(mine.mean()) if count else np.nan
        rows.append((count, mean, deviation, deviation / np.sqrt(count) if count else np.nan, measured, *interval))
    columns = np.array(rows, float).reshape(len(groups), 7)
    names = ("count", "mean", "deviation", "mean_error", "mean_measurement_error", "mean_low", "mean_high")
    return {name: columns[:, k] for k, name in enumerate(names)}
