"""Atoms against the truth: one to one, and as published scores count."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.kernels import alignment, resampling
from aetx.kernels.matching import nearest
from aetx.kernels.surface import neighbour_distance, surface
from aetx.model import ATOMS, SCORE

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Table = dict[str, tuple[Any, ...]]

ANGSTROM, ONE = {"units": "angstrom"}, {"units": "1"}
LEVEL = 0.95
"""Probability of the confidence intervals."""


class CompareParams(Params):
    """Parameters of `compare`."""

    radius: Length = Field(1.5, gt=0, le=10, description="farthest distance of an atom from its true place")
    align: Literal["none", "translation", "rigid", "scale", "affine"] = Field(
        "none",
        description="what is fitted before distances are taken: nothing, a shift, also a rotation, also one scale, "
        "or any linear map with a shift",
    )
    surface: float = Field(
        1.26,
        gt=0.5,
        le=10,
        description="radius of the alpha shape of the truth that tells surface from core, in median distances of "
        "nearest neighbours",
    )
    resamples: int = Field(1000, ge=100, le=100_000, description="bootstrap samples behind the 95 % intervals")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the bootstrap samples")


def _forecast(inputs: InputSizes, params: CompareParams) -> Forecast:
    atoms = sum(group[0].get("atom", 1) for group in inputs.values())
    seconds = 0.1 + atoms * (8e-5 + params.resamples * 1e-8)
    return Forecast({"axis": 3}, memory=atoms * 5000 + 10**6, seconds=seconds)


@stage(
    "measure.compare",
    takes={"atoms": ATOMS, "truth": ATOMS},
    gives=SCORE,
    params=CompareParams,
    version=2,
    forecast=_forecast,
)
def compare(atoms: xr.Dataset, truth: xr.Dataset, params: CompareParams) -> xr.Dataset:
    """How many atoms are found, missed and false, and how far the found ones are off.

    Each true atom gets at most one found atom and the reverse: as many pairs within `radius` as possible, and of all
    such pairings the one with the least sum of squared distances. With `align` the found atoms are first moved onto
    the true ones by what pairs say, and paired again, until nothing changes: true = rotation @ stretch @ found + shift.
    `rmsd_aligned` and `common_aligned` say what each alignment would give, with its `scale_aligned`. Sets that are
    turned by ten degrees are still found if their centres agree to half a bond.

    Counts: `tracing_error` = (missed + false) / true; `tracing_difference` = (missed + false) / mean of found and
    true, for two models of which neither is the truth; `identified` = common / true. Distances: `rmsd` is the root of
    the mean squared distance in space, `rmsd_axis` the same along x, y, z; NaN where no pair is found. `residual` is
    moved minus true, pair by pair. Intervals hold 95 %: by bootstrap over the pairs for distances, Poisson's for
    counts.

    `_region` is the same for atoms on the `surface` (outer alpha shape of the truth) and in the core; a false atom
    belongs to the region of the true atom nearest to it. `_species` is the same for each true element; `confusion`
    counts pairs by true and found element (0 unknown), and `accuracy_species` and `right_element` are the shares with
    the right one of pairs whose elements are both known.

    `many_to_one_` is the published way of counting: a shift is fitted, each true atom takes the nearest found one,
    which may serve several, and the RMSD is the root of the summed variances (one degree of freedom less).

    References
    ----------
    Y. Yang et al., Nature 592, 60 (2021), doi:10.1038/s41586-021-03354-0 (many to one, surface by alpha shape);
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1 (tracing error).
    """
    found = finite_positions("measure.compare: atoms", atoms)
    true = finite_positions("measure.compare: truth", truth)
    rungs = alignment.ladder(found, true, params.radius)
    match = rungs[params.align]
    residual = match.residual(found, true)
    false = np.setdiff1d(np.arange(len(found)), match.found)
    missed = np.setdiff1d(np.arange(len(true)), match.true)
    reach = params.surface * neighbour_distance(true)
    outer = surface(true, reach)
    moved = match.motion(found)
    kinds = _elements(atoms, truth, match)
    square = residual**2
    made: Table = {
        "found": ((), len(found), ONE),
        "true": ((), len(true), ONE),
        "common": ((), len(match.found), ONE),
        "missed": ((), len(missed), ONE),
        "false": ((), len(false), ONE),
        "identified": ((), _share(len(match.found), len(true)), ONE),
        "tracing_error": ((), _share(len(missed) + len(false), len(true)), ONE),
        "tracing_error_interval": ("bound", _shares(len(missed) + len(false), len(true)), ONE),
        "tracing_difference": ((), _share(len(missed) + len(false), (len(found) + len(true)) / 2), ONE),
        "radius": ((), params.radius, ANGSTROM),
        "surface_radius": ((), reach, ANGSTROM),
        **_distances(square, outer[match.true], kinds[0], np.unique(truth["species"].values), params),
        **_motion(match.motion),
        **_rungs(rungs, found, true),
        **_regions(outer, missed, false, moved, true),
        **_species(kinds, atoms, truth),
        **_many_to_one(found, true, params.radius),
        "residual": (("pair", "axis"), residual, ANGSTROM),
        "distance": ("pair", np.sqrt(square.sum(1)), ANGSTROM),
        "on_surface": ("pair", outer[match.true], ONE),
        "found_atom": ("pair", atoms["atom"].values[match.found], ONE),
        "true_atom": ("pair", truth["atom"].values[match.true], ONE),
        "true_position": (("pair", "axis"), true[match.true], ANGSTROM),
        "missed_atom": ("missing", truth["atom"].values[missed], ONE),
        "missed_position": (("missing", "axis"), true[missed], ANGSTROM),
        "false_atom": ("extra", atoms["atom"].values[false], ONE),
        "false_position": (("extra", "axis"), moved[false], ANGSTROM),
    }
    return xr.Dataset(
        made,
        coords={
            "axis": ["x", "y", "z"],
            "axis2": ["x", "y", "z"],
            "bound": ["low", "high"],
            "region": ["surface", "core"],
            "alignment": list(alignment.ALIGNMENTS),
            "true_species": ("true_species", np.unique(truth["species"].values), ONE),
            "found_species": ("found_species", np.unique(atoms["species"].values), ONE),
        },
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _shares(count: int, whole: int) -> F64:
    return resampling.count_interval(count, LEVEL) / whole if whole else np.full(2, np.nan)


def _distances(
    square: F64, outer: NDArray[np.bool_], kind: I64, species: NDArray[np.int32], params: CompareParams
) -> Table:
    """Return the root of mean squares (pairs, axis), all and by axis, region and true element, with intervals."""
    every = np.ones(len(square), bool)
    members = [every] * 4 + [outer, ~outer] + [(kind == number) & (number > 0) for number in species]
    member = np.stack(members, axis=1)
    whole = square.sum(1, keepdims=True)
    columns = np.concatenate([whole, square, np.repeat(whole, member.shape[1] - 4, axis=1)], axis=1)
    with np.errstate(invalid="ignore"):
        roots = np.sqrt(np.where(member, columns, 0.0).sum(0) / member.sum(0))
    bounds = resampling.rms_interval(columns, member, params.resamples, LEVEL, params.seed)
    fitted = {**ANGSTROM, "fitted": params.align}
    made: Table = {"rmsd": ((), float(roots[0]), fitted), "rmsd_interval": ("bound", bounds[:, 0], ANGSTROM)}
    for dim, name, part in (
        ("axis", "rmsd_axis", slice(1, 4)),
        ("region", "rmsd_region", slice(4, 6)),
        ("true_species", "rmsd_species", slice(6, None)),
    ):
        made[name] = (dim, roots[part], ANGSTROM)
        made[f"{name}_interval"] = (("bound", dim), bounds[:, part], ANGSTROM)
    return made


def _motion(motion: alignment.Motion) -> Table:
    return {
        "shift": ("axis", motion.shift, ANGSTROM),
        "rotation": (("axis", "axis2"), motion.rotation, ONE),
        "stretch": (("axis", "axis2"), motion.stretch, ONE),
        "scale": ((), motion.scale, ONE),
    }


def _rungs(rungs: dict[str, alignment.Match], found: F64, true: F64) -> Table:
    squares = [(one.residual(found, true) ** 2).sum(1) for one in rungs.values()]
    return {
        "rmsd_aligned": ("alignment", np.array([_share(one.sum(), one.size) for one in squares]) ** 0.5, ANGSTROM),
        "common_aligned": ("alignment", np.array([one.size for one in squares]), ONE),
        "scale_aligned": ("alignment", np.array([one.motion.scale for one in rungs.values()]), ONE),
    }


def _regions(outer: NDArray[np.bool_], missed: I64, false: I64, moved: F64, true: F64) -> Table:
    closest = nearest(true, moved[false], np.inf)[0]
    counts = np.array([(part.sum(), (~part).sum()) for part in (outer, outer[missed], outer[closest])])
    with np.errstate(invalid="ignore", divide="ignore"):
        wrong = np.where(counts[0] > 0, (counts[1] + counts[2]) / counts[0], np.nan)
    return {
        "true_region": ("region", counts[0], ONE),
        "missed_region": ("region", counts[1], ONE),
        "false_region": ("region", counts[2], ONE),
        "tracing_error_region": ("region", wrong, ONE),
    }


def _elements(atoms: xr.Dataset, truth: xr.Dataset, match: alignment.Match) -> tuple[I64, I64]:
    return truth["species"].values[match.true].astype(np.int64), atoms["species"].values[match.found].astype(np.int64)


def _species(kinds: tuple[I64, I64], atoms: xr.Dataset, truth: xr.Dataset) -> Table:
    rows, columns = np.unique(truth["species"].values), np.unique(atoms["species"].values)
    counts = np.zeros((rows.size, columns.size), np.int64)
    np.add.at(counts, (np.searchsorted(rows, kinds[0]), np.searchsorted(columns, kinds[1])), 1)
    known = counts * np.outer(rows > 0, columns > 0)
    right = known * (rows[:, None] == columns)
    with np.errstate(invalid="ignore"):
        accuracy = right.sum(1) / known.sum(1)
    return {
        "confusion": (("true_species", "found_species"), counts, ONE),
        "accuracy_species": ("true_species", accuracy, ONE),
        "right_element": ((), _share(int(right.sum()), int(known.sum())), ONE),
    }


def _many_to_one(found: F64, true: F64, radius: float) -> Table:
    match = alignment.published(found, true, radius)
    spread = match.residual(found, true).var(0, ddof=1) if len(match.found) > 1 else np.full(3, np.nan)
    return {
        "many_to_one_common": ((), len(match.found), ONE),
        "many_to_one_rmsd": ((), float(np.sqrt(spread.sum())), ANGSTROM),
        "many_to_one_rmsd_axis": ("axis", np.sqrt(spread), ANGSTROM),
        "many_to_one_shift": ("axis", match.motion.shift, ANGSTROM),
    }
