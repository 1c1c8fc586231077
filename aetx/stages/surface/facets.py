"""The facets of a crystal."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Params, stage
from aetx.core.atoms import finite_positions
from aetx.core.facets import surface_of
from aetx.errors import InputError, Problem
from aetx.kernels.facets import FAMILIES, Facet, least_atoms
from aetx.kernels.facets import facets as find
from aetx.model import LATTICE

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
Table = dict[str, tuple[Any, ...]]

ONE, LENGTH, AREA = {"units": "1"}, {"units": "angstrom"}, {"units": "angstrom**2"}
SITES = ("inner", "terrace", "edge", "corner", "island", "rough")
"""Meanings of `surface_site`, from 0."""


class FacetsParams(Params):
    """Parameters of `facets`."""

    families: tuple[Literal["111", "100", "110"], ...] = Field(
        ("111", "100", "110"), min_length=1, max_length=3, description="families of planes that are looked for"
    )
    threshold: float | None = Field(
        None,
        ge=2,
        le=1e6,
        description="atoms that a facet must exceed; left out, 20 for 3504 atoms and in proportion to atoms**(2/3)",
    )


def _forecast(inputs: InputSizes, params: FacetsParams) -> Forecast:
    sizes = inputs["lattice"][0]
    count = sizes.get("atom", 1)
    return Forecast(sizes, memory=3500 * count + 10**6, seconds=0.3 + 4e-5 * count * len(params.families))


@stage("surface.facets", takes={"lattice": LATTICE}, gives=LATTICE, params=FacetsParams, version=1, forecast=_forecast)
def facets(lattice: xr.Dataset, params: FacetsParams) -> xr.Dataset:
    """Facets {111}, {100} and {110} of the grains of an fcc lattice, and what each surface atom is part of.

    A facet is a connected patch of one lattice plane of one grain, h = Miller indices . lattice coordinates, with more
    than `threshold` atoms above which no nearest neighbour stands: the published rule (the outermost plane with more
    than 20 atoms) for every terrace, without what lies below other atoms. Twin planes are therefore no facets, nor are
    planes that cut off a corner. Islands too small to be a facet count with the one that they stand on.

    On `facet_id`, most atoms first: `facet_family`, `facet_grain`, `facet_miller`, the outward `facet_normal`,
    `facet_atoms`, `facet_area` (convex hull of the centres, widened by half a bond), and `facet_distance` from the mean
    position of its grain with its error from the scatter of its atoms. Of each atom: `on_facet` (1 where it is on one),
    `facet` (the greatest of them, -1 none), `facet_count`, and `surface_site`, what it is part of.

    On `family`: `family_atoms` = share of the surface atoms, those on several facets shared equally; `family_area` =
    share of the area of all facets; `family_distance`, the mean of its facets, and `wulff_ratio` of it to that of
    {111}, with errors from the scatter of the facets.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, https://arxiv.org/abs/2207.06677 (2022), Supporting Information; G. Wulff, Z.
    Kristallogr. 34, 449 (1901), doi:10.1524/zkri.1901.34.1.449 (distances of facets are as their surface energies).
    """
    kind = str(lattice.attrs.get("lattice", ""))
    if kind != "fcc":
        problem = Problem("surface.facets: lattice", "attrs['lattice']", repr(kind), "fcc", "fit an fcc lattice")
        raise InputError(problem)
    lattice = lattice.drop_dims(["facet_id", "family"], errors="ignore")
    position = finite_positions("surface.facets: lattice", lattice)
    outer = surface_of(lattice, position)
    threshold = least_atoms(len(position)) if params.threshold is None else params.threshold
    names = lattice["grain_id"].values if "grain_id" in lattice.coords else np.arange(lattice.sizes["grain_id"])
    grain = np.full(len(position), -1)
    for row, name in enumerate(names):
        grain[lattice["grain"].values == name] = row
    basis = lattice["basis"].transpose("grain_id", "vector", "axis").sel(axis=["x", "y", "z"]).values.astype(float)
    site = lattice["site"].transpose("atom", "vector").values.astype(float)
    families = tuple(name for name in FAMILIES if name in params.families)
    found = find(position, site, grain, basis, families, threshold)
    on = np.zeros((len(position), len(found)), bool)
    for number, one in enumerate(found):
        on[one.member, number] = True
    distance, error = _distances(found, position, grain)
    count = on.sum(axis=1)
    made: Table = {
        "surface": ("atom", outer.astype(np.int8), lattice["surface"].attrs if "surface" in lattice else ONE),
        "facet": ("atom", np.where(count > 0, on.argmax(axis=1) if found else -1, -1).astype(np.int32), ONE),
        "facet_count": ("atom", count.astype(np.int32), ONE),
        "on_facet": (("atom", "facet_id"), on.astype(np.int8), ONE),
        "surface_site": ("atom", _sites(found, outer, count), _flags()),
        "facet_family": ("facet_id", np.array([one.family for one in found], "U3"), {}),
        "facet_grain": ("facet_id", np.array([names[one.grain] for one in found], np.int32), ONE),
        "facet_miller": (("facet_id", "miller"), _rows([one.miller for one in found], np.int32), ONE),
        "facet_normal": (("facet_id", "axis"), _rows([one.normal for one in found], np.float64), ONE),
        "facet_atoms": ("facet_id", np.array([len(one.member) for one in found], np.int32), ONE),
        "facet_area": ("facet_id", np.array([one.area for one in found], float), AREA),
        "facet_distance": ("facet_id", distance, LENGTH),
        "facet_distance_error": ("facet_id", error, LENGTH),
        "facet_threshold": ((), float(threshold), ONE),
        **_families(found, families, outer, on, distance),
    }
    labels = {"facet_id": ("facet_id", np.arange(len(found)), ONE), "family": list(families)}
    return lattice.assign(made).assign_coords({**labels, "axis": ["x", "y", "z"]})


def _rows(values: list[Any], dtype: type) -> NDArray[Any]:
    return np.array(values, dtype).reshape(len(values), 3)


def _flags() -> dict[str, Any]:
    return {**ONE, "flag_values": list(range(len(SITES))), "flag_meanings": " ".join(SITES)}


def _sites(found: list[Facet], outer: Mask, count: NDArray[np.integer]) -> NDArray[np.int8]:
    """Return what each atom is part of: numbers of `SITES`."""
    made = np.where(outer, SITES.index("rough"), SITES.index("inner"))
    made[count > 0] = SITES.index("terrace")
    for one in found:
        made[one.member[one.island]] = SITES.index("island")
    made[count == 2] = SITES.index("edge")
    made[count > 2] = SITES.index("corner")
    return made.astype(np.int8)


def _distances(found: list[Facet], position: F64, grain: NDArray[np.integer]) -> tuple[F64, F64]:
    """Return the distance of each facet from the mean position of its grain, and its standard error."""
    distance, error = np.full(len(found), np.nan), np.full(len(found), np.nan)
    for number, one in enumerate(found):
        height = (position[one.member[~one.island]] - position[grain == one.grain].mean(axis=0)) @ one.normal
        distance[number], error[number] = height.mean(), height.std(ddof=1) / np.sqrt(height.size)
    return distance, error


def _families(found: list[Facet], families: tuple[str, ...], outer: Mask, on: Mask, distance: F64) -> Table:
    """Return shares of atoms and area, and the distances, of each family."""
    kinds = np.array([one.family for one in found], "U3")
    area = np.array([one.area for one in found], float)
    share = on / np.maximum(on.sum(axis=1, keepdims=True), 1)
    rows = np.full((6, len(families)), np.nan)
    for column, name in enumerate(families):
        mine = kinds == name
        rows[0, column] = share[:, mine].sum() / outer.sum() if outer.any() else np.nan
        rows[1, column] = area[mine].sum() / area.sum() if found else np.nan
        if mine.any():
            rows[2, column] = distance[mine].mean()
        if mine.sum() > 1:
            rows[3, column] = distance[mine].std(ddof=1) / np.sqrt(mine.sum())
    if "111" in families:
        least = rows[2:4, families.index("111")]
        rows[4] = rows[2] / least[0]
        rows[5] = rows[4] * np.hypot(rows[3] / rows[2], least[1] / least[0])
        rows[5, families.index("111")] *= 0.0
    names = ("family_atoms", "family_area", "family_distance", "family_distance_error", "wulff_ratio")
    units = (ONE, ONE, LENGTH, LENGTH, ONE, ONE)
    return {
        name: ("family", row, unit) for name, row, unit in zip((*names, "wulff_ratio_error"), rows, units, strict=True)
    }
