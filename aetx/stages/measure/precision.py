"""How well a model comes back from its own simulated images."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, many, stage
from aetx.core.atoms import finite_positions
from aetx.errors import InputError, Problem
from aetx.kernels.alignment import ladder
from aetx.kernels.matching import nearest
from aetx.kernels.surface import neighbour_distance, surface
from aetx.model import ATOMS, SCORE

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

ANGSTROM, ONE = {"units": "angstrom"}, {"units": "1"}


class PrecisionParams(Params):
    """Parameters of `precision`."""

    radius: Length = Field(1.5, gt=0, le=10, description="farthest distance of a retraced atom from its place")
    align: Literal["none", "translation", "rigid"] = Field(
        "rigid", description="what is fitted before distances are taken: nothing, a shift, or a shift and a rotation"
    )
    surface: float = Field(
        1.26,
        gt=0.5,
        le=10,
        description="radius of the alpha shape of the model that tells surface from core, in median distances of "
        "nearest neighbours",
    )


def _forecast(inputs: InputSizes, _: PrecisionParams) -> Forecast:
    atoms = inputs["model"][0].get("atom", 1)
    repeats = len(inputs["retraced"])
    return Forecast({"atom": atoms}, memory=atoms * repeats * 100 + 10**6, seconds=0.1 + atoms * repeats * 1e-4)


@stage(
    "measure.precision",
    takes={"model": ATOMS, "retraced": many(ATOMS)},
    gives=SCORE,
    params=PrecisionParams,
    version=1,
    forecast=_forecast,
)
def precision(model: xr.Dataset, retraced: tuple[xr.Dataset, ...], params: PrecisionParams) -> xr.Dataset:
    """Bias and scatter of each atom of a model over repeats of simulating, reconstructing and tracing it.

    Each set of retraced atoms comes from images of the model simulated at the poses and the dose of the experiment
    (`simulate.images` or `simulate.multislice` with `like`, then `simulate.acquisition` with a seed of its own),
    treated as the measured ones were. It is aligned and paired one to one as in `measure.compare`. With the residuals
    d = retraced - model of one atom over the repeats in which it is found, a share `identified`:

        bias = mean(d),    scatter = (sum (d - bias)**2 / (repeats - 1)) ** 1/2,    along each axis

    NaN where the atom is never found, and for the scatter where it is found less than twice. Bias is what repeats
    share: the missing wedge, overlap, the method; scatter is the noise. `rmsd` = (mean over pairs of all repeats of
    |d|**2) ** 1/2; `rms_bias` and `rms_scatter` are its two parts along each axis over the atoms found at least twice,
    the square of the bias freed of its share of the scatter, scatter**2 / repeats. `_repeat` holds the scores of each
    repeat and `_region` those of the atoms on the surface (outer alpha shape of the model) and in the core.

    This measures self-consistency: an atom that the model lacks is never missed, and errors that the simulation does
    not know are not seen.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1; Y. Yang et al.,
    Nature 592, 60 (2021), doi:10.1038/s41586-021-03354-0.
    """
    if not retraced:
        raise InputError(Problem("measure.precision", "retraced", "no atoms", "at least one set", "name the steps"))
    true = finite_positions("measure.precision: model", model)
    reach = params.surface * neighbour_distance(true)
    outer = surface(true, reach)
    off = np.full((len(retraced), len(true), 3), np.nan)
    false = np.zeros((len(retraced), 2), np.int64)
    for i, one in enumerate(retraced):
        found = finite_positions(f"measure.precision: retraced[{i}]", one)
        match = ladder(found, true, params.radius)[params.align]
        off[i, match.true] = match.residual(found, true)
        extra = np.setdiff1d(np.arange(len(found)), match.found)
        beside = outer[nearest(true, match.motion(found)[extra], np.inf)[0]]
        false[i] = beside.sum(), (~beside).sum()
    here = np.isfinite(off[:, :, 0])
    times = here.sum(0)
    bias, scatter = _moments(off, times)
    made: dict[str, tuple[Any, ...]] = {
        "rmsd": ((), _rms(off), ANGSTROM),
        "rmsd_axis": ("axis", _rms_axis(off), ANGSTROM),
        "tracing_error": ((), _wrong(here, false, np.ones(len(true), bool)), ONE),
        "rms_bias": ("axis", _freed(bias, scatter, times), ANGSTROM),
        "rms_scatter": ("axis", _rms_axis(scatter), ANGSTROM),
        "rmsd_repeat": ("repeat", np.array([_rms(one) for one in off]), ANGSTROM),
        "missed_repeat": ("repeat", (~here).sum(1), ONE),
        "false_repeat": ("repeat", false.sum(1), ONE),
        "rmsd_region": ("region", np.array([_rms(off[:, part]) for part in (outer, ~outer)]), ANGSTROM),
        "tracing_error_region": (
            "region",
            np.array([_wrong(here, false[:, [i]], part) for i, part in enumerate((outer, ~outer))]),
            ONE,
        ),
        "radius": ((), params.radius, ANGSTROM),
        "surface_radius": ((), reach, ANGSTROM),
        "position": (("atom", "axis"), true, ANGSTROM),
        "bias": (("atom", "axis"), bias, ANGSTROM),
        "scatter": (("atom", "axis"), scatter, ANGSTROM),
        "identified": ("atom", times / len(retraced), ONE),
        "on_surface": ("atom", outer, ONE),
    }
    coords = {"axis": ["x", "y", "z"], "region": ["surface", "core"], "atom": model["atom"].variable}
    return xr.Dataset(made, coords)


def _moments(off: F64, times: NDArray[np.int64]) -> tuple[F64, F64]:
    """Return the mean and the standard deviation over the repeats, shape (atoms, 3)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        bias = np.nansum(off, axis=0) / times[:, None]
        square = np.nansum((off - bias) ** 2, axis=0) / (times[:, None] - 1)
    return bias, np.sqrt(np.where(times[:, None] > 1, square, np.nan))


def _freed(bias: F64, scatter: F64, times: NDArray[np.int64]) -> F64:
    """Return the root mean square of the bias without what the scatter puts into it; 0 where nothing is left."""
    often = times > 1
    if not often.any():
        return np.full(3, np.nan)
    square = bias[often] ** 2 - scatter[often] ** 2 / times[often, None]
    return np.sqrt(np.maximum(square.mean(0), 0.0))


def _rms_axis(values: F64) -> F64:
    """Return the root mean square along the last axis of size 3, over all that is defined."""
    seen = values.reshape(-1, 3)
    seen = seen[np.isfinite(seen[:, 0])]
    return np.sqrt((seen**2).mean(0)) if len(seen) else np.full(3, np.nan)


def _rms(values: F64) -> float:
    return float(np.sqrt((_rms_axis(values) ** 2).sum()))


def _wrong(here: Mask, false: NDArray[np.int64], part: Mask) -> float:
    """Return missed and false over true, of the atoms of one part, over all repeats."""
    wanted = part.sum() * len(here)
    return float(((~here[:, part]).sum() + false.sum()) / wanted) if wanted else float("nan")
